"""What all parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Modules of the parts, by number.
PARTS = {"1": "applications", "2": "random_graphs", "3": "step_overhead", "4": "trained", "5": "rebuilding"}

#: Prices widths; the same for every backend. Nothing is timed on a device here.
PROFILE = "x86-avx512-litert"


@dataclass(frozen=True)
class Settings:
    """Attributes:
    work: folder of what was measured of single networks.
    seed: of everything random.
    data: folder with the real data.
    examples: of each data set at most so many for training, and for testing.
    epochs: of each of three stages: training, steering, fine-tuning.
    """

    work: Path
    seed: int
    data: Path
    examples: int
    epochs: int
