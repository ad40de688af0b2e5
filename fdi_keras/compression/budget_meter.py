"""What networks take of budgets in truth, and what has to be predicted so that budgets are kept."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from functools import cached_property, partial

import keras

from fdi_keras.devices import RuntimeChoice
from fdi_keras.networks.budget_plan import BudgetPlan
from fdi_keras.networks.budgets import Budget
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.export import export_litert, litert_to_time
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.latency import measure_interleaved
from fdi_keras.profile import DeviceProfile
from fdi_keras.profile.timed_on import runtime_of

#: Two timings as near as this are believed; otherwise there is a third (our choice).
AGREEING = 0.02

#: Times are taken for no steeper power of what is predicted, nor its inverse: nearer ones are noise (our choice).
STEEPEST = 2.0


class BudgetMeter:
    """Measures what can be measured, and learns from it what predictions are worth (our choice).

    Latencies on a device that a budget names are measured, executed as its profile was, and sizes of files;
    everything else is predicted. What was measured last of a budget, in units of what was predicted, holds for all
    predictions after it; between two networks that were timed, times go as powers of what was predicted.

    Args:
        original: the network before compression.
        budgets: in their order amounts are given, each in its budget's unit.
    """

    def __init__(self, original: keras.Model, budgets: Sequence[Budget]):
        self.original, self.budgets = original, list(budgets)
        self._scales = [1.0] * len(self.budgets)
        self._timed: list[list[tuple[float, float]]] = [[] for _ in self.budgets]
        self._first_ms: dict[tuple[str, RuntimeChoice], float] = {}

    @property
    def measures(self) -> bool:
        """Whether anything is measured."""
        return any(budget.device is not None or budget.what == "file_mb" for budget in self.budgets)

    @property
    def has_learned(self) -> bool:
        """Whether predictions are known to be off."""
        return any(scale != 1.0 for scale in self._scales)

    def to_predict(self) -> list[Budget]:
        """What has to be predicted so that the budgets are kept in truth."""
        return [
            budget.scaled(between(pairs, budget.limit) / budget.limit if pairs else 1 / scale)
            for budget, scale, pairs in zip(self.budgets, self._scales, self._timed, strict=True)
        ]

    def amounts(self, network: keras.Model, seconds: float) -> list[float]:
        """What a network takes, by all that is known; latencies are timed for some seconds each."""
        predicted = self._predicted(network)
        for i, budget in enumerate(self.budgets):
            measured = self._measured(network, budget, seconds)
            if measured is not None:
                self._scales[i] = measured / predicted[i]
                if budget.what == "ms" and network is not self.original:
                    self._timed[i].append((predicted[i], measured))
        return [amount * scale for amount, scale in zip(predicted, self._scales, strict=True)]

    def further(self, network: keras.Model, seconds: float) -> dict[str, float]:
        """By their words, what a network takes of the budgets behind the first."""
        if len(self.budgets) == 1:
            return {}
        found = {}
        for predicted, budget in list(zip(self._predicted(network), self.budgets, strict=True))[1:]:
            measured = self._measured(network, budget, seconds)
            found[str(budget)] = predicted if measured is None else measured
        return found

    def listed(self, amounts: Sequence[float]) -> str:
        """Amounts in words; beside the budgets where there are several."""
        if len(amounts) == 1:
            return f"{amounts[0]:.4g} ms"
        return ", ".join(budget.text(amount) for amount, budget in zip(amounts, self.budgets, strict=True))

    def _predicted(self, network: keras.Model) -> list[float]:
        graph = read_graph(network)
        plan = BudgetPlan(self.budgets, graph, find_channel_spaces(graph))
        return plan.amounts(plan.full_widths)

    def _measured(self, network: keras.Model, budget: Budget, seconds: float) -> float | None:
        """What a network takes in truth, None where that is only predicted.

        A device gets slower and faster while others are trained. Networks are therefore timed in turns with the
        original, and the original's first time is what all of them are told in.
        """
        if budget.what == "file_mb":
            return len(export_litert(network)) / 1e6
        if budget.device is None:
            return None
        assert isinstance(budget.profile, DeviceProfile)
        runtime = runtime_of(budget.profile)
        where = budget.device, runtime
        timed = partial(
            measure_interleaved,
            device=budget.device, threads=runtime.threads or 1, seconds=seconds, runtime=runtime,
        )  # fmt: skip
        if network is self.original or where not in self._first_ms:
            alone = partial(timed, [self.original], contents=[self._original_file])
            self._first_ms.setdefault(where, believed(lambda: alone()[0].median_ms))
        if network is self.original:
            return self._first_ms[where]
        pair, contents = [self.original, network], [self._original_file, litert_to_time(network)]

        def ratio() -> float:
            original, took = timed(pair, contents=contents)
            return took.median_ms / original.median_ms

        return believed(ratio) * self._first_ms[where]

    @cached_property
    def _original_file(self) -> bytes:
        return litert_to_time(self.original)


def between(pairs: Sequence[tuple[float, float]], limit: float) -> float:
    """What has to be predicted of a network so that it takes just the limit.

    Args:
        pairs: of networks, what was predicted and what they took; at least one.
        limit: of what networks take.

    >>> between([(2.0, 4.0)], 3.0)
    1.5
    >>> round(between([(2.0, 4.0), (1.0, 1.0)], 2.25), 3)
    1.5
    """
    nearest, *others = sorted(pairs, key=lambda pair: abs(math.log(pair[1] / limit)))
    beyond = [pair for pair in others if (pair[1] > limit) != (nearest[1] > limit)]
    power = 1.0
    for predicted, took in (beyond or others)[:1]:
        if predicted != nearest[0]:
            slope = math.log(took / nearest[1]) / math.log(predicted / nearest[0])
            power = min(max(slope, 1 / STEEPEST), STEEPEST)
    return nearest[0] * (limit / nearest[1]) ** (1 / power)


def believed(timing: Callable[[], float]) -> float:
    """The mean of two timings that agree, else the middle of three.

    Medians of single runs are not enough: now and then a runtime is slow from its start to its end. A narrow LSTM
    network that takes 0.046 ms took 0.064 ms in one of 36 runs on a Xeon, which was just its target.
    """
    found = [timing(), timing()]
    if max(found) > (1 + AGREEING) * min(found):
        found.append(timing())
    return statistics.median(found)
