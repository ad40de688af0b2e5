"""Part 4: a training and a campaign killed, and journals that no program of ours would write."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.dashboard.keys import start_campaign
from benchmarks.dashboard.settings import Settings
from benchmarks.dashboard.terminal import ESCAPES, Terminal, places
from benchmarks.report import Row

DIED_S = 5.0
PROFILE = "x86-avx512-litert"

STARTED = (
    b'{"event":"started","time":%d,"schema_version":1,"kind":"session","pid":%d,"host":"%s","session":"%s",'
    b'"start_ms":2.0,"target_ms":1.0,"epochs":3,"spaces":{"a":{"width":8,"kept":null}}}\n'
)

#: What must never reach the terminal as it stands in a journal.
HOSTILE_BYTES = (b"\x1b]0;pwned", b"\x1b[41mEVIL", b"\x1b]52;", b"\x9b31m", b"\x1bc")


def run(settings: Settings) -> list[Row]:
    return [
        _training(settings.work / "training"),
        _campaign(settings.work / "campaign"),
        _hostile(settings.work / "hostile"),
    ]


def _training(work: Path) -> Row:
    """A real training killed in the middle of an epoch, with the dashboard looking on."""
    command = [sys.executable, "-m", "benchmarks.dashboard.train", PROFILE, "victim", "100000"]
    training = subprocess.Popen(
        command, env={**os.environ, **places(work)}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        with Terminal(work, "dashboard", "--screen", "sessions", size=(120, 40)) as terminal:
            terminal.wait_for("victim: running", 90)
            _wait_for_epochs(work / "state" / "sessions" / "victim.jsonl", 3)
            time.sleep(0.05)
            training.send_signal(signal.SIGKILL)
            training.wait()
            seconds = terminal.wait_for("victim: died", 30)
            terminal.quit()
    finally:
        training.kill()
        training.wait()
    return Row(
        "4",
        "a training killed in mid-epoch shows as died",
        f"<= {DIED_S:.0f} s",
        f"{seconds:.2f} s",
        seconds <= DIED_S,
    )


def _campaign(work: Path) -> Row:
    """A real campaign killed while the dashboard looks on, continued by its own key, and stopped by it."""
    campaign = start_campaign(work)
    journal = next((work / "state" / "campaigns").glob("*.jsonl"))
    try:
        with Terminal(work, "dashboard", "--screen", "campaign", size=(120, 40)) as terminal:
            terminal.wait_for("running", 20)
            terminal.settle(0.1, 1.0)
            campaign.send_signal(signal.SIGKILL)
            campaign.wait()
            seconds = terminal.wait_for("died", 30)
            before = journal.read_bytes().count(b'"event":"measurement"')
            terminal.send("c")
            resumed = _wait_for(journal, b'"event":"resumed"', 60) and _wait_for_more(journal, before, 60)
            terminal.settle(0.3, 2.0)
            terminal.press("x", "(y)")  # it asks
            terminal.send("y")
            stopped = resumed and _wait_for(journal, b'"event":"interrupted"', 60)
            terminal.quit()
    finally:
        campaign.kill()
        campaign.wait()
    told = f"died after {seconds:.2f} s, {'went on' if resumed else 'did not go on'}, "
    told += "stopped" if stopped else "did not stop"
    required = f"died within {DIED_S:.0f} s, goes on, stops"
    passed = seconds <= DIED_S and resumed and stopped
    return Row("4", "a campaign killed, continued and stopped from the dashboard", required, told, passed)


def _hostile(work: Path) -> Row:
    """Every hostile journal is visited in its room; the app lives on and the terminal is not steered by it."""
    journals = hostile_journals()
    for folder in ("sessions", "campaigns"):
        place = work / "state" / folder
        place.mkdir(parents=True)
        for name, content in journals.items():
            (place / f"{name}.jsonl").write_bytes(
                content.replace(b'"kind":"session"', b'"kind":"%s"' % folder[:-1].encode())
            )
        (place / "folder.jsonl").mkdir()
    shown = 0
    with Terminal(work, "dashboard", "--screen", "sessions", size=(120, 40)) as terminal:
        terminal.wait_for("5 Profiles")
        for room in ("4", "2"):
            terminal.send(room)
            terminal.settle(0.3, 3.0)
            for _ in journals:
                terminal.send("jv" if room == "4" else "j")
                terminal.settle(0.15, 2.0)
                shown += terminal.alive
        for size in ((80, 24), (60, 16)):
            terminal.resize(*size)
            terminal.settle(0.2, 2.0)
        alive = terminal.alive
        faults = ESCAPES.sub(b"", terminal.written).count(b"not up to date")
        leaked = [bytes_ for bytes_ in HOSTILE_BYTES if bytes_ in terminal.written]
        seconds = terminal.quit()
    passed = alive and not leaked and not faults and seconds < 5
    return Row("4", f"{len(journals)} hostile journals in two rooms", "no crash, no escape sequence of theirs",
               f"{'alive' if alive else 'ended'} after {shown} looks, {len(leaked)} sequences came through, "
               f"{faults} faults said", passed,
               {"leaked": [repr(each) for each in leaked]})  # fmt: skip


def hostile_journals() -> dict[str, bytes]:
    """Journals that were cut, half written, or made to do harm."""
    first = STARTED % (int(time.time()), os.getpid(), socket.gethostname().encode(), b"%s")

    def named(name: str) -> bytes:
        return first.replace(b"%s", name.encode())

    epoch = b'{"event":"epoch","time":1,"epoch":1,"loss":0.5,"latency_ms":1.5,"metrics":{"accuracy":0.5},'
    epoch += b'"widths":{"a":4}}\n'
    numbers = b'{"event":"epoch","loss":' + b"9" * 5000 + b',"epoch":-1,"strength":NaN}\n'
    escapes = rb"[bold red]m[/] \u001b[41mEVIL\u001b]0;pwned\u0007 \u009b31m \u001bc \u001b]52;c;ZXZpbA==\u0007 \u202e"
    return {
        "empty": b"",
        "no-newline": named("no-newline")[:-1],
        "cut": named("cut") + epoch + epoch[: len(epoch) // 2],
        "binary": bytes(range(256)) * 64,
        "raw-escapes": b"\x1b]0;pwned\x07\x1b[41mEVIL\n" * 3,
        "escapes": first.replace(b"%s", escapes) + epoch.replace(b'"a"', b'"' + escapes + b'"'),
        "gigantic": named("gigantic") + b'{"event":"epoch","x":"' + b"A" * (8 << 20) + b'"}\n' + epoch,
        "endless": named("endless") + b"B" * (12 << 20),
        "newer": named("newer").replace(b'"schema_version":1', b'"schema_version":99') + epoch,
        "types": named("types") + b'{"event":"epoch","time":"x","epoch":[],"loss":{},"metrics":[],"widths":7}\n'
        b'{"event":"prune","widths":[1],"predicted_ms":"a"}\n{"event":"grow","changes":{"a":1}}\n'
        b'{"event":"measured","median_ms":null,"beside":[1,2]}\n{"event":"epoch","loss":1e400,"time":1e300}\n'
        b'{"event":"measurement","index":"x","dims":[1],"kind":5,"median_ms":{}}\n{"event":"failure"}\n'
        b'{"event":"finished","seconds":-1e308}\n[]\nnull\n{"event":5}\n',
        "deep": named("deep") + b"[" * 100_000 + b"\n" + epoch,
        "huge-numbers": named("huge-numbers") + numbers + epoch,
        "many-spaces": named("many-spaces") + b'{"event":"epoch","widths":{%s}}\n'
        % b",".join(b'"s%d":%d' % (number, number) for number in range(20_000)),
        "many-metrics": named("many-metrics") + b"".join(
            b'{"event":"epoch","loss":1,"metrics":{"m%d":1}}\n' % number for number in range(2_000)),
    }  # fmt: skip


def _wait_for_epochs(journal: Path, count: int, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if journal.exists() and journal.read_bytes().count(b'"event":"epoch"') >= count:
            return
        time.sleep(0.05)
    raise TimeoutError(f"{journal} has not got {count} epochs within {seconds} s")


def _wait_for(journal: Path, text: bytes, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if text in journal.read_bytes():
            return True
        time.sleep(0.1)
    return False


def _wait_for_more(journal: Path, before: int, seconds: float) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if journal.read_bytes().count(b'"event":"measurement"') > before:
            return True
        time.sleep(0.1)
    return False
