"""What a network takes of several budgets.

Everything that steers by one predicted latency steers by these as well: what a network takes is given as a share
of each budget, and the largest share is what has to come down to 1. That the largest decides is our choice:
a budget that is kept anyway costs no accuracy.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import keras
import numpy as np

from fdi_keras.networks.budgets import Budget
from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.graph import Graph
from fdi_keras.networks.latency_plan import LatencyPlan, Operators
from fdi_keras.networks.layer_operators import read_layer_operators
from fdi_keras.networks.operator_reader import NetworkOperator
from fdi_keras.networks.peak_memory import PeakMemory
from fdi_keras.operators.kinds import BYTES
from fdi_keras.profile import DeviceProfile
from fdi_keras.profile.counted import counting_profile

ops = keras.ops

#: Bytes of a file besides its weights, for each operator (our choice; 24 to 400 were measured).
BYTES_AN_OPERATOR = 150

#: A budget counts the more the nearer it is to used up: how fast.
URGENCY = 20.0


class BudgetPlan:
    """Shares of several budgets as functions of the widths of all channel spaces.

    It answers where a :class:`LatencyPlan` does; its milliseconds are shares of a budget, 1 being all of it.

    Args:
        budgets: at least one.
        graph: of the network.
        spaces: its channel spaces; widths below are in their order.

    Attributes:
        full_widths, names, uncovered: as of a LatencyPlan.
    """

    #: Of what is predicted.
    unit = "of the tightest budget"

    def __init__(self, budgets: Sequence[Budget], graph: Graph, spaces: ChannelSpaces):
        self.budgets = list(budgets)
        self.spaces = spaces
        self.names = [space.name for space in spaces]
        self.full_widths = np.array([space.width for space in spaces], float)
        operators = read_layer_operators(graph)
        self._parts = [_part(budget, operators, graph, spaces) for budget in self.budgets]
        plans = [part.plan for part in self._parts if isinstance(part, _Sum)]
        self.uncovered = list({id(o): o for plan in plans for o in plan.uncovered}.values())
        #: Whether anything can be predicted.
        self.has_prices = any(not isinstance(p, _Sum) or p.plan.has_prices for p in self._parts)

    def shares(self, widths: np.ndarray) -> np.ndarray:
        """Share of each budget that is used: ``(budgets,)`` or ``(networks, budgets)``."""
        return np.stack([part.costs(widths).max(axis=-1) for part in self._parts], axis=-1)

    def amounts(self, widths: np.ndarray) -> list[float]:
        """The same in the budgets' units."""
        return [float(s) * b.limit for s, b in zip(self.shares(widths), self.budgets, strict=True)]

    def predict_ms(self, widths: np.ndarray) -> np.ndarray:
        """The largest share, a scalar array or ``(networks,)``."""
        return self.shares(widths).max(axis=-1)

    def costs(self, widths: np.ndarray) -> np.ndarray:
        """Every share that must not exceed 1, ``(..., costs)``: of memory one at each operator."""
        return np.concatenate([part.costs(widths) for part in self._parts], axis=-1)

    def curves(self, widths: np.ndarray, space: int, values: np.ndarray) -> np.ndarray:
        """These, but for a constant, when a space takes each of some values, ``(len(values), costs)``."""
        return np.concatenate([part.curves(widths, space, values) for part in self._parts], axis=1)

    def neighbours(self, space: int) -> np.ndarray:
        """The other spaces whose widths the curves of a space depend on."""
        found = [part.plan.neighbours(space) for part in self._parts if isinstance(part, _Sum)]
        return np.unique(np.concatenate([np.zeros(0, int), *found]))

    def fetched_share(self, widths: np.ndarray) -> np.ndarray:
        """Share of the weights that does not stay in the caches, of each device: ``(devices,)``."""
        plans = [part.plan for part in self._parts if isinstance(part, _Sum)]
        return np.array([float(plan.fetched_share(widths)) for plan in plans])

    def weighted(self, prices: np.ndarray) -> Weighted:
        """The costs added up, each at its price: what limits each of them limits their weighted mean."""
        return Weighted(self._parts, prices)

    def rules(self, widths: np.ndarray, space: int) -> list[tuple[str, str]]:
        """(layer name, leaf rule) of each operator that a space feeds, on the first device."""
        return self._first_plan.rules(widths, space) if self._first_plan else []

    @cached_property
    def _first_plan(self) -> LatencyPlan | None:
        pairs = zip(self._parts, self.budgets, strict=True)
        return next((p.plan for p, b in pairs if isinstance(p, _Sum) and b.what == "ms"), None)

    def expected_ms(self, widths: Any) -> Any:
        """The largest share in the training graph; the gradient is that of the budget that it is of.

        Args:
            widths: float tensor ``(spaces,)`` or ``(networks, spaces)``.

        Returns:
            Float tensor, a scalar or ``(networks,)``.
        """
        if len(widths.shape) == 1:
            return self.expected_ms(ops.expand_dims(widths, 0))[0]
        return ops.max(ops.stack([part.expected(widths) for part in self._parts]), axis=0)

    def prepare(self) -> None:
        """Ready :meth:`expected_ms` for a training, outside any graph."""
        for part in self._parts:
            part.prepare()

    def over(self, widths: np.ndarray) -> list[str]:
        """The budgets that widths exceed, in words."""
        pairs = zip(self.budgets, self.shares(widths), strict=True)
        return [budget.text(float(share) * budget.limit) for budget, share in pairs if share > 1 + 1e-9]


