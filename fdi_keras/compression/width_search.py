"""Choosing the widths of all channel spaces under a latency budget, or several budgets at once.

Both directions of the search are one: pruning to a target starts wide and shrinks,
growth starts narrow and spends. Time is the plan's prediction for the whole network,
so a space that feeds several operators pays in each of them. What is maximised is

    sum over spaces of log(share of the space's importance that is kept) + 1/2 log(share of its channels)

(our choice). A sum of the shares themselves lets single spaces collapse; so does importance alone where it lies in a
few channels: a GRU of 192 units that kept 2 of them lost all accuracy.

Of several budgets each is a cost, and none may exceed the limit; what is saved is how much less they exceed it
together, and what is spent is their mean, in which those nearly used up count (our choice).
"""

from __future__ import annotations

import numpy as np

from fdi_keras.compression.importance import Ranking
from fdi_keras.compression.limits import Limits
from fdi_keras.errors import TargetError
from fdi_keras.networks.budget_plan import BudgetPlan, Priced, first_prices

#: Times are compared with this relative slack, below what a float sum can tell.
EPSILON = 1e-9

#: The logarithm of the share that a space without channels keeps: less than any other.
NOTHING = -30.0

#: What the share of the channels counts beside that of the importance.
WIDTH_COUNTS = 0.5

#: One step of shrinking takes at most this share of a space, so that importance is compared often.
SHRINK_STEP = 0.5


