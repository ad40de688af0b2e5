"""A phone that was measured is as it was before, whatever happened in between."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fdi_keras.devices.adb.steady import SteadyPhone, restore_left_over
from fdi_keras.devices.adb.thermal import ThermalState, read_thermal
from fdi_keras.errors import DeviceBusyError, DeviceGoneError, StorageError

SCRIPT = Path(__file__).with_name("kill_steady.py")
AWAKE = "stay_on_while_plugged_in"


@pytest.fixture
def as_before(phone):
    """Check that the phone is what it was when the test began."""

    def state():
        return (
            phone.setting(AWAKE),
            phone.read("fixed_performance"),
            phone.read("prop/security.perf_harden"),
            sorted(phone.storage.rglob("*")),
            phone.processes(),
        )

    before = state()

    def check():
        assert state() == before

    return check


def start_tool(link, name="benchmark_model"):
    link.push("/bin/sleep", f"/data/local/tmp/fdi/bin/{name}", 0o755)
    link.run(f"/data/local/tmp/fdi/bin/{name} 100 > /dev/null 2>&1 &")


def test_steady_and_back(link, phone, as_before):
    with SteadyPhone(link, perf_harden=True) as steady:
        assert phone.setting(AWAKE) == "7"
        assert phone.read("fixed_performance") == "true"
        assert phone.read("prop/security.perf_harden") == "0"
        assert phone.read("awake") == "true"
        assert steady.fixed
        assert steady.notes == []
        link.push(b"x", "/data/local/tmp/fdi/deep/.hidden")
    assert steady.notes == []
    as_before()
    assert restore_left_over(link) == []


def test_security_is_left_alone_unless_asked(link, phone):
    with SteadyPhone(link):
        assert phone.read("prop/security.perf_harden") == "1"
    assert phone.calls("setprop") == []


@pytest.mark.parametrize("value", [None, "3", "a 'b' $(c)"])
def test_every_value_comes_back(link, phone, value):
    place = phone.state / "settings/global" / AWAKE
    place.unlink()
    if value is not None:
        place.write_text(value + "\n")
    with SteadyPhone(link):
        assert phone.setting(AWAKE) == "7"
    assert phone.setting(AWAKE) == value


@pytest.mark.parametrize("value", [b"x" * 200_000, b"\xff\xfe", b"two\nlines", b"\x1b[2J"])
def test_a_value_that_could_not_be_put_back_is_not_changed(link, phone, value):
    place = phone.state / "settings/global" / AWAKE
    place.write_bytes(value + b"\n")
    with SteadyPhone(link) as steady:
        assert place.read_bytes() == value + b"\n"
        assert steady.fixed
    (note,) = steady.notes
    assert "strange value" in note
    assert len(note) < 300
    assert note.isprintable()
    assert place.read_bytes() == value + b"\n"


def test_what_is_so_already_is_not_touched(link, phone):
    phone.write(f"settings/global/{AWAKE}", "7\n")
    with SteadyPhone(link):
        pass
    assert not [call for call in phone.calls("settings") if call.startswith(("put", "delete"))]


def test_what_somebody_else_has_changed_stays(link, phone):
    with SteadyPhone(link) as steady:
        phone.write(f"settings/global/{AWAKE}", "1\n")
    assert phone.setting(AWAKE) == "1"
    assert any("changed by somebody else" in note for note in steady.notes)


def test_the_record_is_on_disk_before_the_first_change(link, phone, tmp_path, as_before):
    folder = tmp_path / "file"
    folder.write_text("no folder")
    with pytest.raises(StorageError, match="settings are kept to restore them"), SteadyPhone(link, folder):
        pass
    as_before()


def test_an_error_within_restores_too(link, as_before):
    with pytest.raises(ZeroDivisionError), SteadyPhone(link):
        1 / 0  # noqa: B018
    as_before()


def kill_in_the_middle(phone, adb_server):
    root = str(Path(__file__).resolve().parents[3])
    paths = os.pathsep.join([root, *filter(None, [os.environ.get("PYTHONPATH")])])
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), phone.serial, str(adb_server.port)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
    ) as process:
        assert process.stdout.readline() == b"steady\n"
        process.send_signal(signal.SIGKILL)
    assert phone.setting(AWAKE) == "7"
    assert len(phone.processes()) == 1


def test_a_killed_process_is_cleaned_up_after(link, phone, adb_server, as_before):
    kill_in_the_middle(phone, adb_server)
    notes = restore_left_over(link)
    assert len(notes) == 1
    assert "ended what was still running" in notes[0]
    as_before()
    assert restore_left_over(link) == []


def test_the_next_campaign_cleans_up_too_over_whichever_way(link, phone, adb_server, as_before):
    from fdi_keras.devices.adb.phone import PhoneLink

    kill_in_the_middle(phone, adb_server)
    over_wifi = PhoneLink(phone.attach(adb_server.port, cable=False), adb_server.server)
    assert over_wifi.serial != link.serial
    with SteadyPhone(over_wifi) as steady:
        assert "ended what was still running" in steady.notes[0]
        assert phone.setting(AWAKE) == "7"
    as_before()
    adb_server.server.disconnect(over_wifi.serial)


def test_a_cable_that_is_out_at_the_end(link, phone, as_before):
    with SteadyPhone(link) as steady:
        start_tool(link)
        phone.pull_cable()
    assert "done at the next connection" in steady.notes[0]
    assert phone.setting(AWAKE) == "7"
    with pytest.raises(DeviceGoneError):
        restore_left_over(link)
    phone.plug()
    restore_left_over(link)
    as_before()


@pytest.mark.parametrize("count", [1, 20])
def test_a_cable_that_goes_during_the_restoring(link, phone, as_before, count):
    steady = SteadyPhone(link)
    steady.__enter__()
    phone.cut_after(count, "to_host", "shell")
    steady.__exit__(None, None, None)
    phone.plug()
    restore_left_over(link)
    as_before()
    assert phone.setting(AWAKE) == "0"
    assert restore_left_over(link) == []


def test_a_restart_in_the_middle(link, phone, as_before):
    with SteadyPhone(link) as steady:
        phone.reboot(0.05)
        end = time.monotonic() + 5
        while True:
            try:
                steady.steady_again()
                break
            except DeviceGoneError:
                assert time.monotonic() < end
        assert phone.read("fixed_performance") == "true"
    as_before()


def test_two_at_a_time_are_refused(link, as_before):
    with SteadyPhone(link):
        with (
            pytest.raises(DeviceBusyError, match=rf"another process .*process {os.getpid()} on"),
            SteadyPhone(link),
        ):
            pass
        assert restore_left_over(link) == []
        assert link.run("settings get global stay_on_while_plugged_in").stdout == "7\n"
    as_before()


def test_only_our_own_processes_end(link, phone):
    other = phone.storage / "other"
    other.mkdir()
    link.push("/bin/sleep", "/data/local/tmp/other/benchmark_model", 0o755)
    link.run("/data/local/tmp/other/benchmark_model 100 > /dev/null 2>&1 &")
    start_tool(link)
    # One that does not listen, and one whose program has been removed under it.
    link.push(b"trap '' TERM; while :; do sleep 0.05; done", "/data/local/tmp/fdi/stubborn", 0o755)
    link.run("sh /data/local/tmp/fdi/stubborn > /dev/null 2>&1 &")
    link.remove("/data/local/tmp/fdi/bin/benchmark_model")
    with SteadyPhone(link) as steady:
        time.sleep(0.1)  # the last sleep of the stubborn one
        assert [process.name() for process in phone.processes()] == ["benchmark_model"]
        assert phone.processes()[0].exe() == str(other / "benchmark_model")
    assert "ended" in steady.notes[0]
    assert (other / "benchmark_model").exists()


def test_the_tool_may_stay(link, phone):
    with SteadyPhone(link, keep_binary=True):
        link.push(b"tool", "/data/local/tmp/fdi/bin/benchmark_model")
        link.push(b"probe", "/data/local/tmp/fdi/probe")
    assert [path.name for path in phone.storage.rglob("*") if path.is_file()] == ["benchmark_model"]
    with SteadyPhone(link):
        pass
    assert not list(phone.storage.iterdir())


def test_what_a_phone_does_not_have_is_noted(link, phone):
    (phone.state / "fixed_performance").unlink()
    (phone.root / "bin/settings").write_text(
        "#!/bin/sh\n[ $1 = get ] && echo 0 && exit\necho 'SecurityException: \x1b[1mno' >&2; exit 255\n"
    )
    with SteadyPhone(link) as steady:
        assert not steady.fixed
    assert any("no fixed-performance mode" in note for note in steady.notes)
    assert any("USB debugging (Security settings)" in note and "\x1b" not in note for note in steady.notes)


def test_an_old_phone(make_phone, adb_server):
    from fdi_keras.devices.adb.phone import PhoneLink

    old = make_phone("old", features=(), properties={"ro.build.version.sdk": "23"})
    with SteadyPhone(PhoneLink(old.serial, adb_server.server)):
        assert old.setting(AWAKE) == "7"
    assert old.setting(AWAKE) == "0"
    assert old.calls("cmd") == []


def test_how_warm_it_is(link, phone):
    assert read_thermal(link) == ThermalState(0, 27.5, False, False)
    phone.write("thermal", "Thermal Status: 3\n")
    phone.write("battery", "USB powered: true\nstatus: 2\ntemperature: 441\n")
    warm = read_thermal(link)
    assert warm == ThermalState(3, 44.1, True, True)
    assert warm.throttled
    assert warm.words == "thermal status severe (3 of 6), battery 44.1 °C, charging"
    (phone.state / "thermal").unlink()
    assert read_thermal(link).throttled
    (phone.state / "battery").unlink()
    unknown = read_thermal(link)
    assert unknown == ThermalState()
    assert not unknown.throttled
    assert unknown.words == "tells no temperature"
