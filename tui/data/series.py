"""Columns of numbers that grow for as long as a training does, in a bounded memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from fdi_tui.data.numbers import number

#: Rows that are kept; twice that before every second one is given up.
ROWS = 4096
#: Columns beyond so many are not kept: a network's metrics are a handful.
MOST_COLUMNS = 64


class History:
    """Rows of named numbers, thinned evenly when there are many: every ``stride``-th is kept, and the last.

    Args:
        rows: at least so many are kept, at most twice as many.
        row_of: makes a row of what is added; asked only for rows that are kept or looked at.

    >>> history = History(rows=4)
    >>> for loss in range(20):
    ...     history.add({"loss": loss})
    >>> x, y = history.column("loss")
    >>> x.tolist(), y.tolist(), history.stride
    ([1.0, 5.0, 9.0, 13.0, 17.0, 20.0], [0.0, 4.0, 8.0, 12.0, 16.0, 19.0], 4)
    """

    def __init__(self, rows: int = ROWS, row_of: Callable[[Any], Mapping[str, object]] | None = None):
        self.count = 0
        self.stride = 1
        self._rows = rows
        self._row_of = row_of or (lambda row: row)
        self._last: Any = {} if row_of is None else None
        self._x: list[float] = []
        self._columns: dict[str, list[float]] = {}

    @property
    def last(self) -> Mapping[str, object]:
        """The last row; empty when there is none."""
        return self._row_of(self._last) if self.count else {}

    @property
    def names(self) -> list[str]:
        """Columns, in the order of their first appearance."""
        return [*self._columns, *(name for name in self.last if name not in self._columns)]

    def add(self, item: Any) -> None:
        """Add a row, or what ``row_of`` makes one of; what is no finite number counts as missing."""
        self.count += 1
        self._last = item
        if (self.count - 1) % self.stride:
            return
        row = self._row_of(item)
        self._x.append(float(self.count))
        for name in row:
            if name not in self._columns and len(self._columns) < MOST_COLUMNS:
                self._columns[name] = [math.nan] * (len(self._x) - 1)
        for name, column in self._columns.items():
            column.append(number(row.get(name)))
        if len(self._x) >= 2 * self._rows:
            self.stride *= 2
            self._x = self._x[::2]
            self._columns = {name: column[::2] for name, column in self._columns.items()}

    def column(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        """Numbers of rows (from 1) and values, ``(n,)`` each; NaN where a row had none."""
        x, y = np.array(self._x), np.array(self._columns.get(name, [math.nan] * len(self._x)))
        if self.count and (not len(x) or x[-1] != self.count):
            x, y = np.append(x, float(self.count)), np.append(y, number(self.last.get(name)))
        return x, y

    def latest(self, name: str) -> float:
        """The value of the last row; NaN where it had none."""
        return number(self.last.get(name))
