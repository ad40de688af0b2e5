"""Growth and exchange as one optimisation: of all widths within a latency budget those that keep most importance."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdi_keras.compression.width_optimum import MOST_ENTRIES, SAME, Factor, best_choices, elimination_scopes
from fdi_keras.compression.width_search import EPSILON, WidthSearch
from fdi_keras.errors import TargetError
from fdi_keras.networks.budget_plan import first_prices

#: Combinations of widths that are priced for one table; operators that more spaces decide cost nothing in the limit.
MOST_COMBINATIONS = 10_000_000

#: Widths are not merged into fewer than this.
LEAST_CHOICES = 24

#: Of several budgets: so many prices of theirs are tried, and how fast those that are exceeded rise.
PRICES, RISE = 5, 30.0

#: Seconds in which choices that only nearly meet the budget are mended.
MENDING_S = 10.0


@dataclass(frozen=True)
class BestWidths:
    """Attributes:
    widths: ``(spaces,)`` the best that were found.
    value: what they keep, see :meth:`WidthSearch.value`.
    limit: no widths within the budget keep more.
    spaces: that can be narrowed.
    """

    widths: np.ndarray
    value: float
    limit: float
    spaces: int

    @property
    def missed(self) -> float:
        """By which share the importance that a space keeps, in the geometric mean, might be higher; 0: it cannot be."""
        gap = self.limit - self.value
        return 0.0 if gap <= 1e-7 else math.expm1(gap / max(self.spaces, 1))

    def __str__(self) -> str:
        if not self.missed:
            return "no widths within the time keep more importance"
        return (
            f"no widths within the time keep over {self.missed:.2%} more importance a space (geometric mean)"
        )


def best_widths(search: WidthSearch, widths: np.ndarray, budget_ms: float) -> BestWidths:
    """Widths of the highest value within a budget, and how much higher any could be.

    Args:
        search: on the network, with the limits of its widths.
        widths: ``(spaces,)`` to begin with, within the budget.
        budget_ms: predicted time not to be exceeded.

    Of several budgets a weighted mean is limited, which loosens all of them (a surrogate relaxation), with weights that
    are adapted. Exact where a network is small; elsewhere what a local search and Lagrangian relaxation find, with a
    limit (see :mod:`fdi_keras.compression.width_optimum`).
    """
    best = search.spend(widths, budget_ms)
    value = search.value(best)
    prices = first_prices(search.plan.costs(best))
    limit, until = math.inf, time.monotonic() + MENDING_S

    def mended(choices: tuple[int, ...]) -> float | None:
        nonlocal best, value
        try:
            found = search.spend(search.shrink(problem.widths(choices), budget_ms), budget_ms)
        except TargetError:
            return None
        if search.value(found) > value:
            best, value = found, search.value(found)
        return search.value(found)

    def mended_in_time(choices: tuple[int, ...]) -> float | None:
        return mended(choices) if time.monotonic() < until else None

    for _ in range(PRICES if len(prices) > 1 else 1):
        problem = _Problem(search, best, prices)
        found = best_choices(problem.values, problem.times, budget_ms * (1 + EPSILON), value, mended_in_time)
        if found.choices is not None:
            mended(found.choices)
        limit = min(limit, found.limit)
        if limit - value <= SAME or found.choices is None:
            break
        # What keeps to the weighted mean exceeds single budgets: these get dearer.
        exceeded = search.plan.costs(problem.widths(found.choices)) / budget_ms - 1
        prices = prices * np.exp(RISE * np.clip(exceeded, -0.1, 0.1))
        prices /= prices.sum()
    if limit - value > SAME:
        best = max(best, search.exchange(best, budget_ms), key=search.value)
        value = search.value(best)
    return BestWidths(best, value, max(limit, value), len(search.movable))


class _Problem:
    """The widths of a network as choices: single ones, or runs of neighbouring ones where there are too many.

    A run has the value of its widest and the time of its fastest, so that what is best of runs limits what is
    best of widths.
    """

    def __init__(self, search: WidthSearch, base: np.ndarray, prices: np.ndarray):
        self.search, self.base = search, np.array(base, float)
        plan: Any = search.plan.weighted(prices)
        spaces = search.movable
        every = [search.widths_of(i) for i in spaces]
        operators = plan.operators_by_spaces(spaces)
        position = {space: n for n, space in enumerate(spaces)}
        scopes = {scope: tuple(position[space] for space in scope) for scope in operators}
        sizes = [len(widths) for widths in every]
        priced = {
            scope: numbers
            for scope, numbers in scopes.items()
            if math.prod(sizes[n] for n in numbers) <= MOST_COMBINATIONS
        }
        counts = _bearable(sizes, list(priced.values()))
        self.starts = [
            np.unique(np.arange(count) * size // count) for size, count in zip(sizes, counts, strict=True)
        ]
        self.widest = [
            widths[np.append(starts[1:], len(widths)) - 1]
            for widths, starts in zip(every, self.starts, strict=True)
        ]
        self.values = [search.log_share[i][widest] for i, widest in zip(spaces, self.widest, strict=True)]
        self.times = [Factor((), np.array(plan.overhead_ms))]
        for scope, numbers in priced.items():
            table = plan.table(operators[scope], self.base, scope, [every[n] for n in numbers])
            for axis, n in enumerate(numbers):
                table = np.minimum.reduceat(table, self.starts[n], axis=axis)
            self.times.append(Factor(numbers, table))

    def widths(self, choices: Sequence[int]) -> np.ndarray:
        """Widths of all spaces, of runs the widest."""
        widths = self.base.copy()
        widths[self.search.movable] = [widest[c] for widest, c in zip(self.widest, choices, strict=True)]
        return widths


def _bearable(sizes: Sequence[int], scopes: Sequence[tuple[int, ...]]) -> list[int]:
    """To how many choices the widths of each space are merged, for the tables of an elimination."""
    counts = list(sizes)
    joined = elimination_scopes(len(sizes), scopes)
    for scope in joined.values():
        while math.prod(counts[n] for n in scope) > MOST_ENTRIES:
            most = max(scope, key=lambda n: counts[n])
            if counts[most] <= LEAST_CHOICES:
                break
            counts[most] = max(LEAST_CHOICES, -(-counts[most] * 3 // 4))
    return counts
