"""The room of devices: phones that come and go, forms, and what the command line answers."""

import json
import sys
from pathlib import Path

import pytest
from fdi_tui.data.devices import Devices, lines_about, row_of
from fdi_tui.data.writers import process_status
from fdi_tui.screens.room import Room
from fdi_tui.sources import fdi_command
from screens import in_loop, screen_text, until, until_shown

PHONES = (Path(__file__).parent / "recorded" / "phones.jsonl").read_bytes().splitlines()


def test_what_the_watcher_says_is_taken_and_nonsense_is_not():
    devices = Devices()
    for line in [*PHONES, b"\xff", b"[" * 10_000, b'{"event":"gone","device":{"id":"unknown"}}']:
        devices.take_line(line)
    assert list(devices.seen) == ["R58M12ABCDE", "0123456789", "hot-one"]
    assert row_of(devices.seen["hot-one"], {})["throttled"] == "throttled (severe)"
    assert dict(lines_about(devices.seen["0123456789"], {}))["what to do"].startswith("confirm")
    for device in devices.seen.values():
        assert all(text.isprintable() for pair in lines_about(device, {}) for text in pair)
    devices.take_line(json.dumps({"event": "problem", "note": "the server\x1b went away"}).encode())
    assert devices.problem == "the server\\x1b went away"
    devices.forget_phones()
    assert devices.seen == {}


@in_loop
async def test_real_phones_come_and_go(make_app, state, make_phone, own_adb_server, monkeypatch):
    # A server of its own: that of the other tests may still list what they have left.
    monkeypatch.setenv("FDI_ADB", f"none,127.0.0.1:{own_adb_server.port}")
    app = make_app(state, "devices", command=fdi_command())
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "Some Processor 9000")
        phone = make_phone("late", server=own_adb_server)
        await until_shown(pilot, phone.serial, "ready")
        await pilot.press("j")
        await until_shown(pilot, "Android")
        phone.pull_cable()
        await until(pilot, lambda: phone.serial not in screen_text(app).splitlines()[2], "going")
    assert app.faults == []


ANSWERING = """
import sys
print("asked for", *sys.argv[1:], "[red]\\x1b[31m") if sys.argv[1] != "devices" else __import__("time").sleep(99)
"""


@pytest.mark.parametrize(
    ("keys", "asked"),
    [
        (["d"], "asked for doctor"),
        (["c", *"10.0.0.9:41375", "enter"], "asked for connect 10.0.0.9:41375"),
        (["P", *"10.0.0.9:37123", "enter", *"481516", "enter"], "asked for pair 10.0.0.9:37123 481516"),
    ],
    ids=["doctor", "connect", "pair"],
)
@in_loop
async def test_the_command_line_is_asked(make_app, state, keys, asked):
    app = make_app(state, "devices", command=[sys.executable, "-c", ANSWERING])
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "Some Processor 9000")
        await pilot.press(*keys)
        await until_shown(pilot, asked, "[red]\\x1b[31m")
        await pilot.press("y", "escape")
        assert asked in app.clipboard


@in_loop
async def test_an_address_that_is_none_is_refused_in_the_form(make_app, state):
    app = make_app(state, "devices")
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("c", *"nonsense", "enter")
        await until_shown(pilot, "HOST:PORT is expected", "'nonsense'")
        await pilot.press("escape")
        await until(pilot, lambda: "HOST:PORT" not in screen_text(app))
        assert isinstance(app.screen, Room), "the form is closed, and nothing else was opened"
    assert app.faults == []


@in_loop
async def test_the_watcher_ends_with_the_dashboard(make_app, state, tmp_path):
    script = f"import os, time; open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(99)"
    app = make_app(state, "devices", command=[sys.executable, "-c", script])
    async with app.run_test() as pilot:
        await until(pilot, lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        pid = int((tmp_path / "pid").read_text())
        assert process_status(pid, None) == "running"
    assert process_status(pid, None) == "gone"
