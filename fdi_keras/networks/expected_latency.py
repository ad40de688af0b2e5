"""Predicted time in the training graph: the operators of all kinds evaluated at once.

A training step must not become slower by it, and a graph of a tree for each kind has
a thousand small operations. But widths enter an operator through two numbers at most,
mostly its input and output channels ``x`` and ``y``; every column of a time model is a
polynomial of second degree in them, or in what they are rounded up to in the kind's
tiles. So an operator is a table of coefficients over products of two of these numbers: a row
for each condition that its tree tests, and a row for each leaf's time. The tables of all
operators, padded to one size, need some forty operations whatever the network.
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


class _Constants(NamedTuple):
    """What a network's operators are, in float32, as arrays or tensors; the axis of networks is last."""

    #: Factors as affine functions of the widths, ``(2 * operators * terms, spaces)`` and ``(..., 1)``.
    matrix: Any
    constant: Any
    #: What they are rounded up to, where they are, ``(2, operators, terms, 1)``.
    tile: Any
    is_rounded: Any
    #: What conditions test, against which value, ``(operators, conditions, terms)`` and ``(..., 1)``.
    tested: Any
    value: Any
    is_multiple: Any
    divisor: Any
    #: Which conditions lead to which leaf, ``(operators, leaves, conditions)`` and ``(..., 1)``.
    change: Any
    base: Any
    #: Times of the leaves, ``(operators, terms, leaves)``.
    times: Any
    #: Of the weights, ``(operators, terms, 1)``, and ms to fetch a byte of them, ``(operators, 1)``.
    bytes: Any
    rate: Any


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
        tables = [_Table(operator) for operator in operators]
        terms = sorted({term for table in tables for term in table.terms} | {(ONE, ONE)})
        factors = [_factors(table.tiles, terms) for table in tables]
        which, tile = (np.stack(part, axis=1) for part in zip(*factors, strict=True))
        # A factor is an affine function of the widths, some rounded up to a tile: (2, operators, terms).
        number, rows = np.minimum(which, Y), np.arange(len(tables))[None, :, None]
        constants = np.stack([np.ones(len(tables)), inputs.constant, outputs.constant])
        matrices = np.stack([np.zeros_like(inputs.matrix), inputs.matrix, outputs.matrix])
        shape = (len(tables), max((len(table.conditions) for table in tables), default=0))
        leaves = max((len(table.times) for table in tables), default=0)
        tested = np.zeros((*shape, len(terms)))
        value, multiple = np.full(shape, np.inf), np.zeros(shape, bool)
        # How many conditions of a leaf's path are violated: base + change @ holding conditions.
        change = np.zeros((len(tables), leaves, shape[1]))
        base = np.full((len(tables), leaves), 1.0)  # a leaf that is not there is never reached
        times = np.zeros((len(tables), len(terms), leaves))
        for row, table in enumerate(tables):
            tree = table.tree
            c, n = len(table.conditions), len(table.times)
            tested[row, :c] = _rows(table.conditions, terms)
            value[row, :c], multiple[row, :c] = tree.value, tree.is_multiple
            change[row, :n, :c] = -tree.path
            base[row, :n] = (tree.path == 1).sum(axis=1)
            times[row, :, :n] = _rows(table.times, terms).T
        self._shape = which.shape
        self._has_conditions, self._has_multiples = shape[1] > 0, bool(multiple.any())
        self._constants = _Constants(
            matrix=_float(matrices[number, rows].reshape(-1, inputs.matrix.shape[1])),
            constant=_float(constants[number, rows].reshape(-1, 1)),
            tile=_float(np.where(tile > 0, tile, 1.0)[..., None]),
            is_rounded=_float((tile > 0)[..., None]),
            tested=_float(tested),
            value=_float(value[..., None]),
            is_multiple=multiple[..., None],
            divisor=_float(np.where(multiple, value, 1.0)[..., None]),
            change=_float(change),
            base=_float(base[..., None]),
            times=_float(times),
            bytes=_float(_rows([table.bytes for table in tables], terms)[..., None]),
            rate=_float((np.zeros(len(tables)) if rates is None else rates)[:, None]),
        )

    def prepare(self) -> None:
        """Make tensors of the constants, once for all steps.

        Not while a graph is traced: they would belong to it.
        """
        self._constants = _Constants(*map(ops.convert_to_tensor, self._constants))

    def __call__(self, widths: Any) -> Any:
        """Sum of the operators' times in ms, float tensor ``(networks,)``.

        Args:
            widths: float tensor ``(networks, spaces)``.

        The leaf is chosen at rounded widths. The gradient flows through its formula; a number
        rounded to a tile has its rounded value and the gradient of what was rounded.
        """
        c, by_space = self._constants, ops.transpose(widths)
        # Both in one batch, along the last axis: at real widths for the value, at rounded ones for the conditions.
        both = ops.concatenate([by_space, ops.stop_gradient(ops.round(by_space))], axis=1)
        factors = ops.add(ops.matmul(c.matrix, both), c.constant)
        factors = ops.reshape(factors, (*self._shape, both.shape[1]))
        blocks = ops.multiply(ops.ceil(ops.divide(ops.round(factors), c.tile) - LITTLE), c.tile)
        factors = factors + ops.stop_gradient(ops.multiply(blocks - factors, c.is_rounded))
        first, second = ops.split(factors, 2, axis=0)
        real, rounded = ops.split((first * second)[0], 2, axis=2)  # (operators, terms, networks)
        formula = ops.matmul(c.times, self._leaves(ops.stop_gradient(rounded)))
        if self._fetch is None:
            return ops.sum(formula * real, axis=(0, 1))
        return ops.sum(self._with_fetching(ops.sum(formula * real, axis=1), real), axis=0)

    def _leaves(self, terms: Any) -> Any:
        """1 at the leaf of each operator, ``(operators, leaves, networks)``."""
        c = self._constants
        if not self._has_conditions:
            only = ops.cast(ops.less(c.base, 0.5), "float32")
            return ops.broadcast_to(only, (*c.base.shape[:2], terms.shape[2]))
        tested = ops.matmul(c.tested, terms)
        holds = ops.greater(tested, c.value)
        if self._has_multiples:
            # Blocks of gates are thirds of units, whose sums are whole only up to a rounding error.
            multiple = ops.equal(ops.mod(ops.round(tested), c.divisor), 0.0)
            holds = ops.where(c.is_multiple, multiple, holds)
        violated = ops.add(ops.matmul(c.change, ops.cast(holds, "float32")), c.base)
        return ops.stop_gradient(ops.cast(violated < 0.5, "float32"))

    def _with_fetching(self, times: Any, terms: Any) -> Any:
        """Times ``(operators, networks)`` with what fetching the operators' weights adds."""
        c, fetch = self._constants, self._fetch
        assert fetch is not None
        weight_bytes = ops.sum(ops.multiply(terms, c.bytes), axis=1)
        network = ops.sum(weight_bytes, axis=0)
        ramp = (network - fetch.cached_bytes) / (fetch.uncached_bytes - fetch.cached_bytes)
        return times + ops.multiply(ops.clip(ramp, 0.0, 1.0) * weight_bytes, c.rate)


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


def _factors(tiles: Sequence[tuple[int, float]], terms: Sequence[tuple[int, int]]) -> tuple[Any, Any]:
    """Of the two factors of each term: which number it is, or is rounded from, and the tile; ``(2, terms)``.

    Terms with numbers that an operator does not have never count for it.
    """
    known = [(ONE, 0.0), (X, 0.0), (Y, 0.0), *tiles]
    found = [[known[n] if n < len(known) else known[ONE] for n in term] for term in terms]
    return np.array([[n for n, _ in pair] for pair in found]).T, np.array(
        [[tile for _, tile in pair] for pair in found]
    ).T


def _rows(coefficients: Sequence[Coefficients], terms: Sequence[tuple[int, int]]) -> np.ndarray:
    """``(rows, terms)``."""
    rows = [[row.get(term, 0.0) for term in terms] for row in coefficients]
    return np.array(rows).reshape(-1, len(terms))


def _float(values: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(values, "float32")
