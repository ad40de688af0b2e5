"""The files that keep what was measured: one a run, in a folder that no other processor's runs are in."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.report import Row


def run_path(work: Path, task: str, seed: int, share: float, method: str) -> Path:
    """Of what a run of part 1 found."""
    return work / f"{task}-{seed}-{share:g}-{method}.json"


def growth_path(work: Path, task: str, seed: int) -> Path:
    """Of what part 3 found."""
    return work / f"{task}-{seed}.growth.json"


def take_up(rows: Sequence[Row], work: Path) -> None:
    """Write what rows tell of and the folder lacks: after a fresh checkout nothing is run twice."""
    kept = {}
    for row in rows:
        if row.part == "1":
            found = {key: value for key, value in row.details.items() if key != "seconds_of_part"}
            kept[run_path(work, *(found[key] for key in ("task", "seed", "share", "method")))] = found
        elif row.part == "3":
            kept |= {growth_path(work, each["task"], each["seed"]): each for each in row.details["seeds"]}
    for path, found in kept.items():
        if not path.exists():
            path.write_text(json.dumps(found))


def processors(work: Path) -> set[str]:
    """What the records of a folder were measured on."""
    return {json.loads(path.read_text())["processor"] for path in work.glob("*.json")}
