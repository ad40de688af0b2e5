"""Real campaigns on this computer, killed at random moments and resumed."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fdi_keras.devices import open_device
from fdi_keras.journal import read_journal
from fdi_keras.profiling import DeviceLock, read_records

SCRIPT = Path(__file__).with_name("kill_campaign.py")
COUNT = 32


def start(journal, state, *options):
    command = [sys.executable, str(SCRIPT), str(journal), str(COUNT), *options]
    root = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.Popen(
        command, env={**os.environ, "FDI_STATE": str(state), "PYTHONPATH": paths}, stderr=subprocess.PIPE
    )


def acknowledged(journal):
    """Complete lines of measurements, as text."""
    if not journal.exists():
        return []
    lines = journal.read_bytes().split(b"\n")[:-1]
    return [line for line in lines if b'"event":"measurement"' in line]


def wait_for_measurements(journal, count, process):
    while len(acknowledged(journal)) < count:
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.01)


@pytest.mark.parametrize("seed", range(3))
def test_no_measurement_is_lost_or_made_twice(tmp_path, seed):
    journal, state = tmp_path / "campaign.jsonl", tmp_path / "state"
    rng = random.Random(seed)
    made = []
    for attempt in range(3):
        options = ["--resume"] if attempt else []
        with start(journal, state, *options) as process:
            wait_for_measurements(journal, len(made) + 1, process)
            time.sleep(rng.uniform(0.0, 0.5))
            process.send_signal(signal.SIGKILL)
        before, made = made, acknowledged(journal)
        assert made[: len(before)] == before
    with start(journal, state, "--resume") as process:
        assert process.wait(timeout=60) == 0, process.stderr.read().decode()
    final = acknowledged(journal)
    assert final[: len(made)] == made
    records = read_records(journal)
    assert sorted({**records.measurements, **records.failures}) == list(range(COUNT))
    assert not records.failures
    superseded = sum(
        len(event["indices"]) for event in read_journal(journal) if event["event"] == "superseded"
    )
    assert len(final) == COUNT + superseded


def test_a_campaign_elsewhere_is_refused_and_lets_go_when_killed(tmp_path, monkeypatch):
    journal, state = tmp_path / "campaign.jsonl", tmp_path / "state"
    monkeypatch.setenv("FDI_STATE", str(state))
    device = open_device()
    runtime = device.open().runtime
    with start(journal, state) as process:
        wait_for_measurements(journal, 1, process)
        with start(tmp_path / "second.jsonl", state) as second:
            assert second.wait(timeout=30) == 1
            message = second.stderr.read().decode()
        assert (
            f"DeviceBusyError: another campaign runs on local (litert, xnnpack): process {process.pid}"
            in (message.replace("fdi_keras.errors.", ""))
        )
        assert str(journal) in message
        process.kill()
    with DeviceLock(device.info.id, runtime, journal):
        pass