class WidthSearch:
    """The search on one network.

    Args:
        plan: what widths cost.
        ranking: the channels of each prunable space in the order in which they are kept.
        lower, upper: ``(spaces,)`` limits of each width; spaces without a ranking stay.
        limits: what a user allows besides.
    """

    def __init__(
        self,
        plan: Priced,
        ranking: Ranking,
        lower: np.ndarray,
        upper: np.ndarray,
        limits: Limits | None = None,
    ):
        self.plan = plan
        self.lower, self.upper = np.asarray(lower, int), np.asarray(upper, int)
        self.limits = limits
        self.movable = [i for i, name in enumerate(plan.names) if name in ranking.importance]
        self.log_share: dict[int, np.ndarray] = {}
        for i in self.movable:
            kept = np.cumsum(ranking.importance[plan.names[i]])
            # Channels that closed have no importance; a tiny one keeps more of them better than fewer.
            channels = np.arange(1, len(kept) + 1) / len(kept)
            kept = kept + 1e-6 * channels
            shares = np.log(kept / kept[-1]) + WIDTH_COUNTS * np.log(channels)
            self.log_share[i] = np.concatenate([[NOTHING], shares])
        self._near = {i: plan.neighbours(i) for i in self.movable}
        self._curves: dict[tuple[int, ...], np.ndarray] = {}
        self._shares: dict[bytes, tuple[int, ...]] = {}

    def value(self, widths: np.ndarray) -> float:
        """What is maximised; at most 0."""
        return float(sum(self.log_share[i][int(widths[i])] for i in self.movable))

    def shrink(self, widths: np.ndarray, target_ms: float) -> np.ndarray:
        """Narrow until the target is met, each step where importance lost per ms saved is least.

        Raises:
            TargetError: the lower limits still take longer.
        """
        widths = np.array(widths, float)
        now = self.plan.costs(widths)
        while now.max() > target_ms * (1 + EPSILON):
            over = np.maximum(now - target_ms, 0.0)
            best = None
            for i in self.movable:
                w = int(widths[i])
                candidates = self._below(i, w)
                if not len(candidates):
                    continue
                left = np.maximum(now + self._changes(widths, i, candidates) - target_ms, 0.0)
                saved = (over - left).sum(axis=1)  # more than needed is worth nothing
                lost = self.log_share[i][w] - self.log_share[i][candidates]
                with np.errstate(divide="ignore", invalid="ignore"):
                    rate = np.where(saved > EPSILON * now.max(), lost / saved, np.inf)
                c = int(np.argmin(rate))
                if np.isfinite(rate[c]) and (best is None or rate[c] < best[0]):
                    best = (rate[c], i, int(candidates[c]))
            if best is None:
                raise self._unmet(widths, target_ms)
            widths[best[1]] = best[2]
            now = self.plan.costs(widths)
        return widths

    def _unmet(self, widths: np.ndarray, target_ms: float) -> TargetError:
        if isinstance(self.plan, BudgetPlan):
            return TargetError(
                "the budgets cannot be kept: no space can be narrowed any further to save anything, and the network "
                f"is still predicted to take {', '.join(self.plan.over(widths))}."
            )
        return TargetError(
            f"target_ms={target_ms:g} cannot be met: no space can be narrowed any further to save "
            f"time, and the network is still predicted to take {float(self.plan.predict_ms(widths)):.3g} ms."
        )

    def grow_free(self, widths: np.ndarray) -> np.ndarray:
        """Widen wherever the whole network gets no slower, until nothing more is free.

        Yao et al. (SenSys 2018, Algorithm 2) expand layers to nearby time minima one by one;
        pricing the whole network at each step is our choice, because a space feeds several operators.
        """
        widths = np.array(widths, float)
        slack = EPSILON * float(self.plan.predict_ms(widths))
        while True:
            best = None
            for i in self.movable:
                w = int(widths[i])
                candidates = self._above(i, w)
                if not len(candidates):
                    continue
                changes = self._changes(widths, i, candidates).max(axis=1)
                free = np.flatnonzero(changes <= slack)
                if not len(free):
                    continue
                gains = self.log_share[i][candidates[free]] - self.log_share[i][w]
                c = free[int(np.argmax(gains))]
                key = (-changes[c], float(gains.max()))
                if best is None or key > best[0]:
                    best = (key, i, int(candidates[c]))
            if best is None:
                return widths
            widths[best[1]] = best[2]

    def spend(self, widths: np.ndarray, budget_ms: float) -> np.ndarray:
        """Widen where importance gained per ms is most, as long as the budget lasts."""
        widths = self.grow_free(widths)
        movable = list(self.movable)
        while True:
            now = self.plan.costs(widths)
            prices = first_prices(now)
            best = None
            for i in movable:
                w = int(widths[i])
                candidates = self._above(i, w)
                if not len(candidates):
                    continue
                changes = self._changes(widths, i, candidates)
                fits = np.flatnonzero((now + changes <= budget_ms * (1 + EPSILON)).all(axis=1))
                if not len(fits):
                    continue
                gains = self.log_share[i][candidates[fits]] - self.log_share[i][w]
                rates = gains / np.maximum(changes[fits] @ prices, EPSILON * now.max())
                c = int(np.argmax(rates))
                if gains[c] > 1e-12 and (best is None or rates[c] > best[0]):
                    best = (rates[c], i, int(candidates[fits[c]]))
            if best is None:
                return widths
            wider = widths.copy()
            wider[best[1]] = best[2]
            if self.plan.predict_ms(wider) > budget_ms * (1 + 1e-6):
                movable.remove(best[1])  # its curve left out what its weights push out of the caches
            else:
                widths = wider

    def exchange(self, widths: np.ndarray, budget_ms: float | None = None, rounds: int = 20) -> np.ndarray:
        """Shrink a space to a step below and spend the time elsewhere, while more importance is kept.

        Args:
            budget_ms: never to be exceeded; the predicted time of ``widths`` unless given.
            rounds: at most so many passes over all spaces.
        """
        if budget_ms is None:
            budget_ms = float(self.plan.predict_ms(widths))
        widths = self.spend(widths, budget_ms)
        best_value = self.value(widths)
        for _ in range(rounds):
            improved = False
            for i in self.movable:
                for step in self._steps_below(widths, i):
                    trial = widths.copy()
                    trial[i] = step
                    trial = self.spend(trial, budget_ms)
                    value = self.value(trial)
                    if value > best_value + 1e-9:
                        widths, best_value, improved = trial, value, True
                        break
            if not improved:
                return widths
        return widths

    def _steps_below(self, widths: np.ndarray, i: int, most: int = 3) -> list[int]:
        """The smaller widths of a space that save most for the importance given up, best first."""
        w = int(widths[i])
        candidates = self._below(i, w)
        if not len(candidates):
            return []
        saved = -self._changes(widths, i, candidates) @ first_prices(self.plan.costs(widths))
        lost = self.log_share[i][w] - self.log_share[i][candidates]
        order = np.argsort(-saved / np.maximum(lost, 1e-12), kind="stable")[:most]
        return [int(candidates[c]) for c in order if saved[c] > 0]

    def widths_of(self, i: int) -> np.ndarray:
        """All widths that a space may have, ascending."""
        return self._allowed(i, np.arange(max(self.lower[i], 1), self.upper[i] + 1))

    def _below(self, i: int, width: int) -> np.ndarray:
        """Smaller widths that one step may lead to."""
        nearest = self._allowed(i, np.arange(max(self.lower[i], int(width * SHRINK_STEP), 1), width))
        # Multiples may lie further apart than a step reaches.
        return nearest if len(nearest) else self._allowed(i, np.arange(max(self.lower[i], 1), width))[-1:]

    def _above(self, i: int, width: int) -> np.ndarray:
        return self._allowed(i, np.arange(width + 1, self.upper[i] + 1))

    def _allowed(self, i: int, widths: np.ndarray) -> np.ndarray:
        return widths if self.limits is None else self.limits.allowed(i, widths)

    def _changes(self, widths: np.ndarray, i: int, candidates: np.ndarray) -> np.ndarray:
        """By how much each cost rises when space i takes each candidate width, ``(len(candidates), costs)``."""
        key = (i, *self._fetched(widths), *map(int, widths[self._near[i]]))
        curve = self._curves.get(key)
        if curve is None:
            curve = self.plan.curves(widths, i, np.arange(1, self.upper[i] + 1))
            self._curves[key] = curve
        return curve[candidates - 1] - curve[int(widths[i]) - 1]

    def _fetched(self, widths: np.ndarray) -> tuple[int, ...]:
        """Per cent of the weights that are fetched, of each cost: a curve of nearly the same share will do."""
        key = widths.tobytes()  # asked for space after space at the same widths
        if key not in self._shares:
            share = np.round(100 * np.atleast_1d(self.plan.fetched_share(widths)))
            self._shares[key] = tuple(map(int, share))
        return self._shares[key]
