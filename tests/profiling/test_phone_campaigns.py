"""Campaigns on stand-in phones through the real adb server: what befalls a phone costs no measurement."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zlib
from pathlib import Path

import pytest
from stand_in_tool.server import ToolServer

from fdi_keras.devices import RuntimeChoice, open_device, open_runner, phone_runner
from fdi_keras.errors import FdiError
from fdi_keras.journal import read_journal
from fdi_keras.profile import campaign_journal, profile_devices, several
from fdi_keras.profiling import Patience, Plan, build_probe, read_records, run_campaign

KINDS = ["dense", "relu"]
COUNT = 24
#: Probes that each of several phones times.
COMMON = 12
PLAN = Plan(KINDS, measurements=COUNT)
SCRIPT = Path(__file__).with_name("hurt_campaign.py")


@pytest.fixture(scope="module")
def tools():
    with ToolServer() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(phone_runner, "PROBE_S", 0.02)
    defaults = {**phone_runner.PhoneRunner.time.__kwdefaults__, "budget_s": 0.05}
    monkeypatch.setattr(phone_runner.PhoneRunner.time, "__kwdefaults__", defaults)
    monkeypatch.setattr(several, "COMMON", COMMON)


@pytest.fixture
def control(tmp_path):
    """Sets what befalls the tool, which sleeps instead of computing and writes down what it printed."""

    def set_(name="tool", **what):
        usual = {"sleep_ms": [2.0, 6.0], "record": str(tmp_path / "runs.jsonl")}
        (tmp_path / f"{name}.new").write_text(json.dumps({**usual, **what}))
        (tmp_path / f"{name}.new").replace(tmp_path / f"{name}.json")

    set_()
    return set_


@pytest.fixture
def tool(tools, control, tmp_path):
    return tools.install(tmp_path / "tool", tmp_path / "tool.json")


@pytest.fixture
def device(phone, adb_server):
    return f"{phone.serial}@{adb_server.server.label}"


@pytest.fixture
def campaign(device, tool, tmp_path):
    """``campaign(at)``: run one; ``at``: numbers of measurements with what befalls the phone then."""

    def run(at):
        journal, due = tmp_path / "campaign.jsonl", list(at)

        def report(state):
            while due and state.done >= due[0][0]:
                due.pop(0)[1]()

        info = open_device(device).info
        with open_runner(device, RuntimeChoice(benchmark_model=tool)) as runner:
            run_campaign(runner, PLAN, journal, device=info, progress=report, patience=Patience(pause_s=0.1))

    return run


def is_whole(journal, runs):
    """Whether every configuration was measured once, with the numbers of a run of its own model."""
    records = read_records(journal)
    assert records.finished
    assert sorted(records.measurements) == list(range(COUNT))
    events = list(read_journal(journal))
    superseded = sum(len(event["indices"]) for event in events if event["event"] == "superseded")
    measured = [event for event in events if event["event"] == "measurement"]
    assert len(measured) == COUNT + superseded
    unused = [json.loads(line) for line in runs.read_text().splitlines()]
    for event in measured:
        copies = event["copies"]
        model = zlib.crc32(build_probe(event["kind"], event["dims"], copies=copies))
        least_us, median_us = (
            1e3 * (records.overhead_ms + copies * (event[name] - records.overhead_ms))
            for name in ("min_ms", "median_ms")
        )
        run = next(
            run
            for run in unused
            if (run["model"], run["count"]) == (model, event["runs"])
            and run["min_us"] == round(least_us, 6)
            and abs(run["median_us"] - median_us) < 0.500001
        )
        unused.remove(run)
    return True


def is_as_it_was(phone):
    deadline = time.monotonic() + 1
    while phone.processes() and time.monotonic() < deadline:
        time.sleep(0.02)
    return (
        phone.setting("stay_on_while_plugged_in") == "0"
        and phone.read("fixed_performance") == "false"
        and not phone.processes()
        and not list(phone.storage.iterdir())
    )


def soon(true, act):
    """Do it in another thread as soon as something is true."""

    def wait():
        deadline = time.monotonic() + 20
        while not true() and time.monotonic() < deadline:
            time.sleep(0.01)
        act()

    threading.Thread(target=wait).start()


def test_a_campaign_outlasts_what_befalls_its_phone(campaign, phone, tmp_path):
    journal = tmp_path / "campaign.jsonl"

    def fill():
        phone.write("free_kb", "0\n")
        refused = b"takes no models now: writing"
        soon(lambda: refused in journal.read_bytes(), lambda: phone.write("free_kb", "1000000\n"))

    def cut():
        phone.cut_after(200, "to_host", "shell")
        soon(lambda: phone.is_out and not phone.cuts_to_come, phone.plug)

    # The first batch is on the phone already, so that the second finds it full.
    campaign([(1, fill), (17, lambda: phone.reboot(0.2)), (18, cut)])
    assert is_whole(journal, tmp_path / "runs.jsonl")
    events = list(read_journal(journal))
    reasons = [event["reason"] for event in events if event["event"] == "gone"]
    assert len(reasons) == len([event for event in events if event["event"] == "back"]) >= 3
    assert "No space left on device" in reasons[0]
    assert is_as_it_was(phone)


def test_a_dead_host_resumes(device, tool, tmp_path, phone):
    journal = tmp_path / "campaign.jsonl"
    command = [sys.executable, str(SCRIPT), str(journal), device, str(tool), str(COUNT), "0"]
    root = str(Path(__file__).resolve().parents[2])
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")])}

    def lines():
        return journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []

    with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE) as process:
        while sum(b'"event":"measurement"' in line for line in lines()) < 5:
            assert process.poll() is None, process.stderr.read().decode()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    kept = lines()
    assert phone.setting("stay_on_while_plugged_in") == "7"
    done = subprocess.run([*command, "--resume"], env=environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert lines()[: len(kept)] == kept
    assert is_whole(journal, tmp_path / "runs.jsonl")
    assert is_as_it_was(phone)


@pytest.fixture
def pair(make_phone, adb_server, tools, control, tmp_path):
    """Two phones of one model, and a choice whose tool is the same file for both."""
    phones = [make_phone("first"), make_phone("second")]
    tool = tools.install(tmp_path / "tool", tmp_path / "tool.json")
    return [f"{p.serial}@{adb_server.server.label}" for p in phones], RuntimeChoice(benchmark_model=tool)


@pytest.fixture
def share(pair):
    """Let both phones carry out one plan: the profile of each, and what each has timed."""

    def run(count):
        devices, choice = pair
        results = profile_devices(devices, measurements=count, kinds=KINDS, runtime=choice)
        assert not [result for result in results.values() if isinstance(result, FdiError)]
        timed = [set(read_records(campaign_journal(device, choice)).measurements) for device in devices]
        return [*results.values(), *timed]

    return run


def test_two_phones_share_the_work_and_agree(share):
    first, second, timed, also_timed = share(44)
    assert first is second
    assert timed & also_timed == set(range(COMMON))
    assert len(timed | also_timed) == 44
    assert min(len(timed), len(also_timed)) > COMMON
    assert any("measured on several devices of one model" in warning for warning in first.warnings)


def test_a_phone_that_is_slower_does_not_agree(share, control):
    control(slow_down_in={"/second/": 1.3})
    first, second, *_ = share(30)
    assert first is not second
    for profile in (first, second):
        (text,) = (warning for warning in profile.warnings if "do not agree: " in warning)
        assert 1.15 < float(re.search(r": ([0-9.]+) times its time", text)[1]) < 1.5
