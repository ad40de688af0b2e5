"""Kinds that take as long lend each other measurements; others do not."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples

from fdi_keras.execution_time import KindRows, fit_time_model, loan_for
from fdi_keras.execution_time.alike import ENOUGH, FEWEST_SHARED, with_loan
from fdi_keras.operators import KINDS
from fdi_keras.profiling import design


def rows(kind, ms, count=40, seed=0):
    """Measurements of the first configurations of a design on a device without noise."""
    found = design([kind], count, seed)
    dims = {name: np.array([c.dims[name] for c in found], float) for name in KINDS[kind].dimensions}
    elements = KINDS[kind].explain(dims)[:, 0]
    groups = np.array([c.group for c in found], float)
    return KindRows(dims, ms(elements, dims), groups)


def caches(elements, dims=None):
    """A device that is slower where its caches end: too many corners to learn from few measurements."""
    return 1e-4 + 1e-7 * elements * np.where(elements > 50_000, 2.0, 1.0) * np.where(
        elements > 400_000, 1.6, 1.0
    )


def slow_large(elements, dims=None):
    return caches(elements) * (1 + elements / 1e5)


def measured(**speeds):
    return {kind: rows(kind, ms, seed=n) for n, (kind, ms) in enumerate(speeds.items())}


@examples(30)
@given(st.floats(0.1, 10.0), st.sampled_from([0, 1, 2]))
def test_what_is_lent_is_in_the_proportion_of_the_borrower(factor, seed):
    known = {
        "relu": rows("relu", caches, seed=seed),
        "abs": rows("abs", lambda e, d: factor * caches(e), seed=seed + 7),
    }
    loan = loan_for("relu", known)
    assert loan.lenders == {"abs": 40}
    np.testing.assert_allclose(loan.rows.times, known["abs"].times / factor)
    assert not set(loan.rows.groups) & set(known["relu"].groups)


def test_kinds_that_take_longer_elsewhere_lend_nothing():
    assert loan_for("relu", measured(relu=caches, gelu=slow_large)) is None


def test_kinds_of_another_formula_are_never_asked():
    known = {"relu": rows("relu", caches), "prelu": rows("prelu", caches)}
    assert loan_for("relu", known) is None


def test_too_few_common_configurations_show_nothing():
    known = measured(relu=caches, abs=caches)
    few = {
        name: part._replace(
            dims={d: c[: FEWEST_SHARED - 1] for d, c in part.dims.items()},
            times=part.times[: FEWEST_SHARED - 1],
            groups=part.groups[: FEWEST_SHARED - 1],
        )
        for name, part in known.items()
    }
    assert loan_for("relu", {**known, "abs": few["abs"]}) is None


def test_who_is_accurate_alone_borrows_only_from_the_very_alike():
    known = measured(relu=caches, abs=lambda e, d: caches(e) * np.where(e > 5000, 1.1, 1.0))
    assert loan_for("relu", known, lambda: 0.3) is not None
    assert loan_for("relu", known, lambda: 0.01) is None


def test_who_has_enough_borrows_nothing():
    known = {"relu": rows("relu", caches, count=ENOUGH), "abs": rows("abs", caches)}
    assert loan_for("relu", known, lambda: pytest.fail("asked for nothing")) is None


def test_fused_activations_stay_with_kinds_that_have_them():
    known = measured(maximum=caches, add=caches)
    loan = loan_for("maximum", known)
    assert set(loan.rows.dims) == set(KINDS["maximum"].dimensions)
    assert loan.lenders["add"] == int((known["add"].dims["activation"] == 0).sum()) < 40
    back = loan_for("add", known)
    assert (back.rows.dims["activation"] == 0).all()


def test_a_loan_lowers_the_error_and_the_model_says_what_it_rests_on():
    known = measured(relu=caches, abs=caches, neg=caches, square=caches, relu6=caches)
    alone = fit_time_model("relu", known["relu"].dims, known["relu"].times, groups=known["relu"].groups)
    loan = loan_for("relu", known)
    helped = fit_time_model(
        "relu", known["relu"].dims, known["relu"].times, groups=known["relu"].groups, loan=loan
    )
    assert helped.error.mape < 0.7 * alone.error.mape
    assert helped.error.measurements == 40
    assert helped.borrowed == loan.lenders
    assert helped.ranges == alone.ranges


def test_what_is_held_out_is_held_out_of_the_loan_too():
    """The same configurations, measured in another kind, would give the answer away."""

    def unpredictable(elements, dims):
        return np.exp(3 * np.sin(1e3 * elements + dims["height"]))

    known = {"relu": rows("relu", unpredictable, seed=3), "abs": rows("abs", unpredictable, seed=3)}
    loan = loan_for("relu", known)
    joined, own = with_loan(known["relu"], loan)
    assert own.sum() == 40
    assert len(joined.times) == 80
    model = fit_time_model(
        "relu", known["relu"].dims, known["relu"].times, groups=known["relu"].groups, loan=loan
    )
    assert model.error.mape > 0.3


def test_errors_are_of_the_rows_that_are_reported():
    known = rows("relu", caches, count=120)
    reported = np.arange(120) % 3 == 0
    model = fit_time_model("relu", known.dims, known.times, groups=known.groups, reported=reported)
    assert (model.error.measurements, model.error.tested) == (120, 40)
    whole = fit_time_model("relu", known.dims, known.times, groups=known.groups)
    assert whole.error.tested is None
    assert whole.error.mape != model.error.mape
