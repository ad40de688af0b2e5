"""What all parts share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: Modules of the parts, by number.
PARTS = {
    "1": "start_and_quit",
    "2": "long_journals",
    "3": "keys",
    "4": "deaths",
    "5": "screens",
    "6": "other_hosts",
}


@dataclass(frozen=True)
class Settings:
    """Attributes:
    work: folder of journals and profiles that the parts make.
    """

    work: Path
