"""What the parts share: a real adb server, stand-in phones, the stand-in for the tool.

Everything is under one folder of the benchmark's own, and journals, profiles and records go
there too, so that no part sees the user's.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stand_in_phone import RealAdbServer
from stand_in_tool.server import ToolServer

ROOT = Path(__file__).resolve().parents[2]

#: Modules of the parts, by number.
PARTS = {
    "1": "profile_error",
    "2": "overhead",
    "3": "faults",
    "4": "several_phones",
    "5": "hostile_text",
    "6": "fuzz_parser",
}


@dataclass(frozen=True)
class Settings:
    """Attributes:
    work: folder for phones, journals and profiles.
    minutes: of each campaign of part 1.
    faults: of part 3.
    workers: campaigns of part 3 that run at once.
    outputs: of part 6.
    seed: of everything random.
    again: forget what an earlier run of a part has left.
    """

    work: Path
    minutes: float
    faults: int
    workers: int
    outputs: int
    seed: int
    again: bool = False


@dataclass(frozen=True)
class Rig:
    """Attributes:
    folder: of this rig.
    adb: the adb server.
    tools: what executes models.
    """

    folder: Path
    adb: RealAdbServer
    tools: ToolServer

    def tool(self, name: str, **control: Any) -> Path:
        """A "binary" whose control file, see ``tests/stand_in_tool/tool.py``, is beside it."""
        self.control(name, **control)
        return self.tools.install(self.folder / name, self._control(name))

    def control(self, name: str, **control: Any) -> None:
        place = self._control(name)
        new = place.with_suffix(".new")
        new.write_text(json.dumps(control))
        new.replace(place)

    def controlled(self, name: str) -> dict[str, Any]:
        """What the control file says now; the tool counts faults down in it."""
        told: dict[str, Any] = json.loads(self._control(name).read_text())
        return told

    def id(self, serial: str) -> str:
        """What ``--device`` takes."""
        return f"{serial}@{self.adb.server.label}"

    def _control(self, name: str) -> Path:
        return self.folder / f"{name}.json"


@contextlib.contextmanager
def rig(folder: Path, own_environment: bool = True) -> Iterator[Rig]:
    """A rig; this process, too, keeps its journals and profiles in the folder.

    Args:
        own_environment: False where several rigs share this process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = dict(os.environ)
    if own_environment:
        os.environ |= environment(folder)
    try:
        with RealAdbServer(folder / "adb") as adb, ToolServer() as tools:
            yield Rig(folder, adb, tools)
    finally:
        if own_environment:
            os.environ.clear()
            os.environ.update(before)


def environment(folder: Path) -> dict[str, str]:
    return {
        "FDI_STATE": str(folder / "state"),
        "FDI_DATA": str(folder / "data"),
        "FDI_ADB": "none",
    }


def tool_records(path: Path) -> list[dict[str, Any]]:
    """What the stand-in for the tool says of its runs."""
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []
