"""What the parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Modules of the parts, by number.
PARTS = {"1": "runs", "2": "verdicts", "3": "growth"}

#: The methods that row 1 compares.
OURS, DEEPIOT = "steered", "deepiot_by_size"

#: Part of ours, to tell apart what it owes to what; no opponents.
ABLATIONS = ("taught_l1", "keeping_branches")

#: Methods whose least time is found however long it is; of others it is enough that it is far above ours.
FOLLOWED = (OURS, DEEPIOT, *ABLATIONS)

#: Accuracy that may be lost: half a point.
LOST = 0.005


@dataclass(frozen=True)
class Settings:
    """The command line's choices; see ``__main__.py``.

    Attributes:
        work: folder of trained networks and results.
        data: folder of the data sets.
        profile: of this computer.
        seeds: each is a training of its own.
        tasks, methods: names of what to run.
        shares: measured times that may be tried, of the uncompressed network's; none: those of each task.
        timing_s: seconds for which the uncompressed network is timed.
        judged: whether results count against what is required.
        known: only tell what was run before, and run nothing.
        together: time all networks of a training in one run at the end.
        processor: of this computer; a share of the time is none on another.
    """

    work: Path
    data: Path
    profile: str
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    shares: tuple[float, ...] = ()
    timing_s: float = 4.0
    judged: bool = True
    known: bool = False
    together: bool = False
    processor: str = ""
