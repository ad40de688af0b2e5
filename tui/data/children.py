"""Child processes of the command line: what they say goes into pipes and files, never onto the screen.

Textual draws on the terminal that a child would inherit, so that no child here gets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: What a child may say at most before it is cut.
MOST_BYTES = 256 << 10
#: Between two looks whether a child has ended.
POLL_S = 0.05
#: A line longer than this is no event of ours.
LONGEST_LINE = 1 << 20


def environment(columns: int = 76) -> dict[str, str]:
    """Of a child whose plain text is shown in a panel."""
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": str(columns), "PYTHONIOENCODING": "utf-8"}


@dataclass(frozen=True)
class Answer:
    """Exit status and all that a child said."""

    status: int
    out: str
    err: str


async def ask(command: Sequence[str], columns: int = 76, timeout_s: float = 60.0) -> Answer:
    """Run a command to its end; it is ended when it takes too long, or when the caller is cancelled.

    Raises:
        OSError: it cannot be started.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(columns)
        )
        try:
            end = time.monotonic() + timeout_s
            while process.poll() is None:
                if time.monotonic() > end:
                    return Answer(124, "", f"it did not answer within {timeout_s:.0f} seconds.")
                await asyncio.sleep(POLL_S)
        finally:
            _end(process)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read(MOST_BYTES).decode(errors="replace"))
        return Answer(process.returncode, *texts)


async def lines_of(command: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """Lines of a command that goes on for long, until it ends; close the iterator to end it.

    Not asyncio's own child processes: they cannot be ended at once without a warning on the screen.

    Raises:
        OSError: it cannot be started.
    """
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        bufsize=0,
    )
    assert process.stdout is not None
    rest = b""
    try:
        async with contextlib.aclosing(_chunks(process.stdout.fileno())) as chunks:
            async for chunk in chunks:
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    yield line
                rest = rest if len(rest) < LONGEST_LINE else b""
    finally:
        _end(process)
        process.stdout.close()


async def _chunks(pipe: int) -> AsyncGenerator[bytes, None]:
    """What comes through a pipe, until its other end is closed."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    os.set_blocking(pipe, False)
    loop.add_reader(pipe, ready.set)
    try:
        while True:
            await ready.wait()
            ready.clear()
            try:
                chunk = os.read(pipe, 1 << 16)
            except BlockingIOError:
                continue
            if not chunk:
                return
            yield chunk
    finally:
        loop.remove_reader(pipe)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End it at once."""
    if process.poll() is None:
        process.kill()
        process.wait()


class Started:
    """A campaign in a process and session of its own: it outlives the dashboard.

    Args:
        command: the command line.
        folder: where what it says is kept, in a file of its own.

    Raises:
        OSError: it cannot be started, or the file not be made.
    """

    def __init__(self, command: Sequence[str], folder: Path):
        self.command = list(command)
        folder.mkdir(parents=True, exist_ok=True)
        self.log = folder / f"{time.strftime('%Y-%m-%dT%H%M%S')}-{time.monotonic_ns() % 1_000_000:06}.log"
        with open(self.log, "wb") as said:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def outcome(self) -> Answer | None:
        """How it ended and the end of what it said; None while it runs."""
        status = self._process.poll()
        if status is None:
            return None
        try:
            said = self.log.read_bytes()[-MOST_BYTES:].decode(errors="replace")
        except OSError as error:
            said = f"what it said cannot be read: {error.strerror}"
        return Answer(status, said, "")

    def abandon(self) -> None:
        """Let it run on without us; what it says stays in its file."""
        # Popen would warn that it still runs, which is what is wanted here.
        self._process.returncode = 0 if self._process.poll() is None else self._process.returncode
