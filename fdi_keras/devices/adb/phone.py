"""One phone of one adb server: run commands, follow them, move files.

Whatever is done here ends within its time: with a whole result, or with an error that
says why not. Nothing is kept open between calls, so that a phone that comes back after
a cut simply works again.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fdi_keras.devices.adb import sync
from fdi_keras.devices.adb.server import AdbServer
from fdi_keras.devices.adb.shell import Line, Output, Stream, quote, script_of, service_of
from fdi_keras.errors import CommandFailedError, DeviceError, DeviceGoneError, StorageError, UsageError

__all__ = ["FOLDER", "Line", "Output", "PhoneLink", "quote"]

#: Everything that we put on a phone is in here; ``/sdcard`` cannot execute programs.
FOLDER = "/data/local/tmp/fdi"

#: For a small command, in seconds: a shell round trip takes 30 ms, a phone under load a second;
#: a computer that is busy can stand still for more than ten of them itself.
COMMAND_S = 20.0
#: For files: Wi-Fi at 1 MB/s, and the 5 MB of benchmark_model.
FILE_S = 60.0


class PhoneLink:
    """A way to one phone. Making one contacts nothing.

    Args:
        serial: as the adb server lists it.
        server: which adb server; by default that of this computer.

    Every method raises DeviceGoneError when the phone or the server is not there or goes
    away in the middle, and DeviceSilentError, which is one, when its time is over.
    """

    def __init__(self, serial: str, server: AdbServer | None = None):
        from fdi_keras.devices.adb.server import default_server

        self.serial = serial
        self.server = default_server() if server is None else server
        self._has_v2: bool | None = None
        self._orphans: list[str] = []  # half-written files on the phone

    @property
    def id(self) -> str:
        """What ``--device`` takes."""
        return self.serial if self.server.is_default else f"{self.serial}@{self.server.label}"

    def has_shell_v2(self, timeout_s: float = COMMAND_S) -> bool:
        """Whether output, errors and exit status come apart (Android 7+)."""
        if self._has_v2 is None:
            from fdi_keras.devices.adb.client import features

            known = features(self.server.host, self.server.port, self.serial, timeout_s)
            self._has_v2 = "shell_v2" in known
        return self._has_v2

    def answers(self, timeout_s: float = 2.0) -> bool:
        """Whether it is there now and runs commands."""
        try:
            return self.run("exit 0", timeout_s).code == 0
        except DeviceError:
            return False

    def wait(self, timeout_s: float, every_s: float = 0.5) -> None:
        """Wait for a phone that went away: after a pulled cable, a restart, a killed adb server.

        The adb server is started again if it is ours to start, and a phone that was attached over Wi-Fi is
        attached again.

        Raises:
            DeviceGoneError: it has not come back in that time; with what was the matter at last.
        """
        end = time.monotonic() + timeout_s
        while True:
            try:
                self._bring_back()
                self.run("exit 0", timeout_s=min(timeout_s, 2.0))
                return
            except DeviceError as error:
                left = end - time.monotonic()
                if left <= 0:
                    raise DeviceGoneError(
                        f"phone {self.serial} has not come back within {timeout_s:g} s: {error}"
                    ) from error
            time.sleep(min(every_s, left))

    def _bring_back(self) -> None:
        self.server.ensure()
        over_wifi = re.fullmatch(r".+:[0-9]+", self.serial)
        if over_wifi and all(phone.serial != self.serial for phone in self.server.phones()):
            self.server.connect(self.serial, timeout_s=5.0)

    def run(self, command: str | Sequence[str], timeout_s: float = COMMAND_S) -> Output:
        """Run a command to its end.

        Args:
            command: a shell script, in which text from elsewhere has gone through
                :func:`quote`; or the words of one command, which need not.
            timeout_s: for all of it; the command is stopped then.
        """
        parts: dict[str, bytearray] = {"stdout": bytearray(), "stderr": bytearray()}
        code = None
        with self._running(command, timeout_s) as stream:
            for source, data in stream.packets:
                if isinstance(data, int):
                    code = data
                else:
                    parts[source] += data
        if code is None:  # packets() raises before that; nothing partial may pass for whole
            raise DeviceGoneError(f"the connection to phone {self.serial} was cut in the middle.")
        stdout, stderr = (bytes(part).decode(errors="replace") for part in parts.values())
        return Output(stdout, stderr, code)

    def stream(
        self, command: str | Sequence[str], timeout_s: float = COMMAND_S, silence_s: float | None = None
    ) -> contextlib.AbstractContextManager[Stream]:
        """Run a command and follow its lines; leaving the ``with`` statement stops it.

        Args:
            command: as for :meth:`run`. Give words, or a script that ends in ``exec``: what is
                stopped is the shell's process alone.
            timeout_s: for all of it.
            silence_s: the longest time without output; None: no such limit.

        Example::

            with link.stream(["logcat"], timeout_s=60) as lines:
                for source, text in lines:
                    ...
            lines.code
        """
        return self._running(command, timeout_s, silence_s)

    @contextlib.contextmanager
    def _running(self, command: str | Sequence[str], timeout_s: float, silence_s: float | None = None) -> Any:
        from fdi_keras.devices.adb.client import Deadline, to_phone

        deadline = Deadline(timeout_s)
        script = script_of(command)
        service, mark = service_of(script, self.has_shell_v2(min(timeout_s, COMMAND_S)))
        with to_phone(
            self.server.host, self.server.port, self.serial, service, deadline.rest(), silence_s
        ) as connection:
            yield Stream(connection, mark)

    def push(
        self,
        source: bytes | str | os.PathLike[str],
        remote: str,
        mode: int = 0o644,
        timeout_s: float = FILE_S,
    ) -> None:
        """Put a file on the phone; see :meth:`push_all`."""
        self.push_all({remote: source}, mode, timeout_s)

    def push_all(
        self,
        files: Mapping[str, bytes | str | os.PathLike[str]],
        mode: int = 0o644,
        timeout_s: float = FILE_S,
    ) -> None:
        """Put files on the phone: each appears whole, under its name, or not at all.

        Args:
            files: full path on the phone, to content or a file of this computer.
            mode: permissions, ``0o755`` for programs.
            timeout_s: for all of them.

        Raises:
            CommandFailedError: the phone refuses (no space, no permission) or has fewer bytes than were sent.
            StorageError: a file of this computer cannot be read.
        """
        from fdi_keras.devices.adb.client import Deadline, to_phone

        deadline = Deadline(timeout_s)
        contents = {sync.checked_path(remote): _content(source) for remote, source in files.items()}
        if not contents:
            return
        token = secrets.token_hex(6)
        parts = {remote: f"{remote}.{token}.part" for remote in contents}
        try:
            with (
                to_phone(
                    self.server.host, self.server.port, self.serial, "sync:", deadline.rest()
                ) as connection,
                connection.talking(),
            ):
                for remote, data in contents.items():
                    sync.send(connection, data, parts[remote], mode)
                    # Asked for once more, because a full disk is not always reported.
                    size = sync.size_of(connection, parts[remote])
                    if size != len(data):
                        raise CommandFailedError(
                            f"the phone kept {size} of the {len(data)} bytes of {remote}. Free some space on it."
                        )
            steps = [f"mv -f {quote(part)} {quote(remote)}" for remote, part in parts.items()]
            if self._orphans:
                steps.insert(0, f"rm -f {' '.join(map(quote, self._orphans))}")
            done = self.run(" && ".join(steps), timeout_s=deadline.rest())
            done.checked(f"writing {', '.join(contents)}")
            self._orphans = []
        except DeviceGoneError:
            # It cannot be asked to remove them now; with the next files it is.
            self._orphans += parts.values()
            raise
        except BaseException:
            with contextlib.suppress(DeviceGoneError):
                self.run(["rm", "-f", *parts.values()], timeout_s=2.0)
            raise

    def pull(self, remote: str, timeout_s: float = FILE_S) -> bytes:
        """Content of a file on the phone.

        Raises:
            CommandFailedError: there is none, or it may not be read.
        """
        from fdi_keras.devices.adb.client import to_phone

        sync.checked_path(remote)
        with (
            to_phone(self.server.host, self.server.port, self.serial, "sync:", timeout_s) as link,
            link.talking(),
        ):
            return sync.receive(link, remote)

    def size(self, remote: str, timeout_s: float = COMMAND_S) -> int | None:
        """Bytes of a file on the phone; None when there is none."""
        from fdi_keras.devices.adb.client import to_phone

        sync.checked_path(remote)
        with (
            to_phone(self.server.host, self.server.port, self.serial, "sync:", timeout_s) as link,
            link.talking(),
        ):
            return sync.size_of(link, remote)

    def exists(self, remote: str, timeout_s: float = COMMAND_S) -> bool:
        """Whether there is a file or folder of that name."""
        return self.size(remote, timeout_s) is not None

    def remove(self, *remotes: str, timeout_s: float = COMMAND_S) -> None:
        """Remove files and folders with all they hold; what is not there is no error.

        Raises:
            UsageError: one is not below ``/data/local/tmp/``: nothing else is ours to remove.
            CommandFailedError: the phone refuses.
        """
        for remote in remotes:
            inside = sync.checked_path(remote).removeprefix("/data/local/tmp/")
            if inside == remote or not inside.strip("/") or ".." in inside.split("/"):
                raise UsageError(f"only files below /data/local/tmp/ are removed; received {remote!r}.")
        if remotes:
            self.run(["rm", "-rf", *remotes], timeout_s).checked(f"removing {', '.join(remotes)}")


def _content(source: bytes | str | os.PathLike[str]) -> bytes:
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {os.fspath(source)}: {error.strerror}.") from error
