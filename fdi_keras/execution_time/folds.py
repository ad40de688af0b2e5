"""Dealing rows to folds so that one configuration is never on both sides.

A configuration that was timed twice and split by row would be predicted from itself.
numpy alone, so that any benchmark can use the same folds.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


def distinct_rows(X: np.ndarray) -> np.ndarray:
    """``(n,)``: a number for each distinct row of ``X`` ``(n, f)``.

    >>> distinct_rows(np.array([[1, 2], [0, 2], [1, 2]])).tolist()
    [1, 0, 1]
    """
    return np.unique(X, axis=0, return_inverse=True)[1].reshape(-1)


def group_folds(
    groups: np.ndarray, folds: int, rng: np.random.Generator | np.random.RandomState
) -> np.ndarray:
    """``(n,)`` fold of each row, ``0..folds-1``; rows of one group share a fold.

    Groups are shuffled and dealt one by one, so that folds hold equally many groups.
    There are no more folds than groups.
    """
    label = np.unique(groups, return_inverse=True)[1].reshape(-1)
    count = int(label.max()) + 1
    dealt = np.arange(count) % min(folds, count)
    return rng.permutation(dealt)[label]


def configuration_groups(dims: Mapping[str, np.ndarray], groups: np.ndarray | None = None) -> np.ndarray:
    """``(n,)`` labels: rows of one configuration share one, and so do rows of one of ``groups``.

    >>> configuration_groups({"channels": np.array([8, 8, 9, 7])}, np.array([0, 1, 1, 2])).tolist()
    [1, 1, 1, 0]
    """
    table = np.column_stack([np.asarray(dims[name], float) for name in sorted(dims)])
    label = distinct_rows(table)
    if groups is None:
        return label
    given = np.unique(groups, return_inverse=True)[1].reshape(-1)
    while True:
        # Each pass spreads the lowest label through a group, then through a configuration.
        merged = _lowest(_lowest(label, given), label)
        if np.array_equal(merged, label):
            return np.unique(label, return_inverse=True)[1].reshape(-1)
        label = merged


def _lowest(label: np.ndarray, within: np.ndarray) -> np.ndarray:
    lowest = np.full(int(within.max()) + 1, len(label))
    np.minimum.at(lowest, within, label)
    return lowest[within]


def configuration_folds(
    dims: Mapping[str, np.ndarray], folds: int, seed: int = 0, groups: np.ndarray | None = None
) -> np.ndarray:
    """Folds by configuration: the ones by which :func:`fit_time_model` measures its error.

    Args:
        dims: columns ``(n,)`` by dimension.
        folds: at least 2; fewer are used when there are fewer configurations.
        seed: decides who shares a fold.
        groups: ``(n,)`` labels of rows that must share a fold as well.

    Returns:
        ``(n,)`` fold of each row, ``0..folds-1``.

    >>> fold = configuration_folds({"channels": np.array([8, 8, 9, 9])}, folds=2)
    >>> fold[0] == fold[1], fold[2] == fold[3], fold[0] == fold[2]
    (np.True_, np.True_, np.False_)
    """
    return group_folds(configuration_groups(dims, groups), folds, np.random.default_rng(seed))
