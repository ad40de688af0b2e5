"""Predicted time of a network as a function of its channel widths.

The plan is made once from a network and a profile, then answers for any widths:
in numpy for thousands of candidate widths at once (pruning, growth), and in the
training graph with a gradient (the regularizer). Both evaluate the same trees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from fdi_keras.execution_time import TimeModel
from fdi_keras.execution_time.forms import BLOCKED, split_name, tiled_dimension
from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.layer_operators import NetworkOperator
from fdi_keras.operators import EXPLANATORY, KINDS

ops = keras.ops


class LatencyPlan:
    """Predicted latency as a function of the widths of all channel spaces.

    Args:
        operators: the network's operators.
        spaces: its channel spaces; widths below are in their order, kept spaces included.
        models: time model of each kind, as in a profile.
        overhead_ms: what one invocation costs besides its operators.

    Attributes:
        full_widths: ``(len(spaces),)`` widths of the network as it is.
        uncovered: operators that no model prices; they count as zero, and are named.
    """

    def __init__(
        self,
        operators: Sequence[NetworkOperator],
        spaces: ChannelSpaces,
        models: Mapping[str, TimeModel],
        overhead_ms: float = 0.0,
    ):
        self.spaces = spaces
        self.overhead_ms = overhead_ms
        self.full_widths = np.array([space.width for space in spaces], float)
        self.names = [space.name for space in spaces]
        self.uncovered = [o for o in operators if o.problem or o.kind not in models]
        priced = [o for o in operators if not o.problem and o.kind in models]
        kinds = dict.fromkeys(o.kind for o in priced)
        self.groups = [
            _Group(models[kind], [o for o in priced if o.kind == kind], spaces, self.names) for kind in kinds
        ]

    def predict_ms(self, widths: np.ndarray) -> np.ndarray:
        """Predicted time of whole networks.

        Args:
            widths: ``(spaces,)`` or ``(networks, spaces)``, whole numbers.

        Returns:
            Milliseconds, a scalar array or ``(networks,)``.
        """
        widths = np.asarray(widths, float)
        batch = np.atleast_2d(widths)
        total = np.full(len(batch), self.overhead_ms)
        for group in self.groups:
            total += group.predict_ms(batch).sum(axis=1)
        return total.reshape(widths.shape[:-1])

    def space_curve(self, widths: np.ndarray, space: int, values: np.ndarray) -> np.ndarray:
        """Time of the operators that a space feeds, when it takes each of ``values`` and the others stay.

        Differences of it are differences of the whole network's time.

        Returns:
            Milliseconds, ``(len(values),)``.
        """
        batch = np.repeat(np.atleast_2d(np.asarray(widths, float)), len(values), axis=0)
        batch[:, space] = values
        total = np.zeros(len(batch))
        for group in self.groups:
            rows = group.touching(space)
            if len(rows):
                total += group.predict_ms(batch, rows).sum(axis=1)
        return total

    def neighbours(self, space: int) -> np.ndarray:
        """The other spaces that share an operator with a space: its curve depends on their widths alone."""
        shared = np.zeros(len(self.names), bool)
        for group in self.groups:
            rows = group.touching(space)
            for matrix in group.of_space.values():
                shared |= matrix[rows].any(axis=0)
        shared[space] = False
        return np.flatnonzero(shared)

    def operator_times(self, widths: np.ndarray) -> dict[str, float]:
        """Milliseconds of each priced operator by layer name (a layer's operators added up)."""
        found: dict[str, float] = {}
        for group in self.groups:
            times = group.predict_ms(np.atleast_2d(np.asarray(widths, float)))[0]
            for operator, time in zip(group.operators, times, strict=True):
                found[operator.name] = found.get(operator.name, 0.0) + float(time)
        return found

    def rules(self, widths: np.ndarray, space: int) -> list[tuple[str, str]]:
        """(layer name, leaf rule) of each operator that a space feeds, at these widths."""
        found = []
        for group in self.groups:
            rows = group.touching(space)
            dims = group.dims(np.atleast_2d(np.asarray(widths, float)), rows)
            for i, row in enumerate(rows):
                at = {name: np.broadcast_to(column, (len(rows),))[i] for name, column in dims.items()}
                found.append((group.operators[row].name, group.model.rule_of(at)))
        return found

    def expected_ms(self, widths: Any) -> Any:
        """Predicted time at real-valued widths, in the training graph.

        The leaf is chosen at the rounded widths; the gradient flows through the
        leaf's linear formula, so the width of a layer feels the widths of its
        neighbours (Yao et al., SenSys 2018, section 5; rounding is our choice).

        Args:
            widths: float tensor ``(spaces,)``.

        Returns:
            Scalar float tensor, milliseconds.
        """
        total = ops.convert_to_tensor(self.overhead_ms, "float32")
        rounded = ops.stop_gradient(ops.round(widths))
        for group in self.groups:
            total = total + group.expected_ms(widths, rounded)
        return total


class _Group:
    """The operators of one kind, as matrices: dimension = constant + channels @ widths."""

    def __init__(
        self,
        model: TimeModel,
        operators: list[NetworkOperator],
        spaces: ChannelSpaces,
        names: list[str],
    ):
        self.model, self.operators = model, operators
        self.kind = KINDS[model.kind]
        completed = [self.kind.complete(o.dims) for o in operators]
        self.constant = {d: np.array([c[d] for c in completed], float) for d in self.kind.dimensions}
        self.of_space: dict[str, np.ndarray] = {}
        position = {name: i for i, name in enumerate(names)}
        for d in self.kind.channels:
            matrix = np.zeros((len(operators), len(names)))
            for row, operator in enumerate(operators):
                if d in operator.channels:
                    for name, count in spaces.counts(operator.channels[d]).items():
                        matrix[row, position[name]] = count
                        self.constant[d][row] -= count * spaces[name].width
            self.of_space[d] = matrix
        self._touching = [
            np.flatnonzero(sum(m[:, s] for m in self.of_space.values())) for s in range(len(names))
        ]
        self._tree = model.tree.compiled

    def touching(self, space: int) -> np.ndarray:
        """Rows of the operators whose dimensions depend on a space."""
        return self._touching[space]

    def dims(self, widths: np.ndarray, rows: np.ndarray | slice = slice(None)) -> dict[str, np.ndarray]:
        """Dimensions of the operators for each network: flat ``(networks * operators,)``."""
        found = {}
        for d, constant in self.constant.items():
            value = np.broadcast_to(constant[rows], (len(widths), len(constant[rows])))
            if d in self.of_space:
                value = value + widths @ self.of_space[d][rows].T
            found[d] = value.ravel()
        return found

    def predict_ms(self, widths: np.ndarray, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
        times = self.model.predict_ms(self.dims(widths, rows))
        return times.reshape(len(widths), -1)

    def expected_ms(self, widths: Any, rounded: Any) -> Any:
        tree = self._tree
        tested_columns, variables = self._columns(rounded), self._columns(widths)
        features = ops.stack([tested_columns[name] for name in self.model.tree.features], axis=1)
        variables = ops.stack([variables[name] for name in self.model.tree.linear], axis=1)
        weights = ops.convert_to_tensor(tree.weights, "float32")
        intercept = ops.convert_to_tensor(tree.intercept, "float32")
        if len(tree.feature):
            tested = ops.take(features, tree.feature, axis=1)  # (operators, conditions)
            value = ops.convert_to_tensor(tree.value, "float32")
            divisor = ops.convert_to_tensor(np.where(tree.is_multiple, tree.value, 1.0), "float32")
            above = ops.cast(tested > value, "float32")
            multiple = ops.cast(ops.equal(ops.mod(tested, divisor), 0.0), "float32")
            holds = ops.where(ops.convert_to_tensor(tree.is_multiple), multiple, above)
            # A leaf is reached where none of the conditions on its path is violated.
            must = ops.convert_to_tensor((tree.path == 1).T, "float32")
            must_not = ops.convert_to_tensor((tree.path == -1).T, "float32")
            violations = ops.matmul(1.0 - holds, must) + ops.matmul(holds, must_not)
            leaf = ops.stop_gradient(ops.cast(violations < 0.5, "float32"))  # (operators, leaves)
            weights, intercept = ops.matmul(leaf, weights), ops.matmul(leaf, intercept[:, None])[:, 0]
        total = ops.sum(ops.broadcast_to(intercept, (len(self.operators),)))
        return total + ops.sum(weights * variables)

    def _columns(self, widths: Any) -> dict[str, Any]:
        """Dimensions and explanatory variables as tensors ``(operators,)``, by name."""
        columns = {
            name: ops.convert_to_tensor(column, "float32")
            for name, column in self.kind.derive(self.constant).items()
        }
        for d, matrix in self.of_space.items():
            if matrix.any():
                linear = ops.matmul(ops.convert_to_tensor(matrix, "float32"), widths[:, None])[:, 0]
                columns[d] = columns[d] + linear
        found = columns | dict(zip(EXPLANATORY, self.kind.formula(columns), strict=True))
        for tile in sorted({split_name(name)[1] for name in self.model.tree.features} - {1}):
            dimension = tiled_dimension(self.kind)
            width = columns[dimension]
            # Rounded up in value, straight through in gradient: a block is paid for as a whole, and
            # a channel less is still a step towards a block less.
            blocks = ops.ceil(ops.round(width) / tile) * tile
            rounded = {**columns, dimension: width + ops.stop_gradient(blocks - width)}
            explained = dict(zip(EXPLANATORY, self.kind.formula(rounded), strict=True))
            found |= {f"{name}@{tile}": explained[name] for name in BLOCKED}
            found[f"{dimension}@{tile}"] = rounded[dimension]
        return found
