"""What keeps the answer to a key quick, and looks as if it were not there."""

import gc
import sys

import fdi_tui.responsiveness
import pytest
from fdi_tui.responsiveness import ALL_EVERY_S, MIDDLE_EVERY_S, NEVER, QUIET_S, Housekeeping
from fdi_tui.widgets.filter import FilterLine
from fdi_tui.widgets.key_line import KeyLine
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.table import RowTable
from screens import in_loop, screen_text, until, until_shown
from textual._compositor import Compositor
from textual.widgets import DataTable


def lowest_lines(app):
    return screen_text(app).splitlines()[-2:]


def test_garbage_is_looked_for_when_no_key_is_pressed(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(fdi_tui.responsiveness.time, "monotonic", lambda: now)
    collected = []
    monkeypatch.setattr(gc, "collect", collected.append)
    before = gc.get_threshold(), sys.getswitchinterval()
    keeper = Housekeeping()
    keeper.begin()
    try:
        assert gc.get_threshold()[1:] == (NEVER, NEVER)
        now += max(MIDDLE_EVERY_S, QUIET_S)
        keeper.pressed()
        assert keeper.turn() is None
        now += QUIET_S
        assert (keeper.turn(), collected) == (1, [1])
        assert keeper.turn() is None, "not again at once"
        monkeypatch.setattr(gc, "get_count", lambda: (0, 10**6, 0))
        keeper.pressed()
        assert keeper.turn() == 1, "it is not put off for ever"
    finally:
        keeper.end()
    assert (gc.get_threshold(), sys.getswitchinterval()) == before


def test_now_and_then_all_garbage_is_looked_for(monkeypatch):
    now = 1000.0
    monkeypatch.setattr(fdi_tui.responsiveness.time, "monotonic", lambda: now)
    keeper = Housekeeping()
    now += ALL_EVERY_S
    assert keeper.turn() == 2


@in_loop
async def test_a_dashboard_leaves_python_as_it_was(make_app, state):
    before = gc.get_threshold(), sys.getswitchinterval()
    app = make_app(state, "profiles")
    async with app.run_test() as pilot:
        await until_shown(pilot, "with-the-library")
        assert gc.get_threshold() != before[0]
    assert (gc.get_threshold(), sys.getswitchinterval()) == before


@in_loop
async def test_cells_look_as_a_data_table_draws_them(make_app, state):
    app = make_app(state, "sessions")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "tiny: finished")
        table = app.screen.query_one("#sessions", RowTable)
        for column in range(len(table.columns)):
            for width, cursor in ((20, False), (20, True), (5, False), (3, True)):
                asked = (0, column, table.rich_style, width, cursor, False)
                table._cell_render_cache.clear()  # it does not ask for the width
                own, theirs = table._render_cell(*asked), DataTable._render_cell(table, *asked)
                assert "".join(s.text for line in own for s in line) == "".join(
                    s.text for line in theirs for s in line
                )
                ((first, *_),) = own
                styles = {s.style.without_color.bold for line in theirs for s in line if s.text.strip()}
                colors = {(s.style.color, s.style.bgcolor) for line in theirs for s in line if s.text.strip()}
                if colors:
                    assert {(first.style.color, first.style.bgcolor)} == colors
                    assert {first.style.bold} == styles
                assert first.style.meta == {"row": 0, "column": column}


@in_loop
async def test_a_filter_moves_nothing_and_draws_no_plot_again(make_app, state, monkeypatch):
    app = make_app(state, "sessions")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "tiny: finished")
        await until(pilot, lambda: app.screen.query_one("#plot-0", Plot)._strips)
        places = {widget: widget.region for widget in app.screen.query(".plots, RowTable, Plot")}
        drawn = {plot: plot._strips for plot in app.screen.query(Plot)}
        whole = []
        monkeypatch.setattr(Compositor, "render_full_update", lambda *_, **__: whole.append(1))
        await pilot.press("slash")
        await until_shown(pilot, "words that a row must have")
        assert {widget: widget.region for widget in places} == places
        assert all(plot._strips is strips for plot, strips in drawn.items())
        assert whole == []
        monkeypatch.undo()


@in_loop
async def test_what_is_filtered_by_stays_in_sight(make_app, state):
    app = make_app(state, "devices")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "hot-one")
        await pilot.press("slash", *"ready", "enter")
        await until(pilot, lambda: lowest_lines(app)[0].startswith(" /ready "))
        await pilot.press("slash", *" hot")
        await pilot.press("tab")
        await until(pilot, lambda: lowest_lines(app)[0].startswith(" /ready hot "))
        assert not app.screen.query_one(FilterLine).display, "going elsewhere keeps the filter"
        assert app.screen.query_one(RowTable).keys_shown == ["hot-one"]
        await pilot.press("slash", "escape")
        await until(pilot, lambda: "/ready" not in screen_text(app))
        assert len(app.screen.query_one(RowTable).keys_shown) == 4


@pytest.mark.parametrize("width", [60, 80, 200])
@in_loop
async def test_the_lowest_line_has_the_keys_that_work(make_app, state, width):
    app = make_app(state, "campaign")
    async with app.run_test(size=(width, 30)) as pilot:
        await until_shown(pilot, "local-litert-xnnpack")
        line = lowest_lines(app)[1]
        assert line.endswith(" ? Help  / Filter  q Quit")
        assert line.startswith(" n New  z Pause ")
        assert len(line) <= width
        await pilot.press("f")
        await until(pilot, lambda: app.screen.maximized is not None)
        assert lowest_lines(app)[1].endswith(" q Quit"), "keys are shown beside a zoomed panel too"
        await pilot.press("f", "slash")
        await until(pilot, lambda: "All rows" in lowest_lines(app)[1])
        assert "Quit" not in lowest_lines(app)[1], "while one types, q is a letter"
        await pilot.press("escape")
        await until(pilot, lambda: "Quit" in lowest_lines(app)[1])
        await pilot.click(KeyLine, offset=(lowest_lines(app)[1].index("? Help"), 0))
        await until_shown(pilot, "Profiling campaigns, as they run")
