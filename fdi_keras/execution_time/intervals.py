"""How sure a prediction is: an interval for each leaf, from what was held out.

A leaf's interval is one of ratios, measured by predicted: 90 % of new measurements are
expected in it. It comes from the leaf's own held-out rows, each predicted by a model
that had not seen it, and, because a leaf may have few, from those of the whole kind as if
they were :data:`BORROWED` rows more. All of this is our choice.

Errors of operators that share a leaf are likely to have one cause, and those of separate leaves
separate ones. In a network's total the deviations of one leaf therefore add up, and those of
separate leaves add up in squares (:func:`combined`).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable

import msgspec
import numpy as np

from fdi_keras.execution_time.tree import Leaf, Split, Tree

#: Share of new measurements that an interval shall contain.
CONTENT = 0.9

#: How many rows the whole kind counts for in the interval of a leaf.
BORROWED = 20.0

#: Fewest held-out rows of a kind to say anything.
FEWEST = 10


def with_intervals(tree: Tree, leaf: np.ndarray, ratios: np.ndarray) -> Tree:
    """The tree with an interval in each leaf; as it is where there are too few rows.

    Args:
        tree: of the whole kind.
        leaf: ``(n,)`` the leaf each row falls into.
        ratios: ``(n,)`` measured by predicted time of each row, when it was held out.
    """
    if len(ratios) < FEWEST:
        return tree
    order = np.argsort(ratios, kind="stable")
    leaf, ratios = leaf[order], ratios[order]
    borrowed = np.full(len(ratios), BORROWED / len(ratios))
    found = iter([_interval(ratios, borrowed + (leaf == i)) for i in range(len(tree.leaves))])

    def node(old: Split | Leaf) -> Split | Leaf:
        if isinstance(old, Leaf):
            low, high = next(found)
            return msgspec.structs.replace(old, low=low, high=high)
        return Split(old.condition, yes=node(old.yes), no=node(old.no))

    return Tree(list(tree.features), list(tree.linear), node(tree.root))


def _interval(ratios: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Both ends, from ascending ratios and what each counts for; a prediction itself is always inside."""
    count = float(weight.sum())
    # One unseen row more, beyond either end: with few rows the extremes are not too rare.
    tail = (1 - CONTENT) / 2 * (count + 1) - 0.5
    reached = np.cumsum(weight) - weight / 2
    low = float(np.interp(tail, reached, ratios))
    high = float(np.interp(count - tail, reached, ratios))
    return min(low, 1.0), max(high, 1.0)


def combined(parts: Iterable[tuple[Hashable, float, float, float]]) -> tuple[float, float]:
    """How far a sum may lie below and above what is predicted, both positive.

    Args:
        parts: of each summand a label of its leaf, the prediction, and both ends of its interval.

    >>> combined([("a", 10.0, 9.0, 11.0), ("a", 10.0, 9.0, 11.0), ("b", 5.0, 3.5, 5.0)])
    (2.5, 2.0)
    """
    below: dict[Hashable, float] = {}
    above: dict[Hashable, float] = {}
    for label, predicted, low, high in parts:
        below[label] = below.get(label, 0.0) + predicted - low
        above[label] = above.get(label, 0.0) + high - predicted
    down, up = (float(np.sqrt(np.sum(np.square(list(side.values()))))) for side in (below, above))
    return down, up
