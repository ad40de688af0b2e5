"""The best widths under a latency budget: exactly where a network is small, else with a bound on what is missed.

Maximise a sum of values, one of each channel space's width, while the sum of the operators' times stays within
a budget. An operator's time depends on few spaces, mostly two, so that a network is a sparse graph of
spaces. Three known methods together (their use here is our choice):

- Lagrangian relaxation prices time instead of limiting it. For a price the best widths are found by
  eliminating one space after the other (dynamic programming along the graph; Dechter, "Bucket elimination", 1999);
  for every price this is an upper limit, and the best price gives the lowest.
- Spaces are then fixed in the opposite order. What the elimination left behind bounds every partial choice;
  choices that cannot beat the best known, or that another one beats in time and value at once, are dropped. If
  no other is ever dropped, what remains is the optimum.
- Where tables would be too large, neighbouring widths are merged, with the value of the widest and the time of the
  fastest, and eliminations are split (mini-buckets): limits stay limits, and only become looser.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import combinations
from typing import NamedTuple

import numpy as np

#: Entries of the largest table of an elimination.
MOST_ENTRIES = 2_000_000

#: Partial choices that are followed at once, and that are compared with each other to find these; of more, those of the
#: highest limits.
MOST_CHOICES = 50_000
MOST_COMPARED = 1_000_000

#: Prices of time that are tried.
PRICES = 24

#: Values nearer than this are the same.
SAME = 1e-9


class Factor(NamedTuple):
    """A quantity by the choices of a few spaces: ``table[choice of scope[0], choice of scope[1], ...]``."""

    scope: tuple[int, ...]
    table: np.ndarray


@dataclass(frozen=True)
class Found:
    """Attributes:
    choices: of each space, the best that is known; None where no choice meets the budget.
    value: of these; minus infinity where there are none.
    limit: no choice within the budget has a higher value.
    """

    choices: tuple[int, ...] | None
    value: float
    limit: float


def best_choices(
    values: Sequence[np.ndarray],
    times: Sequence[Factor],
    budget: float,
    known: float = -math.inf,
    repair: Callable[[tuple[int, ...]], float | None] | None = None,
) -> Found:
    """Choose for each space so that the sum of values is highest and the sum of times within a budget.

    Args:
        values: of each space ``(choices,)``.
        times: their sum is what the budget limits; never negative.
        budget: see there.
        known: value that is reached already by other means; only better choices are looked for.
        repair: called with choices that look promising, feasible or not; returns a value that was reached
            by means of its own, or None.

    Example:
        >>> kept = np.log([0.25, 0.5, 0.75, 1.0])
        >>> time = Factor((0, 1), np.add.outer([1.0, 1.0, 3.0, 4.0], [1.0, 2.0, 3.0, 4.0]))
        >>> best_choices([kept, kept], [time], 5.0).choices
        (1, 3)
    """
    order = list(elimination_scopes(len(values), [factor.scope for factor in times]))
    fastest = _Elimination(order, [Factor(f.scope, -f.table) for f in times])
    if -fastest.limit > budget * (1 + SAME):
        return Found(None, -math.inf, -math.inf)
    best: Found = Found(None, known, math.inf)
    limit, tried = math.inf, set[tuple[int, ...]]()
    low, high = 0.0, math.inf  # prices: too low, and high enough
    guide, price = None, 0.0
    for _ in range(PRICES):
        priced = [Factor((i,), value) for i, value in enumerate(values)]
        priced += [Factor(f.scope, -price * f.table) for f in times]
        elimination = _Elimination(order, priced)
        choices = elimination.choices(len(values))
        took = float(sum(_at(factor, choices) for factor in times))
        value = float(sum(v[c] for v, c in zip(values, choices, strict=True)))
        if elimination.limit + price * budget < limit:
            limit, guide = elimination.limit + price * budget, (elimination, price)
        if took <= budget * (1 + SAME) and value > best.value + SAME:
            best = Found(choices, value, math.inf)
        if repair is not None and choices not in tried:
            repaired = repair(choices)
            if repaired is not None and repaired > best.value:
                best = Found(None, repaired, math.inf)
        tried.add(choices)
        if limit - best.value <= SAME or (price == 0 and took <= budget):
            break
        low, high = (low, price) if took <= budget else (price, high)
        price = (low + high) / 2 if math.isfinite(high) else max(4 * price, 1 / budget)
    assert guide is not None
    if limit - best.value > SAME:
        best, limit = _search(values, times, budget, order, guide, fastest, best, limit)
    return Found(best.choices, best.value, max(limit, best.value))


def _search(
    values: Sequence[np.ndarray],
    times: Sequence[Factor],
    budget: float,
    order: Sequence[int],
    guide: tuple[_Elimination, float],
    fastest: _Elimination,
    best: Found,
    limit: float,
) -> tuple[Found, float]:
    """Fix one space after the other, as far as limits allow; what is best, and the limit that is left."""
    elimination, price = guide
    placed = {v: [f for f in times if _first(order, f.scope) == v] for v in order}
    state = _Choices(
        np.zeros((1, len(values)), np.int32),
        np.array([elimination.limit]),
        np.array([fastest.limit]),
        np.zeros(1),
        np.zeros(1),
    )
    dropped = -math.inf
    for step, v in enumerate(reversed(order)):
        size = len(values[v])
        parts = []
        for start in range(0, len(state.chosen), max(MOST_ENTRIES // size, 1)):
            part = state.rows(slice(start, start + max(MOST_ENTRIES // size, 1)))
            limits = part.limit[:, None] + elimination.refined(v, part.chosen)
            least = np.broadcast_to(part.fastest[:, None] + fastest.refined(v, part.chosen), limits.shape)
            keep = (limits + price * budget > best.value + SAME) & (-least <= budget * (1 + SAME))
            rows, picked = np.nonzero(keep)
            chosen = part.chosen[rows].copy()
            chosen[:, v] = picked
            value = part.value[rows] + values[v][picked]
            took = part.took[rows] + sum((_gather(f, chosen) for f in placed[v]), np.zeros(len(rows)))
            parts.append(_Choices(chosen, limits[keep], least[keep], value, took))
        state = _Choices(*map(np.concatenate, zip(*parts, strict=True)))
        left = order[: len(order) - 1 - step]
        state, lost = state.highest(MOST_COMPARED)
        dropped = max(dropped, lost + price * budget)
        state = state.rows(_undominated(state, elimination.frontier(left) | fastest.frontier(left)))
        state, lost = state.highest(MOST_CHOICES)
        dropped = max(dropped, lost + price * budget)
        if not len(state.chosen):
            break
    if len(state.chosen):
        i = int(np.argmax(state.value))
        if state.value[i] > best.value + SAME:
            best = Found(tuple(state.chosen[i].tolist()), float(state.value[i]), math.inf)
    return best, min(limit, max(best.value, dropped))


class _Choices(NamedTuple):
    """Partial choices: of each the choices ``(n, spaces)``, what limits it, and what it has so far."""

    chosen: np.ndarray
    limit: np.ndarray
    fastest: np.ndarray
    value: np.ndarray
    took: np.ndarray

    def rows(self, rows: slice | np.ndarray) -> _Choices:
        """Some of them."""
        return _Choices(*(part[rows] for part in self))

    def highest(self, most: int) -> tuple[_Choices, float]:
        """Those of the highest limits, at most so many, and the highest limit of the others."""
        if len(self.chosen) <= most:
            return self, -math.inf
        ranked = np.argsort(-self.limit, kind="stable")
        return self.rows(np.sort(ranked[:most])), float(self.limit[ranked[most]])


def _undominated(state: _Choices, frontier: Iterable[int]) -> np.ndarray:
    """Rows that no other beats in value and time at once, among those that are alike for all that is left."""
    if not len(state.chosen):
        return np.zeros(0, int)
    alike = _numbered(state.chosen[:, sorted(frontier)])
    ranked = np.lexsort((-state.value, state.took, alike))
    value, alike = state.value[ranked], alike[ranked]
    first = np.append(True, alike[1:] != alike[:-1])
    # The highest value so far within each group: groups are lifted above each other.
    lifted = value + (float(np.ptp(value)) + 1.0) * np.cumsum(first)
    better = np.append(True, lifted[1:] > np.maximum.accumulate(lifted)[:-1] + SAME)
    return np.sort(ranked[first | better])


def _numbered(rows: np.ndarray) -> np.ndarray:
    """A number for each row of choices, equal for equal rows."""
    numbers, count = np.zeros(len(rows), np.int64), 1
    for column in rows.T:
        size = int(column.max()) + 1
        if count * size >= 2**62:
            numbers = np.unique(numbers, return_inverse=True)[1]
            count = int(numbers.max()) + 1
        numbers, count = numbers * size + column, count * size
    return numbers


class _Bucket(NamedTuple):
    """What is maximised over a space: a table over it and its neighbours, and what that leaves of these."""

    joined: Factor
    message: Factor


class _Elimination:
    """Sums of factors maximised over all choices, space by space.

    Attributes:
        limit: the maximum, or more where eliminations were split.
    """

    def __init__(self, order: Sequence[int], factors: Sequence[Factor]):
        self.order = order
        self.buckets: dict[int, list[_Bucket]] = {}
        pool = [factor for factor in factors if factor.scope]
        constant = float(sum(factor.table for factor in factors if not factor.scope))
        for v in order:
            mine = [factor for factor in pool if v in factor.scope]
            pool = [factor for factor in pool if v not in factor.scope]
            self.buckets[v] = [_maximised(joined, v) for joined in _joined(mine)]
            for bucket in self.buckets[v]:
                if bucket.message.scope:
                    pool.append(bucket.message)
                else:
                    constant += float(bucket.message.table)
        self.limit = constant

    def choices(self, count: int) -> tuple[int, ...]:
        """Choices that reach the limit, or nearly where eliminations were split."""
        chosen = np.zeros((1, count), np.int32)
        for v in reversed(self.order):
            chosen[0, v] = int(np.argmax(self.refined(v, chosen)))
        return tuple(chosen[0].tolist())

    def refined(self, v: int, chosen: np.ndarray) -> np.ndarray:
        """How the limits of partial choices change with each choice of the next space.

        Returns:
            ``(n or 1, choices of v or 1)``.
        """
        total = np.zeros((1, 1))
        for joined, message in self.buckets[v]:
            table = np.moveaxis(joined.table, joined.scope.index(v), -1)
            of_others = table[tuple(chosen[:, u] for u in joined.scope if u != v)]
            total = total + np.atleast_2d(of_others) - _gather(message, chosen)[:, None]
        return total

    def frontier(self, left: Sequence[int]) -> set[int]:
        """Spaces that are fixed already and still matter to those that are left."""
        scopes = (bucket.joined.scope for v in left for bucket in self.buckets[v])
        return {u for scope in scopes for u in scope} - set(left)


def _maximised(joined: Factor, v: int) -> _Bucket:
    axis = joined.scope.index(v)
    scope = tuple(u for u in joined.scope if u != v)
    return _Bucket(joined, Factor(scope, joined.table.max(axis=axis)))


def _joined(factors: Sequence[Factor]) -> list[Factor]:
    """Sums of factors, as few as tables of a bearable size allow."""
    groups: list[list[Factor]] = []
    sizes = {u: n for f in factors for u, n in zip(f.scope, f.table.shape, strict=True)}
    for factor in sorted(factors, key=lambda f: -f.table.size):
        for group in groups:
            scope = {u for f in (*group, factor) for u in f.scope}
            if math.prod(sizes[u] for u in scope) <= MOST_ENTRIES:
                group.append(factor)
                break
        else:
            groups.append([factor])
    return [_sum(group) for group in groups]


def _sum(factors: Sequence[Factor]) -> Factor:
    scope = tuple(sorted({u for f in factors for u in f.scope}))

    def spread(factor: Factor) -> np.ndarray:
        ordered = np.transpose(factor.table, np.argsort(factor.scope))
        held = sorted(factor.scope)
        shape = [ordered.shape[held.index(u)] if u in held else 1 for u in scope]
        return ordered.reshape(shape)

    return Factor(scope, reduce(np.add, map(spread, factors)))


def _gather(factor: Factor, chosen: np.ndarray) -> np.ndarray:
    """A factor at several choices, ``(n,)``."""
    if not factor.scope:
        return np.full(len(chosen), float(factor.table))
    return factor.table[tuple(chosen[:, u] for u in factor.scope)]


def _at(factor: Factor, choices: Sequence[int]) -> float:
    return float(factor.table[tuple(choices[u] for u in factor.scope)])


def _first(order: Sequence[int], scope: Sequence[int]) -> int | None:
    """The space of a factor that is eliminated first, and so fixed last."""
    return next((v for v in order if v in scope), None)


def elimination_scopes(count: int, scopes: Iterable[Sequence[int]]) -> dict[int, tuple[int, ...]]:
    """An order of elimination, spaces of few neighbours first, and what each is joined with, itself included.

    Eliminating a space makes its neighbours neighbours.
    """
    near: dict[int, set[int]] = {v: set() for v in range(count)}
    for scope in scopes:
        for u, v in combinations(scope, 2):
            near[u].add(v)
            near[v].add(u)
    found = {}
    while near:
        v = min(near, key=lambda u: (len(near[u]), u))
        for u, w in combinations(near[v], 2):
            near[u].add(w)
            near[w].add(u)
        found[v] = (v, *sorted(near.pop(v)))
        for u in found[v][1:]:
            near[u].discard(v)
    return found
