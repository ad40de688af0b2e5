"""Measurements as they should not be: a clear error, or a model that says nothing absurd."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples

from fdi_keras.errors import CampaignError
from fdi_keras.execution_time import fit_time_model
from fdi_keras.operators import KINDS

DENSE = KINDS["dense"]


def table(rows, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "rows": np.ones(rows),
        "in_channels": rng.integers(1, 600, rows).astype(float),
        "out_channels": rng.integers(1, 600, rows).astype(float),
        "activation": rng.integers(0, 2, rows).astype(float),
    }


def simple(dims):
    return 1e-4 + 2e-8 * DENSE.explain(dims)[:, 0]


@given(st.sampled_from([0.0, -1.0, np.nan, np.inf, -np.inf]), st.integers(1, 40))
def test_what_is_no_time_is_named_with_its_number(bad, many):
    dims = table(40)
    times = simple(dims)
    times[:many] = bad
    with pytest.raises(CampaignError, match=f"dense: {many} of 40 times are not positive numbers"):
        fit_time_model("dense", dims, times)


@examples(20)
@given(st.integers(0, 9), st.floats(1.0, 3.0))
def test_duplicates_that_disagree_are_met_in_between(seed, apart):
    """One configuration timed five times, once of them slowly: no fold sees itself, and what is usual decides."""
    dims = {name: np.repeat(column, 5) for name, column in table(30, seed).items()}
    times = simple(dims)
    times[::5] *= apart
    model = fit_time_model("dense", dims, times, seed=seed)
    assert np.isfinite(model.error.mape)
    usual = model.predict_ms(dims) / simple(dims)
    assert 1 / (1.2 * apart) < usual.min() <= usual.max() < 1.2 * apart


@pytest.mark.parametrize("rows", [3, 4, 5, 7])
def test_a_handful_of_measurements_gives_one_rule(rows):
    dims = table(rows)
    model = fit_time_model("dense", dims, simple(dims))
    assert len(model.tree.leaves) == 1
    assert (model.predict_ms(dims) > 0).all()
    with pytest.raises(CampaignError, match="at least 3 separate configurations; there are 2"):
        fit_time_model("dense", {name: column[:2] for name, column in dims.items()}, simple(dims)[:2])


@examples(15)
@given(st.sets(st.sampled_from(["in_channels", "out_channels", "activation"]), min_size=1), st.integers(0, 5))
def test_features_that_never_vary_do_no_harm(constant, seed):
    dims = table(60, seed)
    for name in constant:
        dims[name] = np.full(60, dims[name][0])
    if not {"in_channels", "out_channels"} - constant:
        with pytest.raises(CampaignError, match="separate configurations"):
            fit_time_model("dense", dims, simple(dims))
        return
    model = fit_time_model("dense", dims, simple(dims), seed=seed)
    assert model.error.mape < 0.01
    tested = {condition.feature for rule in model.tree.leaves for condition, _ in rule.path}
    assert not tested & constant


@examples(10)
@given(st.integers(0, 9))
def test_times_over_six_orders_of_magnitude_count_alike(seed):
    rng = np.random.default_rng(seed)
    channels = np.exp(rng.uniform(0, np.log(3e6), 150)).round()
    dims = {"height": np.ones(150), "width": np.ones(150), "channels": channels}
    times = 3e-8 * channels
    assert times.max() / times.min() > 1e5
    model = fit_time_model("relu", dims, times, seed=seed)
    off = np.abs(model.predict_ms(dims) / times - 1)
    assert off[channels < 100].mean() < 0.02
    assert off[channels > 1e5].mean() < 0.02


@examples(15)
@given(st.integers(0, 99), st.integers(10, 80))
def test_pure_noise_gives_times_within_what_was_measured(seed, rows):
    rng = np.random.default_rng(seed)
    dims = table(rows, seed)
    times = np.exp(rng.uniform(np.log(1e-4), np.log(1.0), rows))
    model = fit_time_model("dense", dims, times, seed=seed)
    predicted = model.predict_ms(dims)
    assert np.isfinite(predicted).all()
    assert (predicted >= 0).all()
    assert predicted.max() <= 10 * times.max()
    assert model.error.mape > 0.2
