"""``fdi campaigns`` and ``fdi sessions``: what the dashboard shows of journals, without a screen."""

import json
import shutil
from pathlib import Path

import pytest

RECORDED = Path(__file__).parents[1] / "tui" / "recorded"


@pytest.fixture
def journals(tmp_path, monkeypatch):
    monkeypatch.setenv("FDI_STATE", str(tmp_path))
    monkeypatch.setenv("FDI_DATA", str(tmp_path))
    for kind, name in (("campaigns", "campaign"), ("sessions", "session")):
        (tmp_path / kind).mkdir()
        shutil.copy(RECORDED / f"{name}.jsonl", tmp_path / kind / f"my-{name}.jsonl")
        (tmp_path / kind / "broken.jsonl").write_text("no \x1b[31m journal\n")
    return tmp_path


def test_campaigns_are_listed(fdi, journals):
    answer = fdi("campaigns", "--json")
    rows = {row["name"]: row for row in json.loads(answer.out)}
    assert (rows["my-campaign"]["state"], rows["my-campaign"]["done"], rows["my-campaign"]["total"]) == (
        "finished",
        60,
        60,
    )
    assert "no journal of ours" in rows["broken"]["problem"]
    shown = fdi("campaigns")
    assert shown.status == 0
    assert "my-campaign" in shown.out
    assert "\x1b[31m" not in shown.out


def test_a_profile_is_learned_from_a_campaign_as_it_is(fdi, journals):
    answer = fdi("campaigns", "learn", "my-campaign", "--first", "40", "--json")
    learned = json.loads(answer.out)
    assert learned["measurements"] == 40
    assert Path(learned["profile"]) == journals / "profiles" / "my-campaign.json"
    assert json.loads(fdi("profiles", "validate", "my-campaign", "--json").out)["measurements"] == 40


def test_what_cannot_be_stopped_or_found_is_told(fdi, journals):
    for args, told in (
        (("campaigns", "stop", "my-campaign"), "it has finished"),
        (("campaigns", "stop", "nothing"), "known are: "),
        (("campaigns", "learn", "broken"), "no journal of ours"),
        (("sessions", "nothing"), "known are: "),
        (("sessions", "broken"), "no journal of ours"),
    ):
        answer = fdi(*args)
        assert answer.status == 1
        assert told in answer.err


def test_sessions_are_listed_and_shown(fdi, journals):
    rows = {row["name"]: row for row in json.loads(fdi("sessions", "--json").out)}
    assert (rows["tiny"]["state"], rows["tiny"]["epoch"], rows["tiny"]["unit"]) == ("finished", 6, "ms")
    session = json.loads(fdi("sessions", "tiny", "--json").out)
    assert {space["name"]: space["start"] for space in session["spaces"]}["first"] == 24
    assert [event["what"] for event in session["events"]][:2]
    shown = fdi("sessions", "tiny")
    assert shown.status == 0
    assert "first" in shown.out
    assert "tiny" in fdi("sessions").out


def test_without_journals_it_says_how_they_come(fdi, tmp_path, monkeypatch):
    monkeypatch.setenv("FDI_STATE", str(tmp_path / "none"))
    assert "fdi profile" in fdi("campaigns").out
    assert "LatencyCallback" in fdi("sessions").out
    assert json.loads(fdi("campaigns", "--json").out) == []
    assert fdi("devices", "--every", "5").status == 2
