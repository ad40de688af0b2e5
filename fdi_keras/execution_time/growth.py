"""Growing the tree: which condition splits a leaf best, and in what order leaves are split.

Algorithm 1 of Yao et al. (SenSys 2018) splits greedily and recursively to lower the
fitting error. Its stop conditions could not be had. Ours: the leaf whose split lowers
the error most is split first, so that one growth passes through the trees of 1, 2, 3,
... leaves, and cross-validation says at which of them to stop.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np

from fdi_keras.execution_time.nonnegative import fit_leaf, losses, solve_many
from fdi_keras.execution_time.tree import Condition, Leaf, Split

#: Thresholds tried a feature and node before the neighbourhood of the best is searched in full.
COARSE = 64
#: Largest share of the predicted time below which a variable is left out of a leaf.
NEGLIGIBLE = 1e-3
#: Splits whose errors differ by less than this share are alike; the first feature wins.
_ALIKE = 1e-9

#: Column of the feature matrix, kind of test, threshold or divisor.
Test = tuple[int, Literal["above", "multiple"], float]


@dataclass
class Node:
    """A node of the growing tree: the rows in it, its fit, and its split once there is one.

    ``squares`` are the weights of the least squares fit, ``weights`` those of the robust one.
    """

    rows: np.ndarray
    weights: np.ndarray
    squares: np.ndarray
    loss: float
    condition: Test | None = None
    yes: Node | None = None
    no: Node | None = None
    step: int = -1

    def divided(self) -> tuple[Test, Node, Node]:
        """The condition and both parts of a node that was split."""
        if self.condition is None or self.yes is None or self.no is None:
            raise RuntimeError("this node was not split")
        return self.condition, self.yes, self.no


@dataclass
class _Candidates:
    """Conditions under trial, with the sums over the rows for which each holds."""

    conditions: list[Test] = field(default_factory=list)
    sums: list[np.ndarray] = field(default_factory=list)
    counts: list[np.ndarray] = field(default_factory=list)

    def add(self, conditions: Sequence[Test], sums: np.ndarray, counts: np.ndarray) -> None:
        self.conditions.extend(conditions)
        self.sums.append(sums)
        self.counts.append(counts)


class _Cuts(NamedTuple):
    """Where one feature of a node may be cut in two.

    Attributes:
        order: ``(n,)`` rows of the node, sorted by the feature.
        places: ``(k,)`` how many of the sorted rows come before each cut.
        thresholds: ``(k,)`` value above which the rows after the cut lie.
    """

    order: np.ndarray
    places: np.ndarray
    thresholds: np.ndarray


class Growth:
    """One growth on fixed rows.

    Args:
        X: ``(n, f)`` features.
        A: ``(n, p)`` rows ``(1, linear columns) / y``.
        multiples: divisors tried, by column of ``X``.
        min_samples: fewest rows in a leaf.
        robust_steps: see :func:`fit_leaf`.
        pull: how many rows the fit of the node above counts for in the fit of a node: as if so many
            of the upper node's rows were there again, with the times that it predicts.
    """

    def __init__(
        self,
        X: np.ndarray,
        A: np.ndarray,
        multiples: Mapping[int, Sequence[int]],
        min_samples: int,
        robust_steps: int,
        pull: float = 0.0,
    ) -> None:
        self.X, self.A = X, A
        self.pull = pull
        self.min_samples = min_samples
        self.robust_steps = robust_steps
        self.integral = (np.rint(X) == X).all(axis=0) & (np.abs(X) < 2**53).all(axis=0)
        self._upper = np.triu_indices(A.shape[1])
        # Everything that a fit needs is a sum of these over rows.
        self._terms = np.column_stack([A[:, self._upper[0]] * A[:, self._upper[1]], A])
        self._multiples: list[Test] = [
            (column, "multiple", float(m))
            for column, divisors in sorted(multiples.items())
            if self.integral[column]
            for m in divisors
        ]
        columns = [column for column, _, _ in self._multiples]
        divisors = np.array([m for _, _, m in self._multiples])
        self._divides = X[:, columns] % divisors == 0

    def grow(self, max_leaves: int) -> tuple[Node, list[Node]]:
        """The root, and its split nodes in the order in which they were split."""
        root = self._node(np.arange(len(self.X)))
        order: list[Node] = []
        queue: list[tuple[float, int, Node, Test]] = []
        made = 0

        def offer(node: Node) -> None:
            nonlocal made
            found = self._best_split(node)
            if found is not None:
                made += 1
                heapq.heappush(queue, (-found[0], made, node, found[1]))

        if max_leaves > 1:
            offer(root)
        while queue and len(order) + 1 < max_leaves:
            _, _, node, condition = heapq.heappop(queue)
            holds = _holds(condition, self.X[node.rows])
            node.condition, node.step = condition, len(order)
            node.yes, node.no = self._node(node.rows[holds], node), self._node(node.rows[~holds], node)
            order.append(node)
            if len(order) + 1 < max_leaves:
                offer(node.yes)
                offer(node.no)
        return root, order

    def _node(self, rows: np.ndarray, above: Node | None = None) -> Node:
        A = self.A[rows]
        root = None if above is None else self._pull_root(above)
        squares = weights = fit_leaf(
            A, prior=None if above is None or root is None else (root, above.squares)
        )
        loss = float(np.sum((A @ squares - 1.0) ** 2))
        if self.robust_steps:
            prior = None if above is None or root is None else (root, above.weights)
            weights = fit_leaf(A, self.robust_steps, prior)
        return Node(rows, weights, squares, loss)

    def _pull_root(self, above: Node) -> np.ndarray | None:
        """``(p, p)`` rows with the same sums of products as ``pull`` average rows of a node."""
        if not self.pull:
            return None
        A = self.A[above.rows]
        triangle = np.asarray(np.linalg.qr(A, mode="r"))
        return triangle * np.sqrt(self.pull / len(A))

    def _best_split(self, node: Node) -> tuple[float, Test] | None:
        """The error saved by the best condition, and that condition."""
        n = len(node.rows)
        if n < 2 * self.min_samples or node.loss <= 1e-12 * n:
            return None
        terms = self._terms[node.rows]
        total = terms.sum(axis=0)
        tried = _Candidates()
        cuts: dict[int, _Cuts] = {}
        for column in range(self.X.shape[1]):
            x = self.X[node.rows, column]
            if x.min() == x.max():
                continue
            cut = self._cuts(x, column)
            if len(cut.places) == 0:
                continue
            cuts[column] = cut
            chosen = _coarse(cut.thresholds, bool(self.integral[column]))
            self._try_above(tried, column, cut, chosen, terms)
        if self._multiples:
            divides = self._divides[node.rows]
            counts = divides.sum(axis=0)
            good = np.flatnonzero((counts >= self.min_samples) & (n - counts >= self.min_samples))
            if len(good):
                sums = divides[:, good].T.astype(float) @ terms
                tried.add([self._multiples[i] for i in good], sums, counts[good])
        if not tried.conditions:
            return None
        best, condition = _first_best(self._errors(tried, total, node), tried.conditions)
        if condition[1] == "above" and len(cuts[condition[0]].places) > COARSE:
            refined = self._near(condition, cuts[condition[0]], terms)
            finer, finer_condition = _first_best(self._errors(refined, total, node), refined.conditions)
            if finer < best * (1 - _ALIKE):
                best, condition = finer, finer_condition
        gain = node.loss - best
        return (gain, condition) if gain > _ALIKE * n else None

    def _cuts(self, x: np.ndarray, column: int) -> _Cuts:
        order = np.argsort(x, kind="stable")
        x = x[order]
        places = np.flatnonzero(x[1:] > x[:-1]) + 1
        places = places[(places >= self.min_samples) & (len(x) - places >= self.min_samples)]
        low, high = x[places - 1], x[places]
        if self.integral[column]:
            # Half a unit above, so that a width a rounding error above 64 is not above 64.
            return _Cuts(order, places, roundest(low, high) + 0.5)
        middle = low + (high - low) / 2
        return _Cuts(order, places, np.where(middle < high, middle, low))

    def _near(self, condition: Test, cut: _Cuts, terms: np.ndarray) -> _Candidates:
        """All thresholds around one that was chosen from the coarse ones."""
        at = int(np.searchsorted(cut.thresholds, condition[2]))
        reach = len(cut.places) // COARSE + 1
        near = np.arange(max(0, at - reach), min(len(cut.places), at + reach + 1))
        refined = _Candidates()
        self._try_above(refined, condition[0], cut, near, terms)
        return refined

    def _try_above(
        self, tried: _Candidates, column: int, cut: _Cuts, chosen: np.ndarray, terms: np.ndarray
    ) -> None:
        ends = cut.places[chosen]
        starts = np.concatenate([[0], ends[:-1]])
        below = np.cumsum(np.add.reduceat(terms[cut.order[: ends[-1]]], starts, axis=0), axis=0)
        tried.add(
            [(column, "above", float(t)) for t in cut.thresholds[chosen]],
            terms.sum(axis=0) - below,
            len(terms) - ends,
        )

    def _errors(self, tried: _Candidates, total: np.ndarray, node: Node) -> np.ndarray:
        """Sum of squared relative errors of both sides, for each candidate."""
        n = len(node.rows)
        holds = np.concatenate(tried.sums)
        counts = np.concatenate(tried.counts)
        sums = np.concatenate([holds, total - holds])
        p = self.A.shape[1]
        gram = np.empty((len(sums), p, p))
        gram[:, self._upper[0], self._upper[1]] = sums[:, :-p]
        gram[:, self._upper[1], self._upper[0]] = sums[:, :-p]
        # A column that is zero on one side leaves a rounding residue after the subtraction.
        residue = np.einsum("cii->ci", gram) <= 1e-12 * total[:-p][self._upper[0] == self._upper[1]]
        target = np.where(residue, 0.0, sums[:, -p:])
        gram[residue[:, :, None] | residue[:, None, :]] = 0.0
        if self.pull:
            A = self.A[node.rows]
            above = A.T @ A * (self.pull / n)
            weights = solve_many(gram + above, target + above @ node.squares, node.weights > 0)
        else:
            weights = solve_many(gram, target, node.weights > 0)
        loss = losses(gram, target, np.concatenate([counts, n - counts]), weights)
        return loss[: len(counts)] + loss[len(counts) :]


def roundest(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The integer ``low <= t < high`` that is divisible by the highest power of two.

    Where between two measured widths a step lies cannot be seen. Libraries work in
    blocks of powers of two, so the guess is the last width that fills its blocks (our
    choice).

    >>> roundest(np.array([60.0, 65.0, 0.0]), np.array([70.0, 66.0, 5.0]))
    array([64., 65.,  0.])
    """
    first, last = np.asarray(low).astype(np.int64), np.asarray(high).astype(np.int64) - 1
    differ = (first - 1) ^ last
    for shift in (1, 2, 4, 8, 16, 32):
        differ = differ | (differ >> shift)
    # All bits below the highest in which (first - 1) and last differ are free to be zero.
    return np.where(first <= 0, first, last & ~(differ >> 1)).astype(float)


