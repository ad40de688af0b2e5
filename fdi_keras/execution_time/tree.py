"""The learned model of one operator kind as plain data: a tree of linear leaves.

This is what a profile file holds and what predicts, in numpy alone: reading a
profile needs no scikit-learn. Fitting lives in ``regressor.py``.

After Yao et al. (SenSys 2018, section 4): conditions split the space of
configurations, in each leaf time is a non-negative linear function of the
explanatory variables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Literal, NamedTuple

import msgspec
import numpy as np


class Condition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A test on one feature: ``x > value`` (above) or ``x`` a multiple of ``value``."""

    feature: str
    test: Literal["above", "multiple"]
    value: float

    def holds(self, x: np.ndarray) -> np.ndarray:
        return x > self.value if self.test == "above" else x % self.value == 0


class Leaf(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="leaf", tag_field="node"):
    """A linear formula: ``intercept + sum(weights[v] * v)``, all non-negative.

    In a profile the intercept is in ms and a weight in ms per unit of its variable
    (FLOP, byte, parameter); variables of weight zero are left out. ``samples`` is
    how many measurements the leaf was fitted on, ``mape`` their mean absolute
    percentage error as a fraction (0.05 is 5 %). 90 % of new measurements are expected
    between ``low`` and ``high`` times what the formula says; both are ``None`` where it
    is not known, as in profiles of versions that did not ask.
    """

    intercept: float
    weights: dict[str, float]
    samples: int
    mape: float
    low: float | None = None
    high: float | None = None


class Split(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="split", tag_field="node"):
    """An inner node: where to go when the condition holds, and where when not."""

    condition: Condition
    yes: Split | Leaf
    no: Split | Leaf


class LeafRule(NamedTuple):
    """A leaf with the conditions that lead to it, outermost first; False: must not hold."""

    path: tuple[tuple[Condition, bool], ...]
    leaf: Leaf


class CompiledTree(NamedTuple):
    """A tree as arrays, for evaluation on many rows, in numpy or in a training graph.

    With c conditions, l leaves, f features and v linear variables:

    Attributes:
        feature: ``(c,)`` column of the feature matrix that a condition tests.
        is_multiple: ``(c,)`` bool, multiple-of rather than above.
        value: ``(c,)`` threshold or divisor.
        path: ``(l, c)``: 1 where the condition must hold, -1 where it must not, 0 where it does not matter.
        intercept: ``(l,)``.
        weights: ``(l, v)``.
    """

    feature: np.ndarray
    is_multiple: np.ndarray
    value: np.ndarray
    path: np.ndarray
    intercept: np.ndarray
    weights: np.ndarray


