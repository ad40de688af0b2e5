"""Campaigns: what journals say, hostile ones, and real ones that are started, killed, stopped, resumed."""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import hostile
import pytest
from fdi_tui.data.campaigns import CampaignFollower, Campaigns
from fdi_tui.data.control import interrupt, resume_arguments
from fdi_tui.data.starting import profile_arguments, wrong_with
from fdi_tui.screens import campaign_text as say
from fdi_tui.sources import fdi_command
from fdi_tui.widgets.table import RowTable
from fdi_tui.widgets.times import first_dimension, most_alike
from hypothesis import example, given
from screens import in_loop, screen_text, until, until_shown
from searching import examples

from fdi_keras.journal import Journal
from fdi_keras.profiling import read_records

RECORDED = Path(__file__).parent / "recorded" / "campaign.jsonl"


def followed(path):
    follower = CampaignFollower(path)
    while follower.read():
        pass
    return follower.campaign


def test_it_says_what_the_library_reads():
    records, campaign = read_records(RECORDED), followed(RECORDED)
    assert campaign.done == len(records.measurements) + len(records.failures)
    assert {r.index: r.median_ms for r in campaign.readings.values()} == {
        index: m.median_ms for index, m in records.measurements.items()
    }
    assert campaign.overhead_ms == records.overhead_ms
    assert campaign.planned(60) == dict(campaign.counts)
    assert campaign.standing(time.time()).state == "finished"


def test_repeats_failures_waits_and_restarts_are_counted(tmp_path):
    path = tmp_path / "c.jsonl"
    dims = {"height": 1, "width": 1, "channels": 8}
    with Journal(path) as journal:
        journal.start(
            "campaign", name="local", plan={"kinds": ["relu"], "measurements": 10, "design_version": 2}
        )
        for index in range(4):
            journal.write("measurement", index=index, kind="relu", dims=dims, median_ms=1.0, iqr_ms=0.1)
        journal.write("failure", index=4, kind="relu", dims=dims, reason="crashed\x1b[2J\nand more")
        journal.write("waiting", reason="hot", waited_s=2.0)
        journal.write("waiting", reason="hot", waited_s=4.0)
    campaign = followed(path)
    assert (campaign.done, campaign.counts["relu"], campaign.failed["relu"]) == (5, 4, 1)
    assert campaign.waiting == "hot"
    assert campaign.failures[4].reason == "crashed\\x1b[2J and more"
    with Journal(path) as journal:
        journal.write("superseded", indices=[1, 2, 77], reason="slow")
        journal.write("interrupted", reason="by the user", seconds=30.0)
        journal.resume(plan={"kinds": ["relu"], "measurements": 20})
        journal.write("measurement", index=4, kind="relu", dims=dims, median_ms=1.0, iqr_ms=0.1)
    campaign = followed(path)
    assert (campaign.done, campaign.counts["relu"], campaign.failed["relu"]) == (3, 3, 0)
    assert (campaign.waiting, campaign.waited_s, campaign.budget) == ("", 4.0, 20)
    assert campaign.standing(time.time()).state == "running"
    assert campaign.seconds(time.time(), True) >= 30.0


FIELDS = ("device", "runtime", "plan", "index", "kind", "dims", "median_ms", "iqr_ms", "reason", "indices", "seconds",
          "waited_s", "away_s", "good", "message", "overhead_ms", "pid", "host", "time", "total", "measurements",
          "failures", "name")  # fmt: skip
NAMES = ("started", "resumed", "measurement", "measurement", "failure", "superseded", "waiting", "gone", "back",
         "reference", "warning", "overhead", "progress", "finished", "failed", "interrupted", "else")  # fmt: skip


