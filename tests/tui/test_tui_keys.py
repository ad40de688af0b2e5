"""The table of keys: what it promises is there, and every key can be pressed in every terminal."""

import json
import re
from pathlib import Path

import pytest
from fdi_tui.app import ROOMS, FdiApp, make_room
from fdi_tui.keys import GROUPS, KEYS, keys_of, markdown, shown
from fdi_tui.widgets.filter import FilterInput
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.rule_tree import RuleTree
from fdi_tui.widgets.table import RowTable
from screens import in_loop, screen_text, until, until_shown
from textual.keys import _character_to_key

DOCUMENT = Path(__file__).parents[2] / "docs" / "dashboard.md"

#: Terminals and tmux pass these on; of combinations only those with ctrl and one letter.
PLAIN = re.compile(
    r"[a-zA-Z0-9]|[a-z_]+|f\d+|up|down|left|right|home|end|pageup|pagedown|space|enter|escape|tab|shift\+tab"
)


def owner(group):
    if group == "app":
        return FdiApp
    if group in ROOMS:
        return type(make_room(group))
    return {"table": RowTable, "plot": Plot, "filter": FilterInput, "tree": RuleTree}[group]


def test_names_are_given_once_and_groups_are_known():
    names = [key.id for key in KEYS]
    assert len(set(names)) == len(names)
    assert {key.group for key in KEYS} == set(GROUPS)


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.id)
def test_every_key_does_something_and_needs_no_special_terminal(key):
    name = key.action.partition("(")[0]
    assert hasattr(owner(key.group), f"action_{name}"), f"{owner(key.group).__name__} has no action_{name}"
    spelled = [each.strip() for each in key.keys.split(",")]
    assert any(PLAIN.fullmatch(each) for each in spelled), f"{key.id} can only be reached with ctrl or alt"
    assert key.label
    assert key.help.endswith(".")


@pytest.mark.parametrize("group", [g for g in GROUPS if g != "app"])
def test_no_key_of_a_group_is_given_twice_or_hides_one_of_everywhere(group):
    def spelled(of):
        return [
            _character_to_key(k.strip()) if len(k.strip()) == 1 else k.strip()
            for key in keys_of(of)
            for k in key.keys.split(",")
        ]

    own = spelled(group)
    assert len(set(own)) == len(own)
    assert not set(own) & set(spelled("app")), "a key of everywhere would not work here"


def test_the_document_has_the_table():
    text = DOCUMENT.read_text()
    for group in GROUPS:
        assert markdown(group) in text, f"docs/dashboard.md lacks this:\n{markdown(group)}"


def test_keys_are_shown_as_people_write_them():
    assert shown("question_mark,f1,ctrl+d,G") == "? F1 Ctrl-D G"


@in_loop
async def test_keys_can_be_given_to_others(make_app, state, tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "dashboard.json").write_text(
        json.dumps({"keys": {"app.room_rules": "f7", "table.cursor_down": "m"}})
    )
    app = make_app(state, "devices")
    async with app.run_test(size=(100, 30)) as pilot:
        await until_shown(pilot, "R58M12ABCDE")
        await pilot.press("m")
        await until(pilot, lambda: app.screen.query_one(RowTable).cursor_row == 1)
        await pilot.press("3")
        assert app.room == "devices"
        await pilot.press("f7")
        await until(pilot, lambda: app.room == "rules")
        await pilot.press("question_mark")
        await until_shown(pilot, "Help")
        await pilot.press("escape")


@in_loop
async def test_the_palette_finds_what_keys_do(make_app, state):
    app = make_app(state, "profiles")
    async with app.run_test(size=(100, 30)) as pilot:
        await until_shown(pilot, "with-the-library")
        await pilot.press("colon", *"light/dark")
        await until_shown(pilot, "Light/dark (T)")
        dark = app.current_theme.dark
        await pilot.press("enter")
        if app.current_theme.dark == dark:
            await pilot.press("enter")
        await until(pilot, lambda: app.current_theme.dark != dark)
        assert "with-the-library" in screen_text(app)


@in_loop
async def test_the_palette_does_what_keys_of_panels_do(make_app, state):
    app = make_app(state, "rules")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "measured")
        plot, tree = app.screen.query_one(Plot), app.screen.query_one(RuleTree)
        wide = plot.window
        await pilot.press("colon", *"Closer", "enter", "enter")
        await until(pilot, lambda: plot.window != wide)
        assert plot.window[1] - plot.window[0] < wide[1] - wide[0]
        assert app.screen.focused is tree, "the focus stays where it was"
        await pilot.press("colon", *"last line", "enter", "enter")
        await until(pilot, lambda: tree.cursor_line == tree.last_line)
        assert app.faults == []
