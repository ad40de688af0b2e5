"""Part 7: campaigns killed with SIGKILL at random moments, then resumed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.main_job.settings import Settings
from benchmarks.report import Row

CAMPAIGNS, COUNT = 50, 32
SCRIPT = Path(__file__).parents[2] / "tests" / "profiling" / "kill_campaign.py"


def run(settings: Settings) -> list[Row]:
    from fdi_keras.journal import read_journal
    from fdi_keras.profiling import read_records

    rng = random.Random(settings.seed)
    lost = doubled = incomplete = early = kept_total = 0
    folder = settings.work / "kills"
    folder.mkdir(exist_ok=True)
    for number in range(CAMPAIGNS):
        journal = folder / f"{number}.jsonl"
        journal.unlink(missing_ok=True)
        process = _start(journal, folder)
        # From before the first measurement to after the last: a whole run takes about four seconds.
        time.sleep(rng.uniform(0.3, 4.0))
        if process.poll() is not None:
            early += 1
        process.send_signal(signal.SIGKILL)
        process.wait()
        before = _acknowledged(journal)
        kept_total += len(before)
        options = ["--resume"] if _started(journal) else []
        resumed = _start(journal, folder, *options)
        _, errors = resumed.communicate(timeout=300)
        if resumed.returncode:
            print(f"    campaign {number}: resume failed: {errors.decode()[-300:]}", flush=True)
        after = _acknowledged(journal)
        lost += after[: len(before)] != before
        records = read_records(journal)
        superseded = sum(len(e["indices"]) for e in read_journal(journal) if e["event"] == "superseded")
        doubled += len(after) != COUNT + superseded
        incomplete += sorted({**records.measurements, **records.failures}) != list(range(COUNT))
    measured = (
        f"{lost} with lost, {doubled} with duplicated, {incomplete} incomplete of {CAMPAIGNS} "
        f"({early} had finished before the kill; {kept_total / CAMPAIGNS:.1f} of {COUNT} measurements were there "
        "on average)"
    )
    return [Row("7", f"{CAMPAIGNS} campaigns killed and resumed", "none lost, none duplicated", measured,
                not (lost or doubled or incomplete))]  # fmt: skip


def _start(journal: Path, state: Path, *options: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, str(SCRIPT), str(journal), str(COUNT), *options]
    environment = {**os.environ, "FDI_STATE": str(state / "state")}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def _acknowledged(journal: Path) -> list[bytes]:
    """Whole lines of measurements."""
    if not journal.exists():
        return []
    return [line for line in journal.read_bytes().split(b"\n")[:-1] if b'"event":"measurement"' in line]


def _started(journal: Path) -> bool:
    return journal.exists() and b"\n" in journal.read_bytes()
