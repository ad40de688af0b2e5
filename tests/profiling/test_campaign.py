"""Campaigns with a runner whose speed the test decides: waiting, repeating, resuming, limits."""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from fdi_keras.devices import DeviceInfo, Runtime, Timing
from fdi_keras.devices.base import SteadyRunner
from fdi_keras.errors import (
    CampaignError,
    DeviceBusyError,
    JournalError,
    MeasurementError,
    StorageError,
    UsageError,
)
from fdi_keras.journal import Journal, read_journal
from fdi_keras.profiling import (
    DeviceLock,
    Patience,
    Plan,
    build_overhead_probe,
    build_probe,
    read_records,
    reference,
    run_campaign,
)
from fdi_keras.profiling.tally import MAX_REPEATS

REFERENCE = build_probe(*reference.REFERENCE)
OVERHEAD = build_overhead_probe()
INFO = DeviceInfo("fake", "a fake device", "computer")


class FakeRunner(SteadyRunner):
    """Answers at once; ``speed`` maps the number of probes timed so far to a factor."""

    def __init__(self, speed=lambda probes: 1.0, **runtime):
        self.runtime = Runtime("fake", runtime.pop("version", "1"), **runtime)
        self.speed = speed
        self.probes = 0
        self.fails = lambda probes: False
        self.spread = 0.0

    def time(self, model, **_):
        factor = self.speed(self.probes)
        if model in (REFERENCE, OVERHEAD):
            median = 1.0 if model == REFERENCE else 0.001
            return Timing(median * factor, 0.0, median * factor, 10)
        self.probes += 1
        if self.fails(self.probes):
            raise MeasurementError("it crashed")
        return Timing(len(model) * 1e-3 * factor, self.spread, 1e-3, 10)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("FDI_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "campaign.jsonl"


def run(runner, path, plan=None, **options):
    plan = plan or Plan(["conv2d", "relu"], measurements=30)
    fast = {"pause_s": 0.0, "slow_s": 30.0, "reference_every_s": 0.0}
    patience = Patience(**{name: options.pop(name, usual) for name, usual in fast.items()})
    return run_campaign(runner, plan, path, device=INFO, patience=patience, **options)


def events(path, name):
    return [event for event in read_journal(path) if event["event"] == name]


def timed_twice(path):
    """Indices that were timed again without having been superseded."""
    valid, twice = set(), []
    for event in read_journal(path):
        if event["event"] in ("measurement", "failure"):
            twice += [event["index"]] if event["index"] in valid else []
            valid.add(event["index"])
        elif event["event"] == "superseded":
            valid -= set(event["indices"])
    return twice


def test_a_campaign_from_start_to_finish(path):
    seen = []
    records = run(FakeRunner(), path, progress=seen.append)
    assert sorted(records.measurements) == list(range(30))
    assert records.finished
    assert records.overhead_ms == 0.001
    first, *_, last = read_journal(path)
    assert (first["event"], first["kind"], first["pid"]) == ("started", "campaign", os.getpid())
    assert first["plan"]["kinds"] == ["conv2d", "relu"]
    assert (last["event"], last["measurements"], last["failures"]) == ("finished", 30, 0)
    assert [p.stage for p in (seen[0], seen[-1])] == ["preparing", "finished"]
    assert [p.done for p in seen if p.stage == "measuring"] == list(range(1, 31))
    assert seen[-1].total == 30
    assert seen[-1].last.index == 29


def test_failures_are_recorded_as_failures(path):
    runner = FakeRunner()
    runner.fails = lambda n: n in (3, 7)
    records = run(runner, path)
    assert sorted(records.failures) == [2, 6]
    assert records.failures[2].reason == "it crashed"
    assert len(records.measurements) == 28
    assert events(path, "finished")[0]["failures"] == 2


def test_a_device_on_which_everything_fails_ends_the_campaign(path):
    runner = FakeRunner()
    runner.fails = lambda n: n > 5
    with pytest.raises(CampaignError, match="the last 20 probes failed"):
        run(runner, path)
    assert events(path, "failed")[0]["failures"] == 20
    runner.time = lambda model, **_: (_ for _ in ()).throw(MeasurementError("no runtime here"))
    with pytest.raises(CampaignError, match="cannot execute even the reference probe: no runtime here"):
        run(runner, path)


def test_a_slow_down_is_waited_for_and_what_it_spoilt_is_repeated(path):
    calls = Counter()

    def speed(probes):
        # Slow from the 10th probe on, until the campaign has looked at it some times.
        if probes >= 10 and calls["slow"] < 12:
            calls["slow"] += 1
            return 1.5
        return 1.0

    seen = []
    runner = FakeRunner(speed)
    records = run(runner, path, progress=seen.append)
    assert sorted(records.measurements) == list(range(30))
    spoilt = [index for event in events(path, "superseded") for index in event["indices"]]
    assert spoilt
    assert runner.probes == 30 + len(spoilt)
    expected = run(FakeRunner(), path.with_name("undisturbed.jsonl"))
    assert [m.median_ms for _, m in sorted(records.measurements.items())] == [
        m.median_ms for _, m in sorted(expected.measurements.items())
    ]
    waiting = [p.waiting for p in seen if p.stage == "waiting"]
    assert waiting[0] == "the computer is 1.50 x slower than it was"
    assert events(path, "waiting")[0]["median_ms"] == 1.5
    assert timed_twice(path) == []


def test_patience_ends_and_the_slower_speed_becomes_the_baseline(path):
    records = run(FakeRunner(lambda probes: 1.0 if probes < 10 else 1.3), path, slow_s=0.0)
    assert sorted(records.measurements) == list(range(30))
    assert records.warnings == ["the computer stayed 1.30 x slower; that is the new baseline"]
    assert len(events(path, "superseded")) == 1


def test_a_campaign_that_has_just_begun_does_not_wait_for_a_minute(path, monkeypatch):
    monkeypatch.setattr(reference, "LEAST_PATIENCE_S", 0.2)
    began = time.monotonic()
    run(FakeRunner(lambda probes: 1.0 if probes < 10 else 1.3), path, slow_s=60.0)
    assert time.monotonic() - began < 20
    assert 0.2 <= events(path, "waiting")[-1]["waited_s"] < 10


def test_a_baseline_from_a_slow_start_is_corrected(path):
    records = run(FakeRunner(lambda probes: 1.4 if probes < 10 else 1.0), path)
    expected = run(FakeRunner(), path.with_name("undisturbed.jsonl"))
    assert records.warnings == ["the computer got faster"]
    assert {i: m.median_ms for i, m in records.measurements.items()} == {
        i: m.median_ms for i, m in expected.measurements.items()
    }


def test_a_restless_computer_does_not_keep_a_campaign_from_ending(path):
    records = run(FakeRunner(lambda probes: 1.0 + 0.5 * (probes % 2)), path, slow_s=0.0)
    assert sorted(records.measurements) == list(range(30))
    assert max(records.repeats.values()) <= MAX_REPEATS


def test_a_restless_reading_is_taken_twice(path):
    runner = FakeRunner()
    runner.spread = 10.0
    run(runner, path, Plan(["relu"], measurements=5))
    assert runner.probes == 10


def test_time_limit(path):
    records = run(FakeRunner(), path, Plan(["relu"], minutes=0.005), reference_every_s=0.05)
    assert records.finished
    assert 0.25 <= records.seconds < 3
    assert len(records.measurements) > 3


def interrupting(after, error=KeyboardInterrupt):
    def progress(state):
        if state.stage == "measuring" and state.done == after:
            raise error

    return progress


def test_interrupted_by_the_user_and_resumed(path):
    with pytest.raises(KeyboardInterrupt):
        run(FakeRunner(), path, progress=interrupting(12))
    assert events(path, "interrupted")[0]["measurements"] == 12
    runner = FakeRunner()
    records = run(runner, path, resume=True)
    assert runner.probes == 18
    assert sorted(records.measurements) == list(range(30))
    assert [e["measurements"] for e in events(path, "resumed")] == [12]
    assert timed_twice(path) == []


def test_an_ended_campaign_can_be_extended(path):
    run(FakeRunner(), path)
    runner = FakeRunner()
    records = run(runner, path, Plan(["conv2d", "relu"], measurements=40), resume=True)
    assert runner.probes == 10
    assert sorted(records.measurements) == list(range(40))


def test_slow_when_resumed_repeats_what_no_reference_had_confirmed(path):
    with pytest.raises(KeyboardInterrupt):
        run(FakeRunner(), path, progress=interrupting(12), reference_every_s=1e9)
    slow = iter([1.5] * 6)
    records = run(FakeRunner(lambda probes: next(slow, 1.0)), path, resume=True)
    assert events(path, "superseded")[0]["indices"] == list(range(12))
    assert sorted(records.measurements) == list(range(30))


@pytest.mark.parametrize(
    ("plan", "runner", "difference"),
    [
        (Plan(["conv2d", "relu"], seed=1, measurements=30), FakeRunner(), "seed: 0 there, 1 now"),
        (Plan(["conv2d"], measurements=30), FakeRunner(), "kinds: conv2d, relu there, conv2d now"),
        (Plan(["conv2d", "relu"], measurements=30), FakeRunner(threads=2), "threads: 1 there, 2 now"),
        (
            Plan(["conv2d", "relu"], measurements=30),
            FakeRunner(version="2"),
            "runtime version: 1 there, 2 now",
        ),
    ],
)
def test_only_the_same_campaign_is_resumed(path, plan, runner, difference):
    run(FakeRunner(), path)
    before = path.read_bytes()
    with pytest.raises(CampaignError, match=difference):
        run(runner, path, plan, resume=True)
    assert path.read_bytes() == before


def test_nothing_to_resume(path):
    with pytest.raises(CampaignError, match=r"there is no campaign to resume: .* does not exist"):
        run(FakeRunner(), path, resume=True)
    path.touch()
    with pytest.raises(CampaignError, match="is empty"):
        run(FakeRunner(), path, resume=True)
    assert not path.read_bytes()


def test_a_foreign_or_damaged_journal_is_not_resumed(path):
    with Journal(path) as journal:
        journal.start("session", name="digits")
    with pytest.raises(JournalError, match="journal of a session, not of a campaign"):
        run(FakeRunner(), path, resume=True)
    run(FakeRunner(), path)
    lines = path.read_text().splitlines(keepends=True)
    at = next(n for n, line in enumerate(lines) if '"measurement"' in line)
    lines[at] = lines[at].replace('"median_ms":', '"median":')
    path.write_text("".join(lines))
    with pytest.raises(JournalError, match=f"damaged at line {at + 1}: .*median_ms"):
        run(FakeRunner(), path, resume=True)


def test_starting_anew_keeps_the_earlier_journals(path):
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            run(FakeRunner(), path, progress=interrupting(5))
    kept = sorted(path.parent.glob("campaign.*.jsonl"))
    assert len(kept) == 2
    assert [len(read_records(p).measurements) for p in [*kept, path]] == [5, 5, 5]


def test_a_second_campaign_is_refused_and_told_by_whom(path):
    errors = []

    def progress(state):
        if state.done == 3 and not errors:
            with pytest.raises(DeviceBusyError) as caught:
                run(FakeRunner(threads=4), path.with_name("second.jsonl"))
            errors.append(str(caught.value))

    run(FakeRunner(), path, progress=progress)
    assert f"process {os.getpid()} on " in errors[0]
    assert str(path) in errors[0]
    assert not path.with_name("second.jsonl").exists()
    run(FakeRunner(), path)  # released


def test_another_runtime_is_not_locked_out(path):
    with DeviceLock("fake", Runtime("other", "1"), path):
        assert run(FakeRunner(), path).finished


@pytest.mark.parametrize("limits", [{"minutes": 0.0}, {"minutes": float("nan")}, {"measurements": 0}])
def test_limits_that_allow_nothing_are_refused(path, limits):
    with pytest.raises(UsageError, match="must be"):
        run(FakeRunner(), path, Plan(["relu"], **limits))
    assert not path.exists()


def test_unwritable_state_folder(path, state):
    state.write_text("a file where a folder should be")
    with pytest.raises(StorageError, match=r"cannot lock fake .* FDI_STATE"):
        run(FakeRunner(), path)


def test_unwritable_journal_folder(path):
    path.parent.joinpath("file").touch()
    with pytest.raises(StorageError, match="cannot write journal"):
        run(FakeRunner(), path.parent / "file" / "campaign.jsonl")


FULL_DISK = """
import resource, sys
sys.path.insert(0, sys.argv[2])
import test_campaign as t
from fdi_keras.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
try:
    t.run(t.FakeRunner(), sys.argv[1])
except StorageError as error:
    print(error)
"""


def test_full_disk_keeps_everything_before(path):
    command = [sys.executable, "-c", FULL_DISK, str(path), str(Path(__file__).parent)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "cannot write journal" in done.stdout
    assert "Free space" in done.stdout
    before = len(read_records(path).measurements)
    assert before > 3
    runner = FakeRunner()
    records = run(runner, path, resume=True)
    assert sorted(records.measurements) == list(range(30))
    assert runner.probes == 30 - before
    assert all(json.loads(line) for line in path.read_text().splitlines())
