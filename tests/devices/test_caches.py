"""Cache accesses on this computer: what perf and cachegrind write, and one real simulation."""

import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdi_keras.devices import caches
from fdi_keras.devices.caches import (
    CacheSizes,
    check_sizes,
    perf_counts,
    read_cachegrind,
    read_perf,
    simulated_counts,
)
from fdi_keras.errors import MeasurementError, UsageError
from fdi_keras.profiling.probes import build_probe

DIMS = {"height": 14, "width": 14, "in_channels": 16, "out_channels": 24, "kernel": 3}

COUNTED = """# started on Sun Nov 29 17:20:33 2026

180783598,,L1-dcache-loads:u,93000000,100.00,,
4225071,,L1-dcache-load-misses:u,93000000,100.00,2.34,of all L1-dcache accesses
286615,,cache-misses:u,93000000,100.00,,
"""

SIMULATED = """desc: D1 cache:         32768 B, 64 B, 8-way associative
events: Ir I1mr ILmr Dr D1mr DLmr Dw D1mw DLmw
fl=a.c
fn=main
128 2 1 1 2 0 0 0 0 0
summary: 420430944 4529468 118362 122131298 4773053 1395924 58279759 531113 233136
"""


def test_what_perf_counted_is_read():
    assert read_perf(COUNTED) == (180783598, 4225071, 286615)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (COUNTED.replace("180783598", "<not supported>"), "not supported here. A virtual machine"),
        (COUNTED.replace("286615", "<not counted>"), "cache-misses is not counted here"),
        (COUNTED.rpartition("286615")[0], "only L1-dcache-loads, L1-dcache-load-misses of"),
        ("", "only nothing of"),
    ],
)
def test_what_perf_does_not_count_is_named(text, reason):
    with pytest.raises(MeasurementError, match=reason):
        read_perf(text)


def test_what_cachegrind_simulated_is_read():
    assert read_cachegrind(SIMULATED) == (122131298 + 58279759, 4773053 + 531113, 1395924 + 233136)


@given(st.integers(0, len(SIMULATED) - 1))
def test_a_file_that_is_cut_off_is_an_error_or_shorter_by_digits_only(end):
    try:
        found = read_cachegrind(SIMULATED[:end])
    except MeasurementError:
        return
    assert end > SIMULATED.index("summary")
    assert all(value >= 0 for value in found)


@pytest.mark.parametrize("sizes", [CacheSizes(), CacheSizes(64, 512), CacheSizes(16, 4096)])
def test_sizes_that_can_be_simulated(sizes):
    check_sizes(sizes)


@pytest.mark.parametrize(
    ("sizes", "text"),
    [(CacheSizes(48, 1024), "L1 of 48 KB"), (CacheSizes(0, 1024), "L1 of 0"), (CacheSizes(32, 100), "L2 of 100"),
     (CacheSizes(64, 64), "larger than the L1")],
)  # fmt: skip
def test_sizes_that_cannot(sizes, text):
    with pytest.raises(UsageError, match=text):
        check_sizes(sizes)


def test_without_the_programs_their_names_are_told(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(MeasurementError, match="perf is not installed"):
        perf_counts(b"", 1.0, "xnnpack")
    with pytest.raises(MeasurementError, match="valgrind is not installed"):
        simulated_counts(b"", 1.0, "xnnpack", CacheSizes())


@pytest.mark.skipif(shutil.which("perf") is None, reason="there is no perf here")
def test_a_model_that_cannot_be_executed_is_no_count():
    with pytest.raises(MeasurementError, match="perf did not get to the end of the model"):
        perf_counts(b"no model", 1.0, "xnnpack")


@pytest.mark.skipif(shutil.which("valgrind") is None, reason="there is no valgrind here")
def test_a_small_network_is_simulated(monkeypatch):
    monkeypatch.setitem(caches.FLOPS, "cachegrind", 4e7)
    found = simulated_counts(build_probe("conv2d", DIMS), 1.36e6, "none", CacheSizes())
    # 45 KB of tensors do not fit into 32 KB and do into 1 MB; each is read more than once.
    assert 45e3 / 64 < found.misses < found.references
    assert found.references > 45e3 / 4
    assert found.l2_misses < 0.01 * found.misses
    assert found.simulated
    assert found.source == "simulated by cachegrind (L1 32 KB, L2 1024 KB)"
