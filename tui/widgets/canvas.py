"""Dots in a grid of characters: what a plot draws on, in numpy and without a terminal.

A Braille character holds two dots across and four down, so a curve has eight times the
resolution of the characters. Where Braille cannot be shown a character is one dot.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

Style = Literal["line", "steps", "dots"]

#: Bits of the dots of a Braille character, by row (4) and column (2).
BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.int32)
BRAILLE = 0x2800

#: Which columns of dots a line keeps: solid, dashed, dotted and dash-dotted. Lines can so be told apart
#: without colors; after the fourth they repeat.
DASHES = ((1,), (1, 1, 1, 1, 0, 0), (1, 0, 0), (1, 1, 1, 1, 1, 0, 0, 1, 0, 0))

#: What a series is drawn with where Braille cannot be shown.
ASCII = "*o+x"


class View(NamedTuple):
    """The part of the plane that is shown: from ``left`` to ``right``, from ``bottom`` to ``top``."""

    left: float
    right: float
    bottom: float
    top: float

    def columns(self, x: np.ndarray, count: int) -> np.ndarray:
        """Columns of dots of positions ``(n,)`` as floats; 0 is ``left``, ``count - 1`` is ``right``."""
        return (x - self.left) / ((self.right - self.left) or 1.0) * (count - 1)

    def rows(self, y: np.ndarray, count: int) -> np.ndarray:
        """Rows of dots of values ``(n,)`` as floats; 0 is ``top``."""
        return (self.top - y) / ((self.top - self.bottom) or 1.0) * (count - 1)


class Canvas:
    """Characters of a plot.

    Args:
        width, height: in characters, at least 1.
        ascii: one dot a character, drawn with the letters of :data:`ASCII`.

    Attributes:
        owner: ``(height, width)``: number of the series that a character belongs to, -1 for none.
    """

    def __init__(self, width: int, height: int, ascii: bool = False):
        self.width, self.height, self._ascii = width, height, ascii
        across, down = (1, 1) if ascii else (2, 4)
        self._dots = np.zeros((height * down, width * across), bool)
        self.owner = np.full((height, width), -1)

    def draw(
        self,
        series: int,
        x: np.ndarray,
        y: np.ndarray,
        view: View,
        style: Style = "line",
        dash: int | None = None,
    ) -> None:
        """Draw points ``(n,)``, ascending in x, as a series; what is not finite is a gap.

        Later series are drawn over earlier ones: a character takes the color of the last. ``dash`` is a
        position in :data:`DASHES`, that of the series' number unless given.
        """
        down, across = self._dots.shape
        shown = np.isfinite(x)
        column, row = view.columns(x[shown], across), view.rows(y[shown], down)
        if not len(column):
            return
        own = np.zeros_like(self._dots)
        if style == "dots":
            fits = np.isfinite(row) & (column > -0.5) & (column < across - 0.5)
            at, level = column[fits].round().astype(int), row[fits].round()
            inside = (level >= 0) & (level < down)
            own[level[inside].astype(int), at[inside]] = True
        else:
            self._trace(own, column, row, style)
            dashes = DASHES[(series if dash is None else dash) % len(DASHES)]
            if not self._ascii and len(dashes) > 1:
                own &= np.resize(np.array(dashes, bool), across)[None, :]
        self._dots |= own
        by, wide = down // self.height, across // self.width
        touched = own.reshape(self.height, by, self.width, wide).any(axis=(1, 3))
        self.owner[touched] = series

    @staticmethod
    def _trace(own: np.ndarray, column: np.ndarray, row: np.ndarray, style: Style) -> None:
        """A connected line: in every column of dots all rows from the lowest to the highest point of the line."""
        down, across = own.shape
        grid = np.arange(across, dtype=float)
        inside = (grid >= np.floor(column[0])) & (grid <= np.ceil(column[-1]))
        if style == "steps":
            # A value holds until half way to the next one.
            middle = (column[1:] + column[:-1]) / 2
            level = row[np.searchsorted(middle, grid, side="right")]
        else:
            level = np.interp(grid, column, row)
        level = np.where(inside, level, np.nan)
        low, high = level.copy(), level.copy()
        # Several points in one column: the line covers all of them.
        fits = (column > -0.5) & (column < across - 0.5) & np.isfinite(row)
        at = column[fits].round().astype(int)
        np.fmin.at(low, at, row[fits])
        np.fmax.at(high, at, row[fits])
        before_low, before_high = np.roll(low, 1), np.roll(high, 1)
        before_low[0] = before_high[0] = np.nan
        # Joined to the column before, each half of the way, so that steep parts have no holes.
        if style == "steps":
            low, high = np.fmin(low, before_high), np.fmax(high, before_low)
        else:
            low = np.where(before_high < low, (before_high + low) / 2, low)
            high = np.where(before_low > high, (before_low + high) / 2, high)
        known = np.isfinite(low) & np.isfinite(high)
        first = np.where(known, np.clip(np.round(low), -1, down), down + 1)
        last = np.where(known, np.clip(np.round(high), -1, down), -2)
        rows = np.arange(down)[:, None]
        own |= (rows >= first) & (rows <= last)

    def codes(self) -> np.ndarray:
        """Code points of the characters, ``(height, width)``."""
        if self._ascii:
            letters = np.array([ord(letter) for letter in ASCII], np.int32)
            return np.where(self.owner >= 0, letters[self.owner % len(ASCII)], ord(" "))
        dots = self._dots.reshape(self.height, 4, self.width, 2)
        bits = np.einsum("hdwa,da->hw", dots, BITS)
        return np.where(bits > 0, BRAILLE + bits, ord(" "))


def text_of(codes: np.ndarray) -> str:
    """The text of code points ``(n,)``."""
    return codes.astype("<u4").tobytes().decode("utf-32-le")
