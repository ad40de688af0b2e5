"""The canvas, the axes and the plot widget."""

import numpy as np
import pytest
from fdi_tui.widgets.bars import bar, change_bar
from fdi_tui.widgets.canvas import Canvas, View, text_of
from fdi_tui.widgets.picture import Mark, Series
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.ticks import number_text, round_step, tick_line, ticks
from hypothesis import given
from hypothesis import strategies as st
from screens import in_loop, screen_text
from textual.app import App

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)
UNIT = View(0.0, 1.0, 0.0, 1.0)


def drawn(canvas):
    return [text_of(row) for row in canvas.codes()]


def test_a_line_goes_from_corner_to_corner():
    canvas = Canvas(4, 2)
    canvas.draw(0, np.array([0.0, 1.0]), np.array([0.0, 1.0]), UNIT)
    assert drawn(canvas) == ["  ⡠⠎", "⡠⠎⠁ "]


def test_steps_hold_until_half_way():
    canvas = Canvas(6, 3, ascii=True)
    canvas.draw(0, np.array([0.0, 1.0]), np.array([0.0, 1.0]), UNIT, "steps")
    assert drawn(canvas) == ["   ***", "   *  ", "****  "]


def test_a_gap_is_left_where_there_is_no_number():
    canvas = Canvas(5, 1, ascii=True)
    x = np.linspace(0.0, 1.0, 5)
    canvas.draw(0, x, np.array([0.5, 0.5, np.nan, 0.5, 0.5]), UNIT)
    assert drawn(canvas) == ["** **"]


def test_later_series_own_what_they_cover():
    canvas = Canvas(4, 1, ascii=True)
    canvas.draw(0, np.array([0.0, 1.0]), np.array([0.5, 0.5]), UNIT)
    canvas.draw(1, np.array([0.0, 0.3]), np.array([0.5, 0.5]), UNIT, "dots")
    assert drawn(canvas) == ["oo**"]
    assert canvas.owner.tolist() == [[1, 1, 0, 0]]


@given(
    st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30),
    st.integers(1, 30),
    st.integers(1, 12),
    st.booleans(),
    st.sampled_from(["line", "steps", "dots"]),
)
def test_nothing_that_a_file_says_breaks_the_canvas(points, width, height, ascii, style):
    points = sorted(points, key=lambda p: (np.isnan(p[0]), p[0]))
    canvas = Canvas(width, height, ascii)
    with np.errstate(all="ignore"):
        canvas.draw(
            0,
            np.array([x for x, _ in points]),
            np.array([y for _, y in points]),
            View(-2.0, 3.0, -1.0, 5.0),
            style,
        )
    assert [len(line) for line in drawn(canvas)] == [width] * height


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(1, 20), st.booleans())
def test_ticks_lie_on_the_axis_and_are_few(low, span, count, whole):
    found = ticks(low, low + span, count, whole)
    assert len(found) <= 4 * count + 9
    near = 1e-6 * (abs(low) + span + round_step(span, count, whole))
    assert all(low - near <= tick <= low + span + near for tick in found)


@given(st.floats(), st.floats(0, 1e6))
def test_every_number_has_a_short_text(value, step):
    assert len(number_text(value, step)) <= 24


@given(st.lists(st.tuples(st.integers(-5, 60), st.text("0123456789", min_size=1, max_size=6)), max_size=20))
def test_tick_texts_never_run_into_each_other(placed):
    line = tick_line([p for p, _ in placed], [t for _, t in placed], 50)
    assert len(line) <= 50
    assert set(line.split()) <= {text for _, text in placed}


@given(st.floats(), st.integers(0, 40), st.booleans())
def test_bars_are_as_wide_as_they_were_asked_to_be(share, width, ascii):
    assert len(bar(share, width, ascii)) == width


@given(st.floats(), st.floats(), st.floats(), st.integers(1, 40), st.booleans())
def test_change_bars_stay_within_their_width(start, now, most, width, ascii):
    assert len(change_bar(start, now, most, width, ascii)) <= width


class PlotApp(App[None]):
    """One plot."""

    def compose(self):
        yield Plot("time", x_name="channels", whole=True)


def steps_of_16():
    x = np.arange(1.0, 129.0)
    return Series("predicted", x, np.ceil(x / 16), "steps")


@pytest.mark.parametrize("ascii", [False, True])
@in_loop
async def test_the_cursor_reads_values_and_zooming_goes_towards_it(ascii):
    app = PlotApp()
    async with app.run_test(size=(60, 14)) as pilot:
        plot = app.query_one(Plot)
        plot.ascii = ascii
        plot.show([steps_of_16()], [Mark(64.0, 4.0)])
        plot.focus()
        await pilot.pause()
        assert ("@" if ascii else "●") in screen_text(app)
        assert screen_text(app).isascii() == ascii
        plot.point_at(64.0)
        await pilot.press("l")
        await pilot.pause()
        assert "channels 65" in screen_text(app)
        assert "predicted 5" in screen_text(app)
        await pilot.press("plus", "plus")
        left, right = plot.window
        assert right - left == pytest.approx(127 / 4)
        assert left < 65 < right
        await pilot.press("n")
        assert plot.window[0] > left
        await pilot.press("minus", "minus", "minus")
        assert plot.window == (1.0, 128.0)
        await pilot.press("0")
        assert plot.cursor is None
        heads, *rows = plot.exported()[1]
        assert heads == ["series", "channels", "y"]
        assert len(rows) == 128


@in_loop
async def test_a_plot_without_room_or_data_says_so():
    app = PlotApp()
    async with app.run_test(size=(60, 14)) as pilot:
        plot = app.query_one(Plot)
        await pilot.pause()
        assert "time: no data yet" in screen_text(app)
        plot.show([Series("lost", np.array([1.0, 2.0]), np.array([np.nan, np.nan]))])
        await pilot.pause()
        assert "no data yet" in screen_text(app)
        await pilot.press("l", "plus")
        plot.show([Series("one", np.array([3.0]), np.array([0.0]))])
        await pilot.pause()
        assert "one" in screen_text(app)
        await pilot.resize_terminal(12, 3)
        await pilot.pause()


@in_loop
async def test_nothing_is_drawn_again_without_news():
    app = PlotApp()
    async with app.run_test(size=(60, 14)) as pilot:
        plot = app.query_one(Plot)
        plot.show([steps_of_16()])
        await pilot.pause()
        before = plot._strips
        plot.refresh()
        await pilot.pause()
        assert plot._strips is before
