"""Session journals of a given length and pace, written as a LatencyCallback writes them."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from fdi_keras.journal import Journal

SPACES = {f"conv2d_{n}": {"width": 64, "kept": None} for n in range(8)}


def start(journal: Journal, name: str, epochs: int) -> None:
    """The first event."""
    journal.start(
        "session", session=name, model="benchmark", profile="none", device="none",
        start_ms=2.0, target_ms=1.0, epochs=epochs, spaces=SPACES,
    )  # fmt: skip


def epoch(journal: Journal, number: int) -> None:
    """One epoch."""
    journal.write(
        "epoch",
        epoch=number,
        loss=3.0 / number,
        latency_ms=1.0 + 1.0 / number,
        metrics={"accuracy": 0.9, "val_accuracy": 0.88, "val_latency_ms": 1.0, "val_loss": 0.3},
        target_ms=1.0,
        strength=0.1,
        widths=dict.fromkeys(SPACES, 64 - 0.5 * (number % 16)),
    )


def long_journal(path: Path, events: int) -> None:
    """A finished session of so many events."""
    path.unlink(missing_ok=True)
    with Journal(path) as journal:
        start(journal, path.stem, events)
        for number in range(1, events - 1):
            epoch(journal, number)
        journal.write("finished", seconds=1.0)


def writers(folder: Path, names: list[str], per_second: float) -> subprocess.Popen[bytes]:
    """A process that writes to sessions of these names, each at a pace, until it is killed."""
    command = [sys.executable, "-m", "benchmarks.dashboard.journals", str(folder), str(per_second), *names]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _write_for_ever(folder: Path, per_second: float, names: list[str]) -> None:
    journals = [Journal(folder / f"{name}.jsonl") for name in names]
    for journal, name in zip(journals, names, strict=True):
        start(journal, name, 100_000)
    began, number = time.perf_counter(), 0
    while os.getppid() != 1:
        number += 1
        for journal in journals:
            epoch(journal, number)
        time.sleep(max(began + number / per_second - time.perf_counter(), 0.0))


if __name__ == "__main__":
    _write_for_ever(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3:])
