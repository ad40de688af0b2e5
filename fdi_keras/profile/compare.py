"""Two profiles beside each other: where two devices, or two runtimes of one, differ.

Both are asked about the same operators: those that either of them measured and that lie
within the measured ranges of both. Where the ratio of their times depends on the operator, a small tree
over its dimensions says on what (our choice).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from fdi_keras.execution_time.rules import conditions_text
from fdi_keras.execution_time.tree import Condition
from fdi_keras.operators import KINDS
from fdi_keras.profile.profile import DeviceProfile

if TYPE_CHECKING:
    from sklearn.tree._tree import Tree

#: Regions that a kind is divided into at most, and the share of its operators in each at least.
MOST_REGIONS = 5
FEWEST_SHARE = 0.04
FEWEST = 8

#: A division must bring the ratios so much nearer to their median, as a share, averaged over the kind.
LEAST_GAIN = 0.005

#: Multiples that a region may be made of.
DIVISORS = (2, 4, 8, 16, 32)


class KindComparison(NamedTuple):
    """One kind in two profiles.

    Attributes:
        kind: of operator.
        first_error, second_error: held-out error as a fraction; None where a profile lacks the kind, or was not
            measured.
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


class Region(NamedTuple):
    """Operators of a kind whose ratio is alike.

    Attributes:
        conditions: on the dimensions, in words; none where the kind was not divided.
        ratio, low, high: median and quartiles of second to first predicted time.
        operators: how many it is over.
    """

    conditions: list[str]
    ratio: float
    low: float
    high: float
    operators: int


def compare_profiles(first: DeviceProfile, second: DeviceProfile) -> Iterator[KindComparison]:
    """Two profiles kind by kind, in the order of the first and then of the second."""
    for kind in dict.fromkeys([*first.models, *second.models]):
        a, b = first.models.get(kind), second.models.get(kind)
        errors = (_error(first, kind), _error(second, kind))
        ratios = _ratios(first, second, kind)[1] if a and b else np.array([])
        if len(ratios):
            yield KindComparison(kind, *errors, *_middle(ratios), len(ratios))
        else:
            yield KindComparison(kind, *errors, None, None, None, 0)


def _error(profile: DeviceProfile, kind: str) -> float | None:
    model = profile.models.get(kind)
    return None if model is None or profile.caution else model.error.mape


def regions(first: DeviceProfile, second: DeviceProfile, kind: str) -> list[Region]:
    """Where the ratio of the two profiles' times differs within one kind, the slowest for the second first.

    A regression tree of at most :data:`MOST_REGIONS` leaves on the logarithm of the ratio, with absolute
    error, over ranges and multiples of the dimensions. Empty where the profiles have no operator in common.
    """
    if kind not in first.models or kind not in second.models:
        return []
    dims, ratios = _ratios(first, second, kind)
    if not len(ratios):
        return []
    from sklearn.tree import DecisionTreeRegressor

    names = list(dims)
    tests = [(name, 0) for name in names]
    tests += [(name, divisor) for name in KINDS[kind].channels for divisor in DIVISORS]
    features = np.column_stack(
        [dims[name] if not divisor else dims[name] % divisor == 0 for name, divisor in tests]
    )
    fewest = max(FEWEST, math.ceil(FEWEST_SHARE * len(ratios)))
    fitted = DecisionTreeRegressor(
        criterion="absolute_error",
        max_leaf_nodes=MOST_REGIONS,
        min_samples_leaf=fewest,
        min_impurity_decrease=LEAST_GAIN,
        random_state=0,
    ).fit(features, np.log(ratios))
    leaves = fitted.apply(features)
    found = [
        Region(
            conditions_text(path, names),
            *_middle(ratios[leaves == leaf]),
            operators=int((leaves == leaf).sum()),
        )
        for leaf, path in _paths(fitted.tree_, tests)
    ]
    return sorted(found, key=lambda region: -region.ratio)


_Path = tuple[tuple[Condition, bool], ...]


def _paths(tree: Tree, tests: list[tuple[str, int]]) -> Iterator[tuple[int, _Path]]:
    """Each leaf of a scikit-learn tree with the conditions on the way to it."""
    waiting: list[tuple[int, _Path]] = [(0, ())]
    while waiting:
        node, path = waiting.pop()
        if tree.children_left[node] < 0:
            yield node, path
            continue
        name, divisor = tests[tree.feature[node]]
        if divisor:
            condition = Condition(name, "multiple", divisor)
        else:
            condition = Condition(name, "above", float(tree.threshold[node]))
        waiting.append((int(tree.children_left[node]), (*path, (condition, False))))
        waiting.append((int(tree.children_right[node]), (*path, (condition, True))))


def _middle(ratios: np.ndarray) -> tuple[float, float, float]:
    """Median and quartiles."""
    low, middle, high = np.percentile(ratios, (25, 50, 75))
    return float(middle), float(low), float(high)


def _ratios(
    first: DeviceProfile, second: DeviceProfile, kind: str
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Operators that either measured and neither extrapolates, and second to first of their predicted times."""
    models = [p.models[kind] for p in (first, second)]
    tables = [p.measurements[kind].dims for p in (first, second) if kind in p.measurements]
    names = KINDS[kind].dimensions
    if not tables:
        return {name: np.array([]) for name in names}, np.array([])
    rows = np.unique(np.concatenate([np.column_stack([t[n] for n in names]) for t in tables]), axis=0)
    inside = np.ones(len(rows), bool)
    for model in models:
        for at, name in enumerate(names):
            low, high = model.ranges[name]
            inside &= (rows[:, at] >= low) & (rows[:, at] <= high)
    rows = rows[inside]
    if not len(rows):
        return {name: np.array([]) for name in names}, np.array([])
    before, after = (model.predict_ms({n: rows[:, i] for i, n in enumerate(names)}) for model in models)
    known = (before > 0) & (after > 0)
    return {name: rows[known, at] for at, name in enumerate(names)}, after[known] / before[known]
