"""Following journals, whatever becomes of them."""

import itertools
import json
import os

import msgspec
import pytest
from fdi_tui.data import tail as tails
from fdi_tui.data.tail import Folder, Tail, read_ends
from hypothesis import given, settings
from hypothesis import strategies as st

from fdi_keras.journal import Journal, read_journal

START = {"event": "started", "time": 1.0, "schema_version": 1, "kind": "campaign", "pid": 1, "host": "h"}


def lines(*events):
    return b"".join(msgspec.json.encode(event) + b"\n" for event in events)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


@given(cuts=st.lists(st.integers(0, 600), max_size=8), count=st.integers(0, 20))
@settings(max_examples=60, deadline=None)
def test_however_it_is_written_the_events_are_the_same(tmp_path_factory, cuts, count):
    path = tmp_path_factory.mktemp("tail") / "j.jsonl"
    content = lines(START, *({"event": "epoch", "time": float(n), "text": "ä" * n} for n in range(count)))
    found, tail = [], Tail(path)
    path.write_bytes(b"")
    edges = sorted({0, len(content), *(min(cut, len(content)) for cut in cuts)})
    for begin, end in itertools.pairwise(edges):
        with open(path, "ab") as file:
            file.write(content[begin:end])
        found += tail.read().events
    assert found == list(read_journal(path))
    assert not tail.problem


@given(content=st.binary(max_size=400))
@settings(max_examples=100, deadline=None)
def test_nothing_in_a_file_raises(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("tail") / "j.jsonl"
    for whole in (content, lines(START) + content):
        path.write_bytes(whole)
        tail = Tail(path)
        for event in tail.read().events:
            assert isinstance(event["event"], str)
        read_ends(path)


def test_what_is_not_finished_waits(path):
    path.write_bytes(lines(START) + b'{"event": "ep')
    tail = Tail(path)
    assert [e["event"] for e in tail.read().events] == ["started"]
    with open(path, "ab") as file:
        file.write(b'och"}\n')
    assert tail.read().events == [{"event": "epoch"}]


def test_replaced_and_cut_journals_begin_anew(path):
    path.write_bytes(lines(START, {"event": "epoch"}))
    tail = Tail(path)
    tail.read()
    os.rename(path, path.with_suffix(".old"))
    path.write_bytes(lines(START, {"event": "other", "more": "x" * 500}))
    news = tail.read()
    assert news.restarted
    assert [e["event"] for e in news.events] == ["started", "other"]
    with open(path, "r+b") as file:
        file.truncate(len(lines(START)))
    news = tail.read()
    assert news.restarted
    assert [e["event"] for e in news.events] == ["started"]


def test_gigantic_lines_are_left_out_in_bounded_memory(path, monkeypatch):
    monkeypatch.setattr(tails, "CHUNK_BYTES", 1 << 16)
    monkeypatch.setattr(tails, "LONGEST_LINE", 1 << 16)
    gigantic = b'{"event": "' + b"x" * (1 << 20) + b'"}\n'
    path.write_bytes(lines(START) + gigantic + lines({"event": "after"}))
    tail, found, more = Tail(path), [], True
    while more:
        news = tail.read()
        assert len(tail._rest) <= 1 << 17
        found += [e["event"] for e in news.events]
        more = news.more
    assert found == ["started", "after"]
    assert "longer than any event" in tail.problem


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (b"no json\n", "no journal of ours"),
        (lines({"event": "epoch"}), "no journal of ours"),
        (lines({**START, "schema_version": 99}), "schema version 99"),
        (lines({**START, "schema_version": True}), "no journal of ours"),
        (b"[" * 5000 + b"\n", "no journal of ours"),
    ],
    ids=["text", "other", "newer", "bool", "deep"],
)
def test_foreign_files_give_nothing_and_say_why(path, first, told):
    path.write_bytes(first + lines({"event": "epoch"}))
    tail = Tail(path)
    assert tail.read().events == []
    assert told in tail.problem
    assert told in read_ends(path).problem


def test_what_is_no_file_is_told(tmp_path):
    assert (
        "cannot be read" in Tail(tmp_path / "missing").problem
        or Tail(tmp_path / "missing").read().events == []
    )
    tail = Tail(tmp_path)
    assert tail.read().events == []
    assert tail.problem


def test_the_ends_of_a_long_journal(path):
    with Journal(path) as journal:
        journal.start("session", session="long")
        for epoch in range(5000):
            journal.write("epoch", epoch=epoch)
    ends = read_ends(path)
    assert ends.first["session"] == "long"
    assert ends.newest("epoch")["epoch"] == 4999
    assert 100 < len(ends.last) < 5000


def test_a_folder_reads_only_what_changed(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.jsonl").write_bytes(lines(START))
    (tmp_path / "note.txt").write_text(json.dumps(START))
    folder = Folder(tmp_path)
    before = {ends.path.stem: ends for ends in folder.read()}
    assert set(before) == {"a", "b"}
    with open(tmp_path / "b.jsonl", "ab") as file:
        file.write(lines({"event": "epoch"}))
    after = {ends.path.stem: ends for ends in folder.read()}
    assert after["a"] is before["a"]
    assert after["b"].newest("epoch")
    assert Folder(tmp_path / "none").read() == []
