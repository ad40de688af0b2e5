"""What both parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Modules of the parts, by number.
PARTS = {"1": "counts", "2": "networks"}


@dataclass(frozen=True)
class Settings:
    """Attributes:
    work: folder of the networks and their times.
    profile: that predicts them.
    """

    work: Path
    profile: str
