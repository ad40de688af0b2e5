"""Settings: kept, and named with file and key when something is wrong with them."""

import json

import pytest
from fdi_tui.settings import Settings, load_settings, save_settings
from screens import in_loop, until, until_shown

from fdi_keras.errors import StorageError, UsageError


def test_there_need_be_none(tmp_path):
    assert load_settings(tmp_path / "none.json") == Settings()


def test_they_are_kept(tmp_path):
    path = tmp_path / "new" / "dashboard.json"
    settings = Settings(theme="nord", keys={"app.quit": "q,f10"}, ascii=True)
    save_settings(settings, path)
    assert load_settings(path) == settings
    assert [each.name for each in path.parent.iterdir()] == ["dashboard.json"]


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ('{"theme": 3}', "$.theme"),
        ('{"themes": "nord"}', "themes"),
        ('{"keys": {"app.nothing": "x"}}', "'app.nothing'"),
        ('{"keys": {"app.quit": " ,"}}', "app.quit"),
        ("{", "truncated"),
        ("\x00\xff", "dashboard.json"),
        ("[" * 100_000, "dashboard.json"),
    ],
    ids=lambda text: text[:20],
)
def test_what_is_wrong_is_named(tmp_path, content, named):
    path = tmp_path / "dashboard.json"
    path.write_bytes(content.encode("latin1"))
    with pytest.raises(UsageError) as caught:
        load_settings(path)
    assert str(path) in str(caught.value)
    assert named in str(caught.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"file.*dashboard\.json"):
        save_settings(Settings(), tmp_path / "file" / "dashboard.json")


@in_loop
async def test_a_theme_is_kept_until_the_next_time(make_app, state, tmp_path):
    app = make_app(state)
    async with app.run_test() as pilot:
        await pilot.press("T")
        await until(pilot, lambda: app.theme == "textual-light")
    assert json.loads((tmp_path / "config" / "dashboard.json").read_text())["theme"] == "textual-light"
    again = make_app(state)
    async with again.run_test() as pilot:
        await until(pilot, lambda: again.theme == "textual-light")
        assert not again.current_theme.dark


@in_loop
async def test_wrong_settings_are_told_and_left_alone(make_app, state, tmp_path):
    path = tmp_path / "config" / "dashboard.json"
    path.parent.mkdir()
    path.write_text(json.dumps({"theme": 5}))
    app = make_app(state)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "$.theme")
        await pilot.press("T")
        await until(pilot, lambda: app.theme == "textual-light")
    assert json.loads(path.read_text()) == {"theme": 5}
    path.write_text(json.dumps({"theme": "no-such-theme"}))
    app = make_app(state)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "no-such-theme")
