"""Journals: torn lines, foreign files, full disks."""

import json

import numpy as np
import pytest

from fdi_keras.errors import JournalError, StorageError
from fdi_keras.journal import Journal, journal_path, read_journal


def written(path):
    with Journal(path) as journal:
        journal.start("session", session="x")
        journal.write("epoch", loss=np.float32(0.5), widths=np.arange(3))
    return path


def test_a_line_an_event_with_version_process_and_host(tmp_path):
    path = written(tmp_path / "deep" / "a.jsonl")
    first, second = (json.loads(line) for line in path.read_text().splitlines())
    assert {"schema_version", "pid", "host", "time", "kind"} <= set(first)
    assert second["widths"] == [0, 1, 2]
    assert list(read_journal(path)) == [first, second]


def test_events_are_on_disk_before_the_next_begins(tmp_path):
    with Journal(tmp_path / "a.jsonl") as journal:
        journal.start("session")
        assert len(list(read_journal(journal.path))) == 1


@pytest.mark.parametrize("cut", [1, 10, 40])
def test_a_torn_line_is_left_out_and_cut_off_by_the_next_writer(tmp_path, cut):
    path = written(tmp_path / "a.jsonl")
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    assert len(list(read_journal(path))) == 1
    with Journal(path) as journal:
        journal.write("finished")
    assert [e["event"] for e in read_journal(path)] == ["started", "finished"]


def test_damage_in_the_middle_names_the_line(tmp_path):
    path = written(tmp_path / "a.jsonl")
    path.write_text(path.read_text().replace('"epoch"', '"epoch', 1))
    with pytest.raises(JournalError, match="line 2"):
        list(read_journal(path))


def test_foreign_and_newer_files(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"hello": 1}\n')
    with pytest.raises(JournalError, match="no fdi journal"):
        list(read_journal(path))
    path.write_text('{"event": "started", "schema_version": 99}\n')
    with pytest.raises(JournalError, match="Upgrade"):
        list(read_journal(path))
    with pytest.raises(JournalError, match="cannot read"):
        list(read_journal(tmp_path / "missing.jsonl"))


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="FDI_STATE"):
        Journal(tmp_path / "file" / "a.jsonl")


def test_names_become_safe_file_names():
    assert journal_path("sessions", "../../etc/x y").name == "etc-x-y.jsonl"
    assert journal_path("sessions", "///").name == "unnamed.jsonl"


def test_what_is_no_data_is_refused(tmp_path):
    with Journal(tmp_path / "a.jsonl") as journal, pytest.raises(NotImplementedError, match="object"):
        journal.write("x", thing=object())
