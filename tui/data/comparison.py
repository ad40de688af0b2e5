"""Two profiles beside each other, kind by kind."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fdi_keras.operators import KINDS
from fdi_keras.profile import DeviceProfile


class KindComparison(NamedTuple):
    """One kind in two profiles.

    Attributes:
        kind: of operator.
        first_error, second_error: held-out error as a fraction; None where a profile lacks the kind.
        ratio: median of second to first predicted time over what either measured; above 1: the second is slower.
        low, high: quartiles of that ratio.
        operators: how many it is over.
    """

    kind: str
    first_error: float | None
    second_error: float | None
    ratio: float | None
    low: float | None
    high: float | None
    operators: int


def compare(first: DeviceProfile, second: DeviceProfile) -> Iterator[KindComparison]:
    """Two profiles kind by kind, in the order of the first and then of the second."""
    for kind in dict.fromkeys([*first.models, *second.models]):
        a, b = first.models.get(kind), second.models.get(kind)
        errors = (a.error.mape if a else None, b.error.mape if b else None)
        ratios = _ratios(first, second, kind) if a and b else np.array([])
        if len(ratios):
            low, middle, high = (float(q) for q in np.percentile(ratios, (25, 50, 75)))
            yield KindComparison(kind, *errors, middle, low, high, len(ratios))
        else:
            yield KindComparison(kind, *errors, None, None, None, 0)


def _ratios(first: DeviceProfile, second: DeviceProfile, kind: str) -> np.ndarray:
    """Second to first predicted times over the operators that either measured and neither extrapolates."""
    models = [p.models[kind] for p in (first, second)]
    tables = [p.measurements[kind].dims for p in (first, second) if kind in p.measurements]
    if not tables:
        return np.array([])
    names = KINDS[kind].dimensions
    rows = np.unique(np.concatenate([np.column_stack([t[n] for n in names]) for t in tables]), axis=0)
    inside = np.ones(len(rows), bool)
    for model in models:
        for at, name in enumerate(names):
            low, high = model.ranges[name]
            inside &= (rows[:, at] >= low) & (rows[:, at] <= high)
    if not inside.any():
        return np.array([])
    dims = {name: rows[inside, at] for at, name in enumerate(names)}
    before, after = (model.predict_ms(dims) for model in models)
    known = (before > 0) & (after > 0)
    return after[known] / before[known]
