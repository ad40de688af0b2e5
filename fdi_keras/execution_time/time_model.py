"""The time model of one operator kind: what a profile holds, and how it is learned.

A :class:`TimeModel` is plain data and predicts with numpy alone. Its error is always one
measured on configurations that had no part in the fit, the choice of the number of
leaves included.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
import numpy as np

from fdi_keras.errors import CampaignError, UsageError
from fdi_keras.execution_time.alike import KindRows, Loan, with_loan
from fdi_keras.execution_time.folds import configuration_folds, configuration_groups
from fdi_keras.execution_time.forms import DEFAULT_FORM, FORMS, Form, get_form, multiple_columns
from fdi_keras.execution_time.intervals import with_intervals
from fdi_keras.execution_time.rules import rule_text
from fdi_keras.execution_time.tree import Tree, renamed
from fdi_keras.execution_time.weight_fetch import WeightFetch
from fdi_keras.loading import load
from fdi_keras.operators.kinds import KINDS, Kind, get_kind

#: Called with the number of fits done and their total.
Progress = Callable[[int, int], None]

#: Fewest configurations that a model is learned from (our choice).
FEWEST = 3

#: Fewest measurements in a leaf, and for how many the fit around it counts (our choice). With the
#: latter a leaf may have fewer measurements than its formula has numbers.
FEWEST_IN_LEAF = 4
PULL = 4.0

#: Folds by which the number of leaves is chosen (our choice: more cost time and find the same).
FOLDS_WITHIN = 3

#: Most leaves of a tree (our choice).
MOST_LEAVES = 72


class HeldOutError(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far predictions are off for configurations that the model has not seen.

    Attributes:
        mape: mean absolute percentage error, as a fraction (0.054 is 5.4 %).
        within_5: share of measurements predicted within 5 %.
        within_10: share within 10 %.
        folds: parts that were held out in turn.
        measurements: how many times the model was learned from.
        tested: how many of them the error is of, the others being chosen for being hard; None for all.
    """

    mape: float
    within_5: float
    within_10: float
    folds: int
    measurements: int
    tested: int | None = None


