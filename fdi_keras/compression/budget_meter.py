"""What networks take of budgets in truth, and what has to be predicted so that budgets are kept."""

from __future__ import annotations

from collections.abc import Sequence
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


class BudgetMeter:
    """Measures what can be measured, and learns from it what predictions are worth (our choice).

    Latencies on a device that a budget names are measured, executed as its profile was, and sizes of files;
    everything else is predicted. What was measured last of a budget, in units of what was predicted, holds for all
    predictions after it.

    Args:
        original: the network before compression.
        budgets: in their order amounts are given, each in its budget's unit.
    """

    def __init__(self, original: keras.Model, budgets: Sequence[Budget]):
        self.original, self.budgets = original, list(budgets)
        self._scales = [1.0] * len(self.budgets)
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
        return [budget.scaled(1 / scale) for budget, scale in zip(self.budgets, self._scales, strict=True)]

    def amounts(self, network: keras.Model, seconds: float) -> list[float]:
        """What a network takes, by all that is known; latencies are timed for some seconds each."""
        predicted = self._predicted(network)
        for i, budget in enumerate(self.budgets):
            measured = self._measured(network, budget, seconds)
            if measured is not None:
                self._scales[i] = measured / predicted[i]
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
            [first] = timed([self.original], contents=[self._original_file])
            self._first_ms.setdefault(where, first.median_ms)
        if network is self.original:
            return self._first_ms[where]
        pair, contents = [self.original, network], [self._original_file, litert_to_time(network)]
        original, took = timed(pair, contents=contents)
        return took.median_ms / original.median_ms * self._first_ms[where]

    @cached_property
    def _original_file(self) -> bytes:
        return litert_to_time(self.original)