Priced = LatencyPlan | BudgetPlan


def plan_of(prices: DeviceProfile | Sequence[Budget], graph: Graph, spaces: ChannelSpaces) -> Priced:
    """What widths cost: by one profile, or as shares of budgets."""
    if isinstance(prices, DeviceProfile):
        return LatencyPlan(read_layer_operators(graph), spaces, prices)
    return BudgetPlan(prices, graph, spaces)


def predictions(before: Priced | None, after: Priced | None, widths: np.ndarray) -> dict[str, Any]:
    """What a network took and takes, for its history.

    Args:
        before: of the network as it was; None where nothing prices it.
        after: of the one with ``widths``.
    """
    if isinstance(before, BudgetPlan) and isinstance(after, BudgetPlan):
        pairs = zip(before.amounts(before.full_widths), after.amounts(widths), strict=True)
        return {
            "budgets": [
                {"budget": str(budget), "before": old, "after": new}
                for budget, (old, new) in zip(before.budgets, pairs, strict=True)
            ]
        }
    return {
        "predicted_ms": None if after is None else float(after.predict_ms(widths)),
        "predicted_before_ms": None if before is None else float(before.predict_ms(before.full_widths)),
    }


def first_prices(costs: np.ndarray) -> np.ndarray:
    """Prices of costs, ``(costs,)`` with sum 1: those that are nearly used up count."""
    weights = np.exp(URGENCY * (costs / costs.max() - 1))
    return weights / weights.sum()


class _Sum:
    """A budget of something that operators add up to.

    Args:
        plan: predicts it.
        unit: what one of the plan's milliseconds is as a share of the budget.
        constant: share that does not depend on widths.
    """

    def __init__(self, plan: LatencyPlan, unit: float, constant: float = 0.0):
        self.plan, self.unit, self.constant = plan, unit, constant
        self.size = 1

    def costs(self, widths: np.ndarray) -> np.ndarray:
        return self.constant + self.unit * self.plan.predict_ms(widths)[..., None]

    def curves(self, widths: np.ndarray, space: int, values: np.ndarray) -> np.ndarray:
        return self.unit * self.plan.space_curve(widths, space, values)[:, None]

    def expected(self, widths: Any) -> Any:
        return self.constant + self.unit * self.plan.expected_ms(widths)

    def prepare(self) -> None:
        self.plan.prepare()


