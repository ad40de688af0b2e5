"""Following journals that other processes write, whatever is in them.

A journal is data from elsewhere: it may be cut, half written, replaced, gigantic, of
another program or of a newer version. Nothing of that raises; what could not be read is
counted and named in :attr:`Tail.problem`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
from fdi_tui.data.numbers import is_moment

from fdi_keras.journal import SCHEMA_VERSION

#: Longer lines are no event of ours: the longest, of a plan or of widths, have a few thousand characters.
LONGEST_LINE = 1 << 20
#: Read at most so much at once, so that a large journal is shown as it is being read.
CHUNK_BYTES = 4 << 20
#: Where the last events of a journal are looked for.
END_BYTES = 64 << 10

Event = dict[str, Any]


@dataclass
class News:
    """What a journal has received.

    Attributes:
        events: in their order; each has a text ``event``, and a number ``time`` where it had one.
        restarted: the file was replaced or cut: what was known of it holds no more, and
            ``events`` begin anew.
        more: there is more to be read at once.
    """

    events: list[Event] = field(default_factory=list)
    restarted: bool = False
    more: bool = False


class Tail:
    """Reads what is new in a journal, a call at a time.

    Args:
        path: the journal.
        decode: makes an event of a line, or None of what is none; for journals with so many events
            of one kind that they are worth a quicker way than :func:`decode_event`.

    Attributes:
        path: the journal.
        problem: why it, or a part of it, cannot be read; empty when all is well.
        bad_lines: lines that were no events.
        foreign: it is no journal, or one of a newer version: no event of it is given.
    """

    def __init__(self, path: Path, decode: Callable[[bytes], Event | None] | None = None):
        self.path = path
        self._decode = decode or decode_event
        self._forget()

    def _forget(self) -> None:
        self.problem = ""
        self.bad_lines = 0
        self.foreign = False
        self._position = 0
        self._rest = b""
        self._skipping = False
        self._inode: int | None = None
        self._line = 0

    def read(self) -> News:
        """What was written since the last call; never blocks for long, never raises for a file's sake."""
        news = News()
        try:
            with open(self.path, "rb") as file:
                status = os.fstat(file.fileno())
                if self._inode is not None and (
                    status.st_ino != self._inode or status.st_size < self._position
                ):
                    self._forget()
                    news.restarted = True
                self._inode = status.st_ino
                if not _is_plain(status):
                    self.problem, self.foreign = "it is no ordinary file", True
                    return news
                file.seek(self._position)
                content = file.read(CHUNK_BYTES)
        except OSError as error:
            self.problem = f"it cannot be read: {error.strerror or error}"
            return news
        self._position += len(content)
        news.more = len(content) == CHUNK_BYTES
        if self.foreign:
            return news
        self._split(content, news.events)
        return news

    def _split(self, content: bytes, events: list[Event]) -> None:
        *lines, rest = (self._rest + content).split(b"\n")
        for line in lines:
            if self._skipping:
                self._skipping = False  # the end of a line that was too long
                continue
            self._take(line, events)
            if self.foreign:
                self._rest = b""
                return
        self._rest = rest
        if len(rest) > LONGEST_LINE or self._skipping:
            if not self._skipping:
                self._spoiled("is longer than any event")
            self._skipping, self._rest = True, b""

    def _take(self, line: bytes, events: list[Event]) -> None:
        self._line += 1
        event = self._decode(line)
        if event is None:
            if self._line == 1:
                self.problem, self.foreign = (
                    "its first line is not a 'started' event: no journal of ours",
                    True,
                )
            elif line.strip():
                self._spoiled("is no event")
            return
        if self._line == 1:
            reason = reason_not_ours(event)
            if reason:
                self.problem, self.foreign = reason, True
                return
        events.append(event)

    def _spoiled(self, what: str) -> None:
        self.bad_lines += 1
        self.problem = f"line {self._line} {what}" + (
            f", as are {self.bad_lines - 1} others" if self.bad_lines > 1 else ""
        )


def decode_event(line: bytes) -> Event | None:
    """The event of a line; None when it is none."""
    if len(line) > LONGEST_LINE:
        return None
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        return None
    if not isinstance(event, dict) or not isinstance(event.get("event"), str):
        return None
    if not is_moment(event.get("time")):
        event.pop("time", None)
    return event


def reason_not_ours(first: Event) -> str:
    """Why a first event does not begin a journal that can be read here; empty when it does."""
    version = first.get("schema_version")
    if first["event"] != "started" or isinstance(version, bool) or not isinstance(version, int):
        return "its first line is not a 'started' event: no journal of ours"
    if version > SCHEMA_VERSION:
        return f"it has schema version {version}, this fdi reads up to {SCHEMA_VERSION}: upgrade fdi-keras"
    return ""


@dataclass(frozen=True)
class Ends:
    """The first event of a journal and its last ones, for a list of many."""

    path: Path
    size: int
    changed: float
    first: Event | None
    last: tuple[Event, ...]
    problem: str = ""

    def newest(self, *names: str) -> Event | None:
        """The latest of the last events of one of these names."""
        return next((event for event in reversed(self.last) if event["event"] in names), None)


def read_ends(path: Path) -> Ends:
    """Read the two ends of a journal, however long it is."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not _is_plain(status):
                return Ends(path, 0, 0.0, None, (), "it is no ordinary file")
            head = file.readline(LONGEST_LINE + 1)
            begin = max(status.st_size - END_BYTES, 0)
            file.seek(begin)
            lines = file.read(END_BYTES + 1).split(b"\n")
    except OSError as error:
        return Ends(path, 0, 0.0, None, (), f"it cannot be read: {error.strerror or error}")
    first = decode_event(head) if head.endswith(b"\n") else None
    problem = "its first line is not a 'started' event: no journal of ours"
    if first is not None:
        problem = reason_not_ours(first)
    if problem:
        return Ends(path, status.st_size, status.st_mtime, None, (), problem)
    whole = lines[1 if begin else 0 : -1]  # the first may be cut, and the last is not finished
    events = tuple(event for event in map(decode_event, whole) if event is not None)
    return Ends(path, status.st_size, status.st_mtime, first, events)


class Folder:
    """The journals of a folder, newest first; only what changed is read again."""

    def __init__(self, path: Path):
        self.path = path
        self._known: dict[Path, Ends] = {}

    def read(self) -> list[Ends]:
        """All journals; an unreadable folder has none."""
        found: dict[Path, Ends] = {}
        try:
            with os.scandir(self.path) as entries:
                for entry in entries:
                    if entry.name.endswith(".jsonl"):
                        path = Path(entry.path)
                        found[path] = self._one(path, entry)
        except OSError:
            pass
        self._known = found
        return sorted(found.values(), key=lambda ends: ends.changed, reverse=True)

    def _one(self, path: Path, entry: os.DirEntry[str]) -> Ends:
        before = self._known.get(path)
        try:
            status = entry.stat()
        except OSError:
            return read_ends(path)
        if before is not None and (before.size, before.changed) == (status.st_size, status.st_mtime):
            return before
        return read_ends(path)


def _is_plain(status: os.stat_result) -> bool:
    import stat

    return stat.S_ISREG(status.st_mode)
