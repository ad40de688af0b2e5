"""The rooms Rules and Sessions: every key, golden screens, real and hostile journals."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fdi_tui.widgets.panels import Reading
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.table import RowTable
from screens import SIZES, check_golden, in_loop, screen_text, settled, until, until_shown

from fdi_keras.journal import Journal

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("frozen_clock")
@in_loop
async def test_rules_and_sessions_look_as_they_did(make_app, state, size):
    app = make_app(state, "rules")
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "dense", "relu", "measured")
        await settled(pilot)
        check_golden(app, "rules")
        if size[1] < 34:  # on larger screens they stand below the curve
            await pilot.press("v")
            await settled(pilot)
            check_golden(app, "rules-measurements")
        await pilot.press("c", "enter")
        await until_shown(pilot, "beside")
        await settled(pilot)
        check_golden(app, "rules-comparison")
        await pilot.press("4")
        await until_shown(pilot, "tiny: finished", "predicted latency")
        await settled(pilot)
        check_golden(app, "sessions")
        for view in ("widths", "done") if size[1] < 34 else ():
            await pilot.press("v")
            await settled(pilot)
            check_golden(app, f"sessions-{view}")
    assert app.faults == []


@in_loop
async def test_every_key_of_the_rules(make_app, state):
    app = make_app(state, "rules")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "dense", "relu", "measured")
        room = app.screen
        await pilot.press("j", "k", "l", "l", "j", "h", "h", "G", "g", "enter", "enter")
        plot = room.query_one(Plot)
        vary = plot.x_name
        await pilot.press("d")
        await until(pilot, lambda: plot.x_name != vary, "another dimension")
        before = dict(room._dims)
        await pilot.press("right_square_bracket", "left_square_bracket", "greater_than_sign")
        await until(pilot, lambda: room._dims != before, "a larger dimension")
        larger = dict(room._dims)
        await pilot.press("greater_than_sign", "less_than_sign")
        await until(pilot, lambda: room._dims == larger, "the dimension as it was")
        await pilot.press("equals_sign")
        await until_shown(pilot, "An operator of kind")
        await pilot.press(*("delete",) * 6, *("backspace",) * 6, "0", *("enter",) * len(room._dims))
        await until_shown(pilot, "must be a whole number")
        await pilot.press("escape")
        await pilot.press("slash", *"dense", "enter")
        await until(pilot, lambda: "relu" not in screen_text(app).split("▕")[0], "filtered")
        assert "dense" in screen_text(app)
        await pilot.press("slash", "escape", "y")
        assert app.clipboard.startswith(("dense: ", "relu: "))
        await pilot.press("Y")
        assert app.clipboard.startswith("fdi rules local --kind ")
        await pilot.press("o")
        await until_shown(pilot, "Which profile?")
        await pilot.press("escape")
        room.query_one("#measurements").focus()
        await pilot.press("j", "enter")
        await until(pilot, lambda: room._dims == room._rows["1"]["dims"], "the operator of the row")
        plot.focus()
        await pilot.press("Y")
        assert app.clipboard.startswith("fdi minima local --kind ")
    assert app.faults == []


@in_loop
async def test_the_commands_that_are_copied_work(make_app, state, monkeypatch, capsys):
    import shlex

    from fdi_keras.cli import main

    monkeypatch.setenv("FDI_DATA", str(state))
    app = make_app(state, "rules")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "dense", "relu", "measured")
        for panel in ("#tree", "#curve"):
            app.screen.query_one(panel).focus()
            await pilot.press("Y")
            assert main(shlex.split(app.clipboard)[1:]) == 0, app.clipboard
    capsys.readouterr()


@in_loop
async def test_a_profile_that_is_damaged_is_said_and_the_room_goes_on(make_app, state):
    (state / "profiles" / "local.json").write_text(
        '{"format": "fdi-profile", "schema_version": 1, "name": "[bold]"}'
    )
    app = make_app(state, "rules")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "damaged")
        shutil.copy(RECORDED / "profile.json", state / "profiles" / "local.json")
        await until_shown(pilot, "dense", "relu")
    assert app.faults == []


@in_loop
async def test_sessions_together_one_pinned(make_app, state):
    shutil.copy(state / "sessions" / "tiny.jsonl", state / "sessions" / "other.jsonl")
    app = make_app(state, "sessions")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "finished", "predicted latency")
        room = app.screen
        await pilot.press("b", "j", "m")
        plot = room.query_one("#plot-0", Plot)
        await until(pilot, lambda: len(plot.series) == 3, "two sessions and the target")
        assert sum("(pinned)" in series.name for series in plot.series) == 1
        assert plot.title == "predicted latency"
        await pilot.press("right_square_bracket")
        await until(pilot, lambda: plot.title == "loss", "the next quantity")
        await pilot.press("left_square_bracket", "b", "m", "k", "b")
        await until(pilot, lambda: len(plot.series) == 2, "one session")
        room.query_one("#done").focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, Reading), "the whole row")
        await pilot.press("escape", "Y")
        assert app.clipboard.startswith("fdi sessions ")
        room.query_one("#plot-0").focus()
        await pilot.press("l", "l", "plus", "e")
        (written,) = state.glob("fdi-plot-*.csv")
        assert written.read_text().startswith("series,epoch,latency_ms\n")
    assert app.faults == []


@in_loop
async def test_a_running_session_grows_on_the_screen_and_a_held_view_does_not(make_app, state):
    with Journal(state / "sessions" / "live.jsonl") as journal:
        journal.start(
            "session", session="live", start_ms=2.0, target_ms=1.0, epochs=9, spaces={"a": {"width": 8}}
        )
        journal.write("epoch", epoch=1, loss=0.5, latency_ms=1.75, widths={"a": 7})
        app = make_app(state, "sessions")
        async with app.run_test(size=(120, 40)) as pilot:
            await until_shown(pilot, "live: running", "1/9")
            journal.write("epoch", epoch=2, loss=0.25, latency_ms=1.5, widths={"a": 6})
            await until_shown(pilot, "2/9", "1.5 ms")
            await pilot.press("p")
            journal.write("epoch", epoch=3, loss=0.125, latency_ms=1.25, widths={"a": 5})
            await until(pilot, lambda: app.screen._followed[journal.path].session.history.count == 3, "read")
            assert "2/9" in screen_text(app)
            await pilot.press("p")
            await until_shown(pilot, "3/9")
        assert app.faults == []


@in_loop
async def test_a_training_killed_in_mid_epoch_shows_as_died(make_app, state):
    env = {**os.environ, "FDI_STATE": str(state), "FDI_DATA": str(state)}
    training = subprocess.Popen(
        [sys.executable, str(HERE / "train_tiny.py"), "victim", "100000"],
        env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        app = make_app(state, "sessions")
        async with app.run_test(size=(120, 40)) as pilot:
            await until_shown(pilot, "victim", "/100000", seconds=60)
            await pilot.press("k")  # the newest comes first, the cursor stays where it was
            await until_shown(pilot, "victim: running")
            training.send_signal(signal.SIGKILL)
            training.wait()
            await until_shown(pilot, "victim: died", seconds=5)
        assert app.faults == []
    finally:
        training.kill()
        training.wait()


@in_loop
async def test_a_session_of_another_machine_shows_its_host(make_app, state):
    with Journal(state / "sessions" / "away.jsonl") as journal:
        journal.write(
            "started", schema_version=1, kind="session", pid=2**22 + 1, host="training-box", session="away"
        )
    app = make_app(state, "sessions")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "on training-box")
        assert "died" not in screen_text(app)


@in_loop
async def test_hostile_journals_do_no_harm(make_app, state):
    evil = rb"[bold red]x[/] \u001b[41m\u001b]0;pwned\u0007 \u202e \u009b31m"
    first = b'{"event":"started","time":1,"schema_version":1,"kind":"session","pid":%d,"host":"%s","session":"%s",' % (
        os.getpid(), socket.gethostname().encode(), evil
    )  # fmt: skip
    first += b'"epochs":-7,"spaces":{"' + evil + b'":{"width":1e308,"kept":"' + evil + b'"},"b":5}}\n'
    epoch = (
        b'{"event":"epoch","epoch":[],"loss":{},"latency_ms":1e999,"metrics":{"'
        + evil
        + b'":1},"widths":{"x":-5}}\n'
    )
    journals = {
        "a-evil": first + epoch + b'{"event":"warning","message":"' + evil + b'"}\n',
        "b-empty": b"",
        "c-half": first[:80],
        "d-torn": first + epoch[:50],
        "e-binary": bytes(range(256)) * 20,
        "f-newer": first.replace(b'"schema_version":1', b'"schema_version":7'),
        "g-long": first + b'{"event":"epoch","x":"' + b"A" * (2 << 20) + b'"}\n' + epoch,
        "h-types": first
        + b'[]\n7\nnull\n{"event":"prune","widths":[]}\n{"event":"grow","changes":{"a":1}}\n',
    }
    for name, content in journals.items():
        (state / "sessions" / f"{name}.jsonl").write_bytes(content)
    app = make_app(state, "sessions")
    async with app.run_test(size=(80, 24)) as pilot:
        await until_shown(pilot, "unreadable")
        table = app.screen.query_one("#sessions", RowTable)
        for key in table.keys_shown:
            table.choose(key)
            await until(pilot, lambda key=key: str(app.screen._chosen) == key, key)
            for _ in range(5):
                await pilot.press("v")
                assert screen_text(app).replace("\n", "").isprintable()
    assert app.faults == []


@in_loop
async def test_a_long_session_opens_at_once(make_app, state):
    with Journal(state / "sessions" / "long.jsonl") as journal:
        journal.start("session", session="long", start_ms=2.0, target_ms=1.0, epochs=20_000, spaces={})
        for epoch in range(1, 20_001):
            journal.write("epoch", epoch=epoch, loss=1.0 / epoch, latency_ms=1.5)
    app = make_app(state, "sessions")
    async with app.run_test(size=(120, 40)) as pilot:
        began = time.monotonic()
        await until_shown(pilot, "long: running", "20000/20000", "every 4th epoch")
        assert time.monotonic() - began < 5
    assert app.faults == []


@in_loop
async def test_operators_are_seen_under_the_roofs(make_app, state):
    roofs = {"flops_per_s": 1e11, "bytes_per_s": 1e10, "near_bytes_per_s": 2e10}
    told = [
        {"name": "stem", "kind": "conv2d", "flops": 1e9, "memory_bytes": 8e6, "predicted_ms": 20.0},
        {"name": "join", "kind": "add", "flops": 1e6, "memory_bytes": 8e6, "predicted_ms": 0.9},
    ]
    with Journal(state / "sessions" / "placed.jsonl") as journal:
        journal.start("session", session="placed", start_ms=2.0, target_ms=1.0, epochs=2, spaces={},
                      roofline=roofs, operators=told)  # fmt: skip
    app = make_app(state, "sessions")
    async with app.run_test(size=(120, 40)) as pilot:
        await until_shown(pilot, "placed")
        app.screen.show("placed")
        await until_shown(pilot, "placed: running")
        await pilot.press("v", "v", "v")
        await until_shown(pilot, "stem", "20 ms", "10 ms", "50.0 %", "compute", "join", "memory")
    assert app.faults == []
