"""What a plot looks like, line by line: axes, legend, series, marks and cursor; no terminal yet.

The parts of a line come with the names of their styles; what these are the theme says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from fdi_tui.widgets.canvas import ASCII, Canvas, Style, View, text_of
from fdi_tui.widgets.ticks import log_ticks, number_text, tick_line, ticks

from fdi_keras.text import clean

#: Colors of series, in turns; the theme says what they are.
COLORS = 6

#: Styles of characters, besides the colors of series.
PLAIN, MARK, FAINT_MARK, CURSOR = -1, COLORS, COLORS + 1, COLORS + 2
STYLES = {
    **{number: f"plot--series-{number}" for number in range(COLORS)},
    **{PLAIN: "", MARK: "plot--mark", FAINT_MARK: "plot--faint-mark", CURSOR: "plot--cursor"},
}

#: What stands for a series in the legend, by its dashes, and for dots.
SAMPLES = ("━━", "╍╍", "┉┉", "╍ ")
DOTS_SAMPLE = "∙∙"

#: Narrower than this the axes would leave nothing to draw on.
LEAST_WIDTH, LEAST_HEIGHT = 16, 4

#: Part of the smallest value to the largest from which on the axis need not begin at zero.
FAR_FROM_ZERO = 0.6


@dataclass(frozen=True)
class Series:
    """One line, or one cloud of dots.

    Attributes:
        name: in the legend.
        x, y: ``(n,)`` each, x ascending where a line is drawn; NaN in y is a gap.
        style: "line", "steps" (a value holds until half way to the next) or "dots".
        color: number of its color in the theme; None: its place among the series.
        dash: number of its dashes, 0 for a solid line; None: its place among the series.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    style: Style = "line"
    color: int | None = None
    dash: int | None = None


class Mark(NamedTuple):
    """A point made visible on top of the series."""

    x: float
    y: float
    symbol: str = "●"
    ascii: str = "@"
    strong: bool = True


#: A part of a line: its text, and the name of its style; that of the widget when empty.
Part = tuple[str, str]


class Drawing(NamedTuple):
    """The lines of a plot, and where on them its data are."""

    lines: list[list[Part]]
    view: View = View(0.0, 1.0, 0.0, 1.0)
    margin: int = 0
    columns: int = 1


