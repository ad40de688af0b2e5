import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import nnls
from searching import examples
from sklearn.utils.estimator_checks import parametrize_with_checks

from fdi_keras.execution_time import ExecutionTimeRegressor
from fdi_keras.execution_time.growth import roundest
from fdi_keras.execution_time.nonnegative import fit_leaf, losses, solve_many
from fdi_keras.execution_time.tree import Split


@parametrize_with_checks([ExecutionTimeRegressor()])
def test_scikit_learn_conventions(estimator, check):
    """Each check fails by itself; and what is asked to learn from other data learns in its clones."""
    check(estimator)
    assert estimator.get_params() == ExecutionTimeRegressor().get_params()


def device(n, seed, noise=0.01):
    """Columns width, depth, flops of n operators and the time of a device with dips and a step."""
    rng = np.random.default_rng(seed)
    width, depth = rng.integers(1, 200, n), rng.integers(1, 30, n)
    flops = 1000.0 * width * depth
    time = 0.5 + flops * np.where(width % 4 == 0, 1.0, 1.5) * 1e-4 + np.where(depth > 16, 3.0, 0.0)
    return np.column_stack([width, depth, flops]).astype(float), time * rng.normal(1, noise, n)


def conditions(node):
    if isinstance(node, Split):
        yield node.condition
        yield from conditions(node.yes)
        yield from conditions(node.no)


def test_dips_and_steps_are_found():
    X, y = device(800, 0)
    model = ExecutionTimeRegressor(linear=[2], random_state=0).fit(X, y)
    found = [(c.feature, c.test, c.value) for c in conditions(model.tree_.root)]
    assert ("x0", "multiple", 4.0) in found
    assert ("x1", "above", 16.5) in found
    X, y = device(400, 1)
    assert np.mean(np.abs(model.predict(X) / y - 1)) < 0.015


@examples(15)
@given(st.integers(0, 1000), st.integers(-20, 20))
def test_the_unit_of_time_does_not_matter(seed, exponent):
    X, y = device(150, seed)
    model = ExecutionTimeRegressor(random_state=0, cv=3)
    scale = 2.0**exponent
    np.testing.assert_allclose(
        model.fit(X, y * scale).predict(X), scale * model.fit(X, y).predict(X), rtol=1e-9
    )


@examples(15)
@given(st.integers(0, 1000), st.integers(1, 40))
def test_predictions_are_positive_and_trees_valid(seed, min_samples):
    rng = np.random.default_rng(seed)
    X = rng.integers(0, 50, (120, 3)).astype(float)
    y = np.exp(rng.normal(0, 2, 120))
    model = ExecutionTimeRegressor(random_state=seed, cv=3, min_samples_leaf=min_samples).fit(X, y)
    model.tree_.validate()
    assert (model.predict(X + 1) > 0).all()
    assert (model.predict(X) >= 0).all()
    counts = np.bincount(model.apply(X), minlength=model.n_leaves_)
    assert counts.min() >= min_samples
    assert counts.tolist() == [rule.leaf.samples for rule in model.tree_.leaves]


def test_one_seed_gives_one_model():
    X, y = device(200, 3)
    first, second = (ExecutionTimeRegressor(random_state=7).fit(X, y) for _ in range(2))
    assert first.tree_ == second.tree_
    np.testing.assert_array_equal(first.path_errors_, second.path_errors_)


def test_complexity_is_chosen_by_held_out_error():
    X, y = device(300, 5)
    model = ExecutionTimeRegressor(random_state=0).fit(X, y)
    assert model.path_errors_[model.n_leaves_ - 1] == model.path_errors_.min()
    noise = np.random.default_rng(0).lognormal(0, 0.5, 300)
    assert ExecutionTimeRegressor(random_state=0).fit(X, noise).n_leaves_ <= 5


def test_without_cross_validation_the_tree_grows_to_its_limit():
    X, y = device(300, 5, noise=0.1)
    for cv in (0, None):
        model = ExecutionTimeRegressor(max_leaves=7, cv=cv).fit(X, y)
        assert model.n_leaves_ == 7
        assert model.path_errors_.shape == (0,)


