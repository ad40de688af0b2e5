"""Predicted time in the training graph: the operators of all kinds evaluated at once.

A training step must not become slower by it, and a graph of a tree for each kind has
a thousand small operations. But widths enter an operator through two numbers at most,
its input and output channels ``x`` and ``y``; every dimension and explanatory variable is a
polynomial of second degree in them, and in ``t``, which is ``y`` rounded up to
the kind's tile. So an operator is a table of coefficients over :data:`TERMS`: a row
for each condition that its tree tests, and a row for each leaf's time. The tables of all
operators, padded to one size, need some twenty operations whatever the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from fdi_keras.execution_time import TimeModel, WeightFetch
from fdi_keras.execution_time.forms import split_name, tiled_dimension
from fdi_keras.operators import EXPLANATORY, KINDS
from fdi_keras.operators.kinds import BYTES, Kind

ops = keras.ops

#: What coefficients stand for: the exponents of x, y and t.
TERMS = ((0, 0, 0), (1, 0, 0), (0, 1, 0), (2, 0, 0), (1, 1, 0), (0, 2, 0), (0, 0, 1), (1, 0, 1), (0, 0, 2))

#: Six points that determine a polynomial of second degree in x and y, and its terms there.
_POINTS = np.array([(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)], float)
_PLAIN = [i for i, (_, _, t) in enumerate(TERMS) if t == 0]
_TILED = [TERMS.index((x, 0, y)) if y else TERMS.index((x, 0, 0)) for x, y, _ in (TERMS[i] for i in _PLAIN)]
_SOLVE = np.linalg.inv(
    np.stack([_POINTS[:, 0] ** x * _POINTS[:, 1] ** y for x, y, _ in (TERMS[i] for i in _PLAIN)], axis=1)
)


class Affine(NamedTuple):
    """A channel dimension of several operators: ``constant + matrix @ widths``."""

    constant: np.ndarray
    matrix: np.ndarray


class ExpectedLatency:
    """Times of all operators as tensors of real-valued widths.

    Args:
        operators: time model and dimensions of each; of a channel dimension that widths
            decide, anything.
        inputs, outputs: x and y of the operators, ``(operators,)`` and ``(operators, spaces)``.
        fetch: what weights cost that do not fit the caches; None: all fit.
    """

    def __init__(
        self,
        operators: Sequence[tuple[TimeModel, Mapping[str, float]]],
        inputs: Affine,
        outputs: Affine,
        fetch: WeightFetch | None = None,
    ):
        self._fetch = fetch
        self._constant = np.concatenate([inputs.constant, outputs.constant])
        self._matrix = np.concatenate([inputs.matrix, outputs.matrix]).T
        tables = [_Table(model, dims) for model, dims in operators]
        self._tile = np.array([table.tile for table in tables], float)
        conditions = max((len(table.conditions) for table in tables), default=0)
        leaves = max((len(table.times) for table in tables), default=0)
        shape = (len(tables), conditions)
        self._tested = np.zeros((*shape, len(TERMS)))
        self._value, self._multiple = np.full(shape, np.inf), np.zeros(shape, bool)
        # How many conditions of a leaf's path are violated: base + holding conditions @ change.
        self._change = np.zeros((*shape, leaves))
        self._base = np.full((len(tables), leaves), 1.0)  # a leaf that is not there is never reached
        self._times = np.zeros((len(tables), leaves, len(TERMS)))
        self._bytes = np.zeros((len(tables), len(TERMS)))
        for row, table in enumerate(tables):
            tree = table.tree
            c, n = len(table.conditions), len(table.times)
            self._tested[row, :c] = table.conditions
            self._value[row, :c], self._multiple[row, :c] = tree.value, tree.is_multiple
            self._change[row, :c, :n] = -tree.path.T
            self._base[row, :n] = (tree.path == 1).sum(axis=1)
            self._times[row, :n] = table.times
            self._bytes[row] = table.bytes

    def __call__(self, widths: Any) -> Any:
        """Sum of the operators' times in ms, float tensor ``(networks,)``.

        Args:
            widths: float tensor ``(networks, spaces)``.

        The leaf is chosen at rounded widths. The gradient flows through its formula; a number
        rounded to a tile has its rounded value and the gradient of what was rounded.
        """
        networks = widths.shape[0]
        rounded = ops.stop_gradient(ops.round(widths))
        # Both in one batch: at real widths for the value, at rounded ones for the conditions.
        channels = ops.matmul(ops.concatenate([widths, rounded]), _tensor(self._matrix)) + _tensor(
            self._constant
        )
        x, y = ops.split(channels, 2, axis=1)
        tile = _tensor(self._tile)
        blocks = ops.ceil(ops.round(y) / tile) * tile
        t = y + ops.stop_gradient(blocks - y)
        terms = ops.stack([ops.ones_like(x), x, y, x * x, x * y, y * y, t, x * t, t * t], axis=2)
        at_real, at_rounded = terms[:networks], ops.stop_gradient(terms[networks:])
        leaf = self._leaves(at_rounded)
        formula = ops.einsum("nol,olk->nok", leaf, _tensor(self._times))
        times = ops.sum(formula * at_real, axis=2)
        if self._fetch is not None:
            times = self._with_fetching(times, ops.sum(_tensor(self._bytes) * at_real, axis=2))
        return ops.sum(times, axis=1)

    def _leaves(self, terms: Any) -> Any:
        """1 at the leaf of each operator, ``(networks, operators, leaves)``."""
        base = _tensor(self._base)
        if not self._tested.shape[1]:
            return ops.cast(ops.broadcast_to(base < 0.5, (terms.shape[0], *base.shape)), "float32")
        tested = ops.einsum("nok,ock->noc", terms, _tensor(self._tested))
        divisor = _tensor(np.where(self._multiple, self._value, 1.0))
        multiple = ops.equal(ops.mod(tested, divisor), 0.0)
        above = tested > _tensor(self._value)
        holds = ops.where(ops.convert_to_tensor(self._multiple), multiple, above)
        violated = base + ops.einsum("noc,ocl->nol", ops.cast(holds, "float32"), _tensor(self._change))
        return ops.stop_gradient(ops.cast(violated < 0.5, "float32"))

    def _with_fetching(self, times: Any, weight_bytes: Any) -> Any:
        fetch = self._fetch
        assert fetch is not None
        network = ops.sum(weight_bytes, axis=1, keepdims=True)
        ramp = (network - fetch.cached_bytes) / (fetch.uncached_bytes - fetch.cached_bytes)
        rate = fetch.ms_per_byte * ops.clip(ramp, 0.0, 1.0)
        # The small number keeps the gradient of the root finite at zero.
        return ops.sqrt(ops.square(times) + ops.square(rate * weight_bytes) + 1e-16)


class _Table:
    """One operator as coefficients over :data:`TERMS`."""

    def __init__(self, model: TimeModel, dims: Mapping[str, float]):
        kind, tree = KINDS[model.kind], model.tree.compiled
        names = {name: self._coefficients(kind, dims, name) for name in model.tree.features}
        self.tree = tree
        self.tile = max(split_name(name)[1] for name in model.tree.features)
        self.conditions = np.array([names[model.tree.features[i]] for i in tree.feature]).reshape(
            -1, len(TERMS)
        )
        linear = np.array([names[name] for name in model.tree.linear]).reshape(-1, len(TERMS))
        self.times = tree.weights @ linear
        self.times[:, TERMS.index((0, 0, 0))] += tree.intercept
        self.bytes = BYTES * self._coefficients(kind, dims, "parameters")

    @staticmethod
    def _coefficients(kind: Kind, dims: Mapping[str, float], name: str) -> np.ndarray:
        """Of a dimension or explanatory variable, rounded to a tile where its name says so."""
        base, tile = split_name(name)
        at = {**dims, tiled_dimension(kind): _POINTS[:, 1]}
        if len(kind.channels) > 1:
            at[kind.channels[0]] = _POINTS[:, 0]
        if base in EXPLANATORY:
            values = kind.explain(at)[:, EXPLANATORY.index(base)]
        else:
            values = np.broadcast_to(np.asarray(at[base], float), (len(_POINTS),))
        found = np.zeros(len(TERMS))
        # Mostly whole numbers, but for the last digits of the inverse.
        solved = _SOLVE @ values
        whole = np.round(solved)
        found[_TILED if tile > 1 else _PLAIN] = np.where(np.abs(solved - whole) < 1e-6, whole, solved)
        return found


def _tensor(values: np.ndarray) -> Any:
    return ops.convert_to_tensor(values, "float32")
