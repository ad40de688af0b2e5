"""Sessions as their journals tell them."""

import math
import os
import socket
import time
from pathlib import Path

import hostile
import pytest
from fdi_tui.data.numbers import number
from fdi_tui.data.series import History
from fdi_tui.data.session import Session
from fdi_tui.data.sessions import Follower, SessionFolders, decode_session_event
from fdi_tui.data.tail import decode_event
from fdi_tui.screens import sessions_text as say
from fdi_tui.screens.sessions_curves import session_series
from hypothesis import example, given
from hypothesis import strategies as st
from searching import examples

from fdi_keras.journal import Journal, read_journal

RECORDED = Path(__file__).parent / "recorded" / "session.jsonl"

FIELDS = ("time", "pid", "host", "session", "model", "spaces", "epochs", "start_ms", "target_ms", "objective", "loss",
          "latency_ms", "metrics", "strength", "widths", "changes", "predicted_ms", "predicted_before_ms", "median_ms",
          "iqr_ms", "beside", "path", "bytes", "message", "reason", "seconds", "device", "runtime", "roofline",
          "operators", "budgets", "budget_share", "start_share", "target_share")  # fmt: skip
NAMES = (
    "started",
    "epoch",
    "prune",
    "grow",
    "measured",
    "export",
    "warning",
    "failed",
    "finished",
    "another",
)


def session_of(*events):
    session = Session(Path("net.jsonl"))
    for event in events:
        session.take(event)
    return session


STARTED = {"event": "started", "session": "net", "start_ms": 2.0, "target_ms": 1.0, "epochs": 3,
           "spaces": {"a": {"width": 16, "kept": None}, "out": {"width": 4, "kept": "the output"}}}  # fmt: skip


def test_a_recorded_session_is_told_whole():
    follower = Follower(RECORDED)
    while follower.behind:
        follower.read()
    session = follower.session
    events = list(read_journal(RECORDED))
    epochs = [event for event in events if event["event"] == "epoch"]
    assert session.name == events[0]["session"]
    assert session.history.count == len(epochs)
    x, y = session.history.column("value")
    assert x.tolist() == [float(n) for n in range(1, len(epochs) + 1)]
    assert y.tolist() == [event["latency_ms"] for event in epochs]
    assert session.accuracy == "accuracy"
    pruned = next(event for event in events if event["event"] == "prune")
    assert {space.name: space.pruned for space in session.current_spaces()} == pruned["widths"]
    assert {what for _, what, _ in session.happenings} >= {"started", "trained", "prune", "grow", "measured"}
    assert follower.tail.problem == ""


ROOFS = {"flops_per_s": 1e11, "bytes_per_s": 1e10, "near_bytes_per_s": 2e10}


def test_operators_are_placed_under_the_roofs():
    told = [
        {"name": "add", "kind": "add", "flops": 1e6, "memory_bytes": 8e6, "predicted_ms": 0.9},
        {"name": "conv", "kind": "conv2d", "flops": 1e9, "memory_bytes": 8e6, "predicted_ms": 20.0},
        {"name": "lost", "kind": "conv2d", "flops": "many", "memory_bytes": 1.0},
        {"name": "no price", "kind": "relu", "flops": 0, "memory_bytes": 2e6},
        "no operator",
    ]
    session = session_of({**STARTED, "roofline": ROOFS, "operators": told})
    conv, add, last = session.operators
    assert (conv.name, conv.place.bound, conv.place.roof_ms) == ("conv", "compute", pytest.approx(10.0))
    assert (add.name, add.place.bound, add.place.roof_ms) == ("add", "memory", pytest.approx(0.8))
    assert (last.name, last.place.roof_ms) == ("no price", pytest.approx(0.1))
    rows = list(say.operator_rows(session).values())
    assert [row["reached"] for row in rows] == [pytest.approx(0.5), pytest.approx(8 / 9), None]
    for roofs in (None, 3, {}, {**ROOFS, "bytes_per_s": 0}, {**ROOFS, "flops_per_s": "x"}):
        session = session_of({**STARTED, "roofline": roofs, "operators": told})
        assert session.operators == []
        assert "not in the journal" in say.operator_rows(session)[""]["operator"]


def test_grow_says_for_each_space_why():
    session = session_of(
        STARTED,
        {"event": "prune", "widths": {"a": 7, "out": 4}, "predicted_before_ms": 2.0, "predicted_ms": 1.0,
         "target_ms": 1.1},
        {"event": "grow", "widths": {"a": 8, "out": 4}, "predicted_before_ms": 1.0, "predicted_ms": 1.0,
         "changes": ["a: 7 -> 8, 1 -> 1 ms: free; a: width multiple of 8"]},
    )  # fmt: skip
    a, out = session.current_spaces()
    assert (a.start, a.pruned, a.grown, a.now, a.kept) == (16, 7, 8, 8, 0.5)
    assert a.why == "free; a: width multiple of 8"
    assert out.why == "kept: the output"
    texts = [text for _, _, text in session.happenings]
    assert "removed 9 channels of 1 spaces, to meet 1.1 ms; predicted 2 ms -> 1 ms" in texts
    assert "added 1 channels; predicted 1 ms -> 1 ms" in texts