class TimeModel(msgspec.Struct, forbid_unknown_fields=True):
    """The execution time of one kind of operator on one device and runtime.

    Attributes:
        kind: name of the operator kind.
        form: name of the form of the leaves, see ``forms.py``.
        tree: the learned tree; times in ms.
        ranges: smallest and largest measured value by dimension.
        error: held-out error.
        borrowed: how many measurements of other kinds the tree rests on as well, by kind, see ``alike.py``.
    """

    kind: str
    form: str
    tree: Tree
    ranges: dict[str, tuple[float, float]]
    error: HeldOutError
    borrowed: dict[str, int] = {}

    def features(self, dims: Mapping[str, Any]) -> np.ndarray:
        """Feature matrix ``(n, len(tree.features))`` of n operators.

        Raises:
            UsageError: for a dimension that is missing or unknown.
        """
        return get_form(self.form).matrix(get_kind(self.kind), dims, self.tree.features)

    def predict_ms(self, dims: Mapping[str, Any]) -> np.ndarray:
        """Times in ms, ``(n,)``.

        Args:
            dims: number or array ``(n,)`` by dimension; those left out take the kind's defaults.

        Raises:
            UsageError: for a dimension that is missing or unknown.
        """
        return self.tree.times_of(*self._used(dims))

    def price(self, dims: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
        """Times in ms and leaves, ``(n,)`` each: :meth:`predict_ms` and :meth:`leaf_of` at once."""
        columns, count = self._used(dims)
        return self.tree.times_of(columns, count), self.tree.leaves_of(columns, count)

    def leaf_of(self, dims: Mapping[str, Any]) -> np.ndarray:
        """The leaf of each operator, ``(n,)``: positions in ``tree.leaves``."""
        return self.tree.leaves_of(*self._used(dims))

    def _used(self, dims: Mapping[str, Any]) -> tuple[dict[str, np.ndarray], int]:
        """The columns that the tree looks at, and the number of operators."""
        columns = get_form(self.form).compute(get_kind(self.kind), dims, self.tree.used)
        return columns, max((np.size(value) for value in dims.values()), default=1)

    def rule_of(self, dims: Mapping[str, Any]) -> str:
        """The rule, in words, by which one operator is priced."""
        return rule_text(self.tree, int(self.leaf_of(dims)[0])).text

    def interval_of(self, dims: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray] | None:
        """Between which multiples of the prediction 90 % of measurements are expected.

        Returns:
            Lower and upper factors ``(n,)``, such as 0.96 and 1.05; None when the model does not know.
        """
        ends = self.tree.intervals
        if ends is None:
            return None
        low, high = ends[self.leaf_of(dims)].T
        return low, high

    def out_of_range(self, dims: Mapping[str, int]) -> list[str]:
        """What of one operator lies outside the measured ranges, each as a text.

        The texts read "out_channels 900 outside 1..640"; none means that all is inside.
        """
        full = {**get_kind(self.kind).defaults, **dims}
        return [
            f"{name} {full[name]:g} outside {low:g}..{high:g}"
            for name, (low, high) in self.ranges.items()
            if name in full and not low <= full[name] <= high
        ]

    def validate(self, place: str = "$") -> None:
        """Check that the parts agree; for models read from a file.

        Raises:
            ValueError: names the first wrong place in JSON-path style.
        """
        if self.kind not in KINDS:
            raise ValueError(f"{place}.kind: expected one of {', '.join(KINDS)}, got {self.kind!r}.")
        if self.form not in FORMS:
            raise ValueError(f"{place}.form: expected one of {', '.join(FORMS)}, got {self.form!r}.")
        kind, form = KINDS[self.kind], FORMS[self.form]
        self.tree.validate(f"{place}.tree")
        for i, name in enumerate(self.tree.features):
            if name not in kind.features and not form.knows(kind, name):
                raise ValueError(
                    f"{place}.tree.features[{i}]: {self.kind} has no {name!r}; "
                    f"it has {', '.join(kind.features)}."
                )
        for name in kind.dimensions:
            if name not in self.ranges:
                raise ValueError(f"{place}.ranges: no range of {name!r}.")
        for name, (low, high) in self.ranges.items():
            if name not in kind.dimensions:
                raise ValueError(f"{place}.ranges.{name}: {self.kind} has no dimension {name!r}.")
            if not (np.isfinite([low, high]).all() and low <= high):
                raise ValueError(f"{place}.ranges.{name}: expected min <= max, got {low} and {high}.")
        for name, lent in self.borrowed.items():
            if name not in KINDS or lent < 1:
                raise ValueError(
                    f"{place}.borrowed.{name}: expected a kind and a number above 0, got {lent}."
                )
        for name in ("mape", "within_5", "within_10"):
            number = getattr(self.error, name)
            if not (np.isfinite(number) and number >= 0 and (name == "mape" or number <= 1)):
                raise ValueError(f"{place}.error.{name}: expected a fraction, got {number}.")


def fit_time_model(
    kind: str,
    dims: Mapping[str, np.ndarray],
    times_ms: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    reported: np.ndarray | None = None,
    loan: Loan | None = None,
    seed: int = 0,
    folds: int = 5,
    form: str = DEFAULT_FORM,
    fetch: WeightFetch | None = None,
    max_leaves: int = MOST_LEAVES,
    progress: Progress | None = None,
) -> TimeModel:
    """Learn the time model of one operator kind and measure its held-out error.

    Each fold of configurations is predicted by a tree that was fitted on the others, its
    number of leaves chosen by a second cross-validation inside them; then one tree is
    fitted on everything. Method of Yao et al. (SenSys 2018, section 4); the
    cross-validations are our choice.

    Args:
        kind: name of the operator kind.
        dims: column ``(n,)`` by dimension; dimensions left out take the kind's defaults.
        times_ms: ``(n,)`` measured times, positive.
        groups: ``(n,)`` labels of rows that must not be torn apart either. Rows of one
            configuration always share a fold.
        reported: ``(n,)`` bool: the rows that the error and the intervals are of. Others were chosen
            because they are hard, and say more than a usual one would; None for all.
        loan: measurements of other kinds to learn from as well; error, intervals and ranges are of the
            kind's own, and what is held out is held out of the loan too.
        seed: decides the folds; the same seed gives the same model.
        folds: parts held out in turn; fewer where there are fewer configurations.
        form: what leaves are linear in, see ``forms.py``.
        fetch: what fetching large weights costs; the tree then learns the times without it. The
            error is of both together.
        max_leaves: of the tree, at most.
        progress: called with (fits done, fits in all).

    Raises:
        CampaignError: fewer than three configurations, or times that are no times.
        UsageError: an unknown kind, form or dimension, or fewer than two folds.
    """
    columns, times = _checked(kind, dims, times_ms)
    together = configuration_groups(columns, groups)
    configurations = int(together.max()) + 1
    if configurations < FEWEST:
        raise CampaignError(
            f"{kind}: a time model needs measurements of at least {FEWEST} separate configurations; "
            f"there are {configurations}."
        )
    if folds < 2:
        raise UsageError(f"folds must be at least 2; got {folds}.")
    ranges = {name: (float(column.min()), float(column.max())) for name, column in columns.items()}
    own = np.ones(len(times), bool)
    usual = own if reported is None else np.asarray(reported, bool)
    if loan is not None:
        given = np.arange(len(times)) if groups is None else groups
        rows, own = with_loan(KindRows(columns, times, given), loan)
        columns, times, groups = dict(rows.dims), rows.times, rows.groups
        together = configuration_groups(columns, groups)
        usual = np.concatenate([usual, np.zeros((~own).sum(), bool)])
    fold = configuration_folds(columns, folds, seed, groups)
    parts = int(fold.max()) + 1

    def report(done: int, _: int) -> None:
        if progress is not None:
            progress(done, parts + 1)

    predicted = out_of_fold_predictions(
        kind,
        columns,
        times,
        fold,
        groups=together,
        seed=seed,
        form=form,
        fetch=fetch,
        max_leaves=max_leaves,
        progress=report,
    )
    cached = _without_fetch(kind, columns, times, fetch)
    tree = _fit_tree(kind, columns, cached, together, seed, form, max_leaves)
    leaf = tree.apply(get_form(form).matrix(get_kind(kind), columns, tree.features))
    error = held_out_error(times[usual], predicted[usual], parts)
    if error.measurements < own.sum():
        error = msgspec.structs.replace(error, measurements=int(own.sum()), tested=error.measurements)
    tree = with_intervals(tree, leaf[usual], (times / predicted)[usual])
    report(parts + 1, parts + 1)
    return TimeModel(
        kind=kind,
        form=form,
        tree=tree,
        ranges=ranges,
        error=error,
        borrowed={} if loan is None else loan.lenders,
    )


def out_of_fold_predictions(
    kind: str,
    dims: Mapping[str, np.ndarray],
    times_ms: np.ndarray,
    fold: np.ndarray,
    *,
    regressor: Any = None,
    groups: np.ndarray | None = None,
    seed: int = 0,
    form: str = DEFAULT_FORM,
    fetch: WeightFetch | None = None,
    max_leaves: int = MOST_LEAVES,
    progress: Progress | None = None,
) -> np.ndarray:
    """Times in ms, ``(n,)``, each predicted by a model that was fitted on the other folds.

    Args:
        kind, dims, times_ms, groups, seed, form, fetch, max_leaves: as in :func:`fit_time_model`.
        fold: ``(n,)`` fold of each row, see :func:`configuration_folds`.
        regressor: another scikit-learn regressor to compare with, cloned for every fold and
            fitted on the feature matrix of the kind; None for the tree.
        progress: called with (folds done, folds).

    Raises:
        CampaignError: times that are no times.
        UsageError: an unknown kind, form or dimension.
    """
    columns, times = _checked(kind, dims, times_ms)
    fold = np.asarray(fold)
    together = configuration_groups(columns, groups)
    predicted = np.empty(len(times))
    parts = np.unique(fold)
    for done, part in enumerate(parts, start=1):
        out = fold == part
        train = {name: column[~out] for name, column in columns.items()}
        test = {name: column[out] for name, column in columns.items()}
        if regressor is None:
            cached = _without_fetch(kind, train, times[~out], fetch)
            tree = _fit_tree(kind, train, cached, together[~out], seed, form, max_leaves)
            predicted[out] = tree.predict(get_form(form).matrix(get_kind(kind), test, tree.features))
            if fetch is not None:
                predicted[out] = fetch.probe_ms(kind, test, predicted[out])
        else:
            from sklearn.base import clone

            fitted = clone(regressor).fit(get_kind(kind).matrix(train), times[~out])
            predicted[out] = fitted.predict(get_kind(kind).matrix(test))
        if progress is not None:
            progress(done, len(parts))
    return predicted


def held_out_error(times_ms: np.ndarray, predicted_ms: np.ndarray, folds: int) -> HeldOutError:
    """Sums up out-of-fold predictions ``(n,)`` of measured times ``(n,)``.

    >>> held_out_error(np.array([1.0, 2.0]), np.array([1.0, 2.125]), folds=2)
    HeldOutError(mape=0.03125, within_5=0.5, within_10=1.0, folds=2, measurements=2, tested=None)
    """
    relative = np.abs(predicted_ms - times_ms) / times_ms
    return HeldOutError(
        mape=float(relative.mean()),
        within_5=float((relative <= 0.05).mean()),
        within_10=float((relative <= 0.10).mean()),
        folds=folds,
        measurements=len(times_ms),
    )


def _without_fetch(
    kind: str, dims: Mapping[str, np.ndarray], times: np.ndarray, fetch: WeightFetch | None
) -> np.ndarray:
    return times if fetch is None else fetch.cached_ms(kind, dims, times)


def _fit_tree(
    kind_name: str,
    dims: Mapping[str, np.ndarray],
    times: np.ndarray,
    groups: np.ndarray,
    seed: int,
    form_name: str,
    max_leaves: int,
) -> Tree:
    from threadpoolctl import threadpool_limits

    # Many small systems: threads of a linear algebra library would only wait for each other.
    with threadpool_limits(1, user_api="blas"):
        return _fitted(get_kind(kind_name), dims, times, groups, seed, get_form(form_name), max_leaves)


def _fitted(
    kind: Kind,
    dims: Mapping[str, np.ndarray],
    times: np.ndarray,
    groups: np.ndarray,
    seed: int,
    form: Form,
    max_leaves: int,
) -> Tree:
    regressor_class = load("fdi_keras.execution_time.regressor").ExecutionTimeRegressor
    linear = form.linear(kind, dims, times, groups)
    features = form.features(kind, linear)
    regressor = regressor_class(
        linear=[features.index(name) for name in linear],
        multiple_features=multiple_columns(kind, features),
        max_leaves=max_leaves,
        cv=FOLDS_WITHIN,
        pull=PULL,
        min_samples_leaf=FEWEST_IN_LEAF,
        random_state=seed,
    )
    regressor.fit(form.matrix(kind, dims, features), times, groups=groups)
    return renamed(regressor.tree_, dict(zip(regressor.tree_.features, features, strict=True)))


def _checked(
    kind_name: str, dims: Mapping[str, Any], times_ms: np.ndarray
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """All dimensions of the kind as columns ``(n,)``, in table order, and the times."""
    kind = get_kind(kind_name)
    times = np.asarray(times_ms, dtype=float)
    if times.ndim != 1:
        raise UsageError(f"times_ms must have shape (n,); got {times.shape}.")
    if len(times) == 0:
        raise CampaignError(f"{kind_name}: there is no measurement to learn from.")
    bad = ~(np.isfinite(times) & (times > 0))
    if bad.any():
        raise CampaignError(
            f"{kind_name}: {bad.sum()} of {len(times)} times are not positive numbers, the first is "
            f"{times[bad][0]}; a failed measurement is not a time."
        )
    for name, column in dims.items():
        if np.shape(column) not in ((), times.shape):
            raise UsageError(f"{name} must have shape {times.shape} as times_ms; got {np.shape(column)}.")
    known = get_form("paper").matrix(kind, {name: np.asarray(c) for name, c in dims.items()}, kind.dimensions)
    known = np.broadcast_to(known, (len(times), known.shape[1]))
    return {name: known[:, i].copy() for i, name in enumerate(kind.dimensions)}, times
