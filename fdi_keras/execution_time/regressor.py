"""The execution-time tree as a scikit-learn regressor.

Yao et al. (SenSys 2018, section 4): conditions (range and integer multiple) split the
configurations greedily; in each leaf time is a non-negative linear function of the
explanatory variables. Relative errors are fitted, and the number of leaves is chosen
by cross-validation; both are our choice, the paper's stop conditions could not be had.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, ClassVar

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options
from sklearn.utils.validation import (
    check_consistent_length,
    check_is_fitted,
    check_non_negative,
    validate_data,
)

from fdi_keras.execution_time.folds import distinct_rows, group_folds
from fdi_keras.execution_time.growth import Growth, as_tree, path_predictions
from fdi_keras.execution_time.tree import Tree

#: Divisors tried by default: small odd and even blocks, then the vector widths of processors.
MULTIPLES = (2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024)

#: A single row must not decide how many leaves there are: larger relative errors count as this one.
MOST_OFF = 0.5


class ExecutionTimeRegressor(RegressorMixin, BaseEstimator):
    """A tree of non-negative linear leaves, fitted on relative error.

    Parameters:
        linear: columns that leaves are linear in, as names (when ``X`` is a DataFrame) or
            indices; None means all.
        multiples: divisors tried in conditions ``x % m == 0``.
        multiple_features: columns on which they are tried, as names or indices; None means
            all. Columns that hold other than integers are left out.
        max_leaves: the largest tree considered.
        min_samples_leaf: fewest rows in a leaf. The default is twice the six numbers of
            a leaf over the five explanatory variables.
        cv: folds by which the number of leaves is chosen, 2 or more; 0 or None grows the
            tree to ``max_leaves`` or until no split lowers the error.
        robust_steps: how many times the fit of a leaf is reweighted from the mean squared
            towards the mean absolute relative error; 0 for plain least squares.
        pull: how many rows the fit of the node above counts for in a node's fit, so that a leaf of few
            rows departs from what holds around it only where its rows say so; 0 for none.
        random_state: seed or generator that deals configurations to folds.

    Attributes:
        tree_: the fitted :class:`~fdi_keras.execution_time.Tree`; its features are
            ``feature_names_in_``, or ``x0, x1, ...``.
        n_leaves_: leaves of the tree.
        path_errors_: ``(k,)`` mean absolute relative error, of each row 0.5 at most, on held-out rows
            by the trees of 1, 2, ..., k leaves; empty where nothing was held out.
        n_features_in_, feature_names_in_: as everywhere in scikit-learn.

    >>> rng = np.random.default_rng(0)
    >>> width = rng.integers(1, 200, 400)
    >>> time = np.where(width % 4 == 0, 1.0, 2.0) * width + 5.0
    >>> model = ExecutionTimeRegressor(random_state=0).fit(width[:, None], time)
    >>> model.tree_.root.condition
    Condition(feature='x0', test='multiple', value=4.0)
    >>> model.predict([[100], [101]]).round(3)
    array([105., 207.])
    """

    _parameter_constraints: ClassVar[dict[str, list[Any]]] = {
        "linear": ["array-like", None],
        "multiples": ["array-like"],
        "multiple_features": ["array-like", None],
        "max_leaves": [Interval(Integral, 1, None, closed="left")],
        "min_samples_leaf": [Interval(Integral, 1, None, closed="left")],
        "cv": [Interval(Integral, 2, None, closed="left"), Options(Integral, {0}), None],
        "robust_steps": [Interval(Integral, 0, None, closed="left")],
        "pull": [Interval(Real, 0, None, closed="left")],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        linear: Sequence[str] | Sequence[int] | None = None,
        multiples: Sequence[int] = MULTIPLES,
        multiple_features: Sequence[str] | Sequence[int] | None = None,
        max_leaves: int = 48,
        min_samples_leaf: int = 12,
        cv: int | None = 5,
        robust_steps: int = 5,
        pull: float = 0.0,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.linear = linear
        self.multiples = multiples
        self.multiple_features = multiple_features
        self.max_leaves = max_leaves
        self.min_samples_leaf = min_samples_leaf
        self.cv = cv
        self.robust_steps = robust_steps
        self.pull = pull
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: Any, y: Any, groups: Any = None) -> ExecutionTimeRegressor:
        """Learn the tree.

        Args:
            X: ``(n, f)`` features, non-negative.
            y: ``(n,)`` times, positive, in any unit.
            groups: ``(n,)`` labels; rows of one label are held out together. By default
                rows that are alike in ``X``: repeated measurements of one configuration.

        Returns:
            The regressor itself.

        Raises:
            ValueError: for negative ``X``, ``y`` that is not positive, unknown columns.
        """
        X, y = validate_data(self, X, y, dtype=np.float64, y_numeric=True)
        y = y.astype(np.float64)
        check_non_negative(X, "ExecutionTimeRegressor (input X)")
        if (y <= 0).any():
            raise ValueError(f"y must be positive times; the smallest value is {y.min():g}.")
        names = self._names()
        linear = self._columns(self.linear, names, "linear")
        multiples = self._divisors(names)
        if groups is None:
            groups = distinct_rows(X)
        check_consistent_length(X, groups)

        relative = np.column_stack([np.ones(len(X)), X[:, linear]]) / y[:, None]
        self.path_errors_ = self._path_errors(X, relative, multiples, np.asarray(groups))
        leaves = int(np.argmin(self.path_errors_)) + 1 if len(self.path_errors_) else self.max_leaves
        root, _ = self._growth(X, relative, multiples).grow(leaves)
        linear_names = [names[i] for i in linear]
        self.tree_ = Tree(
            features=names,
            linear=linear_names,
            root=as_tree(root, leaves, relative, names, linear_names),
        )
        self.n_leaves_ = len(self.tree_.leaves)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Times ``(n,)`` of ``X`` ``(n, f)``, in the unit of the ``y`` given to fit."""
        check_is_fitted(self)
        return self.tree_.predict(validate_data(self, X, dtype=np.float64, reset=False))

    def apply(self, X: Any) -> np.ndarray:
        """``(n,)``: the leaf of each row of ``X`` ``(n, f)``, a position in ``tree_.leaves``."""
        check_is_fitted(self)
        return self.tree_.apply(validate_data(self, X, dtype=np.float64, reset=False))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.target_tags.positive_only = True
        return tags

    def _path_errors(
        self,
        X: np.ndarray,
        relative: np.ndarray,
        multiples: dict[int, list[int]],
        groups: np.ndarray,
    ) -> np.ndarray:
        """Held-out mean absolute relative errors along the growth, fold for fold at once."""
        if not self.cv or self.max_leaves == 1 or len(X) < 2 * self.min_samples_leaf:
            return np.empty(0)
        fold = group_folds(groups, self.cv, check_random_state(self.random_state))
        if fold.max() == 0:
            return np.empty(0)
        total = np.zeros(self.max_leaves)
        longest = 1
        for k in range(fold.max() + 1):
            out = fold == k
            root, order = self._growth(X[~out], relative[~out], multiples).grow(self.max_leaves)
            errors = [
                np.minimum(np.abs(p - 1.0), MOST_OFF).sum()
                for p in path_predictions(root, order, X[out], relative[out])
            ]
            # A growth that ends early stays what it is when more leaves are allowed.
            total += np.pad(errors, (0, self.max_leaves - len(errors)), mode="edge")
            longest = max(longest, len(errors))
        return total[:longest] / len(X)

    def _growth(self, X: np.ndarray, relative: np.ndarray, multiples: dict[int, list[int]]) -> Growth:
        return Growth(X, relative, multiples, self.min_samples_leaf, self.robust_steps, self.pull)

    def _names(self) -> list[str]:
        if hasattr(self, "feature_names_in_"):
            return [str(name) for name in self.feature_names_in_]
        return [f"x{i}" for i in range(self.n_features_in_)]

    def _columns(
        self, chosen: Sequence[str] | Sequence[int] | None, names: list[str], what: str
    ) -> list[int]:
        if chosen is None:
            return list(range(len(names)))
        columns = []
        for column in chosen:
            if isinstance(column, str):
                if column not in names:
                    raise ValueError(f"{what} names a column {column!r}; X has {', '.join(names)}.")
                columns.append(names.index(column))
            elif isinstance(column, Integral) and 0 <= int(column) < len(names):
                columns.append(int(column))
            else:
                raise ValueError(f"{what} must hold names or indices 0..{len(names) - 1}; got {column!r}.")
        if len(set(columns)) < len(columns):
            raise ValueError(f"{what} names a column twice: {', '.join(names[c] for c in columns)}.")
        return columns

    def _divisors(self, names: list[str]) -> dict[int, list[int]]:
        divisors: list[int] = []
        for m in self.multiples:
            if not isinstance(m, Integral) or int(m) < 2:
                raise ValueError(f"multiples must be integers of at least 2; got {m!r}.")
            divisors.append(int(m))
        columns = self._columns(self.multiple_features, names, "multiple_features")
        return dict.fromkeys(columns, divisors) if divisors else {}