def test_branches_that_went_are_named():
    def told(branches):
        pruned = {"event": "prune", "widths": {"a": 0}, "target_ms": 1.1, "branches": branches}
        session = session_of(STARTED, pruned)
        assert session.current_spaces()[0].now == 0
        return next(text for _, what, text in session.happenings if what == "prune")

    assert (
        told(["sum", "sum_1"]) == "removed 16 channels of 1 spaces and branches of sum, sum_1, to meet 1.1 ms"
    )
    assert "and branches of 0, 1, 2, 3, 4, 5, 6, 7 and 3 more, to" in told([*range(11)])
    for nothing in ([], None, "sum", {"a": 1}):
        assert told(nothing) == "removed 16 channels of 1 spaces, to meet 1.1 ms"


def test_an_energy_session_is_told_in_its_own_unit():
    session = session_of(
        {**STARTED, "objective": "energy", "start_mj": 5.0, "target_mj": 3.0, "start_ms": None},
        {"event": "epoch", "energy_mj": 4.0, "latency_ms": 9.0},
    )
    assert (session.unit, session.start, session.target) == ("mJ", 5.0, 3.0)
    assert session.history.latest("value") == 4.0
    assert session.value_text(4.0) == "4 mJ"


def test_a_second_training_goes_on_with_the_first():
    epoch = {"event": "epoch", "loss": 1.0, "latency_ms": 2.0, "widths": {"a": 12}}
    session = session_of(STARTED, epoch, epoch, {"event": "finished"}, STARTED, epoch)
    assert session.history.count == 3
    assert session.epochs == 5
    assert session.standing(time.time()).state != "finished"


@examples(60)
@given(hostile.journal("session", NAMES, FIELDS))
@example(b'{"event":"started","schema_version":1,"kind":"session","host":"\\u001b[2J"}\n')
def test_no_journal_stops_what_is_said_of_a_session(tmp_path_factory, content):
    folder = tmp_path_factory.getbasetemp() / "hostile-sessions"
    folder.mkdir(exist_ok=True)
    path = folder / "x.jsonl"
    path.write_bytes(content)
    follower = Follower(path)
    while follower.read():
        pass
    session, now = follower.session, time.time()
    (listed,) = SessionFolders([folder]).read()
    for space in session.current_spaces():
        assert math.isnan(space.kept) or math.isfinite(space.kept)
    for metric in session.metrics:
        x, y = session.history.column(metric)
        assert len(x) == len(y)
        assert len(session_series([(session, True), (session, False)], metric)) in (0, 2, 3)
    for _, what, text in session.happenings:
        assert (what + text).isprintable()
    assert say.sum_of(session, now).isprintable()
    for columns, rows in (
        (say.session_columns(), [say.session_row(listed, each, "pinned", now) for each in (None, session)]),
        (say.width_columns(), say.width_rows(session, 20, False).values()),
        (say.happening_columns(), say.happening_rows(session).values()),
    ):
        assert all(isinstance(text, str) for text, _ in hostile.written(columns, rows))


@given(hostile.events(["epoch"], FIELDS))
def test_the_quick_way_to_read_an_epoch_tells_the_same(line):
    quick, slow = decode_session_event(line), decode_event(line)
    if slow is None:
        assert quick is None
        return
    one, other = session_of(quick), session_of(slow)
    assert one.metrics == other.metrics
    assert one.current_spaces() == other.current_spaces()
    for metric in one.metrics:
        assert one.history.latest(metric) == pytest.approx(other.history.latest(metric), nan_ok=True)


@given(st.integers(0, 500), st.integers(1, 8))
def test_a_history_keeps_its_ends_and_a_bounded_number(count, rows):
    history = History(rows)
    for value in range(count):
        history.add({"y": value})
    x, y = history.column("y")
    assert len(x) <= 2 * rows + 1
    assert x.tolist() == [v + 1 for v in y.tolist()]
    if count:
        assert (x[0], x[-1]) == (1, count)


@given(hostile.json_values)
def test_whatever_is_no_number_is_missing(value):
    found = number(value)
    assert math.isnan(found) or math.isfinite(found)


