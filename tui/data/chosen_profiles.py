"""The profile that is looked at, perhaps another beside it, read anew when their files change."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from fdi_keras.errors import FdiError

if TYPE_CHECKING:
    from fdi_keras.profile import DeviceProfile


class ChosenProfiles:
    """Reads the profiles that were asked for; ``folder`` is always that of the user's own.

    Attributes:
        asked, asked_beside: a name or file each; None for the usual one, and for none beside it.
        profile, beside: what was read; None before, and where there is none.
        problem: why it could not be read the last time; empty when it could.
    """

    def __init__(self) -> None:
        self.asked: str | Path | None = None
        self.asked_beside: str | Path | None = None
        self.profile: DeviceProfile | None = None
        self.beside: DeviceProfile | None = None
        self.problem = ""
        self._files: dict[str, tuple[Path, float]] = {}
        self._reading = threading.Lock()

    @property
    def name(self) -> str:
        """By which the command line finds the profile."""
        file = self._files.get("first")
        return file[0].stem if file else ""

    @property
    def beside_name(self) -> str:
        """The same of the one beside it."""
        file = self._files.get("second")
        return file[0].stem if file else ""

    @property
    def caution(self) -> str:
        """What to know of profiles that were not measured; empty when both were."""
        return "; ".join(one.caution for one in (self.profile, self.beside) if one and one.caution)

    def read(self, folder: Path) -> None:
        """Read what is new; may take a tenth of a second, and be called in any thread."""
        with self._reading:  # one at a time: a look that was cancelled goes on in its thread
            try:
                self._read(folder)
            except FdiError as error:
                self.problem = str(error)

    def _read(self, folder: Path) -> None:
        from fdi_keras.profile import load_profile

        wanted = {"first": self.asked if self.asked is not None else _usual(folder)}
        if self.asked_beside is not None:
            wanted["second"] = self.asked_beside
        found: dict[str, DeviceProfile | None] = {"first": self.profile, "second": None}
        for place, name in wanted.items():
            file = _file_of(name, folder)
            if self._files.get(place) != file:
                found[place] = load_profile(file[0])
                self._files[place] = file
            elif place == "second":
                found[place] = self.beside
        self.profile, self.beside, self.problem = found["first"], found["second"], ""

    def choices(self, folder: Path) -> list[tuple[str, str, str]]:
        """What can be chosen: key, name, and whose it is, each."""
        from fdi_keras.profile import bundled_profiles

        own = sorted(path.stem for path in folder.glob("*.json"))
        bundled = [name for name in bundled_profiles() if name not in own]
        return [
            *((name, name, "yours") for name in own),
            *((name, name, "came with fdi") for name in bundled),
        ]


def _usual(folder: Path) -> Path:
    """The newest of the user's own profiles, else one that was installed with the library."""
    from fdi_keras.profile import bundled_profiles, find_profile

    own = sorted(folder.glob("*.json"), key=lambda path: -path.stat().st_mtime)
    return own[0] if own else find_profile((bundled_profiles() or ["local"])[0])


def _file_of(name: str | Path, folder: Path) -> tuple[Path, float]:
    from fdi_keras.profile import find_profile

    own = folder / f"{name}.json"
    path = own if isinstance(name, str) and own.is_file() else find_profile(name)
    return path, path.stat().st_mtime
