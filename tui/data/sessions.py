"""Compression sessions as their journals tell them: one that is followed, and the list of all in some folders."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import msgspec
from fdi_tui.data.numbers import is_moment, number
from fdi_tui.data.session import Session
from fdi_tui.data.tail import LONGEST_LINE, Ends, Event, Folder, Tail, decode_event

from fdi_keras.text import clean


class _Epoch(msgspec.Struct, tag="epoch", tag_field="event"):
    """An epoch as a LatencyCallback writes it; its widths are read when they are wanted."""

    time: float | None = None
    loss: float | None = None
    latency_ms: float | None = None
    energy_mj: float | None = None
    budget_share: float | None = None
    budgets: list[float] | None = None
    target_ms: float | None = None
    strength: float | None = None
    metrics: dict[str, float | None] | None = None
    widths: msgspec.Raw = msgspec.Raw(b"null")


_read_epoch = msgspec.json.Decoder(_Epoch).decode


def decode_session_event(line: bytes) -> Event | None:
    """As :func:`~fdi_tui.data.tail.decode_event`, and several times as fast for an epoch."""
    if line.startswith(b'{"event":"epoch"') and len(line) <= LONGEST_LINE:
        try:
            event = msgspec.structs.asdict(_read_epoch(line))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            return decode_event(line)
        event["event"] = "epoch"
        if not is_moment(event["time"]):
            del event["time"]
        return event
    return decode_event(line)


class Follower:
    """A session whose journal is being followed.

    Attributes:
        session: what is known so far.
        tail: the journal being read.
        behind: there is more in the journal than has been read.
        changed: counts what was read; the same number means that nothing is new.
    """

    def __init__(self, path: Path):
        self.tail = Tail(path, decode_session_event)
        self.session = Session(path)
        self.behind = True
        self.changed = 0

    def read(self) -> bool:
        """Read what is new, at most a chunk; whether there was anything."""
        news = self.tail.read()
        if news.restarted:
            self.session = Session(self.tail.path)
        for event in news.events:
            self.session.take(event)
        self.behind = news.more
        if news.events or news.restarted:
            self.changed += 1
        return bool(news.events or news.restarted)


class Listed(NamedTuple):
    """A row of the list of sessions, from the two ends of its journal."""

    path: Path
    session: Session
    epoch: float
    problem: str
    changed: float


def listed(ends: Ends) -> Listed:
    """What the list of sessions says of one, without reading all of its journal."""
    session = Session(ends.path)
    epoch = math.nan
    if ends.first is not None:
        session.take(ends.first)
        for event in ends.last:
            if event is not ends.first and not _same_start(event, ends.first):
                session.take(event)
                if event["event"] == "epoch":
                    epoch = number(event.get("epoch"))
    problem = ends.problem
    if not problem and ends.first is not None and ends.first.get("kind") != "session":
        problem = f"it is the journal of a {clean(ends.first.get('kind'), 40)}, not of a session"
    return Listed(ends.path, session, epoch, problem, ends.changed)


class SessionFolders:
    """All sessions of some folders, newest first; only what changed is read again."""

    def __init__(self, paths: list[Path]):
        self._folders = [Folder(path) for path in paths]
        self._known: dict[Path, tuple[Ends, Listed]] = {}

    def read(self) -> list[Listed]:
        """The sessions that are there now."""
        known = {}
        for folder in self._folders:
            for ends in folder.read():
                before = self._known.get(ends.path)
                known[ends.path] = before if before and before[0] is ends else (ends, listed(ends))
        self._known = known
        return sorted((row for _, row in known.values()), key=lambda row: row.changed, reverse=True)


def _same_start(event: Event, first: Event) -> bool:
    return event["event"] == "started" and event == first