def test_the_list_tells_of_a_long_session_by_its_ends(tmp_path):
    with Journal(tmp_path / "long.jsonl") as journal:
        journal.start("session", session="long", start_ms=2.0, target_ms=1.0, epochs=5000, spaces={})
        for epoch in range(1, 5001):
            journal.write("epoch", epoch=epoch, loss=1.0 / epoch, latency_ms=1.5)
    (tmp_path / "broken.jsonl").write_bytes(b"\x00\xff{")
    (tmp_path / "campaign.jsonl").write_text('{"event":"started","schema_version":1,"kind":"campaign"}\n')
    rows = {row.path.stem: row for row in SessionFolders([tmp_path, tmp_path / "missing"]).read()}
    assert rows["long"].epoch == 5000
    assert rows["long"].session.standing(time.time()).state == "running"
    assert "no journal" in rows["broken"].problem
    assert "journal of a campaign" in rows["campaign"].problem


def test_a_journal_of_another_machine_is_not_called_dead(tmp_path):
    first = {"event": "started", "schema_version": 1, "kind": "session", "pid": 1, "time": time.time()}
    elsewhere = session_of({**first, "host": "training-box"})
    here = session_of({**first, "host": socket.gethostname(), "pid": 2**22 + 3})
    alive = session_of({**first, "host": socket.gethostname(), "pid": os.getpid()})
    states = [each.standing(time.time()).state for each in (elsewhere, here, alive)]
    assert states == ["elsewhere", "died", "running"]
    assert elsewhere.standing(time.time()).host == "training-box"


def test_a_replaced_journal_is_told_anew(tmp_path):
    path = tmp_path / "net.jsonl"
    for name, epochs in (("one", 3), ("two", 1)):
        path.unlink(missing_ok=True)
        with Journal(path) as journal:
            journal.start("session", session=name, epochs=epochs, spaces={})
            for epoch in range(1, epochs + 1):
                journal.write("epoch", epoch=epoch, loss=0.5)
        if name == "one":
            follower = Follower(path)
        while follower.read():
            pass
    assert (follower.session.name, follower.session.history.count) == ("two", 1)


def test_a_session_by_a_profile_that_was_not_measured_is_marked():
    started = {"event": "started", "time": 1.0, "session": "net", "model": "net", "profile": "flops",
               "start_ms": 20.0, "target_ms": 10.0}  # fmt: skip
    marked, plain = session_of(started | {"measured": False}), session_of(started)
    assert "its profile was not measured" in say.sum_of(marked, 2.0)
    assert say.metric_name(marked, "value") == "predicted latency, nothing measured"
    assert "not measured" not in say.sum_of(plain, 2.0)
    assert say.metric_name(plain, "value") == "predicted latency"


def test_a_session_of_several_budgets():
    budgets = [
        {"subject": "on phone-a", "unit": "ms", "limit": 3.0, "start": 6.0},
        {"subject": "file", "unit": "MB", "limit": 2.0, "start": 2.5},
    ]
    began = STARTED | {"objective": "budgets", "start_ms": None, "target_ms": None, "start_share": 2.0,
                       "target_share": 1.0, "budgets": budgets}  # fmt: skip
    epoch = decode_session_event(
        b'{"event":"epoch","time":1.0,"epoch":1,"loss":0.5,"latency_ms":null,"budget_share":1.2,'
        b'"budgets":[3.6,1.9],"metrics":{},"widths":{"a":8}}'
    )
    uses = [{"budget": "3 ms on phone-a", "before": 6.0, "after": 2.9},
            {"budget": "2 MB file", "before": 2.5, "after": 1.8}]  # fmt: skip
    pruned = {"event": "prune", "widths": {"a": 7, "out": 4}, "target_share": 1.0, "budgets": uses}
    measured = {"event": "measured", "median_ms": 2.95, "iqr_ms": 0.01, "device": "phone-a"}
    session = session_of(began, epoch, pruned, measured)
    assert (session.start, session.target, session.unit) == (2.0, 1.0, "x")
    assert session.history.latest("value") == pytest.approx(1.2)
    said = say.sum_of(session, 2.0)
    assert "from 2 x to 1 x" in said
    assert "6 to 3.6 of 3 ms on phone-a; 2.5 to 1.9 of 2 MB file" in said
    assert "measured 2.95 ms" in said
    told = {happening.what: happening.text for happening in session.happenings}
    assert told["prune"] == (
        "removed 9 channels of 1 spaces, to keep the budgets; predicted 6 -> 2.9 of 3 ms on phone-a, "
        "2.5 -> 1.8 of 2 MB file"
    )
    assert say.metric_name(session, "value") == "predicted share of the tightest budget"


def test_a_measured_time_of_an_energy_session_is_a_time():
    began = STARTED | {"objective": "energy", "start_mj": 2.0, "target_mj": 1.0}
    session = session_of(began, {"event": "measured", "median_ms": 0.5, "iqr_ms": 0.01, "device": "local"})
    assert "from 2 mJ to 1 mJ" in say.sum_of(session, 2.0)
    assert "measured 500 us" in say.sum_of(session, 2.0)
