"""The stand-in: it measures, prints what the real parser accepts, and fails on request."""

import json
import os
import socket
import subprocess
import time

import pytest
from stand_in_tool.server import ToolServer

from fdi_keras.devices import open_device
from fdi_keras.devices.benchmark_model import Batch, BatchReader, Job, Request, parse_profile, phone_runtime
from fdi_keras.devices.benchmark_model.command import arguments, flags
from fdi_keras.errors import (
    DelegateNotAppliedError,
    ModelRefusedError,
    OutputDamagedError,
    RuntimeRefusedError,
    ToolCrashedError,
)
from fdi_keras.profiling.probes import build_probe
from fdi_keras.profiling.reference import REFERENCE

SHA = "0" * 64


@pytest.fixture(scope="module")
def server():
    with ToolServer() as running:
        yield running


@pytest.fixture
def phone(server, tmp_path):
    """Runs requests in one batch, as a phone does; returns their results."""
    (tmp_path / "conv.tflite").write_bytes(build_probe(*REFERENCE))
    (tmp_path / "dense.tflite").write_bytes(build_probe("dense", {"in_channels": 64, "out_channels": 64}))
    (tmp_path / "empty.tflite").write_bytes(b"")
    (tmp_path / "damaged.tflite").write_bytes(build_probe(*REFERENCE)[:900])
    tool = server.install(tmp_path / "benchmark_model", tmp_path / "control.json")

    def run(*models, runtime=None, control=None, files=None, **request):
        (tmp_path / "control.json").write_text(json.dumps(control or {}))
        runtime = runtime or phone_runtime(SHA)
        jobs = []
        for model in models:
            told = flags(runtime, Request(model=str(tmp_path / f"{model}.tflite"), **request))
            jobs.append(Job(arguments(str(tool), runtime, told), told, files or {}))
        batch = Batch(jobs, str(tmp_path))
        reader = BatchReader(batch)
        results = reader.feed(
            subprocess.run(["sh", "-c", batch.script], capture_output=True, check=True).stdout
        )
        assert reader.finished
        return results

    return run


def test_it_measures_models_with_the_kernels_that_were_asked_for(phone, tmp_path):
    with_xnnpack, dense = phone("conv", "dense", budget_s=0.1)
    without = phone("conv", runtime=phone_runtime(SHA, delegate="none"), budget_s=0.1)[0]
    assert with_xnnpack.report.timing.runs >= 5
    assert dense.report.timing.median_ms < with_xnnpack.report.timing.median_ms
    assert without.report.timing.median_ms > 1.5 * with_xnnpack.report.timing.median_ms
    with open_device("local").open() as runner:
        local = runner.time((tmp_path / "conv.tflite").read_bytes())
    assert 0.5 < with_xnnpack.report.timing.median_ms / local.median_ms < 2


def test_exactly_so_many_runs_and_on_the_chosen_cores(phone):
    runtime = phone_runtime(SHA, cores="little", cpu_mask="1")
    (result,) = phone("conv", runtime=runtime, min_runs=7, budget_s=0, warmup_runs=3, warmup_s=0)
    assert (result.report.regular.count, result.report.warmup.count) == (7, 3)


def test_an_accelerator_that_it_lacks_is_never_a_measurement(phone):
    for delegate in ("gpu", "nnapi"):
        (result,) = phone("conv", runtime=phone_runtime(SHA, delegate=delegate), budget_s=0)
        assert isinstance(result.error, RuntimeRefusedError)
        assert f"--use_{delegate}=true" in str(result.error)


@pytest.mark.parametrize(
    ("extent", "whole", "error"),
    [
        ("completely", True, None),
        ("partially", False, None),
        ("partially", True, DelegateNotAppliedError),
        ("refused", False, DelegateNotAppliedError),
    ],
)
def test_an_accelerator_is_believed_as_far_as_it_goes(phone, extent, whole, error):
    runtime = phone_runtime(SHA, delegate="gpu", precision="float16")
    (result,) = phone(
        "conv", runtime=runtime, control={"accelerators": {"gpu": extent}}, whole_model=whole, budget_s=0
    )
    assert type(result.error) is (error or type(None))
    if error is None:
        assert result.report.delegated == extent


def test_models_that_cannot_be_loaded_are_refused_in_the_tools_own_words(phone):
    empty, damaged, missing, good = phone("empty", "damaged", "none", "dense", budget_s=0)
    assert [type(r.error) for r in (empty, damaged, missing)] == [ModelRefusedError] * 3
    assert "Could not open" in str(missing.error)
    assert good.report.regular.count == 5


@pytest.mark.parametrize(
    ("fault", "error"),
    [("crash", ToolCrashedError), ("out_of_memory", ToolCrashedError), ("garbage", OutputDamagedError)],
)
def test_a_fault_costs_one_run(phone, fault, error):
    control = {"fault": fault, "times": 1, "graph": "conv"}
    first, second, third = phone("dense", "conv", "conv", control=control, budget_s=0)
    assert isinstance(second.error, error)
    assert first.report.regular.count == third.report.regular.count == 5


def test_a_run_that_hangs_ends_with_its_thin_executable(server, tmp_path):
    tool = server.install(tmp_path / "tool", tmp_path / "control.json")
    (tmp_path / "control.json").write_text(json.dumps({"fault": "hang"}))
    process = subprocess.Popen([tool, "--graph=x"], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"INFO: STARTING!\n"
    process.kill()
    process.wait()
    began = time.monotonic()
    process.stdout.read()  # its end comes when nobody can write to it any more
    process.stdout.close()
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("said", [b"", (99).to_bytes(4, "little"), (99).to_bytes(4, "little") + b"half of"])
def test_a_thin_executable_that_is_killed_as_it_starts_costs_nobody_else_anything(server, phone, said):
    with socket.socket(socket.AF_UNIX) as killed, open(os.devnull, "wb") as sink:
        killed.connect(server.address)
        if said:
            socket.send_fds(killed, [said], [sink.fileno()] * 2)
    (result,) = phone("conv", budget_s=0.05)
    assert result.report is not None


def test_sleeping_takes_each_model_its_own_time_and_the_same_again(phone):
    control = {"sleep_ms": [2.0, 30.0]}
    conv, dense, again = (
        r.report.timing.median_ms for r in phone("conv", "dense", "conv", control=control, budget_s=0)
    )
    assert conv == pytest.approx(again, rel=0.2)
    assert all(2.0 <= ms < 31.0 for ms in (conv, dense))
    assert conv != pytest.approx(dense, rel=0.2)


def test_a_throttled_phone_is_slower_by_its_factor(phone):
    (plain,), (slow,) = (phone("conv", control={"slow_down": factor}, budget_s=0.05) for factor in (1.0, 3.0))
    assert slow.report.timing.median_ms > 2 * plain.report.timing.median_ms


def test_a_single_operator_has_a_table_and_more_have_none(phone, tmp_path):
    path = str(tmp_path / "table.csv")
    (result,) = phone("conv", profile=path, files={"profile": path}, budget_s=0.05)
    table = parse_profile(result.output.files["profile"])
    assert [row.kind for row in table.rows] == ["CONV_2D"]
    assert table.runs == result.report.regular.count
    assert table.total_ms == pytest.approx(result.report.regular.avg_us / 1e3, rel=1e-4)


def test_it_starts_in_milliseconds(server, tmp_path):
    tool = server.install(tmp_path / "tool")
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        assert subprocess.run([tool, "--graph=none"], capture_output=True, check=False).returncode == 1
        seconds.append(time.perf_counter() - began)
    assert min(seconds) < 0.2
