"""Where the dashboard looks; an argument of the app, so that tests hand in folders of their own."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from fdi_keras.journal import state_folder


def fdi_command() -> list[str]:
    """The command line ``fdi`` of this very installation, for child processes."""
    return [sys.executable, "-m", "fdi_keras"]


@dataclass(frozen=True)
class Sources:
    """Attributes:
    state: folder of journals, in its folders ``campaigns`` and ``sessions``.
    profiles: folder of the user's own profiles.
    command: the command line, to which verbs are appended.
    """

    state: Path
    profiles: Path
    command: list[str] = field(default_factory=fdi_command)

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
