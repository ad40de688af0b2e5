"""The curve of the room 'Rules': an operator's time over one of its dimensions, with its time minima."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from fdi_tui.data.profiles import CurvePart, curve, measured_near
from fdi_tui.widgets.picture import Mark, Series
from fdi_tui.widgets.rule_tree import Place

from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_keras.profile import DeviceProfile

#: Minima are marked while the window has at most so many times its columns of channels.
CROWDED = 3
#: Times a curve reaches beyond the operator's own value at first.
AHEAD = 2
#: Channels that a curve shows at least at first.
LEAST_WINDOW = 128


def first_window(ends: tuple[float, float], value: int) -> tuple[int, int]:
    """The part of a dimension's measured range to look at first, for an operator with this value of it."""
    low, high = (int(end) for end in ends)
    wanted = max(AHEAD * value, LEAST_WINDOW)
    return max(low, 1), max(min(high, wanted), max(low, 1) + 1)


def curves(
    profile: DeviceProfile,
    beside: DeviceProfile | None,
    place: Place,
    operator: Mapping[str, int],
    vary: str,
    window: tuple[int, int],
) -> tuple[CurvePart, list[Series]]:
    """The predicted curve, and what is drawn: it, that of the other profile, this rule's part, what was measured."""
    first, last = window
    model = profile.models[place.kind]
    dims = {name: value for name, value in operator.items() if name != vary}
    part = curve(model, dims, vary, first, last)
    name = clean(profile.name, 24)
    series = [Series(f"predicted, {name}" if beside else "predicted", part.x, part.times_ms, "steps", 0)]
    if beside is not None and place.kind in beside.models:
        there = curve(beside.models[place.kind], dims, vary, first, last)
        series.append(Series(clean(beside.name, 24), there.x, there.times_ms, "steps", 1))
    if len(part.x) and place.node.is_leaf and len(model.tree.leaves) > 1:
        inside = np.isin(model.leaf_of({**dims, vary: part.x}), place.node.leaves)
        series.append(Series("this rule", part.x, np.where(inside, part.times_ms, np.nan), "steps", 2))
    near_x, near_ms = measured_near(profile, place.kind, operator, vary)
    shown = (near_x >= first) & (near_x <= last)
    series.append(Series(f"{shown.sum()} measured", near_x[shown], near_ms[shown], "dots", 3))
    return part, series


def minima_marks(part: CurvePart, window: tuple[int, int], columns: int) -> list[Mark]:
    """Marks at the time minima of a curve on so many columns; none where they would stand too close."""
    if window[1] - window[0] > CROWDED * columns:
        return []
    return [
        Mark(float(part.x[at]), float(part.times_ms[at]), "●" if strict else "○", "@", strict)
        for at in part.minima
        for strict in [at in part.strict]
    ]
