"""A profile as something to walk through: kinds, conditions, leaves, what is behind them, and curves.

Everything here is computed from the profile alone, in numpy: nothing is learned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from fdi_keras.cli.curve import SWITCHES
from fdi_keras.cli.minima import FREE
from fdi_keras.execution_time import Leaf, Split, TimeModel, time_minima
from fdi_keras.execution_time.rules import conditions_text
from fdi_keras.operators import KINDS
from fdi_keras.operators.kinds import CHOICES, MAY_BE_ZERO, Kind
from fdi_keras.operators.windows import output_sizes
from fdi_keras.profile import DeviceProfile

#: Points of a curve at most; more than a terminal has columns of dots by far.
MOST_POINTS = 2304

#: Dimensions of an operator to begin with where nothing was measured; others are 32.
PLAIN = {"kernel": 3, "stride": 1}

#: Measurements beside a curve that are enough to compare it with.
ENOUGH = 5

#: Values that a dimension steps through from one key to the next, besides its ends.
LADDER = sorted({*range(1, 17), *range(20, 65, 4), *range(72, 257, 8), *(2**n for n in range(9, 16)),
                 *(3 * 2**n for n in range(7, 14)), 300, 320, 360, 400, 448, 480, 640, 960, 1000, 1280})  # fmt: skip


@dataclass
class RuleNode:
    """A place in the tree of one kind.

    Attributes:
        condition: in words; empty at the root.
        leaves: positions in ``tree.leaves`` of the leaves below, or of this one.
        children: the side on which the condition holds first; none at a leaf.
    """

    condition: str
    leaves: list[int]
    children: list[RuleNode] = field(default_factory=list)

    @property
    def is_leaf(self) -> bool:
        return not self.children


def rule_tree(model: TimeModel) -> RuleNode:
    """The tree of a kind, its leaves numbered as ``model.tree.leaves`` are."""
    features = model.tree.features
    found = iter(range(len(model.tree.leaves)))

    def walk(node: Split | Leaf, condition: str) -> RuleNode:
        if isinstance(node, Leaf):
            return RuleNode(condition, [next(found)])
        yes = walk(node.yes, conditions_text(((node.condition, True),), features)[0])
        no = walk(node.no, conditions_text(((node.condition, False),), features)[0])
        return RuleNode(condition, yes.leaves + no.leaves, [yes, no])

    return walk(model.tree.root, "")


@dataclass(frozen=True)
class Behind:
    """The measurements behind a part of a tree, those that are most off first.

    Attributes:
        dims: column ``(n,)`` by dimension.
        measured_ms, predicted_ms: ``(n,)``, without the cost of an invocation.
    """

    dims: dict[str, np.ndarray]
    measured_ms: np.ndarray
    predicted_ms: np.ndarray

    def __len__(self) -> int:
        return len(self.measured_ms)

    @property
    def off(self) -> np.ndarray:
        """Relative error of the predictions, ``(n,)``; above 0 is predicted too slow."""
        return self.predicted_ms / self.measured_ms - 1

    def first(self, count: int) -> Behind:
        """The first rows."""
        return Behind(
            {n: c[:count] for n, c in self.dims.items()}, self.measured_ms[:count], self.predicted_ms[:count]
        )


def measurements_behind(profile: DeviceProfile, kind: str, leaves: list[int] | None = None) -> Behind | None:
    """Measurements that fall into some leaves of a kind; None when the profile holds none."""
    model, table = profile.models[kind], profile.measurements.get(kind)
    if table is None or not len(table):
        return None
    dims = table.dims
    at = np.arange(len(table)) if leaves is None else np.flatnonzero(np.isin(model.leaf_of(dims), leaves))
    chosen = {name: column[at] for name, column in dims.items()}
    measured = table.times_ms(profile.overhead_ms)[at]
    predicted = model.predict_ms(chosen) if len(at) else measured
    if profile.weight_fetch is not None and len(at):
        predicted = profile.weight_fetch.probe_ms(kind, chosen, predicted)
    order = np.argsort(-np.abs(predicted / measured - 1), kind="stable")
    return Behind({n: c[order] for n, c in chosen.items()}, measured[order], predicted[order])


@dataclass(frozen=True)
class CurvePart:
    """Predicted times over one dimension.

    Attributes:
        x: ``(n,)`` values of the dimension.
        times_ms: ``(n,)``.
        minima: positions of time minima; none where not every value was looked at.
        strict: those among them that cost no time at all.
        outside: what lies outside the measured ranges, in words.
    """

    x: np.ndarray
    times_ms: np.ndarray
    minima: list[int]
    strict: list[int]
    outside: list[str]


def curve(model: TimeModel, dims: Mapping[str, int], vary: str, first: int, last: int) -> CurvePart:
    """The time over one dimension, from ``first`` to ``last``, with the time minima of channels.

    Values at which there is no operator, because a kernel does not fit, are left out.
    """
    step = max(1, -(-(last - first + 1) // MOST_POINTS))
    x = np.arange(first, last + 1, step)
    kind = KINDS[model.kind]
    full: dict[str, Any] = {**kind.complete({**dims, vary: first}), vary: x}
    if kind.windowed:
        height, width = output_sizes({name: np.asarray(value, float) for name, value in full.items()})
        x = x[np.broadcast_to(np.minimum(height, width) >= 1, x.shape)]
    if not len(x):
        return CurvePart(x, np.array([]), [], [], ["no kernel of this size fits without padding"])
    times = model.predict_ms({**full, vary: x.astype(float)})
    minima: list[int] = []
    strict: list[int] = []
    if step == 1 and vary in kind.channels:
        found = np.flatnonzero(time_minima(x, times, free=FREE))
        strict = np.intersect1d(np.flatnonzero(time_minima(x, times)), found).tolist()
        minima = found.tolist()
    ends = [kind.complete({**dims, vary: int(end)}) for end in (x[0], x[-1])]
    outside = list(dict.fromkeys(text for end in ends for text in model.out_of_range(end)))
    return CurvePart(x, times, minima, strict, outside)


def measured_near(
    profile: DeviceProfile, kind: str, dims: Mapping[str, int], vary: str
) -> tuple[np.ndarray, np.ndarray]:
    """Measurements that differ from ``dims`` in one dimension only: its values and times in ms, ``(n,)`` each."""
    table = profile.measurements.get(kind)
    if table is None or not len(table):
        return np.array([]), np.array([])
    columns = table.dims
    same = np.ones(len(table), bool)
    for name, value in dims.items():
        if name != vary and name in columns:
            same &= columns[name] == value
    x, times = columns[vary][same], table.times_ms(profile.overhead_ms)[same]
    order = np.argsort(x, kind="stable")
    return x[order], times[order]


def usual_dims(profile: DeviceProfile, kind: str, leaves: list[int] | None = None) -> dict[str, int]:
    """An operator to begin with, measured in a part of the tree.

    The one with the most measurements that differ from it in :func:`varied_first` only, so that the
    curve has something to be compared with; of those the nearest to the middle.
    """
    model, spec = profile.models[kind], KINDS[kind]
    behind = measurements_behind(profile, kind, leaves)
    if profile.caution:
        return {name: _plain_value(spec, name) for name in spec.dimensions}
    if behind is None or not len(behind):
        middle = {
            n: round((low * high) ** 0.5) if low > 0 else int(low) for n, (low, high) in model.ranges.items()
        }
        return spec.complete(middle)
    rows = np.column_stack([behind.dims[name] for name in spec.dimensions])
    others = np.delete(rows, spec.dimensions.index(varied_first(kind)), axis=1)
    _, same, counts = np.unique(others, axis=0, return_inverse=True, return_counts=True)
    logs = np.log1p(rows)
    distance = np.abs(logs - np.median(logs, axis=0)).sum(axis=1)
    at = int(np.lexsort((distance, -np.minimum(counts[same.reshape(-1)], ENOUGH)))[0])
    return {name: int(value) for name, value in zip(spec.dimensions, rows[at], strict=True)}


def _plain_value(spec: Kind, name: str) -> int:
    """A dimension of an operator of which nothing was measured."""
    if name in spec.defaults:
        return spec.defaults[name]
    return 0 if name in CHOICES or name in MAY_BE_ZERO else PLAIN.get(name, 32)


def varied_first(kind: str) -> str:
    """The dimension that a curve begins with: the channels an operator makes."""
    return KINDS[kind].channels[-1]


def told_dimensions(model: TimeModel) -> list[str]:
    """Dimensions that are worth a word: not those that had their default in all that was measured."""
    kind = KINDS[model.kind]
    usual = {name: (value, value) for name, value in kind.defaults.items()}
    return [name for name in kind.dimensions if name not in usual or model.ranges[name] != usual[name]]


def may_vary(kind: str) -> list[str]:
    """Dimensions that count something."""
    return [name for name in KINDS[kind].dimensions if name not in CHOICES]


def stepped(model: TimeModel, name: str, value: int, steps: int) -> int:
    """The next value of a dimension, ``steps`` up or down a ladder of usual values, within what was measured."""
    low, high = (int(end) for end in model.ranges[name])
    if name in SWITCHES:
        return 1 - value if steps else value
    least = 0 if name in MAY_BE_ZERO else 1
    values = [v for v in _ladder(low, high) if v >= least] or [value]
    if steps > 0:
        above = [v for v in values if v > value]
        return above[min(steps, len(above)) - 1] if above else value
    below = [v for v in values if v < value]
    return below[-min(-steps, len(below))] if below else value


@lru_cache(maxsize=64)
def _ladder(low: int, high: int) -> list[int]:
    return sorted({low, high, *(v for v in LADDER if low <= v <= high)})
