"""A curve in a terminal: eight dots a character, marks on top, ticks at both axes.

Drawn here and not by a plotting package: it is one step curve, it has to be plain text
without colors where there are none, and it has to fit the width that it is told.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from rich.text import Text

from fdi_keras.cli.words import time_text

#: Bits of the Braille dots of a character, by row (4) and column (2).
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
BRAILLE = 0x2800

CURVE_STYLE = "cyan"


class Mark(NamedTuple):
    """How a point of the curve is marked."""

    symbol: str
    style: str


def plot(
    x: Sequence[int],
    y_ms: Sequence[float],
    marks: Mapping[int, Mark],
    width: int = 80,
    height: int = 12,
    unicode: bool = True,
) -> list[Text]:
    """Lines of a plot.

    Args:
        x: ``(n,)`` ascending, n of at least 2.
        y_ms: ``(n,)`` times in ms, positive.
        marks: position in ``x`` to its mark.
        width: of a line, in characters, at least 30.
        height: of the curve, in lines; ticks take two more.
        unicode: Braille dots and lines; else ``*``, ``|`` and ``-``.

    >>> marks = {1: Mark("o", "")}
    >>> for line in plot([1, 2, 3, 4], [1, 1, 2, 2], marks, width=30, height=3, unicode=False):
    ...     print(line.plain.rstrip())
      2 ms |          ***********
      1 ms |*******o***
           |
         0 +---------------------
            1      2     3      4
    """
    top = max(y_ms)
    bottom = 0.0 if min(y_ms) < 0.6 * top else 0.98 * min(y_ms)
    ticks = {0: top, height // 2: (top + bottom) / 2, height: bottom}
    labels = {line: time_text(value) if value else "0" for line, value in ticks.items()}
    margin = max(len(label) for label in labels.values()) + 2
    columns = max(width, 30) - margin - 3
    canvas = _Canvas(columns, height, unicode)
    span = (x[-1] - x[0]) or 1

    def place(at: int) -> tuple[float, float]:
        return (x[at] - x[0]) / span, (y_ms[at] - bottom) / ((top - bottom) or 1.0)

    canvas.curve([place(at) for at in range(len(x))])
    for at, mark in marks.items():
        canvas.mark(*place(at), mark)
    bar, corner, floor = ("│", "└", "─") if unicode else ("|", "+", "-")
    lines = [
        Text.assemble((f"{labels.get(row, ''):>{margin}} {bar}", "dim"), canvas.row(row))
        for row in range(height)
    ]
    lines.append(Text(f"{labels[height]:>{margin}} {corner}{floor * columns}", "dim"))
    lines.append(Text(" " * (margin + 2) + _ticks(x[0], x[-1], columns), "dim"))
    return lines


class _Canvas:
    """Characters of a plot; positions are shares of its width and height, from the lower left."""

    def __init__(self, columns: int, rows: int, unicode: bool):
        self._unicode = unicode
        self._across, self._down = (2, 4) if unicode else (1, 1)
        self._dots = [[0] * columns for _ in range(rows)]
        self._marks: dict[tuple[int, int], Mark] = {}
        self._columns, self._rows = columns, rows

    def curve(self, points: Sequence[tuple[float, float]]) -> None:
        """A step curve: a width's time holds until half way to the next one."""
        last = self._columns * self._across - 1
        positions = [share * last for share, _ in points]
        at, before = 0, None
        for dot in range(last + 1):
            while at + 1 < len(points) and abs(positions[at + 1] - dot) <= abs(positions[at] - dot):
                at += 1
            level = self._level(points[at][1])
            for y in range(min(level, before if before is not None else level), level + 1):
                self._set(dot, y)
            if before is not None:
                for y in range(level, before):
                    self._set(dot, y)
            before = level

    def mark(self, across: float, up: float, mark: Mark) -> None:
        column = round(across * (self._columns * self._across - 1)) // self._across
        self._marks[self._rows - 1 - self._level(up) // self._down, column] = mark

    def row(self, number: int) -> Text:
        text = Text()
        for column, bits in enumerate(self._dots[number]):
            mark = self._marks.get((number, column))
            if mark:
                text.append(mark.symbol, mark.style)
            elif not bits:
                text.append(" ")
            else:
                text.append(chr(BRAILLE + bits) if self._unicode else "*", CURVE_STYLE)
        return text

    def _level(self, up: float) -> int:
        return round(up * (self._rows * self._down - 1))

    def _set(self, dot: int, level: int) -> None:
        row, within = divmod(self._rows * self._down - 1 - level, self._down)
        column, side = divmod(dot, self._across)
        self._dots[row][column] |= DOTS[within][side] if self._unicode else 1


def _ticks(first: int, last: int, columns: int) -> str:
    """Values below the axis: the ends, and between them multiples of a power of two.

    Channels are what is mostly varied, and their steps are at multiples of 8, 16 or 32.

    >>> _ticks(1, 64, 50)
    '1    8     16    24    32    40     48    56    64'
    """
    line = [" "] * columns
    step = 1
    while (last - first) / step > max(columns // 6, 1):
        step *= 2
    between = [value for value in range(first + 1, last) if value % step == 0]
    taken = [False] * columns
    for value in (first, last, *between):
        text = str(value)
        begin = round((columns - 1) * (value - first) / (last - first)) - len(text) // 2
        begin = min(max(begin, 0), columns - len(text))
        if not any(taken[max(begin - 1, 0) : begin + len(text) + 1]):
            line[begin : begin + len(text)] = text
            taken[begin : begin + len(text)] = [True] * len(text)
    return "".join(line).rstrip()


def scatter(points: Sequence[tuple[float, float, str]], width: int = 80, height: int = 14) -> list[str]:
    """Lines of a plot of points, each a letter, from zero on both axes.

    Args:
        points: x, y and letter of each; several letters in one place become ``*``.
        width: of a line, in characters, at least 30.
        height: in lines; the axis and its ticks take two more.

    >>> for line in scatter([(1, 10, "a"), (2, 40, "b"), (2, 40, "c")], width=30, height=3):
    ...     print(line.rstrip())
         40 |                    *
         20 |
            |          a
          0 +---------------------
            0                    2
    """
    right, top = max(x for x, _, _ in points), max(y for _, y, _ in points)
    labels = {0: f"{top:.3g}", height // 2: f"{top / 2:.3g}"}
    room = max(7, *(len(text) for text in labels.values()))
    columns = width - room - 2
    rows = [[" "] * columns for _ in range(height)]
    for x, y, letter in points:
        row = rows[height - 1 - round((height - 1) * y / top) if top else height - 1]
        at = round((columns - 1) * x / right) if right else 0
        row[at] = letter if row[at] in (" ", letter) else "*"
    lines = [f"{labels.get(i, ''):>{room}} |{''.join(row)}" for i, row in enumerate(rows)]
    lines.append(f"{'0':>{room}} +{'-' * columns}")
    lines.append(f"{'':>{room}} 0{f'{right:.3g}':>{columns}}")
    return lines