class _Peak:
    """A budget of memory: a cost for each operator, of which the largest is the peak."""

    def __init__(self, memory: PeakMemory, limit: float):
        self.memory, self.limit = memory, limit
        self.size = len(memory.constant)

    def costs(self, widths: np.ndarray) -> np.ndarray:
        return self.memory.bytes(widths) / self.limit

    def curves(self, widths: np.ndarray, space: int, values: np.ndarray) -> np.ndarray:
        return np.multiply.outer(np.asarray(values, float), self.memory.matrix[:, space]) / self.limit

    def expected(self, widths: Any) -> Any:
        return self.memory.expected_bytes(widths) / self.limit

    def prepare(self) -> None:
        pass


_Part = _Sum | _Peak


def _part(budget: Budget, operators: Sequence[NetworkOperator], graph: Graph, spaces: ChannelSpaces) -> _Part:
    if budget.what == "peak_mb":
        return _Peak(PeakMemory(graph, spaces), 1e6 * budget.limit)
    if budget.what == "file_mb":
        # Milliseconds of this plan are millions of parameters, so that 4 bytes of each are megabytes.
        own = [operator for operator in operators if not operator.shared]
        plan = LatencyPlan(own, spaces, counting_profile("parameters"))
        return _Sum(plan, BYTES / budget.limit, 1e-6 * BYTES_AN_OPERATOR * len(operators) / budget.limit)
    return _Sum(LatencyPlan(operators, spaces, budget.prices()), 1 / budget.limit)


class Weighted:
    """Costs of several budgets as one sum over operators, for the search of the best widths.

    Args:
        parts: of the budgets.
        prices: ``(costs,)``.
    """

    def __init__(self, parts: Sequence[_Part], prices: np.ndarray):
        ends = np.cumsum([part.size for part in parts])
        self._parts = list(zip(parts, np.split(np.asarray(prices, float), ends[:-1]), strict=True))

    @property
    def overhead_ms(self) -> float:
        """What does not depend on widths."""
        total = 0.0
        for part, price in self._parts:
            if isinstance(part, _Sum):
                total += float(price[0]) * (part.constant + part.unit * part.plan.overhead_ms)
            else:
                total += float(price @ part.memory.constant) / part.limit
        return total

    def operators_by_spaces(self, spaces: Sequence[int]) -> dict[tuple[int, ...], list[_Costing]]:
        """As of a LatencyPlan; memory is an operator for each space."""
        found: dict[tuple[int, ...], list[_Costing]] = {}
        for part, price in self._parts:
            if isinstance(part, _Sum):
                for scope, operators in part.plan.operators_by_spaces(spaces).items():
                    found.setdefault(scope, []).append(_Costing(part, price, operators))
            else:
                for scope in [(), *((space,) for space in spaces)]:
                    found.setdefault(scope, []).append(_Costing(part, price, None, tuple(spaces)))
        return found

    def table(
        self,
        operators: Sequence[_Costing],
        widths: np.ndarray,
        scope: Sequence[int],
        values: Sequence[np.ndarray],
    ) -> np.ndarray:
        """As of a LatencyPlan, ``(len(values[0]), len(values[1]), ...)``."""
        return np.sum([each.table(widths, scope, values) for each in operators], axis=0)


@dataclass(frozen=True)
class _Costing:
    """Operators of one budget at its price; of memory those of some spaces, besides the ``spaces`` that vary."""

    part: _Part
    price: np.ndarray
    operators: Sequence[Operators] | None
    spaces: tuple[int, ...] = ()

    def table(self, widths: np.ndarray, scope: Sequence[int], values: Iterable[np.ndarray]) -> np.ndarray:
        if isinstance(self.part, _Sum):
            assert self.operators is not None
            table = self.part.plan.table(self.operators, widths, scope, list(values))
            return float(self.price[0]) * self.part.unit * table
        row = self.price @ self.part.memory.matrix / self.part.limit
        if scope:
            [value] = values
            return np.asarray(row[scope[0]] * value)
        fixed = np.setdiff1d(np.arange(len(row)), self.spaces)
        return np.asarray(row[fixed] @ np.asarray(widths, float)[fixed])
