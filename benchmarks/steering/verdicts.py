"""Part 2: what follows from all runs: time saved at equal accuracy, growth, targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.report import Row
from benchmarks.steering.runs import known
from benchmarks.steering.settings import ABLATIONS, DEEPIOT, OURS, Settings
from benchmarks.steering.shares import deciding_seeds, least_time, more_than

#: Further saving against DeepIoT by size, and against the best of the others: on the median task, and at worst.
AGAINST_DEEPIOT, AGAINST_BEST, AT_WORST = 0.48, 0.20, -0.05

#: How near the measured time comes to the target.
NEAR = 0.05


def run(settings: Settings) -> list[Row]:
    rows = _rows(settings)
    return rows if settings.judged else [replace(row, passed=None) for row in rows]


def _rows(settings: Settings) -> list[Row]:
    every = known(settings)
    runs = [each for each in every if "error" not in each]
    rows: list[Row] = []
    further: dict[str, float] = {}
    against_best: dict[str, float] = {}
    opponents = [m for m in settings.methods if m not in (OURS, *ABLATIONS)]
    missing = 0
    fewest = fewest_of_all = len(settings.seeds)
    for task in settings.tasks:
        here = [r for r in every if r["task"] == task]
        mine = {m: [r for r in here if r["method"] == m] for m in settings.methods}
        known_times = sorted((_least(runs), m) for m, runs in mine.items() if runs)
        rows.append(
            Row("2", f"{task}: least share of the time within half a point", "reported",
                f"{', '.join(f'{method} {least}' for least, method in known_times)} "
                f"(seeds: {len({r['seed'] for r in here})})", None)
        )  # fmt: skip
        common = {method: _seeds(mine[OURS]) & _seeds(mine[method]) for method in opponents}
        told = {m: _saving(mine[OURS], mine[m], seeds) for m, seeds in common.items() if seeds}
        missing += len(common) - len(told)
        if DEEPIOT in told:
            further[task] = told[DEEPIOT]
            fewest = min(fewest, _fewest(mine[OURS], mine[DEEPIOT]))
        if told:
            against_best[task] = min(told.values())
            fewest_of_all = min(fewest_of_all, *(_fewest(mine[OURS], mine[method]) for method in told))
    if further:
        passed = len(further) == len(settings.tasks) and fewest == len(settings.seeds)
        passed &= float(np.median([*further.values()])) >= AGAINST_DEEPIOT
        rows.append(
            Row("2", "further saving against DeepIoT by size, median task", f">= {AGAINST_DEEPIOT:.0%}",
                _listed(further, settings.tasks) + _with_fewer(fewest, settings), passed)
        )  # fmt: skip
    if against_best:
        passed = not missing and fewest_of_all == len(settings.seeds)
        passed &= min(against_best.values()) >= AT_WORST
        passed &= float(np.median([*against_best.values()])) >= AGAINST_BEST
        left_out = f"; {missing} of {len(opponents) * len(settings.tasks)} not run" if missing else ""
        rows.append(
            Row("2", "saving against the best of the others, median task",
                f">= {AGAINST_BEST:.0%}, none below {AT_WORST:.0%}",
                _listed(against_best, settings.tasks) + left_out + _with_fewer(fewest_of_all, settings), passed)
        )  # fmt: skip
    off = [r["measured_ms"] / (r["share"] * r["start_ms"]) - 1 for r in runs if r["method"] == OURS]
    if off:
        worst = max(off, key=abs)
        rows.append(
            Row("2", f"measured time against the target, {len(off)} runs", f"within {NEAR:.0%}",
                f"median {np.median(off):+.1%}, farthest {worst:+.1%}", abs(worst) <= NEAR)
        )  # fmt: skip
    return rows


def _least(runs: Sequence[dict[str, Any]]) -> str:
    """A method's least share in words; where all are too narrow, what it is more than."""
    least = least_time(runs)
    return f"above {more_than(runs):.3f}" if least is None else f"{least:.3f}"


def _saving(ours: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]], seeds: set[int]) -> float:
    """What ours saves of the time that another method needs on one task, with the seeds that both were run with.

    Another that loses more at every share needs more than the largest of them, so that ours saves that at least; ours
    needs all of the time then.
    """
    mine, theirs = ([r for r in each if r["seed"] in seeds] for each in (ours, others))
    return 1 - (least_time(mine) or 1.0) / (least_time(theirs) or more_than(theirs))


def _seeds(runs: Sequence[dict[str, Any]]) -> set[int]:
    return {run["seed"] for run in runs}


def _fewest(ours: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]) -> int:
    """With how few seeds it was decided what ours saves of another's time."""
    seeds = _seeds(ours) & _seeds(others)
    return min(deciding_seeds([r for r in runs if r["seed"] in seeds]) for runs in (ours, others))


def _with_fewer(fewest: int, settings: Settings) -> str:
    return f"; with {fewest} of {len(settings.seeds)} seeds on some" if fewest < len(settings.seeds) else ""


def _listed(savings: dict[str, float], tasks: Sequence[str]) -> str:
    each = [f"{task} {savings[task]:+.0%}" for task in tasks if task in savings]
    each += [f"{task} not known" for task in tasks if task not in savings]
    return f"{float(np.median([*savings.values()])):+.0%} ({', '.join(each)})"
