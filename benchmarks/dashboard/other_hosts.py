"""Part 6: a journal whose writer is on another machine, as in a mounted folder."""

from __future__ import annotations

import time

from benchmarks.dashboard.journals import epoch
from benchmarks.dashboard.settings import Settings
from benchmarks.dashboard.terminal import ESCAPES, Terminal
from benchmarks.report import Row
from fdi_keras.journal import Journal

WATCHED_S = 7.0
HOST = "training-box"


def run(settings: Settings) -> list[Row]:
    work = settings.work / "hosts"
    path = work / "state" / "sessions" / "away.jsonl"
    with Journal(path) as journal:
        journal.write("started", schema_version=1, kind="session", pid=2**22 + 1, host=HOST, session="away",
                      start_ms=2.0, target_ms=1.0, epochs=9, spaces={})  # fmt: skip
        epoch(journal, 1)
    with Terminal(work, "dashboard", "--screen", "sessions", size=(120, 40)) as terminal:
        terminal.wait_for(f"on {HOST}")
        until = time.monotonic() + WATCHED_S
        while time.monotonic() < until:
            terminal.read(until - time.monotonic())
        seen = ESCAPES.sub(b"", terminal.written)
        terminal.quit()
    dead = b"died" in seen
    return [
        Row("6", "a session that another machine writes", "shows its host, is not called dead",
            f"on {HOST}" + (", but died" if dead else f", not called dead in {WATCHED_S:.0f} s"), not dead)
    ]  # fmt: skip