def path_predictions(
    root: Node, order: list[Node], X: np.ndarray, linear: np.ndarray
) -> Iterator[np.ndarray]:
    """Predictions for ``X`` by the trees of 1, 2, 3, ... leaves.

    ``linear`` ``(n, p)`` holds what the weights multiply: ``(1, x)`` for times, and the
    same divided by y for predictions relative to y. The array yielded is changed in place.
    """
    at = {id(root): np.arange(len(X))}
    prediction = linear @ root.weights
    yield prediction
    for node in order:
        rows = at.pop(id(node))
        condition, yes, no = node.divided()
        holds = _holds(condition, X[rows])
        for child, part in ((yes, rows[holds]), (no, rows[~holds])):
            at[id(child)] = part
            prediction[part] = linear[part] @ child.weights
        yield prediction


def as_tree(
    node: Node, leaves: int, A: np.ndarray, features: Sequence[str], linear: Sequence[str]
) -> Split | Leaf:
    """The node as plain data, cut back to the tree of so many leaves."""
    if node.condition is None or node.step >= leaves - 1:
        # A variable that never makes a thousandth of the time is rounding, not a finding.
        shares = (A[node.rows] * node.weights).max(axis=0)
        intercept, *weights = np.where(shares < NEGLIGIBLE, 0.0, node.weights).tolist()
        return Leaf(
            intercept=intercept,
            weights={name: w for name, w in zip(linear, weights, strict=True) if w > 0},
            samples=len(node.rows),
            mape=float(np.mean(np.abs(A[node.rows] @ node.weights - 1.0))),
        )
    (column, test, value), yes, no = node.divided()
    return Split(
        condition=Condition(feature=features[column], test=test, value=value),
        yes=as_tree(yes, leaves, A, features, linear),
        no=as_tree(no, leaves, A, features, linear),
    )


def _holds(condition: Test, X: np.ndarray) -> np.ndarray:
    column, test, value = condition
    return X[:, column] > value if test == "above" else X[:, column] % value == 0


def _coarse(thresholds: np.ndarray, integral: bool) -> np.ndarray:
    """Indices of at most COARSE thresholds, one a quantile: the roundest of each for integers."""
    if len(thresholds) <= COARSE:
        return np.arange(len(thresholds))
    parts = np.array_split(np.arange(len(thresholds)), COARSE)
    if not integral:
        return np.array([part[len(part) // 2] for part in parts])
    whole = (thresholds - 0.5).astype(np.int64)
    roundness = whole & -whole
    return np.array([part[np.argmax(roundness[part])] for part in parts])


def _first_best(errors: np.ndarray, conditions: list[Test]) -> tuple[float, Test]:
    """The lowest error; among equals the earliest, so that rounding does not decide."""
    low = float(errors.min())
    index = int(np.argmax(errors <= low * (1 + _ALIKE)))
    return float(errors[index]), conditions[index]