@given(hostile.journal("campaign", NAMES, FIELDS))
@example(b'{"event":"started","schema_version":1,"kind":"campaign","host":"\\u001b[2J"}\n')
@examples(60)
def test_no_journal_stops_what_is_said_of_a_campaign(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "hostile-campaigns"
    folder.mkdir(exist_ok=True)
    path = folder / "x.jsonl"
    path.write_bytes(content)
    follower = CampaignFollower(path)
    while follower.read():
        pass
    campaign, now = follower.campaign, time.time()
    (listed,) = Campaigns(folder).read(now)
    texts = [campaign.device, campaign.runtime, campaign.waiting, campaign.ending, *campaign.kinds]
    texts += [h.text for h in campaign.happenings] + [f.reason for f in campaign.failures.values()]
    assert all(text.isprintable() for text in texts)
    assert campaign.done >= 0
    head = say.head_text(campaign, "", now, 20, False).plain.split("\n")
    assert len(head) == 2
    assert all(line.isprintable() for line in head)
    assert resume_arguments(campaign)[0] == "profile"
    latest = say.latest_of(campaign)
    tables = [
        (say.LIST, [say.list_row(listed, followed, True, now) for followed in (None, campaign)]),
        (say.KINDS, say.kind_rows(campaign, {}, now, False).values()),
        *((columns, rows.values()) for columns, rows in (
            (say.LATEST, say.latest_rows(latest, {})),
            (say.FAILURES, say.failure_rows(campaign)),
            (say.EVENTS, say.event_rows(campaign)),
            (say.LOG, say.log_rows(follower)),
        )),
    ]  # fmt: skip
    for columns, rows in tables:
        assert all(isinstance(text, str) for text, _ in hostile.written(columns, rows))
    for kind in {reading.kind for reading in latest}:
        readings = campaign.of_kind(kind)
        vary = first_dimension(readings)
        assert set(most_alike(readings, vary)) >= {vary} - {""}


def test_forms_are_checked_and_become_command_lines():
    assert wrong_with({"kinds": "relu,dense", "minutes": "2", "threads": "1"}) == ""
    for values, told in (
        ({"minutes": "2", "budget": "3"}, "not both"),
        ({"minutes": "inf"}, "Minutes"),
        ({"budget": "-1"}, "Measurements"),
        ({"threads": "x"}, "Threads"),
        ({"delegate": "tpu"}, "Delegate"),
        ({"kinds": "conv2d,nonsense"}, "nonsense"),
    ):
        assert told in wrong_with(values)
    phone = {
        "kinds": "all",
        "budget": "9",
        "threads": "2",
        "delegate": "gpu",
        "cores": "big",
        "precision": "float16",
    }
    assert profile_arguments("A1", phone) == [
        *("profile", "--device", "A1", "--budget", "9", "--threads", "2"),
        *("--delegate", "gpu", "--precision", "float16", "--cores", "big"),
    ]
    assert resume_arguments(followed(RECORDED)) == ["profile", "--device", "local", "--resume"]


def test_what_does_not_run_here_cannot_be_stopped(tmp_path):
    assert "finished" in interrupt(followed(RECORDED), time.time())
    for fields, told in (
        ({"pid": 99_999_999, "host": socket.gethostname()}, "died"),
        ({"host": "rack"}, "on rack"),
    ):
        path = tmp_path / "c.jsonl"
        start = {
            "event": "started",
            "time": time.time(),
            "schema_version": 1,
            "kind": "campaign",
            "pid": 1,
            **fields,
        }
        path.write_text(json.dumps(start) + "\n")
        assert told in interrupt(followed(path), time.time())


HOSTILE = {
    "markup": b'{"event":"started","time":1,"schema_version":1,"kind":"campaign","pid":1,"host":"[red]h[/]","name":'
    b'"[bold]x[/]\\u001b[2J","device":{"id":"[@click=app.quit]x","name":"\\u001b]0;pwned\\u0007"},"plan":{"kinds":'
    b'["[blink]k[/]","conv2d"],"measurements":1e99}}\n'
    b'{"event":"measurement","time":2,"index":1,"kind":"[blink]k[/]","dims":{"a\\u001b":3},"median_ms":1e308}\n'
    b'{"event":"measurement","time":2,"index":4,"kind":"[blink]k[/]","dims":{"a\\u001b":3},"median_ms":7e8}\n'
    b'{"event":"failure","time":"x","index":2,"kind":"conv2d","dims":7,"reason":"\\u202e[/][/]\\u001b[31m"}\n',
    "half": RECORDED.read_bytes()[:5000],
    "foreign": b"PK\x03\x04 no journal\n\n",
    "newer": b'{"event":"started","schema_version":2,"kind":"campaign"}\n',
    "session": b'{"event":"started","schema_version":1,"kind":"session","pid":1}\n',
    "gigantic": RECORDED.read_bytes()
    + b'{"event":"'
    + b"x" * (3 << 20)
    + b'"}\n'
    + b'{"event":"finished","time":9}\n',
    "empty": b"",
    "nothing-but-start": b'{"event":"started","schema_version":1,"kind":"campaign"}\n',
}


@in_loop
async def test_hostile_journals_are_shown_and_do_nothing(make_app, state):
    for name, content in HOSTILE.items():
        (state / "campaigns" / f"{name}.jsonl").write_bytes(content)
    os.mkdir(state / "campaigns" / "folder.jsonl")
    app = make_app(state, "campaign")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(
            pilot, lambda: len(app.screen.query_one("#list", RowTable).keys_shown) == len(HOSTILE) + 2
        )
        seen = ""
        table = app.screen.query_one("#list", RowTable)
        for key in table.keys_shown:
            table.choose(key)
            await pilot.pause()
            await app.screen.bring_up_to_date()
            for panel in ("failures", "log"):
                app.screen._set_panel(panel)
                await pilot.pause()
                seen += screen_text(app)
        assert "\x1b" not in seen
        assert "[blink]k[/]" in seen
        assert "unreadable" in seen
    assert app.faults == []


def campaign_now(app):
    follower = app.screen._follower
    return follower.campaign if follower else None


def standing(app):
    campaign = campaign_now(app)
    return campaign.standing(time.time()).state if campaign else ""


@in_loop
async def test_a_campaign_is_started_killed_continued_paused_and_stopped(make_app, state, monkeypatch):
    for path in (state / "campaigns").iterdir():
        path.unlink()
    monkeypatch.setenv("FDI_STATE", str(state))
    monkeypatch.setenv("FDI_DATA", str(state))
    app = make_app(state, "campaign", command=fdi_command())
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "There is no campaign yet")
        await pilot.press("n")
        await until_shown(pilot, "New campaign on local")
        await pilot.press(
            *["backspace"] * 3, *"relu,dense", "tab", *["backspace"] * 2, "tab", *"400", "enter", "enter"
        )
        await until(pilot, lambda: campaign_now(app) is not None and campaign_now(app).done >= 8, "measuring")
        assert standing(app) == "running"
        await until_shown(pilot, "running", "of 400", "dense", "relu")

        os.kill(campaign_now(app).writer.pid, signal.SIGKILL)
        begin = time.monotonic()
        await until_shown(pilot, "died")
        assert time.monotonic() - begin < 5.0
        done = campaign_now(app).done

        await pilot.press("c")
        await until(pilot, lambda: campaign_now(app).done > done and standing(app) == "running", "going on")
        await pilot.press("z")
        await until(pilot, lambda: standing(app) == "interrupted", "pausing")
        done = campaign_now(app).done
        await pilot.press("z")
        await until(
            pilot, lambda: campaign_now(app).done > done and standing(app) == "running", "going on again"
        )
        await pilot.press("x")
        await until_shown(pilot, "Stop the campaign")
        await pilot.press("n")
        await pilot.pause(0.2)
        assert standing(app) == "running"
        await pilot.press("x")
        await until_shown(pilot, "Stop the campaign")
        await pilot.press("y")
        await until(pilot, lambda: standing(app) == "interrupted", "stopping")
        await pilot.press("L")
        await until(
            pilot, lambda: list((state / "profiles").glob("local-litert*.json")), "learning a profile"
        )
    assert app.faults == []
    assert not any(each.standing.at_work for each in Campaigns(state / "campaigns").read(time.time()))


@in_loop
async def test_a_campaign_that_cannot_start_says_why(make_app, state):
    app = make_app(
        state, "devices", command=[sys.executable, "-c", "raise SystemExit('fdi: error: no room left')"]
    )
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until_shown(pilot, "Some Processor")
        await pilot.press("n")
        await until_shown(pilot, "New campaign")
        await pilot.press("tab", "tab", "tab", *"x", "enter")
        await until_shown(pilot, "whole number from 1 on")
        await pilot.press("backspace", "enter")
        await until_shown(pilot, "no room left")
    assert app.campaigns == [], "nobody waits for it any more"
    assert not list((state / "campaigns").glob("local.jsonl")), "nothing was begun"
    assert app.faults == []


@pytest.mark.parametrize("size", [(59, 30), (100, 15)])
@in_loop
async def test_small_terminals_get_one_sentence(make_app, state, size):
    app = make_app(state, "campaign")
    async with app.run_test(size=size) as pilot:
        await pilot.pause(0.3)
        text = screen_text(app)
        assert "too small" in text
        assert "campaign" not in text.lower()
        await pilot.resize_terminal(80, 24)
        await until_shown(pilot, "local-litert-xnnpack")
