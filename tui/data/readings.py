"""What a campaign's events say, checked field by field: measurements, failures, other happenings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from fdi_tui.data.numbers import MOST, number_or_none
from fdi_tui.data.tail import Event

from fdi_keras.text import clean

LONGEST_NAME = 60
#: No operator takes less than a femtosecond or longer than ten days: that is not a time.
LEAST_MS, MOST_MS = 1e-12, 1e9


@dataclass(frozen=True, slots=True)
class Reading:
    """A measurement; times in ms, ``at`` in seconds since the epoch."""

    index: int
    kind: str
    dims: Mapping[str, int]
    median_ms: float
    iqr_ms: float
    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """A probe that could not be timed."""

    index: int
    kind: str
    dims: Mapping[str, int]
    reason: str
    at: float


class Happening(NamedTuple):
    """Something else that happened: what, and in words."""

    at: float
    what: str
    text: str


def moment_of(event: Event) -> float:
    """Seconds since 1970; 0 when the event does not say."""
    return amount(event.get("time")) or 0.0


def _index(event: Event) -> int | None:
    index = amount(event.get("index"))
    return int(index) if index is not None and index == int(index) else None


def amount(value: object) -> float | None:
    """A number; None for all that is none, and for what no campaign has so much of."""
    return number_or_none(value, MOST)


def text_of(value: object) -> str:
    """A short text without control characters; empty when it is no text."""
    return clean(value, LONGEST_NAME) if isinstance(value, str) else ""


def dict_of(value: object) -> dict[str, Any]:
    """Names and values; none when it is something else."""
    return value if isinstance(value, dict) else {}


def _dims(value: object) -> dict[str, int]:
    pairs = dict_of(value).items()
    return {
        clean(name, 30): value
        for name, value in list(pairs)[:20]
        if isinstance(name, str) and isinstance(value, int) and amount(value) is not None
    }


def reading_of(event: Event) -> Reading | None:
    """The measurement of an event; None when it is none."""
    index, median = _index(event), amount(event.get("median_ms"))
    kind, dims = text_of(event.get("kind")), _dims(event.get("dims"))
    if index is None or median is None or not LEAST_MS <= median <= MOST_MS or not kind:
        return None
    return Reading(index, kind, dims, median, amount(event.get("iqr_ms")) or 0.0, moment_of(event))


def failure_of(event: Event) -> Failed | None:
    """The probe that an event says could not be timed; None when it says nothing of the kind."""
    index, kind = _index(event), text_of(event.get("kind"))
    if index is None or not kind:
        return None
    reason = clean(event.get("reason", ""), 2000)
    return Failed(index, kind, _dims(event.get("dims")), reason, moment_of(event))
