"""The cost of weights that leave the caches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples

from fdi_keras.execution_time import WeightFetch, fit_weight_fetch
from fdi_keras.execution_time.time_model import fit_time_model

TRUE = WeightFetch(cached_bytes=4e6, uncached_bytes=16e6, ms_per_byte=3e-8)
CACHED_RATE = 1.2e-8  # ms a byte

sizes = st.floats(1e3, 1e9)


def dense_probes(n, seed=0, rate=CACHED_RATE, fetch=TRUE, noise=0.03):
    rng = np.random.default_rng(seed)
    dims = {
        "rows": np.where(rng.random(n) < 0.9, 1.0, 32.0),
        "in_channels": np.exp(rng.uniform(np.log(128), np.log(4096), n)).round(),
        "out_channels": np.exp(rng.uniform(np.log(128), np.log(4096), n)).round(),
        "activation": np.zeros(n),
    }
    weights = 4 * (dims["in_channels"] + 1) * dims["out_channels"]
    times = rate * weights * dims["rows"] ** 0.8
    if fetch is not None:
        times = fetch.probe_ms(times, weights)
    return dims, times * np.exp(rng.normal(0, noise, n))


@given(sizes, sizes, st.floats(1e-4, 1e3))
def test_more_weights_in_the_network_never_make_an_operator_faster(small, large, cached_ms):
    small, large = sorted((small, large))
    assert 0 <= TRUE.share(small) <= TRUE.share(large) <= 1
    at_small, at_large = (
        float(TRUE.total_ms(cached_ms, 1e6, TRUE.share(network))) for network in (small, large)
    )
    assert cached_ms * (1 - 1e-12) <= at_small <= at_large


@given(st.floats(1e-3, 100), sizes)
def test_what_a_probe_takes_and_what_it_would_take_cached_are_inverse(cached_ms, weight_bytes):
    measured = TRUE.probe_ms(np.array([cached_ms]), np.array([weight_bytes]))
    back = TRUE.cached_ms(measured, np.array([weight_bytes]))
    # Unless next to nothing but fetching was measured.
    assert back[0] == pytest.approx(max(cached_ms, 0.3 * measured[0]), rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_cost_is_found_where_there_is_one(seed):
    found = fit_weight_fetch(*dense_probes(600, seed))
    assert found.ms_per_byte == pytest.approx(TRUE.ms_per_byte, rel=0.15)
    # The ramp may bend a little elsewhere: what it says between must agree.
    between = np.geomspace(1e6, 60e6, 20)
    assert np.abs(found.share(between) - TRUE.share(between)).max() < 0.2


def test_none_is_found_where_there_is_none():
    assert fit_weight_fetch(*dense_probes(600, fetch=None)) is None
    assert fit_weight_fetch(*dense_probes(20)) is None


@examples(20)
@given(st.lists(st.tuples(st.integers(1, 4096), st.integers(1, 4096), st.floats(1e-5, 1e3)), max_size=80))
def test_whatever_was_measured_gives_a_cost_that_is_one_or_none(rows):
    table = np.array(rows, float).reshape(-1, 3)
    dims = {"rows": np.ones(len(table)), "in_channels": table[:, 0], "out_channels": table[:, 1]}
    found = fit_weight_fetch(dims, table[:, 2])
    if found is not None:
        found.validate()
    assert found is None or (found.cached_bytes < found.uncached_bytes and 0 < found.ms_per_byte < np.inf)


def test_a_time_model_learns_what_is_left_without_fetching():
    dims, times = dense_probes(400)
    fetch = fit_weight_fetch(dims, times)
    with_it = fit_time_model("dense", dims, times, form="paper", fetch=fetch)
    without = fit_time_model("dense", dims, times, form="paper")
    assert with_it.error.mape < without.error.mape
    large = {"rows": 1, "in_channels": 4096, "out_channels": 4096, "activation": 0}
    cached = CACHED_RATE * 4 * 4097 * 4096
    assert with_it.predict_ms(large)[0] == pytest.approx(cached, rel=0.15)


@pytest.mark.parametrize(
    "bad", [{"cached_bytes": -1.0}, {"uncached_bytes": 4e6}, {"ms_per_byte": float("nan")}]
)
def test_a_cost_that_cannot_be_is_refused_by_name(bad):
    given = {"cached_bytes": 4e6, "uncached_bytes": 8e6, "ms_per_byte": 1e-8, **bad}
    with pytest.raises(ValueError, match=rf"\$\.weight_fetch\.{next(iter(bad))}: expected"):
        WeightFetch(**given).validate("$.weight_fetch")
