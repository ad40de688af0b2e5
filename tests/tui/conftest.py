"""What the tests of the dashboard share: recorded and real journals, and the app on them."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fdi_tui.app import FdiApp
from fdi_tui.data.devices import SeenDevice
from fdi_tui.sources import Sources

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"

#: The moment of golden screens: half an hour after the recorded campaign.
NOW = 1795195600.0

COMPUTER = SeenDevice(
    "local",
    "Some Processor 9000",
    "computer",
    "ready",
    {
        "cpu": "Some Processor 9000",
        "arch": "x86_64",
        "cores": 8,
        "threads": 16,
        "memory_gb": 31.2,
        "os": "Linux 6.1",
        "extensions": ["avx2", "fma"],
        "runtime": "litert 2.3.0 (xnnpack)",
    },
)


@pytest.fixture
def state(tmp_path):
    """A folder of journals and profiles: what was recorded from a real campaign and a real training."""
    for folder in ("campaigns", "sessions", "profiles", "bundle"):
        (tmp_path / folder).mkdir()
    shutil.copy(RECORDED / "campaign.jsonl", tmp_path / "campaigns" / "local-litert-xnnpack.jsonl")
    shutil.copy(RECORDED / "session.jsonl", tmp_path / "sessions" / "tiny.jsonl")
    shutil.copy(RECORDED / "profile.json", tmp_path / "profiles" / "local.json")
    shutil.copy(RECORDED / "profile.json", tmp_path / "bundle" / "with-the-library.json")
    for path in tmp_path.rglob("*.json*"):
        os.utime(path, (NOW - 1800, NOW - 1800))
    return tmp_path


@pytest.fixture
def frozen_clock(monkeypatch):
    """Ages and times of day of golden screens."""
    monkeypatch.setattr(time, "time", lambda: NOW)
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def make_app(tmp_path, monkeypatch):
    """``make_app(state, room, command=...)``: the app on these folders, on a computer that is always the same."""
    monkeypatch.setenv("FDI_CONFIG", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)

    def make(state, room="devices", command=None, **sources):
        watching = [sys.executable, str(HERE / "watching.py")]
        options = {
            "bundle": state / "bundle",
            "computer": lambda: COMPUTER,
            "vitals": lambda: {"load_percent": 7.0, "celsius": 48.0},
        }
        return FdiApp(
            Sources(state, state / "profiles", command=command or watching, **{**options, **sources}),
            room=room,
            settings_file=tmp_path / "config" / "dashboard.json",
        )

    return make


@pytest.fixture(scope="session")
def real_state(tmp_path_factory):
    """Folders in which a real short training and a real short campaign have just been."""
    root = tmp_path_factory.mktemp("real")
    env = {**os.environ, "FDI_STATE": str(root), "FDI_DATA": str(root), "FDI_ADB": "none"}
    training = subprocess.Popen(
        [sys.executable, str(HERE / "train_tiny.py"), "tiny", "5", "--then"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    campaign = [
        sys.executable,
        "-m",
        "fdi_keras",
        "profile",
        "--budget",
        "40",
        "--kinds",
        "relu,dense",
        "--json",
    ]
    done = subprocess.run(campaign, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, _ = training.communicate(timeout=120)
    assert training.returncode == 0, said.decode()
    return root
