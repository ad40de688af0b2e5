"""The verbs for phones: devices, doctor, connect, pair."""

import io
import json
import os
import pty
import signal
import subprocess
import time

import pytest
from stand_in_phone import free_port

from fdi_keras.devices.adb.steady import SteadyPhone


@pytest.fixture
def adb(adb_server):
    """Options with which a verb sees the phones of the tests."""
    return ("--adb", adb_server.server.label)


def test_devices_lists_phones(fdi, adb, make_phone):
    phone, shy = make_phone("a"), make_phone("b", auth="ask")
    answer = fdi("devices", *adb)
    assert answer.status == 0
    assert answer.err == ""
    for text in (
        "local",
        "Loopback Phone",
        "ready",
        "LB8000, arm64-v8a, Android 14",
        "unauthorized",
        "Allow USB",
    ):
        assert text in answer.out
    assert "4 x 1.8 GHz, 3 x 2.3 GHz, 1 x 2.9 GHz" in answer.out
    assert "battery 83 %, 27.5 °C" in answer.out
    devices = json.loads(fdi("devices", *adb, "--json").out)
    states = {device["id"].partition("@")[0]: device["state"].partition(":")[0] for device in devices}
    assert (states["local"], states[phone.serial], states[shy.serial]) == ("ready", "ready", "unauthorized")


def test_devices_restores_what_a_campaign_that_died_has_left(fdi, adb, phone, link):
    assert "after a campaign" not in fdi("devices", *adb).err
    steady = SteadyPhone(link)
    steady.__enter__()
    assert "after a campaign" not in fdi("devices", *adb).err, "it is still being measured"
    assert phone.setting("stay_on_while_plugged_in") == "7"
    link.push("/bin/sleep", "/data/local/tmp/fdi/bin/benchmark_model", 0o755)
    link.run("/data/local/tmp/fdi/bin/benchmark_model 100 > /dev/null 2>&1 &")
    steady._lock.release()  # as the death of its process does
    answer = fdi("devices", *adb)
    assert answer.status == 0
    assert answer.err.count("\n") == 1
    assert answer.err.startswith(f"phone {phone.serial}")
    assert "after a campaign that died: ended what was still running" in answer.err
    assert phone.setting("stay_on_while_plugged_in") == "0"
    assert phone.processes() == []
    assert fdi("devices", *adb).err == ""


def test_devices_fit_eighty_columns(fdi, adb, make_phone, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    make_phone("a")
    make_phone("b", cable=False, auth="ask")
    assert max(map(len, fdi("devices", *adb).out.splitlines())) <= 80


def test_devices_without_adb(fdi, monkeypatch, tmp_path):
    monkeypatch.delenv("FDI_ADB")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(tmp_path / "nothing"))
    answer = fdi("devices")
    assert answer.status == 0
    assert "local" in answer.out
    assert answer.err.startswith("phones are not looked for")
    assert answer.err.count("\n") == 1
    assert [device["id"] for device in json.loads(fdi("devices", "--json").out)] == ["local"]


@pytest.mark.parametrize(
    "args",
    [
        ("devices", "--adb", "a b"),
        ("connect", "nowhere:x"),
        ("pair", "nonsense"),
        ("pair", "host:1", "12"),
        ("pair", "nonsense", "123456"),
    ],
)
def test_wrong_addresses_are_wrong_use(fdi, monkeypatch, args):
    """Said before an adb server is started or asked, and before a code is asked for."""
    monkeypatch.setattr("sys.stdin", io.StringIO("123456\n"))
    nobody = () if args[0] == "devices" else ("--adb", f"127.0.0.1:{free_port()}")
    answer = fdi(*args, *nobody)
    assert (answer.status, answer.out) == (2, "")
    assert answer.err.count("\n") == 1
    assert "received" in answer.err
    assert "Pairing code" not in answer.err


