"""``fdi profile``: a real campaign, interrupting and resuming it, and what it shows meanwhile."""

import functools
import io
import json
import signal
import subprocess
import time

import pytest
from rich.console import Console

from fdi_keras.cli import campaign_view
from fdi_keras.cli.campaign_view import CampaignLines, CampaignView
from fdi_keras.profile import campaign_journal, default_profile_path, load_profile
from fdi_keras.profiling import CampaignProgress, Measurement, read_records

LAST = Measurement(
    3, "dense", {"rows": 1, "in_channels": 64, "out_channels": 10}, 0, 0.0125, 0.001, 0.012, 50
)


@pytest.fixture(autouse=True)
def own_campaign(monkeypatch, tmp_path):
    monkeypatch.setenv("FDI_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("FDI_DATA", str(tmp_path / "data"))


def test_a_campaign_for_people(fdi, tmp_path):
    answer = fdi("profile", "--kinds", "relu", "--budget", "8")
    assert answer.status == 0
    path = default_profile_path()
    assert len(load_profile(path).measurements["relu"]) == 8
    words = " ".join(answer.out.split())
    assert "held-out error" in words
    assert "8 measurements, this run took 0:0" in words
    assert str(path) in answer.out
    assert "fdi rules local --kind relu" in words
    assert "Timing operators on local: relu" in answer.err
    assert "\x1b" not in answer.err


def test_json_and_nothing_else(fdi_process, tmp_path):
    out = tmp_path / "mine [bold].json"
    args = ["--kinds", "relu,tanh", "--budget", 14, "--threads", 2, "--seed", 3, "--out", out, "--json"]
    answer = fdi_process("profile", *args)
    assert answer.err == ""
    document = json.loads(answer.out)
    profile = load_profile(out)
    assert document["profile"] == str(out)
    assert document["measurements"] == sum(map(len, profile.measurements.values()))
    assert document["mape"] == profile.mape
    assert document["seconds"] > 0
    assert (profile.runtime.threads, profile.plan.seed, profile.plan.kinds) == (2, 3, ["relu", "tanh"])


def test_interrupt_says_how_to_resume(fdi, fdi_command, tmp_path):
    out = tmp_path / "a b.json"
    process = subprocess.Popen(
        fdi_command("profile", "--kinds", "relu", "--budget", "500", "--out", out),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Whoever runs the tests in the background has it ignored, and children inherit that.
        preexec_fn=functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 30
    journal = campaign_journal()
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_text().count('"measurement"') >= 6:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    assert process.returncode == 130
    assert stdout == ""
    line = stderr.splitlines()[-1]
    assert line == (
        f"Interrupted; nothing that was measured is lost. Go on with: fdi profile --resume --out '{out}'"
    )
    assert "Traceback" not in stderr
    before = len(read_records(journal).measurements)
    assert before >= 6
    answer = fdi("profile", "--resume", "--budget", before + 2, "--out", out, "--json")
    assert answer.err == ""
    assert json.loads(answer.out)["measurements"] == before + 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--minutes", "0"], "'--minutes'"),
        (["--minutes", "-1"], "'--minutes'"),
        (["--minutes", "nan"], "no finite number"),
        (["--minutes", "soon"], "'--minutes'"),
        (["--budget", "0"], "'--budget'"),
        (["--budget", "2.5"], "'--budget'"),
        (["--threads", "0"], "'--threads'"),
        (["--seed", "-1"], "'--seed'"),
        (["--minutes", "1", "--budget", "5"], "exclude each other"),
        (["--kinds", "conv9"], "unknown operator kind"),
        (["--kinds", " , "], "--kinds needs names"),
    ],
)
def test_wrong_use(fdi, args, says):
    answer = fdi("profile", *args)
    assert answer.status == 2
    assert answer.out == ""
    assert says in answer.err
    assert answer.err.count("\n") == 1
    assert not campaign_journal().exists()


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--device", "pixel"], "no device 'pixel'"),
        (["--resume"], "no campaign to resume"),
        (["--budget", "5", "--out", "{file}/mine.json"], "cannot write"),
        (["--budget", "5", "--energy", "1"], "measured from the battery of a phone"),
    ],
)
def test_what_cannot_work_fails_before_anything_is_measured(fdi, tmp_path, args, says):
    (tmp_path / "file").touch()
    answer = fdi("profile", *(arg.format(file=tmp_path / "file") for arg in args), "--json")
    assert answer.status == 1
    assert answer.out == ""
    assert says in answer.err
    assert answer.err.count("\n") == 1
    assert not campaign_journal().exists()


def _drawn(state, width=80):
    view = CampaignView("my [bold] phone")
    view.update(state)
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=True, color_system=None).print(view)
    return out.getvalue()


def test_the_live_view():
    text = _drawn(CampaignProgress("measuring", 30, 120, 2, "dense", 65.0, 90.0, 60.0, None, LAST))
    assert "Timing operators on my [bold] phone: dense" in text
    assert "30 of 120" in text
    assert "1:05, 90 a minute, about 1:00 left, 2 failed" in text
    assert "latest: dense 64 -> 10: 12.5 us" in text
    assert len(text.splitlines()) == 4
    waiting = _drawn(CampaignProgress("waiting", 3, 120, waiting="the computer is 1.31 x slower than it was"))
    assert "the computer is 1.31 x slower than it was" in waiting
    assert "1 of 2 kinds" in _drawn(CampaignProgress("learning", 1, 2, kind="dense"))
    assert "Preparing" in _drawn(CampaignProgress("preparing"))
    assert "Timed operators" in _drawn(CampaignProgress("finished", 5, 5))


def test_a_log_gets_a_line_now_and_then(monkeypatch):
    clock = iter(range(0, 100, 10))
    monkeypatch.setattr(campaign_view.time, "monotonic", lambda: float(next(clock)))
    out = io.StringIO()
    lines = CampaignLines(Console(file=out, width=200), "local")
    for done in range(1, 6):
        lines.update(CampaignProgress("measuring", done, 100, kind="dense"))
    lines.update(CampaignProgress("waiting", 6, 100, waiting="the computer is 1.2 x slower than it was"))
    texts = out.getvalue().splitlines()
    assert len(texts) == 3
    assert "1 of 100" in texts[0]
    assert "4 of 100" in texts[1]
    assert "1.2 x slower" in texts[2]


def test_on_a_terminal_the_view_is_drawn_and_removed():
    out = io.StringIO()
    terminal = Console(file=out, width=80, force_terminal=True, color_system=None)
    with campaign_view.campaign_progress(terminal, ["local"]) as report:
        report("local", CampaignProgress("measuring", 1, 4, kind="dense"))
    assert "Timing operators on local" in out.getvalue()
