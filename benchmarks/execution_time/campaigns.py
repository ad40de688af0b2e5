"""Part 0: the measurements that the other parts need, about an hour in all, on a computer with nothing else to do.

One campaign of usual length times all kinds; its profile prices networks and layers. One times the kinds
that the goals name; from it and from its beginning profiles are learned whose errors are looked at. Two others
time fresh configurations, of another seed and in the order of the design: many of the main kinds, since
opponents get ten times the measurements, and some of the further ones. Then some of them are timed once
more: nothing can be more exact than that.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np

from benchmarks.execution_time.settings import FURTHER, MAIN, PROBES, Settings
from benchmarks.report import Row
from fdi_keras.devices import open_device
from fdi_keras.errors import MeasurementError
from fdi_keras.journal import read_journal
from fdi_keras.profile import learn_profile
from fdi_keras.profiling import Plan, build_probe, read_records, run_campaign
from fdi_keras.profiling.active import work_of
from fdi_keras.profiling.copies import alone, copies_of
from fdi_keras.profiling.design import Configuration

#: Minutes of measuring of the two campaigns that are learned from, and the limit with learning.
WHOLE_MINUTES, NAMED_MINUTES, LIMIT_MINUTES = 10.0, 13.0, 15.0

#: How many fresh configurations: of the main kinds, and of the further ones.
FRESH, FRESH_FURTHER = 16_500, 1500

#: So many of a kind are timed again.
AGAIN = 25

#: Share of a campaign's wall clock that should be inside timed executions.
TIMED = 0.8


def run(settings: Settings) -> list[Row]:
    rows = []
    plans = {
        "whole": Plan(seed=settings.seed + 2, minutes=WHOLE_MINUTES, active=True),
        "named": Plan([*MAIN, *FURTHER], seed=settings.seed, minutes=NAMED_MINUTES, active=True),
    }
    for name, plan in plans.items():
        seconds, timed = _campaign(plan.checked(), settings.journal(name))
        learning_s = _learned(settings, name)
        count = len(read_records(settings.journal(name)).measurements)
        minutes = (seconds + learning_s) / 60
        rows += [
            Row("0", f"campaign {name}, learning included", f"<= {LIMIT_MINUTES:g} minutes",
                f"{minutes:.1f} minutes, {count} probes, learned in {learning_s:.0f} s", minutes <= LIMIT_MINUTES),
            Row("0", f"wall clock of {name} inside timed executions", f"aim {TIMED:.0%}",
                f"{timed / seconds:.0%}", None),
        ]  # fmt: skip
    for name, kinds, most in (("fresh", MAIN, FRESH), ("fresh-further", FURTHER, FRESH_FURTHER)):
        plan = Plan(list(kinds), seed=settings.seed + 1, measurements=most)
        seconds, _ = _campaign(plan.checked(), settings.journal(name))
        count = len(read_records(settings.journal(name)).measurements)
        rows.append(
            Row("0", f"{name} configurations", "reported", f"{count} in {seconds / 60:.1f} min", None)
        )
    if not (settings.work / "repeated.json").exists():
        (settings.work / "repeated.json").write_text(json.dumps(_repeated(settings)))
    _learned(settings, "short")
    return rows


def _learned(settings: Settings, name: str) -> float:
    """Learn a profile unless it is there; how long that took, in s."""
    took = settings.work / f"learning-{name}.json"
    if not (settings.profile_path(name).exists() and took.exists()):
        began = time.time()
        records = settings.beginning(PROBES) if name == "short" else read_records(settings.journal(name))
        learn_profile(records).save(settings.profile_path(name))
        took.write_text(json.dumps(time.time() - began))
    return json.loads(took.read_text())


def _campaign(plan: Plan, journal: Path) -> tuple[float, float]:
    """Run or resume it; its seconds, and those of them inside timed executions."""
    device = open_device("local")
    if not (journal.exists() and read_records(journal).finished):
        with device.open() as runner:
            earlier = read_records(journal) if journal.exists() else None
            work = work_of(plan, earlier, beside=True)
            run_campaign(runner, plan, journal, device=device.info, resume=earlier is not None, work=work)
    timed = seconds = before = 0.0
    for event in read_journal(journal):
        if event["event"] == "resumed":
            before = timed
        if event["event"] == "progress":
            timed = before + event["timed_seconds"]
        seconds = event.get("seconds", seconds)
    return seconds, timed


def _repeated(settings: Settings) -> dict[str, float]:
    rng = np.random.default_rng(settings.seed)
    found: dict[str, float] = {}
    with open_device("local").open() as runner:
        for name in ("fresh", "fresh-further"):
            records = read_records(settings.journal(name))
            overhead_ms = records.overhead_ms or 0.0
            for kind in records.plan.kinds or ():
                mine = [m for m in records.measurements.values() if m.kind == kind]
                off = []
                for at in rng.permutation(len(mine))[:AGAIN]:
                    first = mine[at]
                    copies = copies_of(Configuration(kind, first.dims, first.group))
                    try:
                        whole = runner.time(build_probe(kind, first.dims, copies=copies))
                    except MeasurementError:
                        continue
                    again = alone(whole, copies, overhead_ms).median_ms - overhead_ms
                    off.append(abs(again / (first.median_ms - overhead_ms) - 1))
                found[kind] = float(np.mean(off))
    return found