def test_what_a_phone_says_cannot_steer_the_screen(fdi, adb, make_phone):
    evil = make_phone(banner_model="[bold]\x1b]0;x\x07")
    evil.write("prop/ro.product.model", b"[red]x[/red] \x1b[2J\x9b\xff " + b"y" * 1_000_000)
    evil.write("prop/ro.soc.model", "\u202e[/]\n; reboot\n")
    (evil.root / "bin/settings").write_text("#!/bin/sh\nprintf '\\033[2J[red]no\\n' >&2; exit 1\n")
    for args in (("devices",), ("doctor",)):
        answer = fdi(*args, *adb)
        assert "[red]x[/red]" in answer.out
        assert not set(answer.out + answer.err) & {"\x1b", "\x07", "\x9b", "\u202e"}
        json.loads(fdi(*args, *adb, "--json").out)


def follow(fdi_command, *args):
    return subprocess.Popen(
        fdi_command("devices", "--watch", *args),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )


def end(process):
    process.send_signal(signal.SIGINT)
    rest = process.communicate(timeout=10)
    assert process.returncode == 130
    return rest


def test_watching_line_by_line(fdi_command, adb, make_phone):
    phone = make_phone()
    process = follow(fdi_command, *adb)
    line = process.stdout.readline()
    assert "+ local  " in line
    while phone.serial not in line:
        line = process.stdout.readline()
    assert "+" in line
    assert "Loopback Phone" in line
    assert line.rstrip().endswith("ready")
    phone.pull_cable()
    while not ("- " in line and phone.serial in line):
        line = process.stdout.readline()
    assert line.rstrip().endswith("gone")
    begin = time.monotonic()
    _, errors = end(process)
    assert time.monotonic() - begin < 2
    assert "Traceback" not in errors


def test_watching_for_machines(fdi_command, adb, make_phone):
    process = follow(fdi_command, *adb, "--json")
    first = json.loads(process.stdout.readline())
    assert (first["event"], first["device"]["id"]) == ("appeared", "local")
    phone = make_phone()
    event = json.loads(process.stdout.readline())
    while not (event["device"]["id"].startswith(phone.serial) and event["device"]["state"] == "ready"):
        event = json.loads(process.stdout.readline())
    assert event["device"]["details"]["abi"] == "arm64-v8a"
    assert event["time"] > 1e9
    end(process)


def test_watching_on_a_terminal(fdi_command, adb, make_phone):
    phone = make_phone()
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        fdi_command("devices", "--watch", *adb),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        start_new_session=True,
    )
    os.close(theirs)
    begun = phone.serial[:12].encode()
    shown = b""
    while b"Ctrl-C" not in shown.partition(begun)[2]:
        shown += os.read(ours, 65536)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130
    os.close(ours)
    assert b"Loopback Phone" in shown
    assert b"Traceback" not in shown


def test_a_healthy_phone(fdi, adb, make_phone, tool):
    phone = make_phone(simpleperf=True)
    adb = (*adb, "--benchmark-model", tool)
    answer = fdi("doctor", phone.serial, *adb)
    assert answer.status == 0
    assert "0 problems, 0 warnings" in answer.out
    for check in (
        "adb server",
        "authorised",
        "shell",
        "processor type",
        "folder",
        "free space",
        "battery",
        "energy",
        "benchmark_model",
    ):
        assert check in answer.out
    assert not list(phone.storage.iterdir())
    document = json.loads(fdi("doctor", phone.serial, *adb, "--json").out)
    assert document["healthy"]
    (findings,) = document["phones"].values()
    assert {finding["verdict"] for finding in findings} == {"ok"}
    assert phone.setting("stay_on_while_plugged_in") == "0"


def findings_of(fdi, phone, adb):
    answer = fdi("doctor", phone.serial, *adb, "--json")
    document = json.loads(answer.out)
    assert answer.status == (0 if document["healthy"] else 1)
    (findings,) = document["phones"].values()
    for finding in findings:
        assert bool(finding["remedy"]) == (finding["verdict"] != "ok"), finding
    return {finding["check"]: finding["verdict"] for finding in findings}


