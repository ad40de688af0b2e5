"""The real adb server, by itself: a port, a home and a temporary folder of its own."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import time
from pathlib import Path

from fdi_keras.devices.adb.program import find_adb
from fdi_keras.devices.adb.server import AdbServer
from fdi_keras.errors import FdiError


def quiet_environment(folder: Path) -> dict[str, str]:
    """Variables with which adb looks at no USB, no network and nobody's home."""
    return {
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "ANDROID_USER_HOME": str(folder / ".android"),
        "ADB_MDNS": "0",
        "ADB_MDNS_AUTO_CONNECT": "0",
        "ADB_USB": "0",
        "ADB_LOCAL_TRANSPORT_MAX_PORT": "5553",
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class RealAdbServer:
    """``adb nodaemon server`` as a child of this process, in a ``with`` statement.

    Args:
        folder: for its log and, unless ``home`` is given, its home.
        home: a home that another server has used: making a key takes half a second.

    Raises:
        DeviceError: there is no adb on this computer.
    """

    def __init__(self, folder: Path, home: Path | None = None):
        self.adb = find_adb()
        self.folder = folder
        self.home = home or folder
        self.port = free_port()
        self.server = AdbServer("127.0.0.1", self.port)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / "adb.log", "ab") as log:
            self._process = subprocess.Popen(
                [str(self.adb), "-P", str(self.port), "nodaemon", "server"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **quiet_environment(self.home)},
                start_new_session=True,
            )
        deadline = time.monotonic() + 20
        while not self.server.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.folder / "adb.log").read_text())
            time.sleep(0.02)

    def kill(self) -> None:
        """As when somebody kills it: nothing is said to anybody."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.kill()
        # One that the library started in its place, on a port that is ours alone, ends by request.
        if self.server.answers(0.2):
            from fdi_keras.devices.adb.client import ask

            with contextlib.suppress(FdiError):
                ask("127.0.0.1", self.port, "host:kill", 2.0)

    def __enter__(self) -> RealAdbServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