class Tree(msgspec.Struct, forbid_unknown_fields=True, dict=True):
    """A tree over named columns.

    Attributes:
        features: names of the columns of the feature matrix, in order.
        linear: names of those among them that leaves are linear in.
        root: the topmost node.
    """

    features: list[str]
    linear: list[str]
    root: Split | Leaf

    @cached_property
    def leaves(self) -> list[LeafRule]:
        """Leaf rules, left (yes) to right; their positions are what :meth:`apply` returns."""
        return list(_walk(self.root, ()))

    @cached_property
    def linear_columns(self) -> np.ndarray:
        """``(v,)``: columns of the feature matrix that leaves are linear in."""
        return np.array([self.features.index(name) for name in self.linear], dtype=np.intp)

    @cached_property
    def compiled(self) -> CompiledTree:
        """The tree as arrays; conditions in order of appearance, outermost first, yes before no."""
        column = {name: i for i, name in enumerate(self.features)}
        variable = {name: i for i, name in enumerate(self.linear)}
        conditions: list[Condition] = []
        signs: list[dict[int, int]] = []
        leaves: list[Leaf] = []
        waiting: list[tuple[Split | Leaf, dict[int, int]]] = [(self.root, {})]
        while waiting:
            node, path = waiting.pop()
            if isinstance(node, Leaf):
                leaves.append(node)
                signs.append(path)
                continue
            here = len(conditions)
            conditions.append(node.condition)
            waiting += [(node.no, {**path, here: -1}), (node.yes, {**path, here: 1})]
        path_matrix = np.zeros((len(leaves), len(conditions)), dtype=np.int8)
        weights = np.zeros((len(leaves), len(self.linear)))
        for row, (path, leaf) in enumerate(zip(signs, leaves, strict=True)):
            for index, sign in path.items():
                path_matrix[row, index] = sign
            for name, weight in leaf.weights.items():
                weights[row, variable[name]] = weight
        return CompiledTree(
            feature=np.array([column[c.feature] for c in conditions], dtype=np.intp),
            is_multiple=np.array([c.test == "multiple" for c in conditions], dtype=bool),
            value=np.array([c.value for c in conditions], dtype=float),
            path=path_matrix,
            intercept=np.array([leaf.intercept for leaf in leaves], dtype=float),
            weights=weights,
        )

    def apply(self, X: np.ndarray) -> np.ndarray:
        """The leaf of each row.

        Args:
            X: ``(n, len(features))``, columns as in :attr:`features`.

        Returns:
            ``(n,)`` positions in :attr:`leaves`.
        """
        return self.leaves_of(self._columns(X), len(X))

    def leaves_of(self, columns: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """As :meth:`apply`, from columns by name, ``(count,)`` or ``(1,)`` each; of :attr:`used` at least."""
        result = np.empty(count, dtype=np.intp)
        for leaf, rows in self._rows(columns, count):
            result[rows] = leaf
        return result

    def times_of(self, columns: Mapping[str, np.ndarray], count: int) -> np.ndarray:
        """As :meth:`predict`, from columns by name, ``(count,)`` or ``(1,)`` each; of :attr:`used` at least."""
        result = np.empty(count)
        for at, rows in self._rows(columns, count):
            leaf = self.leaves[at].leaf
            time: float | np.ndarray = leaf.intercept
            for name, weight in leaf.weights.items():
                column = columns[name]
                time = time + weight * (column if len(column) == 1 else column[rows])
            result[rows] = time
        return result

    @cached_property
    def intervals(self) -> np.ndarray | None:
        """``(leaves, 2)``: low and high of each leaf; None when one has none."""
        ends = [(rule.leaf.low, rule.leaf.high) for rule in self.leaves]
        if any(low is None or high is None for low, high in ends):
            return None
        return np.array(ends, float)

    @cached_property
    def used(self) -> list[str]:
        """The columns that conditions test or leaves weigh, in the order of :attr:`features`."""
        tested = {condition.feature for rule in self.leaves for condition, _ in rule.path}
        weighed = {name for rule in self.leaves for name in rule.leaf.weights}
        return [name for name in self.features if name in tested | weighed]

    def _rows(
        self, columns: Mapping[str, np.ndarray], count: int
    ) -> Iterator[tuple[int, np.ndarray | slice]]:
        """Each leaf that has rows, with them."""
        everything = slice(None)
        waiting: list[tuple[Split | Leaf, np.ndarray | slice]] = [(self.root, everything)]
        found = 0
        while waiting:
            node, rows = waiting.pop()
            if isinstance(node, Leaf):
                if isinstance(rows, slice) or len(rows):
                    yield found, rows
                found += 1
                continue
            column = columns[node.condition.feature]
            nothing = np.empty(0, dtype=np.intp)
            if len(column) == 1:
                holds = bool(node.condition.holds(column)[0])
                waiting += [(node.no, nothing if holds else rows), (node.yes, rows if holds else nothing)]
                continue
            holding = node.condition.holds(column[rows])
            if isinstance(rows, slice):
                rows = np.arange(count)
            waiting += [(node.no, rows[~holding]), (node.yes, rows[holding])]

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Time of each row, ``(n,)``, in the unit of the weights (ms in a profile).

        Args:
            X: ``(n, len(features))``, columns as in :attr:`features`.

        >>> fast, slow = (Leaf(0.1, {"flops": w}, samples=9, mape=0.01) for w in (1e-6, 2e-6))
        >>> split = Split(Condition("channels", "multiple", 4), yes=fast, no=slow)
        >>> tree = Tree(features=["channels", "flops"], linear=["flops"], root=split)
        >>> tree.predict(np.array([[8, 1e6], [9, 1e6]]))
        array([1.1, 2.1])
        """
        return self.times_of(self._columns(X), len(X))

    def validate(self, place: str = "$") -> None:
        """Check that the parts agree, as a file written by hand or damaged may not.

        Args:
            place: where this tree stands in its file, in JSON-path style.

        Raises:
            ValueError: names the first wrong place, what was expected there and what was received.
        """
        for field, names in (("features", self.features), ("linear", self.linear)):
            for i, name in enumerate(names):
                if name in names[:i]:
                    raise ValueError(f"{place}.{field}[{i}]: {name!r} stands there twice.")
        for i, name in enumerate(self.linear):
            if name not in self.features:
                known = ", ".join(self.features)
                raise ValueError(f"{place}.linear[{i}]: expected one of features ({known}), got {name!r}.")
        waiting: list[tuple[Split | Leaf, str]] = [(self.root, f"{place}.root")]
        while waiting:
            node, here = waiting.pop()
            if isinstance(node, Leaf):
                self._validate_leaf(node, here)
                continue
            condition, spot = node.condition, f"{here}.condition"
            if condition.feature not in self.features:
                known = ", ".join(self.features)
                raise ValueError(
                    f"{spot}.feature: expected one of features ({known}), got {condition.feature!r}."
                )
            if not np.isfinite(condition.value):
                raise ValueError(f"{spot}.value: expected a finite number, got {condition.value}.")
            if condition.test == "multiple" and condition.value < 1:
                raise ValueError(f"{spot}.value: expected a divisor of at least 1, got {condition.value}.")
            waiting += [(node.no, f"{here}.no"), (node.yes, f"{here}.yes")]

    def _validate_leaf(self, leaf: Leaf, place: str) -> None:
        for name in leaf.weights:
            if name not in self.linear:
                known = ", ".join(self.linear)
                raise ValueError(f"{place}.weights.{name}: expected one of linear ({known}), got {name!r}.")
        numbers = {
            "intercept": leaf.intercept,
            "samples": leaf.samples,
            "mape": leaf.mape,
            **{f"weights.{name}": weight for name, weight in leaf.weights.items()},
            **{end: number for end in ("low", "high") if (number := getattr(leaf, end)) is not None},
        }
        if (leaf.low is None) != (leaf.high is None) or (leaf.low or 0.0) > (leaf.high or 0.0):
            raise ValueError(f"{place}.low: expected at most high, got {leaf.low} and {leaf.high}.")
        for spot, number in numbers.items():
            if not (np.isfinite(number) and number >= 0):
                raise ValueError(f"{place}.{spot}: expected a finite number of at least 0, got {number}.")

    def _columns(self, X: np.ndarray) -> dict[str, np.ndarray]:
        X = np.asarray(X, dtype=float)
        if X.ndim != 2 or X.shape[1] != len(self.features):
            raise ValueError(
                f"X must have shape (n, {len(self.features)}) with columns {', '.join(self.features)}; "
                f"got shape {X.shape}."
            )
        return {name: X[:, i] for i, name in enumerate(self.features)}


def _walk(node: Split | Leaf, path: tuple[tuple[Condition, bool], ...]) -> Iterator[LeafRule]:
    if isinstance(node, Leaf):
        yield LeafRule(path, node)
    else:
        yield from _walk(node.yes, (*path, (node.condition, True)))
        yield from _walk(node.no, (*path, (node.condition, False)))


def renamed(tree: Tree, names: Mapping[str, str]) -> Tree:
    """The same tree over columns of other names; names that are not in ``names`` stay.

    >>> tree = Tree(features=["x0"], linear=["x0"], root=Leaf(1.0, {"x0": 2.0}, samples=3, mape=0.0))
    >>> renamed(tree, {"x0": "flops"}).root.weights
    {'flops': 2.0}
    """

    def node(old: Split | Leaf) -> Split | Leaf:
        if isinstance(old, Leaf):
            weights = {names.get(name, name): w for name, w in old.weights.items()}
            return msgspec.structs.replace(old, weights=weights)
        feature = old.condition.feature
        condition = msgspec.structs.replace(old.condition, feature=names.get(feature, feature))
        return Split(condition, yes=node(old.yes), no=node(old.no))

    return Tree(
        features=[names.get(name, name) for name in tree.features],
        linear=[names.get(name, name) for name in tree.linear],
        root=node(tree.root),
    )
