"""One campaign at a time on a device and runtime: two would measure each other."""

from __future__ import annotations

import os
import socket
import time
from os import PathLike
from pathlib import Path
from types import TracebackType

import filelock
import msgspec

from fdi_keras.devices import Runtime
from fdi_keras.errors import DeviceBusyError, StorageError
from fdi_keras.journal import journal_path


class Holder(msgspec.Struct):
    """Who holds a lock; written beside it for the message to whoever comes second."""

    pid: int
    host: str
    journal: str
    since: float


class DeviceLock:
    """Held in a ``with`` statement; the operating system releases it when the process dies.

    Only the device and the name of the runtime are in its name: a campaign with two
    threads, or on other cores, disturbs one with a single thread all the same.

    Raises:
        DeviceBusyError: somebody else holds it; the message says who.
        StorageError: the lock file cannot be made.
    """

    def __init__(self, device_id: str, runtime: Runtime, journal: str | PathLike[str]):
        self._what = f"{device_id} ({runtime.name}, {runtime.delegate})"
        record = journal_path("locks", f"{device_id}-{runtime.name}")
        self._holder = record.with_suffix(".json")
        self._lock = filelock.FileLock(record.with_suffix(".lock"))
        self._journal = Path(journal)

    def __enter__(self) -> DeviceLock:
        me = Holder(os.getpid(), socket.gethostname(), str(self._journal.absolute()), time.time())
        try:
            self._holder.parent.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
            self._holder.write_bytes(msgspec.json.encode(me))
        except filelock.Timeout:
            raise DeviceBusyError(f"another campaign runs on {self._what}{self._who()}") from None
        except OSError as error:
            self._lock.release()
            raise StorageError(
                f"cannot lock {self._what} with {self._lock.lock_file}: {error.strerror}. Make the folder "
                "writable, or name another with FDI_STATE."
            ) from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._holder.unlink(missing_ok=True)
        self._lock.release()

    def _who(self) -> str:
        try:
            holder = msgspec.json.decode(self._holder.read_bytes(), type=Holder)
        except (OSError, msgspec.DecodeError):  # it has only just begun
            return ". Wait until it has finished."
        return (
            f": process {holder.pid} on {holder.host}, journal {holder.journal}. "
            "Wait until it has finished, or stop that process."
        )


def campaign_name(device_id: str, runtime: Runtime) -> str:
    """What the journal of the campaigns of a device and runtime is called."""
    return f"{device_id}-{runtime.variant}"
