"""Whether whoever writes a journal is at work, silent, done or dead."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import Literal

import psutil
from fdi_tui.data.tail import Event

from fdi_keras.text import clean

#: Without an event for so long, a running writer is called silent (our choice).
SILENT_S = 60.0
#: No host has a longer name.
LONGEST_HOST = 255

State = Literal["running", "silent", "paused", "finished", "interrupted", "failed", "died", "elsewhere"]

#: Events that end a run, and how it is called then.
ENDS: dict[str, State] = {"finished": "finished", "failed": "failed", "interrupted": "interrupted"}


@dataclass(frozen=True)
class Standing:
    """How a journal's writer stands, and since when (seconds since the epoch, or None)."""

    state: State
    since: float | None
    host: str = ""

    @property
    def at_work(self) -> bool:
        """Whether it runs, as far as can be told from here."""
        return self.state in ("running", "silent", "paused")


class Writer:
    """Follows the events of a journal that tell about its writer.

    Attributes:
        pid, host: of the latest run; None while unknown.
        began: when its latest run began.
        last: time of the last event.
    """

    def __init__(self) -> None:
        self.pid: int | None = None
        self.host = ""
        self.began: float | None = None
        self.last: float | None = None
        self._end: State | None = None

    def take(self, event: Event) -> None:
        """Account for an event."""
        self.last = event.get("time", self.last)
        name = event["event"]
        if name in ("started", "resumed"):
            self._end = None
            self.began = event.get("time", self.began)
            pid, host = event.get("pid"), event.get("host")
            if isinstance(pid, int) and not isinstance(pid, bool):
                self.pid = pid
            elif name == "resumed":
                self.pid = None  # by whom is not told
            self.host = clean(host, LONGEST_HOST) if isinstance(host, str) else self.host
        elif name in ENDS:
            self._end = ENDS[name]

    def standing(self, now: float) -> Standing:
        """How it stands; asks the operating system about the process, a matter of microseconds."""
        if self._end is not None:
            return Standing(self._end, self.last, self.host)
        if self.host and self.host != clean(socket.gethostname(), LONGEST_HOST):
            return Standing("elsewhere", self.last, self.host)
        if self.pid is not None:
            status = process_status(self.pid, self.began)
            if status == "gone":
                return Standing("died", self.last, self.host)
            if status == "stopped":
                return Standing("paused", self.last, self.host)
        if self.last is None or now - self.last > SILENT_S:
            return Standing("silent", self.last, self.host)
        return Standing("running", self.last, self.host)


def process_status(pid: int, alive_at: float | None) -> Literal["running", "stopped", "gone"]:
    """Whether a process is there; one that began only after ``alive_at`` is another of the same number."""
    if pid <= 0 or pid > 2**31 - 1:
        return "gone"
    try:
        process = psutil.Process(pid)
        if alive_at is not None and process.create_time() > alive_at + 2.0:
            return "gone"
        status = process.status()
    except psutil.NoSuchProcess:
        return "gone"
    except psutil.Error:
        return "running" if _exists(pid) else "gone"
    if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
        return "gone"
    return "stopped" if status == psutil.STATUS_STOPPED else "running"


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