@dataclass
class Picture:
    """What is to be drawn.

    Attributes:
        series: in the order of the legend; the last is drawn on top.
        marks: above them.
        title, x_name: in the legend, and at the end of the x axis.
        window: the part of the x axis that is shown.
        cursor: where the cursor stands; None: there is none.
        y_text: how a value of y is written; None for plain numbers.
        whole: x counts something.
        zero: let the y axis begin at zero unless all values are far from it.
        logarithmic: x and y are logarithms to base 10; axes and legend show what they are of.
        ascii: letters instead of Braille.
        empty: said while there is nothing to draw.
    """

    series: Sequence[Series]
    marks: Sequence[Mark] = ()
    title: str = ""
    x_name: str = ""
    window: tuple[float, float] = (0.0, 1.0)
    cursor: float | None = None
    y_text: Callable[[float], str] | None = None
    whole: bool = False
    zero: bool = True
    logarithmic: bool = False
    ascii: bool = False
    empty: str = "no data yet"

    def values_at(self, x: float) -> list[tuple[str, float, float]]:
        """Name, x and y of the point of every line that is nearest to ``x``."""
        found = []
        for series in self.series:
            if len(series.x) and series.style != "dots":
                at = int(np.argmin(np.abs(series.x - x)))
                found.append((series.name, float(series.x[at]), float(series.y[at])))
        return found

    def draw(self, width: int, height: int) -> Drawing:
        """The picture in so many characters and lines."""
        if (
            width < LEAST_WIDTH
            or height < LEAST_HEIGHT
            or not any(np.isfinite(s.y).any() for s in self.series)
        ):
            text = clean(f"{self.title}: {self.empty}" if self.title else self.empty, width)
            return Drawing([[] for _ in range((height - 1) // 2)] + [[(text, "plot--axis")]])
        rows = height - 3
        left, right = self.window
        bottom, top = self._y_range(left, right)
        y_ticks = self._y_ticks(bottom, top, rows)
        step = y_ticks[1] - y_ticks[0] if len(y_ticks) > 1 else 0.0
        labels = [self._y_words(v, step) for v in y_ticks]
        margin = min(max((len(label) for label in labels), default=0) + 2, width // 2)
        columns = width - margin
        view = View(left, right, bottom, top)
        canvas = Canvas(columns, rows, self.ascii)
        for number, series in enumerate(self.series):
            canvas.draw(number, series.x, series.y, view, series.style, series.dash)
        codes, styles = canvas.codes(), self._styles(canvas.owner)
        self._put_marks(codes, styles, view)
        at_row = dict(zip((round(float(r)) for r in view.rows(np.array(y_ticks), rows)), labels, strict=True))
        bar, corner, floor = ("|", "+", "-") if self.ascii else ("│", "└", "─")
        lines = [self._legend()]
        for row in range(rows):
            label = at_row.get(row, "")[: margin - 2]
            head = (f"{label:>{margin - 1}}{bar}", "plot--axis")
            lines.append([head, *_runs(codes[row], styles[row])])
        lines.append([(" " * (margin - 1) + corner + floor * columns, "plot--axis")])
        lines.append([(" " * margin + self._x_line(view, columns), "plot--axis")])
        return Drawing(lines, view, margin, columns)

    def _styles(self, owner: np.ndarray) -> np.ndarray:
        """Number of the style of every character, ``(height, width)``."""
        colors = [n if s.color is None else s.color for n, s in enumerate(self.series)]
        return np.where(owner >= 0, np.array(colors)[owner] % COLORS, PLAIN)

    def _put_marks(self, codes: np.ndarray, styles: np.ndarray, view: View) -> None:
        rows, columns = codes.shape
        for mark in self.marks:
            if view.left <= mark.x <= view.right and view.bottom <= mark.y <= view.top:
                column = round(float(view.columns(np.array(mark.x), columns)))
                row = round(float(view.rows(np.array(mark.y), rows)))
                codes[row, column] = ord(mark.ascii if self.ascii else mark.symbol)
                styles[row, column] = MARK if mark.strong else FAINT_MARK
        if self.cursor is not None and view.left <= self.cursor <= view.right:
            styles[:, round(float(view.columns(np.array(self.cursor), columns)))] = CURSOR

    def _y_range(self, left: float, right: float) -> tuple[float, float]:
        """Lowest and highest value to show, of what lies between ``left`` and ``right``."""
        lows, highs = [], []
        for series in self.series:
            inside = np.isfinite(series.y) & (series.x >= left) & (series.x <= right)
            values = series.y[inside] if inside.any() else series.y[np.isfinite(series.y)]
            if len(values):
                lows.append(float(values.min()))
                highs.append(float(values.max()))
        low, high = min(lows), max(highs)
        if self.zero and 0 <= low < FAR_FROM_ZERO * high:
            low = 0.0
        if high - low <= 1e-9 * max(abs(high), abs(low)):
            spread = abs(high) * 0.1 or 1.0
            low, high = low - spread, high + spread
        return low, high + 0.02 * (high - low)

    def _y_ticks(self, bottom: float, top: float, rows: int) -> list[float]:
        if self.logarithmic:
            return log_ticks(bottom, top, max(rows // 2, 2))
        return ticks(bottom, top, max(rows // 3, 2))

    def _y_words(self, value: float, step: float = 0.0) -> str:
        real = 10**value if self.logarithmic else value
        return self.y_text(real) if self.y_text else number_text(real, 0.0 if self.logarithmic else step)

    def _x_line(self, view: View, columns: int) -> str:
        if self.logarithmic:
            powers = log_ticks(view.left, view.right, max(columns // 9, 2))
            places = [round(float(p)) for p in view.columns(np.array(powers), columns)]
            # Its name has the right of way: there are ticks enough.
            return tick_line(
                [columns, *places], [self.x_name, *(number_text(10**p) for p in powers)], columns
            )
        between = ticks(view.left, view.right, max(columns // 9, 1), self.whole)
        step = between[1] - between[0] if len(between) > 1 else 0.0
        ends = [view.left, view.right] if self.whole else []
        values = [*ends, *between]
        positions = [round(float(p)) for p in view.columns(np.array(values), columns)]
        texts = [number_text(round(v) if self.whole else v, 0.0 if self.whole else step) for v in values]
        line = tick_line(positions, texts, columns)
        if self.x_name and len(line) + len(self.x_name) + 2 <= columns:
            line = f"{line:<{columns - len(self.x_name)}}{self.x_name}"
        return line

    def _legend(self) -> list[Part]:
        """Title and names; with a cursor the values under it."""
        parts: list[Part] = []
        if self.title:
            parts.append((clean(self.title, 40) + "  ", "plot--legend"))
        values = {}
        if self.cursor is not None:
            values = {name: y for name, _, y in self.values_at(self.cursor)}
            at = number_text(10**self.cursor if self.logarithmic else self.cursor)
            parts.append((f"{clean(self.x_name, 20)} {at}  ".lstrip(), "plot--cursor"))
            parts.append((" ", ""))
        for number, series in enumerate(self.series):
            dash = number if series.dash is None else series.dash
            sample = ASCII[number % len(ASCII)] if self.ascii else SAMPLES[dash % len(SAMPLES)]
            if series.style == "dots" and not self.ascii:
                sample = DOTS_SAMPLE
            color = number if series.color is None else series.color
            parts.append((sample, STYLES[color % COLORS]))
            value = ""
            if series.name in values:
                y = values[series.name]
                value = f" {self._y_words(y) if np.isfinite(y) else number_text(y)}"
            parts.append((f" {clean(series.name, 32)}{value}  ", "plot--legend"))
        return parts


def reach(series: Sequence[Series], least: tuple[float, float] | None) -> tuple[float, float]:
    """From where to where series have points, and at least over ``least``."""
    ends = [one.x[np.isfinite(one.x)] for one in series]
    known = [end for end in ends if len(end)]
    low = min((float(x.min()) for x in known), default=0.0)
    high = max((float(x.max()) for x in known), default=1.0)
    if least is not None:
        low, high = min(low, least[0]), max(high, least[1])
    return low, high if high > low else low + 1.0


def moved(x: np.ndarray, cursor: float | None, points: int, window: tuple[float, float]) -> float:
    """The x of the point so many further on from the cursor; without one the first or last in the window."""
    if cursor is not None:
        at = min(max(int(np.argmin(np.abs(x - cursor))) + points, 0), len(x) - 1)
    else:
        shown = np.flatnonzero((x >= window[0]) & (x <= window[1]))
        at = int(shown[-1 if points < 0 else 0]) if len(shown) else 0
    return float(x[at])


def _runs(codes: np.ndarray, styles: np.ndarray) -> list[Part]:
    """One row as parts of one style each."""
    ends = [*(np.flatnonzero(np.diff(styles)) + 1).tolist(), len(styles)]
    text, parts, begin = text_of(codes), [], 0
    for end in ends:
        parts.append((text[begin:end], STYLES[int(styles[begin])]))
        begin = end
    return parts
