"""Append-only event log: one JSON object a line, on disk before the next thing happens.

Campaigns and compression sessions write the same kind of file, so that whatever
reads one (a resumed campaign, the dashboard, a person with ``tail -f``) reads both.
The first line is a ``started`` event with the schema version, process id and host;
every event has ``event`` and ``time`` (seconds since the epoch, UTC).

A kill may tear the last line. A torn line was never acknowledged: readers skip
it, and a writer that reopens the file cuts it off first.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from fdi_keras.errors import JournalError, StorageError

SCHEMA_VERSION = 1


def state_folder() -> Path:
    """Where journals live: ``$FDI_STATE``, else the user's state folder."""
    import platformdirs

    told = os.environ.get("FDI_STATE")
    return Path(told) if told else Path(platformdirs.user_state_dir("fdi-keras"))


def journal_path(kind: str, name: str) -> Path:
    """Path of the journal of a campaign or session called ``name``.

    >>> journal_path("sessions", "my net/1").name
    'my-net-1.jsonl'
    """
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "unnamed"
    return state_folder() / kind / f"{safe}.jsonl"


class Journal:
    """An open journal.

    Args:
        path: the file; created with its folders, appended to when it exists.
        sync: force each line through the operating system to the disk, for
            measurements that must survive a power cut too.

    Raises:
        StorageError: the file cannot be opened or written (full disk, permissions).

    Example::

        with Journal(path) as journal:
            journal.start("campaign", name="local")
            journal.write("measurement", kind="conv2d", median_ms=0.54)
            journal.write("finished")
    """

    def __init__(self, path: str | os.PathLike[str], sync: bool = False):
        self.path = Path(path)
        self._sync = sync
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = open(self.path, "a+b")  # noqa: SIM115 - closed by close()
            self._cut_torn_line()
        except OSError as error:
            raise _storage_error(self.path, error) from error

    def start(self, kind: str, **fields: Any) -> None:
        """Write the ``started`` event of a campaign or session."""
        self.write(
            "started",
            schema_version=SCHEMA_VERSION,
            kind=kind,
            pid=os.getpid(),
            host=socket.gethostname(),
            **fields,
        )

    def resume(self, **fields: Any) -> None:
        """Write the ``resumed`` event of another process that goes on with this journal."""
        self.write("resumed", pid=os.getpid(), host=socket.gethostname(), **fields)

    def write(self, event: str, **fields: Any) -> None:
        """Append one event; it has left this process when the call returns."""
        line = msgspec.json.encode({"event": event, "time": round(time.time(), 3), **fields}, enc_hook=_plain)
        try:
            self._file.write(line + b"\n")
            self._file.flush()
            if self._sync:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise _storage_error(self.path, error) from error

    def close(self) -> None:
        # After a full disk the buffer cannot be flushed: that was reported by write().
        try:
            self._file.close()
        except OSError:
            return

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _cut_torn_line(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            self._file.truncate(whole)


def set_aside(path: str | os.PathLike[str]) -> Path | None:
    """Keep a journal that is there under a name with the date; returns that name.

    Raises:
        StorageError: it cannot be renamed.
    """
    path = Path(path)
    try:
        if not path.is_file():
            return None  # also a device such as /dev/full, which nobody should rename
        stamp = time.strftime("%Y-%m-%dT%H%M%S", time.localtime(path.stat().st_mtime))
        kept = path.with_name(f"{path.stem}.{stamp}{path.suffix}")
        number = 1
        while kept.exists():
            number += 1
            kept = path.with_name(f"{path.stem}.{stamp}-{number}{path.suffix}")
        os.rename(path, kept)
    except OSError as error:
        raise StorageError(
            f"cannot keep the earlier journal {path} under another name: {error.strerror}. "
            "Make its folder writable, or name another with FDI_STATE."
        ) from error
    return kept


def read_journal(path: str | os.PathLike[str]) -> Iterator[dict[str, Any]]:
    """Events of a journal in order; a torn last line is left out.

    Raises:
        JournalError: the file is missing, no journal, damaged, or from a newer version.
    """
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise JournalError(f"cannot read journal {path}: {error.strerror}.") from error
    lines = content.split(b"\n")[:-1]  # what follows the last newline is torn or empty
    for number, line in enumerate(lines, 1):
        try:
            event = msgspec.json.decode(line, type=dict)
        except msgspec.DecodeError as error:
            raise JournalError(
                f"journal {path} is damaged at line {number}: {error}. "
                "Remove that line, or start anew under another name."
            ) from error
        if number == 1:
            _check_first(path, event)
        yield event


def _check_first(path: Path, event: dict[str, Any]) -> None:
    version = event.get("schema_version")
    if event.get("event") != "started" or not isinstance(version, int):
        raise JournalError(f"{path} is no fdi journal: its first line is not a 'started' event.")
    if version > SCHEMA_VERSION:
        raise JournalError(
            f"journal {path} has schema version {version}; this fdi_keras reads up to "
            f"{SCHEMA_VERSION}. Upgrade fdi-keras."
        )


def _plain(value: Any) -> Any:
    """numpy scalars and arrays as plain numbers, paths as text."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise NotImplementedError(f"a journal cannot hold {type(value).__name__}")


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write journal {path}: {error.strerror}. Free space or make the folder writable, "
        "or name another folder with FDI_STATE."
    )
