"""The dashboard in a real terminal of its own, watched from the other side of it.

Everything is measured from outside: what the program writes to its terminal, when, and what the
operating system says of its process.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

#: Sequences that steer the terminal; what is left are the characters on the screen.
ESCAPES = re.compile(
    rb"\x1b(\][^\x07\x1b]*(\x07|\x1b\\)|P[^\x1b]*\x1b\\|\[[0-?]*[ -/]*[@-~]|[@-Z\\-_]|[()].)"
)

#: Runs the command line, and at the end writes the names of all modules to the file named first.
WATCHED = """
import atexit, os, sys
def told(path=sys.argv.pop(1)):
    with open(path, "w") as file:
        file.write("\\n".join(sys.modules))
atexit.register(told)
sys.argv[0] = "fdi"
from fdi_keras.cli import main
sys.exit(main())
"""


class Terminal:
    """A running ``fdi dashboard``.

    Args:
        work: folder of journals, profiles and settings of its own.
        arguments: of the command line.
        size: columns and rows.
        environment: on top of that of this process; None removes a variable.
    """

    def __init__(
        self,
        work: Path,
        *arguments: str,
        size: tuple[int, int] = (80, 24),
        environment: Mapping[str, str | None] | None = None,
    ):
        self.modules_file = work / "modules.txt"
        self.modules_file.unlink(missing_ok=True)
        variables = {**os.environ, **places(work), "TERM": "xterm-256color", **(environment or {})}
        variables = {name: value for name, value in variables.items() if value is not None}
        command = [sys.executable, "-c", WATCHED, str(self.modules_file), *arguments]
        self.written = b""
        self.began = time.perf_counter()
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.execve(command[0], command, variables)  # the child: never returns
        self.process = psutil.Process(self.pid)
        self.resize(*size)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.is_running():
            self.process.kill()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self._terminal)

    def resize(self, columns: int, rows: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.kill(self.pid, signal.SIGWINCH)

    def send(self, keys: str) -> None:
        """Press keys."""
        os.write(self._terminal, keys.encode())

    def read(self, seconds: float) -> bytes:
        """What the program writes within some time; empty when it wrote nothing, or has ended."""
        ready, _, _ = select.select([self._terminal], [], [], max(seconds, 0.0))
        if not ready:
            return b""
        try:
            content = os.read(self._terminal, 1 << 16)
        except OSError:  # the other side is closed
            return b""
        self.written += content
        return content

    def settle(self, quiet_s: float = 0.3, most_s: float = 5.0) -> None:
        """Read until nothing has come for a while."""
        until = time.perf_counter() + most_s
        while self.read(quiet_s) and time.perf_counter() < until:
            pass

    def wait_for(self, text: str, seconds: float = 10.0) -> float:
        """Seconds until a text is written from now on.

        Raises:
            TimeoutError: it was not.
        """
        began = time.perf_counter()
        seen = b""
        while (left := began + seconds - time.perf_counter()) > 0:
            seen += self.read(left)
            if text.encode() in ESCAPES.sub(b"", seen):
                return time.perf_counter() - began
            if not self.alive:
                break
        raise TimeoutError(
            f"{text!r} was not shown within {seconds} s; last: {ESCAPES.sub(b'', seen)[-400:]!r}"
        )

    def press(self, keys: str, text: str, seconds: float = 10.0) -> float:
        """Seconds from keys to a text."""
        self.send(keys)
        return self.wait_for(text, seconds)

    @property
    def alive(self) -> bool:
        """Whether the program runs; one that ended is not waited for here."""
        try:
            return self.process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        except psutil.NoSuchProcess:
            return False

    def quit(self, keys: str = "\x11", most_s: float = 10.0) -> float:
        """Seconds from ctrl+q to the end of the process.

        Raises:
            TimeoutError: it goes on.
        """
        began = time.perf_counter()
        self.send(keys)
        while self.alive:
            if time.perf_counter() - began > most_s:
                raise TimeoutError(f"still running {most_s} s after it was asked to quit")
            self.read(0.005)
        return time.perf_counter() - began

    def modules(self) -> set[str]:
        """Names of all modules that were loaded in the process; known once it ended."""
        return set(self.modules_file.read_text().split())

    def cpu_share(self, seconds: float) -> float:
        """Share of one core that it uses, over some time."""
        before, began = self._cpu_s(), time.perf_counter()
        until = began + seconds
        while (left := until - time.perf_counter()) > 0:
            self.read(left)
        return (self._cpu_s() - before) / (time.perf_counter() - began)

    def _cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)

    @property
    def memory_mb(self) -> float:
        """Resident memory."""
        return float(self.process.memory_info().rss) / 1e6


def places(work: Path) -> dict[str, str]:
    """Environment by which nothing of the user's is read or written."""
    return {
        "FDI_STATE": str(work / "state"),
        "FDI_DATA": str(work / "data"),
        "FDI_CONFIG": str(work / "config"),
        "FDI_ADB": "none",
    }
