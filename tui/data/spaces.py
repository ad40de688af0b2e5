"""Channel spaces of a session: their widths from start to now, and what pruning and growing made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import msgspec
from fdi_tui.data.numbers import MOST, number

from fdi_keras.text import clean

#: Channel spaces that are kept; the largest networks have some hundreds.
MOST_SPACES = 2000
#: Of a name.
LONGEST_NAME = 120


@dataclass
class Space:
    """One channel space of the network.

    Attributes:
        name: of it.
        start: width at the start; NaN where it is not told.
        now: expected width, or the width after pruning and growing.
        pruned, grown: width after the latest prune and the latest grow; NaN when there was none.
        why: why it cannot change, or why grow changed it.
    """

    name: str
    start: float = math.nan
    now: float = math.nan
    pruned: float = math.nan
    grown: float = math.nan
    why: str = ""

    @property
    def kept(self) -> float:
        """Share of the start that is there now; NaN where it is not known."""
        return number(self.now / self.start) if self.start > 0 else math.nan


class Spaces:
    """All channel spaces of a session, by name; whatever events say of them."""

    def __init__(self) -> None:
        self._known: dict[str, Space] = {}
        self._later: object = None

    def begin(self, told: object, again: bool) -> None:
        """Widths at the start; ``again`` when training goes on with a network that was pruned."""
        for name, of_one in _items(told):
            space = self._space(name)
            if space is not None and isinstance(of_one, dict):
                width = _width(of_one.get("width"))
                if not again or math.isnan(space.start):
                    space.start = width
                space.now = width
                space.why = f"kept: {clean(of_one['kept'], 300)}" if of_one.get("kept") else ""

    def take_later(self, widths: object) -> None:
        """Widths of an epoch, perhaps still as they stand in the file: read when they are asked for."""
        self._later = widths

    def current(self) -> list[Space]:
        """All of them, with the widths of the latest event."""
        self._settle()
        return list(self._known.values())

    def prune(self, widths: object) -> tuple[int, int]:
        """How many channels are gone since the start, and of how many spaces."""
        self._settle()
        removed = spaces = 0
        for space, width in self._widths_of(widths):
            cut = space.start - width
            if cut > 0:
                removed, spaces = removed + int(cut), spaces + 1
            space.pruned = space.now = width
            space.grown = math.nan
        return removed, spaces

    def grow(self, widths: object) -> tuple[int, int]:
        """How many channels were added since pruning, and how many given up."""
        self._settle()
        added = cut = 0
        for space, width in self._widths_of(widths):
            more = width - (space.pruned if math.isfinite(space.pruned) else space.now)
            if math.isfinite(more):
                added, cut = added + int(max(more, 0)), cut + int(max(-more, 0))
            space.grown = space.now = width
        return added, cut

    def explain(self, name: str, reason: str) -> None:
        """Why a space has the width that it has."""
        if name in self._known:
            self._known[name].why = reason

    def _settle(self) -> None:
        widths, self._later = self._later, None
        if isinstance(widths, msgspec.Raw):
            widths = msgspec.json.decode(widths)
        for space, width in self._widths_of(widths):
            space.now = width

    def _widths_of(self, widths: object) -> list[tuple[Space, float]]:
        found = []
        for name, told in _items(widths):
            width, space = _width(told), self._space(name)
            if space is not None and math.isfinite(width):
                found.append((space, width))
        return found

    def _space(self, name: object) -> Space | None:
        known = name_of(name)
        if known not in self._known:
            if len(self._known) >= MOST_SPACES:
                return None
            self._known[known] = Space(known)
        return self._known[known]


def name_of(value: object, most: int = LONGEST_NAME) -> str:
    """A name from a journal, without control characters; empty when it is none."""
    return clean(value, most) if isinstance(value, str | int | float) else ""


def _width(value: object) -> float:
    width = number(value, MOST)
    return width if width >= 0 else math.nan


def _items(value: object) -> list[tuple[object, object]]:
    return list(value.items())[:MOST_SPACES] if isinstance(value, dict) else []