def test_a_sick_phone(fdi, adb, phone):
    phone.write("battery", "USB powered: false\nlevel: 12\nscale: 100\ntemperature: 280\nstatus: 3\n")
    phone.write("thermal", "Thermal Status: 4\n")
    phone.write("free_kb", "1024")
    phone.write("prop/ro.product.cpu.abi", "mips")
    phone.write("prop/ro.product.cpu.abilist", "mips")
    (phone.state / "fixed_performance").unlink()
    (phone.root / "sys/class/power_supply/battery/current_now").unlink()
    phone.storage.rmdir()
    phone.storage.write_text("in the way")
    found = findings_of(fdi, phone, adb)
    assert {check for check, verdict in found.items() if verdict == "problem"} == {
        "battery",
        "free space",
        "processor type",
        "folder",
    }
    assert {check for check, verdict in found.items() if verdict == "warning"} == {
        "temperature",
        "fixed clocks",
        "energy",
        "cache counters",
    }


def test_a_charging_phone_of_long_ago(fdi, adb, make_phone):
    phone = make_phone(features=())
    phone.write("battery", "USB powered: true\nlevel: 12\nscale: 100\ntemperature: 280\nstatus: 2\n")
    (phone.state / "thermal").unlink()
    found = findings_of(fdi, phone, adb)
    assert (found["battery"], found["charging"], found["temperature"]) == ("warning", "warning", "warning")
    assert found["shell"] == "ok"


def test_phones_that_cannot_be_examined(fdi, adb, make_phone, monkeypatch):
    monkeypatch.setattr("fdi_keras.devices.adb.checks.ANSWER_S", 0.4)
    shy, frozen = make_phone("shy", auth="ask"), make_phone("frozen")
    frozen.freeze()
    assert findings_of(fdi, shy, adb) == {"authorised": "problem"}
    begin = time.monotonic()
    assert findings_of(fdi, frozen, adb) == {"authorised": "ok", "answers": "problem"}
    assert time.monotonic() - begin < 2
    answer = fdi("doctor", "nobody", *adb)
    assert answer.status == 1
    assert "nobody is not attached" in answer.out
    answer = fdi("doctor", "--adb", f"127.0.0.1:{free_port()}")
    assert answer.status == 1
    assert "adb -a -P" in answer.out.replace("\n", " ")


def test_a_check_can_be_added(fdi, adb, phone, monkeypatch):
    from fdi_keras.devices.adb import checks

    def tool(patient):
        return checks.Finding("tool", "problem", f"not for {patient.facts.abi}", "Get it.")

    monkeypatch.setattr(checks, "CHECKS", [*checks.CHECKS, tool])
    assert findings_of(fdi, phone, adb)["tool"] == "problem"


def test_connecting(fdi, adb, adb_server, make_phone):
    phone = make_phone()
    address = f"127.0.0.1:{phone.port}"
    answer = fdi("connect", address, *adb)
    assert answer.status == 0
    assert f"{address}@{adb_server.server.label}" in answer.out
    assert json.loads(fdi("connect", address, *adb, "--json").out) == {
        "id": f"{address}@{adb_server.server.label}"
    }
    adb_server.server.disconnect(address)
    answer = fdi("connect", f"127.0.0.1:{free_port()}", *adb)
    assert answer.status == 1
    assert "Connection refused" in answer.err


def test_pairing_asks_for_the_code(fdi_process, adb, fdi_command):
    asked = subprocess.run(
        fdi_command("pair", f"127.0.0.1:{free_port()}", *adb),
        input="123456\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert asked.returncode == 1
    assert "Pairing code" in asked.stderr
    assert "cannot pair with" in asked.stderr
    assert asked.stdout == ""
