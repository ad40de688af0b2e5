"""The room of profiles, and the functions and verbs behind it."""

import json
import shutil
from pathlib import Path

import pytest
from fdi_tui.data.profile_files import read_head
from screens import in_loop, screen_text, until, until_shown
from textual.widgets import Input

from fdi_keras.cli import main
from fdi_keras.errors import ProfileNotFoundError, UsageError
from fdi_keras.profile import load_profile
from fdi_keras.profile.counted import two_number_profile
from fdi_keras.profile.manage import checked_name, copy_profile, delete_profile, rename_profile

RECORDED = Path(__file__).parent / "recorded" / "profile.json"


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's folder with one profile, 'mine'."""
    monkeypatch.setenv("FDI_DATA", str(tmp_path / "data"))
    folder = tmp_path / "data" / "profiles"
    folder.mkdir(parents=True)
    shutil.copy(RECORDED, folder / "mine.json")
    return folder


def test_the_head_of_a_file_is_that_of_the_profile():
    head, profile = read_head(RECORDED, True), load_profile(RECORDED)
    assert dict(head.mape) == profile.mape
    assert head.device_name == profile.device.name
    assert head.measurements == sum(len(table) for table in profile.measurements.values())
    assert not head.problem


@pytest.mark.parametrize("content", [b"", b"{}", b"[" * 9999, b"\xff", b'{"format": "other"}', b"[]"])
def test_what_is_no_profile_says_so(tmp_path, content):
    (tmp_path / "x.json").write_bytes(content)
    assert "no device profile" in read_head(tmp_path / "x.json", True).problem


def test_renaming_copying_deleting(own, tmp_path):
    assert rename_profile("mine", "kitchen").name == "kitchen.json"
    with pytest.raises(ProfileNotFoundError):
        rename_profile("mine", "other")
    copy_profile("kitchen", "second")
    with pytest.raises(UsageError, match="already"):
        rename_profile("kitchen", "second")
    assert sorted(path.stem for path in own.iterdir()) == ["kitchen", "second"]
    with pytest.raises(UsageError, match="is there already"):
        copy_profile("kitchen", "second")
    elsewhere = copy_profile("kitchen", tmp_path / "elsewhere.json")
    assert elsewhere.read_bytes() == RECORDED.read_bytes()
    with pytest.raises(UsageError, match="not in your profile folder"):
        delete_profile(elsewhere)
    assert not delete_profile("second").exists()


def test_those_of_the_library_stay(own):
    for act in (delete_profile, lambda name: rename_profile(name, "other")):
        with pytest.raises(UsageError, match="came with fdi-keras"):
            act("x86-avx512-litert")
    assert load_profile("x86-avx512-litert").models


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "-x", "x" * 200, "a\nb", "con:", "a."])
def test_names_that_no_file_can_have(name):
    with pytest.raises(UsageError, match="letters, digits"):
        checked_name(name)


def run(capsys, *args):
    status = main(list(args))
    return status, *capsys.readouterr()


def test_the_verbs(own, capsys):
    status, out, _ = run(capsys, "profiles", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert status == 0
    assert rows["mine"]["own"]
    assert not rows["x86-avx512-litert"]["own"]
    assert rows["mine"]["kinds"] == 3
    assert "mine" in run(capsys, "profiles")[1]
    assert json.loads(run(capsys, "profiles", "validate", "mine", "--json")[1])["valid"]
    assert run(capsys, "profiles", "rename", "mine", "new")[0] == 0
    assert run(capsys, "profiles", "copy", "new", "newer")[0] == 0
    assert run(capsys, "profiles", "delete", "newer", "--json")[0] == 2
    assert run(capsys, "profiles", "delete", "newer", "--yes")[0] == 0
    assert [path.stem for path in own.iterdir()] == ["new"]
    (own / "bad.json").write_text(RECORDED.read_text().replace('"overhead_ms":', '"overhead_ms":-', 1))
    status, _, err = run(capsys, "profiles", "validate", "bad")
    assert status == 1
    assert "$.overhead_ms" in err


async def type_in(pilot, key, text):
    """Open a form of one line, and give it this."""
    await pilot.press(key)
    pilot.app.screen.query_one(Input).value = text
    await pilot.press("enter")


@in_loop
async def test_a_profile_that_was_not_measured_says_so(make_app, state):
    two_number_profile(50, 10).save(state / "profiles" / "published.json")
    (state / "profiles" / "local.json").unlink()
    app = make_app(state, "profiles")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "published", "nothing", "not measured: its times come from")
        assert "0.0 %" not in screen_text(app)
        await pilot.press("enter")
        await until_shown(pilot, "profile 'two-numbers' was not measured")
        await until_shown(pilot, "in_channels 32", "predicted")
        assert "0.0 %" not in screen_text(app)
    assert app.faults == []


@in_loop
async def test_the_room(make_app, state, tmp_path, monkeypatch):
    shutil.copy(RECORDED, state / "profiles" / "another.json")
    (state / "profiles" / "broken.json").write_text("{")
    monkeypatch.setenv("FDI_DATA", str(state))
    app = make_app(state, "profiles")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "another", "broken", "local", "with-the-library")
        await pilot.press("v")
        await until_shown(pilot, "nothing is wrong with it")
        await type_in(pilot, "r", "a b/c")
        await until_shown(pilot, "letters, digits")
        await type_in(pilot, "r", "renamed")
        await until_shown(pilot, "renamed")
        await until(pilot, lambda: (state / "profiles" / "renamed.json").exists())
        await type_in(pilot, "w", str(tmp_path / "copy.json"))
        await until(pilot, lambda: (tmp_path / "copy.json").exists(), "a copy")
        await pilot.press("slash", *"renamed", "enter", "x", "escape")
        await pilot.pause(0.1)
        assert (state / "profiles" / "renamed.json").exists()
        await pilot.press("x", "enter")  # enter stands on Back
        await pilot.pause(0.1)
        assert (state / "profiles" / "renamed.json").exists()
        await pilot.press("x", "y")
        await until(pilot, lambda: not (state / "profiles" / "renamed.json").exists(), "deleting")
        await pilot.press("slash", "escape")
        await until_shown(pilot, "with-the-library")
        await pilot.press("G", "x")
        await until_shown(pilot, "came with fdi-keras")
        await pilot.press("m", "g", "j")
        await until_shown(pilot, "*")
        await pilot.press("c")
        await until(pilot, lambda: app.room == "rules", "comparing")
        await pilot.press("5")
        await until_shown(pilot, "with-the-library")
        assert "broken" in screen_text(app)
    assert app.faults == []
