"""Part 2: a session of 100,000 events opened, followed at 50 events a second, and ten of them; memory."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

from benchmarks.dashboard.journals import long_journal, writers
from benchmarks.dashboard.settings import Settings
from benchmarks.dashboard.terminal import Terminal
from benchmarks.report import Row

EVENTS, OPENS = 100_000, 3
OPENING_S, CPU_SHARE = 1.0, 0.15
PER_SECOND, WATCHED_S, TEN = 50.0, 12.0, 10
#: A journal four times as long may take so much more memory at most.
GROWTH_MB = 32.0


def run(settings: Settings) -> list[Row]:
    return [
        *_opened(settings.work / "long"),
        *_followed(settings.work / "one", 1),
        *_followed(settings.work / "ten", TEN),
    ]


def _opened(work: Path) -> list[Row]:
    """From the key by which the session is chosen to its numbers on the screen."""
    sessions = work / "state" / "sessions"
    long_journal(sessions / "long.jsonl", EVENTS)
    long_journal(sessions / "longer.jsonl", 4 * EVENTS)
    long_journal(sessions / "short.jsonl", 50)  # the newest: the cursor stands on it first
    seconds, memory, longer_s = [], [], []
    for _ in range(OPENS):
        with Terminal(work, "dashboard", "--screen", "sessions", size=(120, 40)) as terminal:
            terminal.wait_for("short: finished")
            terminal.settle()
            longer_s.append(terminal.press("j", "longer: finished", 30))
            terminal.settle()
            after_longer = terminal.memory_mb
            seconds.append(terminal.press("j", "long: finished", 30))
            terminal.settle()
            memory.append(after_longer)
            terminal.quit()
    with Terminal(work, "dashboard", "--screen", "sessions", size=(120, 40)) as terminal:
        terminal.wait_for("short: finished")
        terminal.settle()
        before = terminal.memory_mb
        terminal.press("jj", "long: finished", 60)
        terminal.settle()
        after_long = terminal.memory_mb
        terminal.quit()
    opening, most = statistics.median(seconds), statistics.median(memory)
    return [
        Row("2", f"a journal of {EVENTS:,} events opens", f"<= {OPENING_S} s",
            f"{opening:.2f} s ({max(seconds):.2f} slowest of {OPENS}; {4 * EVENTS:,} events {max(longer_s):.2f} s)",
            opening <= OPENING_S, {"seconds": seconds, "four_times_seconds": longer_s}),
        Row("2", "memory is bounded", f"four times the events: <= {GROWTH_MB:.0f} MB more",
            f"{before:.0f} MB with 50 events, {after_long:.0f} MB with {EVENTS:,}, {most:.0f} MB with {4 * EVENTS:,}",
            most - after_long <= GROWTH_MB, {"mb": [before, after_long, most]}),
    ]  # fmt: skip


def _followed(work: Path, count: int) -> list[Row]:
    """Share of a core while sessions are written, the one under the cursor having a long past when it is one."""
    sessions = work / "state" / "sessions"
    names = [f"run-{number}" for number in range(count)]
    if count == 1:
        long_journal(sessions / "run-0.jsonl", EVENTS)
    writing = writers(sessions, names, PER_SECOND)
    try:
        with Terminal(work, "dashboard", "--screen", "sessions", size=(120, 40)) as terminal:
            terminal.wait_for(": running", 30)
            if count > 1:
                terminal.send("mjmjmj")  # three beside the one under the cursor
            time.sleep(2.0)
            terminal.settle(0.01, 1.0)
            share = terminal.cpu_share(WATCHED_S)
            terminal.quit()
    finally:
        writing.kill()
        writing.wait()
    what = (
        f"{EVENTS:,} events, then {PER_SECOND:.0f} a second"
        if count == 1
        else f"{count} sessions at {PER_SECOND:.0f} a second"
    )
    return [
        Row("2", f"follows {what}", f"<= {CPU_SHARE:.0%} of one core", f"{share:.1%}", share <= CPU_SHARE,
            {"seconds": WATCHED_S})
    ]  # fmt: skip
