"""Child processes of the command line: what they say goes into pipes and files, never onto the screen.

Textual draws on the terminal that a child would inherit, so that no child here gets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: What a child may say at most before it is cut.
MOST_BYTES = 256 << 10
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
    """Run a command to its end; it is ended when it takes too long, or when the caller is cancelled."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(columns),
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_s)
    except TimeoutError:
        return Answer(124, "", f"it did not answer within {timeout_s:.0f} seconds.")
    finally:
        await _end(process)
    texts = (data[:MOST_BYTES].decode(errors="replace") for data in (out, err))
    return Answer(process.returncode or 0, *texts)


async def lines_of(command: Sequence[str]) -> AsyncGenerator[bytes, None]:
    """Lines of a command that goes on for long, until it ends; close the iterator to end it."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment(),
        limit=LONGEST_LINE,
    )
    assert process.stdout is not None
    try:
        while True:
            try:
                line = await process.stdout.readline()
            except ValueError:  # longer than the limit: that part is gone
                continue
            if not line:
                return
            yield line
    finally:
        await _end(process)


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.5)


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
