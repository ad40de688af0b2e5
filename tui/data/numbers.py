"""Numbers that come from journals: whatever is there becomes a float, or counts as missing."""

from __future__ import annotations

import math

#: Nothing of ours was written after the year 3000.
LAST_MOMENT = 32_503_680_000
#: No count, dimension, duration or width of ours is larger.
MOST = 1e12


def number(value: object, most: float = math.inf) -> float:
    """A number from elsewhere as a float; NaN for all that is none, and for what is larger than ``most``.

    >>> number(3), number("3"), number(True), number(10**400), number(-2e12, MOST)
    (3.0, nan, nan, nan, nan)
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return math.nan
    try:
        found = float(value)
    except OverflowError:
        return math.nan
    return found if math.isfinite(found) and abs(found) <= most else math.nan


def number_or_none(value: object, most: float = math.inf) -> float | None:
    """The same, and None for all that is no number."""
    found = number(value, most)
    return None if math.isnan(found) else found


def is_moment(value: object) -> bool:
    """Whether it is a time that an event can have had: seconds since 1970, for some thousand years.

    >>> is_moment(1795195600.5), is_moment(-1), is_moment(10**400), is_moment(True)
    (True, False, False, False)
    """
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < LAST_MOMENT
