"""Predicted time in the training graph: the operators of all kinds evaluated at once.

A training step must not become slower by it, and a graph of a tree for each kind has
a thousand small operations. But widths enter an operator through two numbers at most,
mostly its input and output channels ``x`` and ``y``; every column of a time model is a
polynomial of second degree in them, or in what they are rounded up to in the kind's
tiles. So an operator is a table of coefficients over products of two of these numbers: a row
for each condition that its tree tests, and a row for each leaf's time. The tables of all
operators, padded to one size, need some twenty operations whatever the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from fdi_keras.execution_time import TimeModel, WeightFetch
from fdi_keras.execution_time.columns import LITTLE, PIXELS, compute, parse, pixel_sides, tile_in_channels
from fdi_keras.operators import KINDS
from fdi_keras.operators.kinds import BYTES

ops = keras.ops

#: The numbers of an operator: 1, x, y, then x or y rounded up to each of its tiles.
ONE, X, Y, ROUNDED = 0, 1, 2, 3

#: Six points that determine a polynomial of second degree in x and y, and its terms there.
_POINTS = np.array([(1, 1), (2, 1), (1, 2), (3, 1), (2, 2), (1, 3)], float)
_EXPONENTS = ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))
_SOLVE = np.linalg.inv(np.stack([_POINTS[:, 0] ** x * _POINTS[:, 1] ** y for x, y in _EXPONENTS], axis=1))

#: Coefficient by the two numbers that it multiplies, the lower one first.
Coefficients = dict[tuple[int, int], float]


class Affine(NamedTuple):
    """A channel dimension of several operators: ``constant + matrix @ widths``."""

    constant: np.ndarray
    matrix: np.ndarray


class Priced(NamedTuple):
    """An operator to price.

    Attributes:
        model: of its kind.
        dims: its dimensions; of those that widths decide, anything.
        ends: names of the two dimensions that widths decide, x and y; of a kind with one, twice its name.
        group_size: input channels of a group, where it has groups: narrowing takes whole groups away.
    """

    model: TimeModel
    dims: Mapping[str, float]
    ends: tuple[str, str]
    group_size: float | None = None


class ExpectedLatency:
    """Times of all operators as tensors of real-valued widths.

    Args:
        operators: in the order of x and y.
        inputs, outputs: x and y of the operators, ``(operators,)`` and ``(operators, spaces)``.
        fetch: what weights cost that do not fit the caches; None: all fit.
        rates: ``(operators,)`` ms to fetch a byte of each, see :meth:`WeightFetch.rate`.
    """

    def __init__(
        self,
        operators: Sequence[Priced],
        inputs: Affine,
        outputs: Affine,
        fetch: WeightFetch | None = None,
        rates: np.ndarray | None = None,
    ):
        self._fetch = fetch
        self._rate = np.zeros(len(operators)) if rates is None else rates
        self._constant = np.concatenate([inputs.constant, outputs.constant])
        self._matrix = np.concatenate([inputs.matrix, outputs.matrix]).T
        tables = [_Table(operator) for operator in operators]
        self._terms = sorted({term for table in tables for term in table.terms} | {(ONE, ONE)})
        self._first, self._second = np.array(self._terms).T
        rounded = max((len(table.tiles) for table in tables), default=0)
        self._tile = np.ones((len(tables), rounded))
        self._of_output = np.zeros((len(tables), rounded))
        conditions = max((len(table.conditions) for table in tables), default=0)
        leaves = max((len(table.times) for table in tables), default=0)
        shape = (len(tables), conditions)
        self._tested = np.zeros((*shape, len(self._terms)))
        self._value, self._multiple = np.full(shape, np.inf), np.zeros(shape, bool)
        # How many conditions of a leaf's path are violated: base + holding conditions @ change.
        self._change = np.zeros((*shape, leaves))
        self._base = np.full((len(tables), leaves), 1.0)  # a leaf that is not there is never reached
        self._times = np.zeros((len(tables), leaves, len(self._terms)))
        self._bytes = np.zeros((len(tables), len(self._terms)))
        for row, table in enumerate(tables):
            tree = table.tree
            for i, (number, tile) in enumerate(table.tiles):
                self._tile[row, i], self._of_output[row, i] = tile, number == Y
            c, n = len(table.conditions), len(table.times)
            self._tested[row, :c] = self._rows(table.conditions)
            self._value[row, :c], self._multiple[row, :c] = tree.value, tree.is_multiple
            self._change[row, :c, :n] = -tree.path.T
            self._base[row, :n] = (tree.path == 1).sum(axis=1)
            self._times[row, :n] = self._rows(table.times)
            self._bytes[row] = self._rows([table.bytes])[0]

    def _rows(self, coefficients: Sequence[Coefficients]) -> np.ndarray:
        """``(rows, terms)``."""
        return np.array([[row.get(term, 0.0) for term in self._terms] for row in coefficients]).reshape(
            -1, len(self._terms)
        )

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
        numbers = [ops.ones_like(x)[:, :, None], x[:, :, None], y[:, :, None]]
        if self._tile.shape[1]:
            of_output, tile = _tensor(self._of_output), _tensor(self._tile)
            chosen = x[:, :, None] * (1 - of_output) + y[:, :, None] * of_output
            blocks = ops.ceil(ops.round(chosen) / tile - LITTLE) * tile
            numbers.append(chosen + ops.stop_gradient(blocks - chosen))
        known = ops.concatenate(numbers, axis=2)
        terms = ops.take(known, self._first, axis=2) * ops.take(known, self._second, axis=2)
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
        # Blocks of gates are thirds of units, whose sums are whole only up to a rounding error.
        multiple = ops.equal(ops.mod(ops.round(tested), divisor), 0.0)
        above = tested > _tensor(self._value)
        holds = ops.where(ops.convert_to_tensor(self._multiple), multiple, above)
        violated = base + ops.einsum("noc,ocl->nol", ops.cast(holds, "float32"), _tensor(self._change))
        return ops.stop_gradient(ops.cast(violated < 0.5, "float32"))

    def _with_fetching(self, times: Any, weight_bytes: Any) -> Any:
        fetch = self._fetch
        assert fetch is not None
        network = ops.sum(weight_bytes, axis=1, keepdims=True)
        ramp = (network - fetch.cached_bytes) / (fetch.uncached_bytes - fetch.cached_bytes)
        return times + ops.clip(ramp, 0.0, 1.0) * weight_bytes * _tensor(self._rate)


class _Table:
    """One operator as coefficients over products of its numbers.

    Attributes:
        tree: of its time model.
        tiles: what is rounded, :data:`X` or :data:`Y`, and to which tile; these numbers
            come behind 1, x and y.
        conditions, times, bytes: what its conditions test, the times of its leaves, its weights.
    """

    def __init__(self, operator: Priced):
        model, dims, self._ends, self._group_size = operator
        kind, tree = KINDS[model.kind], model.tree.compiled
        self.tree = tree
        self._kind, self._dims = kind, dims
        self.tiles: list[tuple[int, float]] = []
        names = {name: self.coefficients(name) for name in model.tree.features}
        self.conditions = [names[model.tree.features[i]] for i in tree.feature]
        self.times = []
        for intercept, weights in zip(tree.intercept.tolist(), tree.weights.tolist(), strict=True):
            time: Coefficients = {(ONE, ONE): intercept}
            for weight, name in zip(weights, model.tree.linear, strict=True):
                for term, value in names[name].items() if weight else ():
                    time[term] = time.get(term, 0.0) + weight * value
            self.times.append(time)
        self.bytes = {term: BYTES * value for term, value in self.coefficients("parameters").items()}

    @property
    def terms(self) -> set[tuple[int, int]]:
        """The products that occur."""
        return {term for row in (*self.conditions, *self.times, self.bytes) for term in row}

    def coefficients(self, name: str) -> Coefficients:
        """Of a column of the time model."""
        kind, column = self._kind, parse(name)
        at = {**self._dims, **dict(zip(self._ends, _POINTS.T, strict=True))}
        if self._group_size is not None:
            at["groups"] = _POINTS[:, 0] / self._group_size
        number = {X: X, Y: Y}
        done = []
        for dimension, count in column.tiles:
            which, tile = self._rounded(dimension, count)
            if which is not None:
                number[which] = self._number(which, tile)
                done.append(dimension)
        sides = pixel_sides(kind)
        if PIXELS in done and sides:  # formulas see the rounded pixels in one row
            at |= {sides[0]: at[sides[0]] * at[sides[1]], sides[1]: 1.0}
        # What is rounded stands for itself here: the polynomial is that of the column without the tile.
        plain = column.without(done).name
        values = np.broadcast_to(compute(kind, at, [plain])[plain], (len(_POINTS),))
        found: Coefficients = {}
        # Mostly whole numbers, but for the last digits of the inverse.
        solved = _SOLVE @ values
        whole = np.round(solved)
        solved = np.where(np.abs(solved - whole) < 1e-6, whole, solved)
        for (x, y), value in zip(_EXPONENTS, solved.tolist(), strict=True):
            if value:
                factors = [number[X]] * x + [number[Y]] * y
                first, second = sorted([ONE] * (2 - len(factors)) + factors)
                found[first, second] = value
        return found

    def _rounded(self, dimension: str, count: int) -> tuple[int | None, float]:
        """Which number a tile rounds, :data:`X` or :data:`Y`, and to which tile; None where widths decide nothing."""
        name, tile = tile_in_channels(self._kind, dimension, count)
        sides = pixel_sides(self._kind) or ()
        if name == PIXELS and self._ends[0] in sides:
            along = next(side for side in sides if side != self._ends[0])
            return X, tile / self._dims[along]
        if name not in self._ends:
            return None, tile
        return (Y if name == self._ends[1] else X), tile

    def _number(self, which: int, tile: float) -> int:
        if (which, tile) not in self.tiles:
            self.tiles.append((which, tile))
        return ROUNDED + self.tiles.index((which, tile))


def _tensor(values: np.ndarray) -> Any:
    return ops.convert_to_tensor(values, "float32")
