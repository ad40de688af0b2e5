"""What all parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Modules of the parts, by number.
PARTS = {
    "1": "campaign_error",
    "2": "network_error",
    "3": "steering",
    "4": "growth",
    "5": "exactness",
    "6": "training_step",
    "7": "kills",
}


@dataclass(frozen=True)
class Settings:
    """Attributes:
    work: folder of the profile, journals and models.
    data: folder with the real data.
    minutes: of the campaign.
    seed: of everything random.
    """

    work: Path
    data: Path
    minutes: float
    seed: int

    @property
    def profile(self) -> Path:
        """Made by part 1, used by the others."""
        return self.work / "this-computer.json"
