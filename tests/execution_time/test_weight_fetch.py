"""The cost of weights that leave the caches."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples

from fdi_keras.execution_time import WeightFetch, fit_weight_fetch
from fdi_keras.execution_time.time_model import fit_time_model
from fdi_keras.operators import KINDS
from fdi_keras.profiling.cold_weights import cold_probes

TRUE = WeightFetch(
    cached_bytes=4e6, uncached_bytes=30e6, ms_per_byte={"one row": 1.2e-8, "several rows": 3e-8}
)
CACHED_RATE = {"conv2d": 6e-8, "dense": 1e-8}  # ms a byte

DENSE = {"rows": 1, "in_channels": 1000, "out_channels": 250}
OPERATORS = (
    ("conv2d", {"height": 7, "width": 7, "in_channels": 100, "out_channels": 100, "kernel": 3}),
    ("conv2d", {"height": 3, "width": 3, "in_channels": 900, "out_channels": 900, "kernel": 3, "padding": 0}),
    ("dense", DENSE),
    ("dense", {**DENSE, "rows": 8}),
    ("lstm_while", {"steps": 9, "in_channels": 64, "units": 700}),
)

sizes = st.floats(1e3, 1e9)
operators = st.sampled_from([(kind, KINDS[kind].complete(dims)) for kind, dims in OPERATORS])


def layered(kinds=("conv2d", "dense"), fetch=TRUE, noise=0.02, seed=0):
    """The probes of a campaign on a device that is known."""
    probes = [probe for shape in cold_probes(kinds) for probe in shape]
    each = np.array([float(KINDS[p.kind].weight_bytes(p.dims)[0]) for p in probes])
    layers = np.array([p.layers for p in probes], float)
    cached = np.array([CACHED_RATE[p.kind] for p in probes]) * each
    rates = np.array([0.0 if fetch is None else fetch.rate(p.kind, p.dims)[0] for p in probes])
    times = cached if fetch is None else fetch.total_ms(rates, cached, each, fetch.share(each * layers))
    rng = np.random.default_rng(seed)
    return [(p.kind, p.dims) for p in probes], layers, times * np.exp(rng.normal(0, noise, len(times)))


@given(operators, sizes, sizes, st.floats(1e-4, 1e3))
def test_more_weights_in_the_network_never_make_an_operator_faster(operator, small, large, cached_ms):
    small, large = sorted((small, large))
    assert 0 <= TRUE.share(small) <= TRUE.share(large) <= 1
    rate = TRUE.rate(*operator)
    at_small, at_large = (
        TRUE.total_ms(rate, cached_ms, 1e6, TRUE.share(network)).item() for network in (small, large)
    )
    assert cached_ms <= at_small <= at_large


@given(operators, st.floats(1e-3, 100))
def test_what_a_probe_takes_and_what_it_would_take_cached_are_inverse(operator, cached_ms):
    measured = TRUE.probe_ms(*operator, np.array([cached_ms]))
    back = TRUE.cached_ms(*operator, measured)
    # Unless next to nothing but fetching was measured.
    assert back[0] == pytest.approx(max(cached_ms, 0.3 * measured[0]), rel=1e-6)


@pytest.mark.parametrize("seed", range(4))
def test_the_cost_is_found_where_there_is_one(seed):
    found = fit_weight_fetch(*layered(seed=seed))
    assert found.ms_per_byte == pytest.approx(TRUE.ms_per_byte, rel=0.15)
    # The ramp may bend a little elsewhere: what it says between must agree.
    between = np.geomspace(1e6, 60e6, 20)
    assert np.abs(found.share(between) - TRUE.share(between)).max() < 0.2


def test_of_one_way_alone_all_have_its_rate():
    found = fit_weight_fetch(*layered(kinds=["dense"]))
    assert set(found.ms_per_byte) == {"one row"}
    assert found.rate(*OPERATORS[0]) == found.ms_per_byte["one row"]


def test_the_rate_is_that_of_the_rows_that_weights_meet():
    rates = [TRUE.rate(kind, KINDS[kind].complete(dims))[0] for kind, dims in OPERATORS]
    one, several = TRUE.ms_per_byte["one row"], TRUE.ms_per_byte["several rows"]
    # A convolution with one pixel of output reads its weights in one stream, as a step of a recurrent layer does.
    assert rates == [several, one, one, several, one]


def test_of_a_table_only_some_rows_are_read():
    assert TRUE.rate("gather", KINDS["gather"].complete({"rows": 9, "channels": 8, "entries": 90})) == [0]


def test_none_is_found_where_there_is_none():
    assert fit_weight_fetch(*layered(fetch=None)) is None
    first = [column[:4] for column in layered()]
    assert fit_weight_fetch(*first) is None
    assert fit_weight_fetch([], np.array([]), np.array([])) is None


@examples(20)
@given(st.lists(st.tuples(operators, st.integers(1, 200), st.floats(-1, 1e3)), max_size=40))
def test_whatever_was_measured_gives_a_cost_that_is_one_or_none(rows):
    layers, times = (np.array([row[i] for row in rows], float) for i in (1, 2))
    found = fit_weight_fetch([row[0] for row in rows], layers, times)
    if found is not None:
        found.validate()
    assert found is None or len(rows) >= 5


def test_a_time_model_learns_what_is_left_without_fetching():
    rng = np.random.default_rng(0)
    dims = {
        "rows": np.ones(400),
        **{
            name: np.exp(rng.uniform(np.log(128), np.log(4096), 400)).round()
            for name in ("in_channels", "out_channels")
        },
        "activation": np.zeros(400),
    }
    weights = KINDS["dense"].weight_bytes(dims)
    times = TRUE.probe_ms("dense", dims, CACHED_RATE["dense"] * weights)
    times *= np.exp(rng.normal(0, 0.03, len(times)))
    with_it = fit_time_model("dense", dims, times, form="paper", fetch=TRUE)
    without = fit_time_model("dense", dims, times, form="paper")
    assert with_it.error.mape < without.error.mape
    large = {"rows": 1, "in_channels": 4096, "out_channels": 4096, "activation": 0}
    cached = CACHED_RATE["dense"] * 4 * 4097 * 4096
    assert with_it.predict_ms(large)[0] == pytest.approx(cached, rel=0.15)


@pytest.mark.parametrize(
    ("bad", "place"),
    [
        ({"cached_bytes": -1.0}, "cached_bytes"),
        ({"uncached_bytes": 4e6}, "uncached_bytes"),
        ({"ms_per_byte": {"one row": float("nan")}}, "ms_per_byte.one row"),
        ({"ms_per_byte": {"relu": 1e-8}}, "ms_per_byte"),
        ({"ms_per_byte": {}}, "ms_per_byte"),
    ],
)
def test_a_cost_that_cannot_be_is_refused_by_name(bad, place):
    given = {"cached_bytes": 4e6, "uncached_bytes": 8e6, "ms_per_byte": {"one row": 1e-8}, **bad}
    with pytest.raises(ValueError, match=rf"\$\.weight_fetch\.{place}: expected"):
        WeightFetch(**given).validate("$.weight_fetch")
