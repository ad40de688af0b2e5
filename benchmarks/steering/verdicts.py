"""Part 2: what follows from all runs: time saved at equal accuracy, growth, targets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.report import Row
from benchmarks.steering.runs import known
from benchmarks.steering.settings import LOST, Settings

#: Further saving against DeepIoT by size, and against the best of the others: on the median task, and at worst.
AGAINST_DEEPIOT, AGAINST_BEST, AT_WORST = 0.48, 0.20, -0.05

#: How near the measured time comes to the target.
NEAR = 0.05

OURS, DEEPIOT = "steered", "deepiot_by_size"

#: Part of ours, to tell apart what it owes to what; no opponents.
ABLATIONS = ("taught_l1", "keeping_branches")


def run(settings: Settings) -> list[Row]:
    rows = _rows(settings)
    return rows if settings.judged else [replace(row, passed=None) for row in rows]


def _rows(settings: Settings) -> list[Row]:
    every = known(settings)
    runs = [each for each in every if "error" not in each]
    rows: list[Row] = []
    further: dict[str, float] = {}
    against_best: dict[str, float] = {}
    for task in settings.tasks:
        least = {
            m: least_time([r for r in runs if r["task"] == task and r["method"] == m])
            for m in settings.methods
        }
        found = {method: share for method, share in least.items() if share is not None}
        listed = [f"{method} {share:.3f}" for method, share in sorted(found.items(), key=lambda i: i[1])]
        none = [r["method"] for r in runs if r["task"] == task and r["method"] not in found]
        listed += [f"none: {' '.join(dict.fromkeys(none))}"] if none else []
        seeds = len({r["seed"] for r in runs if r["task"] == task})
        rows.append(
            Row("2", f"{task}: least share of the time within half a point", "reported",
                f"{', '.join(listed)} (seeds: {seeds})", None)
        )  # fmt: skip
        here = [r for r in every if r["task"] == task]
        savings = {method: _saving(here, method) for method in settings.methods if method != OURS}
        told = {method: saving for method, saving in savings.items() if saving is not None}
        if DEEPIOT in told:
            further[task] = told[DEEPIOT]
        if others := [saving for method, saving in told.items() if method not in ABLATIONS]:
            against_best[task] = min(others)
    if further:
        passed = len(further) == len(settings.tasks)
        passed &= float(np.median([*further.values()])) >= AGAINST_DEEPIOT
        rows.append(
            Row("2", "further saving against DeepIoT by size, median task", f">= {AGAINST_DEEPIOT:.0%}",
                _listed(further, settings.tasks), passed)
        )  # fmt: skip
    if against_best:
        least_saved = min(against_best.values())
        passed = len(against_best) == len(settings.tasks) and least_saved >= AT_WORST
        passed &= float(np.median([*against_best.values()])) >= AGAINST_BEST
        rows.append(
            Row("2", "saving against the best of the others, median task",
                f">= {AGAINST_BEST:.0%}, none below {AT_WORST:.0%}", _listed(against_best, settings.tasks), passed)
        )  # fmt: skip
    off = [r["measured_ms"] / (r["share"] * r["start_ms"]) - 1 for r in runs if r["method"] == OURS]
    if off:
        worst = max(off, key=abs)
        rows.append(
            Row("2", f"measured time against the target, {len(off)} runs", f"within {NEAR:.0%}",
                f"median {np.median(off):+.1%}, farthest {worst:+.1%}", abs(worst) <= NEAR)
        )  # fmt: skip
    return rows


def _saving(runs: Sequence[dict[str, Any]], other: str) -> float | None:
    """What ours saves of the time that another method needs on one task, with the seeds that both were run with.

    A method that found nothing, or loses more at every share, needs all of the time. None: no seed in common.
    """
    ours, others = ([r for r in runs if r["method"] == method] for method in (OURS, other))
    seeds = {r["seed"] for r in ours} & {r["seed"] for r in others}
    if not seeds:
        return None
    mine, theirs = (
        least_time([r for r in each if r["seed"] in seeds and "error" not in r]) or 1.0
        for each in (ours, others)
    )
    return 1 - mine / theirs


def least_time(runs: Sequence[dict[str, Any]]) -> float | None:
    """The least share of the uncompressed time at which a method loses at most half a point, over all its seeds.

    Between two targets the accuracy goes with the logarithm of the time. None: not even at the mildest target.
    A share that only some of the seeds were run at does not count.
    """
    points = []
    seeds = Counter(run["share"] for run in runs)
    for share in sorted((share for share in seeds if seeds[share] == max(seeds.values())), reverse=True):
        mine = [run for run in runs if run["share"] == share]
        lost = float(np.mean([run["start_accuracy"] - run["accuracy"] for run in mine]))
        points.append((float(np.mean([run["measured_ms"] / run["start_ms"] for run in mine])), lost))
    before = (1.0, 0.0)
    for point in points:
        if point[1] > LOST:
            if before[0] == 1.0:
                return None
            way = (LOST - before[1]) / (point[1] - before[1])
            return float(np.exp(np.log(before[0]) + way * np.log(point[0] / before[0])))
        before = point
    return before[0] if points else None


def _listed(savings: dict[str, float], tasks: Sequence[str]) -> str:
    each = [f"{task} {savings[task]:+.0%}" for task in tasks if task in savings]
    each += [f"{task} not known" for task in tasks if task not in savings]
    return f"{float(np.median([*savings.values()])):+.0%} ({', '.join(each)})"
