"""Small operators are timed several at a time; what is recorded is the time of one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdi_keras.devices import Timing, open_runner
from fdi_keras.operators import KINDS
from fdi_keras.profiling import build_probe
from fdi_keras.profiling.copies import ENOUGH_WORK, MOST_COPIES, alone, copies_of
from fdi_keras.profiling.design import Configuration, configurations
from fdi_keras.profiling.probes import build_overhead_probe


def test_small_operators_have_company_and_large_ones_stand_alone():
    assert copies_of(Configuration("relu", {"height": 1, "width": 1, "channels": 4}, 0)) == MOST_COPIES
    assert copies_of(Configuration("dense", {"in_channels": 512, "out_channels": 512}, 0)) == 1
    for kind in KINDS:
        design = configurations([kind])
        for configuration in (next(design) for _ in range(40)):
            copies = copies_of(configuration)
            assert 1 <= copies <= MOST_COPIES
            flops, *rest = KINDS[kind].explain(KINDS[kind].complete(configuration.dims))[0]
            assert copies * flops <= 2 * max(ENOUGH_WORK, flops), (kind, configuration.dims, rest)


@given(st.integers(1, MOST_COPIES), st.floats(0, 1), st.floats(1e-6, 10), st.floats(0, 0.2))
def test_one_operator_is_what_the_copies_say(copies, overhead_ms, operator_ms, unrest):
    probe_ms = overhead_ms + copies * operator_ms
    timing = Timing(probe_ms, unrest * copies * operator_ms, probe_ms, 100)
    one = alone(timing, copies, overhead_ms)
    assert one.median_ms == pytest.approx(overhead_ms + operator_ms)
    assert one.min_ms == pytest.approx(overhead_ms + operator_ms)
    assert one.iqr_ms == pytest.approx(unrest * operator_ms)
    assert one.runs == 100


@pytest.mark.parametrize("kind", ["conv2d", "add", "dense"])
def test_every_copy_is_executed(kind):
    """The runtime must not find out that the copies calculate the same."""
    dims = {"height": 7, "width": 7, "channels": 64, "in_channels": 64, "out_channels": 64, "kernel": 3}
    dims = {name: value for name, value in dims.items() if name in KINDS[kind].dimensions}
    with open_runner() as runner:
        few, many = (build_probe(kind, dims, copies=copies) for copies in (4, 32))
        overhead, first, second = runner.time_interleaved(
            [build_overhead_probe(), few, many], rounds=20, budget_s=0.3
        )
    ratio = (second.median_ms - overhead.median_ms) / (first.median_ms - overhead.median_ms)
    assert 5.5 < ratio < 12
