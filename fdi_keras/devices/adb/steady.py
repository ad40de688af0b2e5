"""A phone made ready for measuring, and left as it was found, whatever happens in between.

Before anything is changed, what will be changed and what it was before is on this
computer's disk, in a file of the phone. Leaving the ``with`` statement restores it; after
a crash, or when the cable was out at the end, the next connection does
(:func:`restore_left_over`). A setting that has been changed since by somebody else is left to them.
"""

from __future__ import annotations

import os
import re
import socket
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import filelock
import msgspec

from fdi_keras.devices.adb.changes import Change, FixedPerformance, Property, Setting
from fdi_keras.devices.adb.left_over import end_processes, remove_files
from fdi_keras.devices.adb.phone import FOLDER, PhoneLink
from fdi_keras.devices.adb.thermal import ThermalState, read_thermal
from fdi_keras.errors import CommandFailedError, DeviceBusyError, DeviceError, StorageError
from fdi_keras.journal import state_folder
from fdi_keras.text import clean

#: Namespace and name of Android settings to their values while measuring: awake on any kind of power.
SETTINGS = {("global", "stay_on_while_plugged_in"): "7"}


class Record(msgspec.Struct):
    """What was changed on a phone; on disk from before the first change until all is restored.

    Attributes:
        phone: its own serial number, or how adb called it.
        pid, host, since: of the process that changed it.
        changes: in the order in which they were made.
    """

    phone: str
    pid: int
    host: str
    since: float
    changes: list[Change]


class SteadyPhone:
    """A phone that is awake, undisturbed and ours, for as long as the ``with`` statement lasts.

    Args:
        link: the phone.
        state_dir: folder of the records; by default ``phones`` in the state folder (``FDI_STATE``).
        settings: Android settings by namespace and name, with their values meanwhile.
        fixed_performance: ask for clocks that can be held (Android 11+, where the maker supports it).
        perf_harden: let the adb shell read cache counters (``security.perf_harden``).
        keep_binary: leave ``/data/local/tmp/fdi/bin`` on the phone at the end.

    Attributes:
        notes: what could not be made steady or restored, and what an earlier crash had left.
        fixed: whether the phone took the fixed-performance mode.

    Raises:
        DeviceBusyError: another process holds this phone.
        DeviceGoneError: it went away meanwhile.
        StorageError: the record cannot be written; nothing was changed then.
    """

    def __init__(
        self,
        link: PhoneLink,
        state_dir: str | os.PathLike[str] | None = None,
        *,
        settings: Mapping[tuple[str, str], str] | None = None,
        fixed_performance: bool = True,
        perf_harden: bool = False,
        keep_binary: bool = False,
    ):
        self.link = link
        self.notes: list[str] = []
        self.fixed = False
        self._applied: list[Change] = []
        self._folder = _folder(state_dir)
        self._keep_binary = keep_binary
        self._wanted: list[Change] = [
            Setting(space, name, value) for (space, name), value in (settings or SETTINGS).items()
        ]
        if fixed_performance:
            self._wanted.append(FixedPerformance())
        if perf_harden:
            self._wanted.append(Property("security.perf_harden", "0"))

    def __enter__(self) -> SteadyPhone:
        phone = _identity(self.link)
        self._record = _place(self._folder, phone)
        self._lock = _locked(self._record, phone)
        try:
            self.notes += _restore(self.link, self._record, self._keep_binary)
            self._change(phone)
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def thermal(self) -> ThermalState:
        """How warm it is now.

        Raises:
            DeviceGoneError: it is not there, or does not answer.
        """
        return read_thermal(self.link)

    def steady_again(self) -> None:
        """Wake it and change again what a restart of the phone has undone; call it when it is back.

        Raises:
            DeviceGoneError: it went away once more.
            CommandFailedError: it does not take what it took before: it is still starting.
        """
        self._wake()
        for change in _read(self._record).changes:
            problem = change.apply(self.link)
            if problem and change in self._applied:
                raise CommandFailedError(problem)

    def _change(self, phone: str) -> None:
        self._wake()
        found = [change for change in (wanted.looked_up(self.link) for wanted in self._wanted) if change]
        changes = [change for change in found if not change.obstacle]
        self.notes += [change.obstacle for change in found if change.obstacle]
        record = Record(phone, os.getpid(), socket.gethostname(), time.time(), changes)
        _write(self._record, record)
        for change in changes:
            self._apply(change)
        self.link.run(["mkdir", "-p", "-m", "755", FOLDER]).checked(f"making {FOLDER}")

    def _apply(self, change: Change) -> None:
        problem = change.apply(self.link)
        if problem:
            self.notes.append(problem)
            return
        self._applied.append(change)
        self.fixed = self.fixed or isinstance(change, FixedPerformance)

    def _wake(self) -> None:
        self.link.run(["input", "keyevent", "KEYCODE_WAKEUP"])

    def _leave(self) -> None:
        try:
            self.notes += _restore(self.link, self._record, self._keep_binary)
        except DeviceError as error:
            self.notes.append(
                f"the phone could not be restored ({error}): that is done at the next connection."
            )
        finally:
            self._lock.release()


