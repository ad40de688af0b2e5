"""Timing through a real LiteRT child, and what happens when the child does not behave."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import psutil
import pytest

from fdi_keras.devices import Runtime, litert_worker, open_device
from fdi_keras.devices.litert_runner import LitertRunner
from fdi_keras.errors import MeasurementError, UsageError
from fdi_keras.profiling import build_probe

SMALL = build_probe("relu", {"channels": 4})
MIDDLE = build_probe(
    "conv2d", {"height": 28, "width": 28, "in_channels": 32, "out_channels": 32, "kernel": 3}
)


@pytest.fixture(scope="module")
def runner():
    with open_device().open() as opened:
        yield opened


def test_times_in_milliseconds(runner):
    timing = runner.time(MIDDLE, budget_s=0.1)
    begin = time.perf_counter()
    runner.time(MIDDLE, budget_s=0.1, warmup_s=0.0, min_runs=1)
    assert 0 < timing.min_ms <= timing.median_ms < 1e3 * (time.perf_counter() - begin)
    assert timing.iqr_ms >= 0
    assert timing.runs >= 5


def test_the_larger_model_takes_longer(runner):
    small, middle = runner.time(SMALL, budget_s=0.1), runner.time(MIDDLE, budget_s=0.1)
    assert 20 * small.median_ms < middle.median_ms
    assert small.runs > 1000  # many executions a reading, or the clock is all that is measured


def test_a_busy_neighbour_does_not_double_the_time(runner):
    large = {"height": 56, "width": 56, "in_channels": 128, "out_channels": 128, "kernel": 3}
    model = build_probe("conv2d", large)
    alone = runner.time(model)
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * os.cpu_count())]
    try:
        time.sleep(0.2)
        crowded = runner.time(model, budget_s=0.5)
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert 0 <= crowded.disturbed <= 1
    assert crowded.median_ms < 1.5 * alone.median_ms


@pytest.mark.parametrize("threads", [1, 10_000])
def test_the_next_model_is_made_when_it_is_wanted(threads):
    made = []

    def models():
        for channels in (8, 16, 24):
            made.append(channels)
            yield build_probe("relu", {"channels": channels})
        yield b"no model"
        yield build_probe("relu", {"channels": 8})

    with LitertRunner(Runtime("litert", "test", threads=threads)) as runner:
        runner.time = runner._time = lambda model, **_: model if model != b"no model" else refuse()
        results = runner.time_many(models())
        first = next(results)
        assert first == build_probe("relu", {"channels": 8})
        assert len(made) <= 2
        rest = list(results)
    assert rest[:2] == [build_probe("relu", {"channels": c}) for c in (16, 24)]
    assert isinstance(rest[2], MeasurementError)
    assert rest[3] == first


def refuse():
    raise MeasurementError("it is no model")


def test_the_runtimes_own_kernels_are_slower_and_say_the_same():
    model = build_probe(
        "conv2d", {"height": 28, "width": 28, "in_channels": 32, "out_channels": 32, "kernel": 3}
    )
    image = np.random.default_rng(0).random((1, 28, 28, 32), np.float32)
    times, outputs = [], []
    for delegate in ("xnnpack", "none"):
        with LitertRunner(Runtime("litert", "test", delegate)) as runner:
            times.append(runner.time(model, budget_s=0.05).min_ms)
            outputs.append(runner.run(model, [image])[0])
    assert times[1] > 1.5 * times[0]
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-3, atol=1e-4)


def test_budget_zero_still_takes_the_least_runs(runner):
    assert runner.time(MIDDLE, budget_s=0.0, warmup_s=0.0, min_runs=3).runs >= 3


def test_interleaved_models_keep_their_order(runner):
    small, middle, again = runner.time_interleaved([SMALL, MIDDLE, SMALL], rounds=5, budget_s=0.1)
    assert small.median_ms < middle.median_ms
    assert again.median_ms < middle.median_ms
    assert min(small.runs, middle.runs, again.runs) >= 5


def test_the_middle_copy_counts():
    setup = litert_worker.Setup(1, "xnnpack")
    (copies,) = litert_worker._copies([SMALL], setup, 0.0, 3)
    for readings, seconds in zip(copies, ([1e-6] * 9, [3e-6] * 3, [2e-6, 4e-6, 2e-6]), strict=True):
        readings.seconds[:] = seconds
    summary = litert_worker._summary(copies)
    assert summary["median_ms"] == pytest.approx(2e-3)
    assert summary["min_ms"] == pytest.approx(1e-3)
    assert summary["iqr_ms"] == pytest.approx(1.5e-3)  # of all readings, from 1 to 2.5 us


def test_so_many_copies_as_there_is_memory_for(monkeypatch):
    setup = litert_worker.Setup(1, "xnnpack")
    assert [len(each) for each in litert_worker._copies([SMALL, MIDDLE], setup, 0.0, 5)] == [5, 5]
    monkeypatch.setattr(
        litert_worker, "COPIES_BYTES", 1e6
    )  # the convolution has 0.24 MB, its weights among them
    assert [len(each) for each in litert_worker._copies([SMALL, MIDDLE], setup, 0.0, 5)] == [4, 4]
    monkeypatch.setattr(litert_worker, "COPIES_BYTES", 1e4)
    assert [len(each) for each in litert_worker._copies([MIDDLE], setup, 0.0, 5)] == [1]


def test_fewer_rounds_than_copies(runner):
    assert runner.time_interleaved([SMALL], rounds=1, budget_s=0.01)[0].runs >= 1


@pytest.mark.parametrize("wrong", [{"budget_s": -1.0}, {"warmup_s": float("nan")}])
def test_impossible_seconds_are_refused(runner, wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        runner.time(SMALL, **wrong)
    with pytest.raises(UsageError, match="rounds"):
        runner.time_interleaved([SMALL], rounds=0)


def test_outputs_for_given_inputs(runner):
    x = np.array([[[[-1.0, 0.0, 2.0, -3.0]]]], np.float32)
    (y,) = runner.run(SMALL, [x])
    np.testing.assert_array_equal(y, np.maximum(x, 0))


def test_wrong_inputs_are_an_error_of_the_measurement(runner):
    with pytest.raises(MeasurementError, match="the model has 1 inputs, 2 were given"):
        runner.run(SMALL, [np.zeros(4, np.float32)] * 2)
    with pytest.raises(MeasurementError, match=r"(?i)dimension"):
        runner.run(SMALL, [np.zeros((1, 1, 1, 5), np.float32)])


@pytest.mark.parametrize("content", [b"no model", b"", MIDDLE[:500]])
def test_refused_model_keeps_the_words_of_litert_and_the_child(runner, content):
    runner.time(SMALL, budget_s=0.0)
    pid = runner.pid
    with pytest.raises(MeasurementError, match=r"LiteRT refused the model: .*(model|buffer)"):
        runner.time(content)
    assert runner.time(SMALL, budget_s=0.0).runs >= 1
    assert runner.pid == pid


def test_killed_child_costs_one_measurement(runner):
    runner.time(SMALL, budget_s=0.0)
    pid = runner.pid
    threading.Timer(0.3, os.kill, (pid, signal.SIGKILL)).start()
    with pytest.raises(MeasurementError, match="killed by SIGKILL while measuring"):
        runner.time(MIDDLE, budget_s=20.0, min_runs=10**6)
    assert runner.time(MIDDLE, budget_s=0.01).median_ms > 0
    assert runner.pid != pid


def test_child_killed_between_measurements_costs_none(runner):
    runner.time(SMALL, budget_s=0.0)
    os.kill(runner.pid, signal.SIGKILL)
    time.sleep(0.1)
    assert runner.time(SMALL, budget_s=0.0).runs >= 1


def test_hanging_child_is_killed_after_the_time_out():
    with LitertRunner(open_device().open().runtime, timeout_s=0.5) as runner:
        runner.time(SMALL, budget_s=0.0)
        stuck = psutil.Process(runner.pid)
        stuck.suspend()
        begin = time.monotonic()
        with pytest.raises(
            MeasurementError, match=r"did not answer within .* s while measuring and was killed"
        ):
            runner.time(SMALL, budget_s=0.0, warmup_s=0.0)
        assert time.monotonic() - begin < 5
        assert not stuck.is_running()
        assert runner.time(SMALL, budget_s=0.0).runs >= 1


def test_close_ends_the_child():
    runner = open_device().open()
    runner.time(SMALL, budget_s=0.0)
    child = psutil.Process(runner.pid)
    runner.close()
    runner.close()
    assert not child.is_running()


def test_child_ends_with_its_parent():
    code = (
        "import time; from fdi_keras.devices import open_device\n"
        "from fdi_keras.profiling import build_probe\n"
        "runner = open_device().open(); runner.time(build_probe('relu', {'channels': 4}), budget_s=0.0)\n"
        "print(runner.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()
        parent.kill()
    child.wait(timeout=10)
    assert not child.is_running()


def test_child_that_cannot_start_says_why(monkeypatch):
    monkeypatch.setattr("fdi_keras.devices.litert_runner.WORKER", "fdi_keras.devices.no_such_worker")
    with (
        open_device().open() as runner,
        pytest.raises(MeasurementError, match=r"ended with status 1 while starting.*no_such_worker"),
    ):
        runner.time(SMALL)
