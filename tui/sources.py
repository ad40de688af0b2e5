"""Where the dashboard looks; an argument of the app, so that tests hand in folders of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fdi_tui.data.devices import SeenDevice, local_device, local_vitals

from fdi_keras.journal import state_folder


def fdi_command() -> list[str]:
    """The command line ``fdi`` of this very installation, for child processes."""
    return [sys.executable, "-m", "fdi_keras"]


@dataclass(frozen=True)
class Sources:
    """Attributes:
    state: folder of journals, in its folders ``campaigns`` and ``sessions``.
    profiles: folder of the user's own profiles.
    bundle: folder of the profiles that came with the library; looked for when None.
    command: the command line, to which verbs are appended.
    computer: describes this computer; may take a tenth of a second.
    vitals: its load, temperature and battery.
    """

    state: Path
    profiles: Path
    bundle: Path | None = None
    command: list[str] = field(default_factory=fdi_command)
    computer: Callable[[], SeenDevice] = local_device
    vitals: Callable[[], dict[str, Any]] = local_vitals

    @classmethod
    def usual(cls) -> Sources:
        """As the command line has them: ``FDI_STATE``, ``FDI_DATA``."""
        import platformdirs

        told = os.environ.get("FDI_DATA")
        data = Path(told) if told else Path(platformdirs.user_data_dir("fdi-keras"))
        return cls(state_folder(), data / "profiles")

    @property
    def campaigns(self) -> Path:
        return self.state / "campaigns"

    @property
    def sessions(self) -> Path:
        return self.state / "sessions"
