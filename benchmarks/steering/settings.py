"""What the parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Modules of the parts, by number.
PARTS = {"1": "runs", "2": "verdicts", "3": "growth"}

#: Measured times to come to, as shares of the uncompressed network's.
SHARES = (0.5, 0.25, 0.125)


@dataclass(frozen=True)
class Settings:
    """The command line's choices; see ``__main__.py``.

    Attributes:
        work: folder of trained networks and results.
        data: folder of the data sets.
        profile: of this computer.
        seeds: each is a training of its own.
        tasks, methods: names of what to run.
        shares: see :data:`SHARES`.
        judged: whether results count against what is required.
    """

    work: Path
    data: Path
    profile: str
    seeds: tuple[int, ...]
    tasks: tuple[str, ...]
    methods: tuple[str, ...]
    shares: tuple[float, ...] = SHARES
    judged: bool = True