def test_repeated_rows_are_held_out_together():
    # Forty configurations, each timed ten times; their times follow nothing that can be learned.
    rng = np.random.default_rng(0)
    X, y = np.arange(40.0)[:, None], rng.lognormal(0, 1, 40)
    rows = np.repeat(np.arange(40), 10)
    parameters = {"random_state": 0, "linear": [], "multiples": [], "min_samples_leaf": 5}
    together = ExecutionTimeRegressor(**parameters).fit(X[rows], y[rows])
    by_row = ExecutionTimeRegressor(**parameters).fit(X[rows], y[rows], groups=np.arange(400))
    assert by_row.path_errors_.min() < 0.3 * together.path_errors_.min()


def test_columns_may_be_chosen():
    X, y = device(300, 2)
    model = ExecutionTimeRegressor(linear=[2], multiple_features=[1], random_state=0).fit(X, y)
    assert model.tree_.linear == ["x2"]
    assert all(c.feature == "x1" for c in conditions(model.tree_.root) if c.test == "multiple")
    model = ExecutionTimeRegressor(multiples=[], random_state=0).fit(X, y)
    assert all(c.test == "above" for c in conditions(model.tree_.root))


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"linear": ["flops"]}, "linear names a column 'flops'; X has x0, x1, x2"),
        ({"linear": [3]}, r"linear must hold names or indices 0\.\.2; got 3"),
        ({"linear": [1, "x1"]}, "linear names a column twice: x1, x1"),
        ({"multiples": [1]}, "multiples must be integers of at least 2; got 1"),
        ({"multiple_features": [0.5]}, "multiple_features must hold names or indices"),
        ({"cv": 1}, "'cv' parameter"),
    ],
)
def test_wrong_parameters_are_named(parameters, text):
    X, y = device(40, 0)
    with pytest.raises(ValueError, match=text):
        ExecutionTimeRegressor(**parameters).fit(X, y)


@pytest.mark.parametrize("worst", [0.0, -1.0])
def test_a_time_is_positive(worst):
    X, y = device(40, 0)
    y[3] = worst
    with pytest.raises(ValueError, match=f"y must be positive times; the smallest value is {worst:g}"):
        ExecutionTimeRegressor().fit(X, y)


@examples(60)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_many_small_fits_equal_the_exact_ones(seed, p):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(9, 12, p)) ** rng.integers(1, 3)
    A[0, :, 0] = 0.0
    if p > 1:
        A[1, :, 1] = A[1, :, 0]
    b = rng.normal(size=(9, 12))
    gram, target = np.swapaxes(A, 1, 2) @ A, np.einsum("cnp,cn->cp", A, b)
    weights = solve_many(gram, target, rng.random(p) < 0.5)
    assert (weights >= 0).all()
    exact = [nnls(a, t)[1] ** 2 for a, t in zip(A, b, strict=True)]
    np.testing.assert_allclose(losses(gram, target, (b**2).sum(axis=1), weights), exact, rtol=1e-6, atol=1e-6)


def test_the_robust_fit_ignores_an_outlier():
    x = np.linspace(1, 9, 60)
    y = 2.0 * x
    y[7] = 200.0
    A = np.column_stack([np.ones(60), x]) / y[:, None]
    A[7] /= 0.001
    assert abs(fit_leaf(A, 20)[1] - 2.0) < abs(fit_leaf(A)[1] - 2.0)
    assert fit_leaf(A, 20)[1] == pytest.approx(2.0, rel=0.05)


@given(st.integers(0, 5000), st.integers(1, 5000))
def test_roundest_by_search(low, gap):
    low_f, high_f = np.array([float(low)]), np.array([float(low + gap)])
    found = int(roundest(low_f, high_f)[0])
    if low == 0:
        assert found == 0
    else:
        assert low <= found < low + gap
        assert found & -found == max(t & -t for t in range(low, low + gap))


@pytest.mark.parametrize("scale", [1.0, np.pi])
def test_the_exact_cut_is_found_among_many(scale):
    # 3000 thresholds: only some are tried at first, the best one's neighbours afterwards.
    x = np.arange(1.0, 3001.0) * scale
    y = np.where(x > 1237 * scale, 2.0, 1.0)
    tree = ExecutionTimeRegressor(linear=[], multiples=[], cv=0, max_leaves=2).fit(x[:, None], y).tree_
    assert 1237 * scale <= tree.root.condition.value < 1238 * scale
    assert [rule.leaf.intercept for rule in tree.leaves] == pytest.approx([2.0, 1.0])
