"""The folder of a compression, in which a run that was stopped goes on."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from fdi_keras.errors import StorageError, UsageError
from fdi_keras.writing import write_atomically


class RunFolder:
    """Keeps the networks of a run; without a path, nothing.

    Args:
        folder: where; it is made where it is missing.
        asked: for what; a folder of another run is not taken.

    Raises:
        StorageError: it cannot be used.
        UsageError: it holds another run, or is damaged.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, asked: Mapping[str, Any]):
        self.path = None if folder is None else Path(folder)
        if self.path is None:
            return
        begun = self.path / "run.json"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            known = json.loads(begun.read_text()) if begun.exists() else asked
        except OSError as error:
            raise StorageError(f"cannot use folder {self.path}: {error.strerror}. Name another.") from error
        except json.JSONDecodeError as error:
            raise UsageError(f"{begun} is damaged ({error}). Name another folder.") from error
        if known != asked:
            differences = [
                f"{key} {known.get(key)} there, {asked.get(key)} now"
                for key in {**asked, **known}
                if known.get(key) != asked.get(key)
            ]
            raise UsageError(
                f"{self.path} holds another run ({'; '.join(differences)}). Name another folder."
            )
        write_atomically(begun, json.dumps(asked, indent=2).encode())

    def kept(self, name: str) -> Any:
        """A network that was kept, else None."""
        path = None if self.path is None else self.path / f"{name}.keras"
        return keras.models.load_model(path) if path is not None and path.exists() else None

    def keep(self, network: keras.Model, name: str) -> None:
        """Write a network, whole or not at all."""
        if self.path is not None:
            unfinished = self.path / f"unfinished {name}.keras"
            network.save(unfinished)
            unfinished.replace(self.path / f"{name}.keras")

    def going_on(self, what: str) -> list[keras.callbacks.Callback]:
        """Callbacks with which a training goes on at the epoch where it was stopped."""
        return [] if self.path is None else [keras.callbacks.BackupAndRestore(self.path / f"{what} so far")]
