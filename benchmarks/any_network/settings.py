"""What all parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Modules of the parts, by number.
PARTS = {"1": "applications", "2": "random_graphs", "5": "rebuilding"}


@dataclass(frozen=True)
class Settings:
    """Attributes:
    work: folder of what was measured of single networks.
    seed: of everything random.
    """

    work: Path
    seed: int
