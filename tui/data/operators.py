"""The operators of a session's network under the roofs of its device, from its journal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from fdi_tui.data.numbers import number
from fdi_tui.data.spaces import name_of
from fdi_tui.data.tail import Event

from fdi_keras.profile.roofline import Place, Roofline

#: Operators that are read.
MOST_OPERATORS = 5_000


class PlacedOperator(NamedTuple):
    """An operator of the uncompressed network.

    Attributes:
        name, kind: of it.
        predicted_ms: NaN where nothing says it.
        place: where it lies.
    """

    name: str
    kind: str
    predicted_ms: float
    place: Place


def placed_operators(event: Event) -> list[PlacedOperator]:
    """Those that a journal tells of, in the order of their predicted times; none where it has no roofs."""
    roofline, told = _roofline(event.get("roofline")), event.get("operators")
    if roofline is None or not isinstance(told, list):
        return []
    found = []
    for each in told[:MOST_OPERATORS]:
        if not isinstance(each, dict):
            continue
        flops, memory_bytes = number(each.get("flops")), number(each.get("memory_bytes"))
        if flops >= 0 and memory_bytes >= 0 and math.isfinite(flops + memory_bytes):
            predicted_ms = number(each.get("predicted_ms"))
            place = roofline.at(flops, memory_bytes)
            found.append(
                PlacedOperator(name_of(each.get("name")), name_of(each.get("kind")), predicted_ms, place)
            )
    return sorted(
        found, key=lambda each: -each.predicted_ms if math.isfinite(each.predicted_ms) else math.inf
    )


def _roofline(told: object) -> Roofline | None:
    if not isinstance(told, Mapping):
        return None
    rates = [number(told.get(name)) for name in ("flops_per_s", "bytes_per_s", "near_bytes_per_s")]
    return Roofline(*rates) if all(rate > 0 for rate in rates) else None
