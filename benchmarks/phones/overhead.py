"""Part 2: what a probe costs beside its own runs.

A campaign of all kinds on one sleeping phone, through the adb server. The journal says when each measurement
was on disk; a batch is :data:`BATCH` of them. The *host overhead per probe* of a batch is::

    (last event of the batch - last event of the batch before
     - what the tool's processes lived meanwhile: starts, warm-up and timed runs, of repeats too) / BATCH

What the processes lived is written down by the stand-in itself, from the kernel's start of the
process to its last line. All else is overhead: designing and building probes, pushing them, starting
the shell, the script between two runs, results on their way, asking how warm the phone is,
reference probes' pushes, the journal. Required is the median over batches. Beside it is reported the
same without subtracting starts and warm-up (only timed runs), and where the time goes.
"""

from __future__ import annotations

import contextlib
import itertools
import statistics
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from stand_in_phone import StandInPhone

from benchmarks.phones.rig import Settings, rig, tool_records
from benchmarks.report import Row
from fdi_keras.devices import RuntimeChoice, open_device, open_runner
from fdi_keras.devices.adb.phone import PhoneLink
from fdi_keras.devices.adb.steady import SteadyPhone
from fdi_keras.devices.phone_tool import BATCH
from fdi_keras.journal import Journal, read_journal
from fdi_keras.profiling import Plan, campaign, run_campaign

COUNT = 20 * BATCH
LIMIT_MS = 60


def run(settings: Settings) -> list[Row]:
    folder = settings.work / "overhead"
    record, journal = folder / "runs.jsonl", folder / "campaign.jsonl"
    for old in (record, journal):
        old.unlink(missing_ok=True)
    with rig(folder) as made, StandInPhone(folder / "phone") as phone:
        tool = made.tool("benchmark_model", sleep_ms=[2.0, 8.0], record=str(record))
        device = made.id(phone.attach(made.adb.port))
        with open_runner(device, RuntimeChoice(benchmark_model=tool)) as runner, _stopwatch() as spent:
            plan = Plan(seed=settings.seed, measurements=COUNT)
            run_campaign(runner, plan, journal, device=open_device(device).info)
    ends = [e["time"] for e in read_journal(journal) if e["event"] in ("measurement", "failure")][
        BATCH - 1 :: BATCH
    ]
    runs = tool_records(record)
    overheads, beside_timed = [], []
    for begin, end in itertools.pairwise(ends):
        lived = sum(
            min(r["ended"], end) - max(r["began"], begin)
            for r in runs
            if begin < r["ended"] and r["began"] < end
        )
        timed = sum(r["sum_us"] for r in runs if begin < r["ended"] <= end) / 1e6
        overheads.append(1e3 * (end - begin - lived) / BATCH)
        beside_timed.append(1e3 * (end - begin - timed) / BATCH)
    median = statistics.median(overheads)
    parts = {name: round(1e3 * seconds / COUNT, 2) for name, seconds in spent.most_common()}
    details = {
        "batches": len(overheads),
        "overhead_ms": [round(o, 1) for o in overheads],
        "less_timed_runs_only_ms": round(statistics.median(beside_timed), 1),
        "parts_ms_per_probe": parts,
    }
    listed = ", ".join(f"{name} {ms:.1f}" for name, ms in parts.items())
    measured = f"{median:.1f} ms (with starts and warm-up {details['less_timed_runs_only_ms']} ms; {listed})"
    return [
        Row(
            "2",
            "host overhead per probe, median over batches",
            f"<= {LIMIT_MS} ms",
            measured,
            median <= LIMIT_MS,
            details,
        )
    ]


@contextlib.contextmanager
def _stopwatch() -> Iterator[Counter[str]]:
    """Seconds spent in the parts of the host's work."""
    spent: Counter[str] = Counter()
    before: list[tuple[Any, str, Any]] = []

    def watch(owner: Any, name: str, called: str) -> None:
        act = getattr(owner, name)

        def timed(*args: Any, **options: Any) -> Any:
            begin = time.perf_counter()
            try:
                return act(*args, **options)
            finally:
                spent[called] += time.perf_counter() - begin

        before.append((owner, name, act))
        setattr(owner, name, timed)

    watch(campaign, "build_probe", "building")
    watch(PhoneLink, "push_all", "pushing")
    watch(SteadyPhone, "thermal", "temperature")
    watch(Journal, "write", "journal")
    try:
        yield spent
    finally:
        for owner, name, act in before:
            setattr(owner, name, act)