def restore_left_over(
    link: PhoneLink, state_dir: str | os.PathLike[str] | None = None, *, keep_binary: bool = False
) -> list[str]:
    """Restore what a process that died has left on a phone; call it at every connection.

    Nothing is done when there is nothing to restore, or when another process is using the phone.

    Returns:
        a line for everything that was done, or could not be.

    Raises:
        DeviceGoneError: the phone went away; what is left is still recorded.
    """
    phone = _identity(link)
    record = _place(_folder(state_dir), phone)
    if not record.exists():
        return []
    try:
        lock = _locked(record, phone)
    except DeviceBusyError:
        return []
    try:
        return _restore(link, record, keep_binary)
    finally:
        lock.release()


def something_left_over(state_dir: str | os.PathLike[str] | None = None) -> bool:
    """Whether some phone has not been restored, or is being measured now; asks no phone."""
    return any(_folder(state_dir).glob("*.json"))


def _restore(link: PhoneLink, path: Path, keep_binary: bool) -> list[str]:
    """Undo a record, end processes, remove files; the record goes last."""
    notes = []
    ended, alive = end_processes(link)
    if ended:
        notes.append(f"ended what was still running on the phone: process {', '.join(map(str, ended))}.")
    if alive:
        notes.append(f"could not end on the phone: process {', '.join(map(str, alive))}.")
    if path.exists():
        for change in reversed(_read(path).changes):
            note = change.restore(link)
            if note:
                notes.append(note)
    try:
        remove_files(link, keep_binary)
    except CommandFailedError as error:
        notes.append(str(error))
    path.unlink(missing_ok=True)
    return notes


def _identity(link: PhoneLink) -> str:
    """The phone's own number: the same over a cable and over Wi-Fi."""
    said = link.run("getprop ro.serialno").stdout.strip()
    return said if re.fullmatch(r"[A-Za-z0-9._:-]{4,64}", said, re.ASCII) and said != "unknown" else link.id


def _folder(state_dir: str | os.PathLike[str] | None) -> Path:
    return Path(state_dir) if state_dir is not None else state_folder() / "phones"


def _place(folder: Path, phone: str) -> Path:
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", phone)[:60].strip("-.") or "phone"
    return folder / f"{safe}-{zlib.crc32(phone.encode(errors='surrogateescape')):08x}.json"


def _locked(record: Path, phone: str) -> filelock.BaseFileLock:
    lock = filelock.FileLock(record.with_suffix(".lock"))
    try:
        record.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise DeviceBusyError(
            f"another process is measuring on phone {clean(phone, 80)}{_holder(record)}. "
            "Wait until it has finished, or stop it."
        ) from None
    except OSError as error:
        raise _storage_error(record, error) from error
    return lock


def _holder(path: Path) -> str:
    try:
        record = _read(path)
    except StorageError:  # it has only just begun
        return ""
    return f" (process {record.pid} on {record.host})"


def _write(path: Path, record: Record) -> None:
    part = path.with_suffix(".part")
    try:
        with open(part, "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(record)))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise _storage_error(path, error) from error


def _read(path: Path) -> Record:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Record)
    except (OSError, msgspec.DecodeError) as error:
        raise StorageError(
            f"cannot read {path}, which says how a phone was before it was measured: {error}. Restore the "
            "phone's settings by hand (Developer options, 'Stay awake') and remove the file."
        ) from error


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot write {path}, in which a phone's settings are kept to restore them: {error.strerror}. "
        "Free space or make the folder writable, or name another with FDI_STATE."
    )
