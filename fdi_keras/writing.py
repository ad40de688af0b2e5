"""Writing a file as a whole, or not at all."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from fdi_keras.errors import StorageError


def write_atomically(path: str | PathLike[str], content: bytes) -> None:
    """Replace a file as a whole; StorageError leaves the old one as it was."""
    path = Path(path)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        check_writable(path)
        with open(new, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, path)
    except OSError as error:
        _remove(new)
        if isinstance(error, StorageError):
            raise
        raise _storage_error(path, error.strerror) from error


def check_writable(path: str | PathLike[str]) -> None:
    """StorageError unless a file can be written here: to be asked before the work, not after it."""
    path = Path(path)
    probe = path.with_name(f".{path.name}.{os.getpid()}.probe")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise _storage_error(path, "it exists and is no ordinary file")
        probe.touch()
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise _storage_error(path, error.strerror) from error
    finally:
        _remove(probe)


def _storage_error(path: Path, reason: str | None) -> StorageError:
    return StorageError(
        f"cannot write {path}: {reason}. Free space or make the folder writable, or name another file."
    )


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return
