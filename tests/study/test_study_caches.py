"""Cache accesses of a sweep: one way for all networks, a named reason where there is none, and in every output."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from fdi_keras.cli.sweep_view import print_sweep
from fdi_keras.devices import Runtime
from fdi_keras.devices.caches import CacheCounts, CacheSizes, source_of
from fdi_keras.errors import MeasurementError, UsageError
from fdi_keras.profiling.probes import build_probe
from fdi_keras.study import correlations, sweep
from fdi_keras.study.network import Swept
from fdi_keras.study.report import answer, html_page, write_pictures
from fdi_keras.study.timing import Kept, count_caches


class Phone:
    """A runner that counts, up to a network that it cannot."""

    runtime = Runtime("benchmark_model", "1")

    def __init__(self, good):
        self.good, self.asked = good, 0

    def cache_counters(self, model):
        self.asked += 1
        if self.asked > self.good:
            raise MeasurementError("simpleperf is not there")
        return 100.0 * self.asked, 10.0


@pytest.fixture
def paths(tmp_path):
    found = {}
    for width in (8, 16):
        path = tmp_path / f"{width}.tflite"
        path.write_bytes(build_probe("dense", {"in_channels": width, "out_channels": width}))
        found["net", float(width)] = path
    return found


def test_counts_are_kept_and_not_made_again(paths, tmp_path):
    phone, said = Phone(2), []
    kept = Kept(tmp_path / "sweep.jsonl")
    count_caches(phone, "a-phone", paths, CacheSizes(), kept, said.append)
    kept.close()
    again = Kept(tmp_path / "sweep.jsonl")
    count_caches(phone, "a-phone", paths, CacheSizes(), again, said.append)
    assert phone.asked == 2
    assert again.caches["net", 16.0] == CacheCounts(200.0, 10.0, None, "counted by simpleperf")
    again.close()


def test_a_reason_is_told_and_no_network_is_counted_alone(paths, tmp_path):
    said, kept = [], Kept(tmp_path / "sweep.jsonl")
    count_caches(Phone(1), "a-phone", paths, CacheSizes(), kept, said.append)
    assert said[-1] == "cache accesses are not counted by simpleperf: simpleperf is not there"
    assert kept.caches == {}
    kept.close()


def test_a_simulation_of_the_same_caches_is_kept(paths, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")  # neither perf nor valgrind
    kept, said, sizes = Kept(tmp_path / "sweep.jsonl"), [], CacheSizes(32, 512)
    for key in paths:
        kept.counted(key, CacheCounts(5.0, 1.0, 0.0, source_of(sizes)))
    count_caches(Phone(0), "local", paths, sizes, kept, said.append)
    reason = "perf is not installed on this computer (package linux-perf)."
    assert said == [f"cache accesses are not counted by perf: {reason}"]
    assert len(kept.caches) == 2
    count_caches(Phone(0), "local", paths, CacheSizes(), kept, said.append)
    assert "valgrind is not installed" in said[-1]
    kept.close()


def rows(source):
    return [
        Swept(family, n, 1e8 * n, 1e6 * n, 1e5 * n, measured_ms=float(n) ** 1.1, cache_references=1e7 * n,
              cache_misses=1e5 * n**2, l2_misses=3.0 * n, cache_source=source)
        for family in ("a", "b") for n in (1, 2, 3)
    ]  # fmt: skip


@pytest.mark.parametrize("source", [source_of(CacheSizes()), "counted by perf"])
def test_every_output_says_what_counted(source, tmp_path):
    networks = rows(source)
    simulated = source.startswith("simulated")
    said = " ".join(answer(networks))
    assert f"Cache accesses were {source}." in said
    assert ("simulated processor may lack" in said) == simulated
    assert "L1 accesses 0.99" in said or "L1 accesses 1.0" in said
    assert "l2_misses" not in correlations(networks), "so few are left of the start"
    names = {path.stem for path in write_pictures(networks, tmp_path)}
    assert {"flops-l1", "l1-time", "l1-misses-time"} <= names
    assert ("(simulated)" in (tmp_path / "flops-l1.svg").read_text()) == simulated
    page = html_page(networks, "here")
    assert ("M L1 accesses, simulated" in page) == simulated
    assert "M L1 accesses" in page
    out = Console(file=io.StringIO(), width=100)
    print_sweep(out, networks, [])
    assert f"Cache accesses of one inference, {source}." in out.file.getvalue()
    assert ("simulated" in out.file.getvalue()) == simulated
    assert networks[0].to_dict()["cache_source"] == source
    assert not answer([replace(row, cache_source="", cache_references=None, cache_misses=None, l2_misses=None)
                       for row in networks])[1].count("L1")  # fmt: skip


def test_sizes_are_checked_before_anything_is_built():
    with pytest.raises(UsageError, match="L1 of 33 KB"):
        sweep(["vgg16"], [0.1], cache_sizes=CacheSizes(33, 1024))
    with pytest.raises(UsageError, match="counted on a device"):
        sweep(["vgg16"], [0.1], device=None, counters=True)
