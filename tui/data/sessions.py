"""Compression sessions as their journals tell them: state, curves, widths, and what was done and why.

What a journal says is data from elsewhere: every field is checked where it is read, and
what is not what it should be counts as missing.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from fdi_tui.data.series import History, number
from fdi_tui.data.tail import LONGEST_LINE, Ends, Event, Folder, Tail, decode_event
from fdi_tui.data.writers import Standing, Writer

from fdi_keras.cli.words import time_text
from fdi_keras.text import clean

#: Happenings that are kept: the latest.
MOST_HAPPENINGS = 500
#: Channel spaces that are kept; the largest networks have some hundreds.
MOST_SPACES = 2000
#: Of a name.
LONGEST_NAME = 120


@dataclass
class Space:
    """One channel space of the network.

    Attributes:
        name: of it.
        start: width at the start; NaN where it is not told.
        now: expected width, or the width after pruning and growing.
        pruned, grown: width after the latest prune and the latest grow; NaN when there was none.
        why: why it cannot change, or why grow changed it.
    """

    name: str
    start: float = math.nan
    now: float = math.nan
    pruned: float = math.nan
    grown: float = math.nan
    why: str = ""

    @property
    def kept(self) -> float:
        """Share of the start that is there now; NaN where it is not known."""
        return self.now / self.start if self.start > 0 else math.nan


class Happening(NamedTuple):
    """Something else than an epoch."""

    time: float
    what: str
    text: str


class Measured(NamedTuple):
    """A network of the session as it was timed on a device."""

    time: float
    median_ms: float
    iqr_ms: float
    where: str
    beside: tuple[tuple[str, float], ...] = ()


@dataclass
class Session:
    """What is known of a session.

    Attributes:
        path: its journal.
        name, model, profile, device: what it says of itself.
        energy: it steers an energy in mJ, not a latency in ms.
        start, target: of latency or energy, as predicted; NaN where unknown.
        epochs: planned in all trainings so far.
        history: a row an epoch: ``loss``, ``value`` (latency or energy), ``strength``, and metrics.
        spaces: by name.
        happenings: what was pruned, grown, measured, exported, warned of.
        measured: the latest timings.
    """

    path: Path
    name: str = ""
    model: str = ""
    profile: str = ""
    device: str = ""
    energy: bool = False
    start: float = math.nan
    target: float = math.nan
    epochs: int = 0
    began: float | None = None
    spaces: dict[str, Space] = field(default_factory=dict)
    happenings: deque[Happening] = field(default_factory=lambda: deque(maxlen=MOST_HAPPENINGS))
    measured: deque[Measured] = field(default_factory=lambda: deque(maxlen=50))
    before_ms: float = math.nan
    after_ms: float = math.nan

    def __post_init__(self) -> None:
        self.writer = Writer()
        self.history = History(row_of=self._row)
        self._widths: Any = None

    @property
    def unit(self) -> str:
        return "mJ" if self.energy else "ms"

    @property
    def quantity(self) -> str:
        return "energy" if self.energy else "latency"

    @property
    def metrics(self) -> list[str]:
        """What can be plotted: the quantity that is steered, loss, strength, and every metric."""
        fixed = ["value", "loss", "strength"]
        return [*fixed, *(name for name in self.history.names if name not in fixed)]

    @property
    def accuracy(self) -> str:
        """Name of the metric that is spoken of as accuracy: of the validation data where there is one."""
        names = [name for name in self.history.names if "acc" in name]
        return next((n for n in names if n.startswith("val_")), names[0] if names else "")

    def value_text(self, value: float) -> str:
        """A latency or energy of this session with its unit."""
        if not math.isfinite(value):
            return "-"
        return f"{value:.3g} mJ" if self.energy else time_text(value)

    def axis_text(self, value: float) -> str:
        """The same on an axis, where zero needs no unit."""
        return self.value_text(value) if value else "0"

    def standing(self, now: float) -> Standing:
        """Whether it is running, silent, done or dead."""
        return self.writer.standing(now)

    def take(self, event: Event) -> None:
        """Account for one event, whatever is in it."""
        name = event["event"]
        if name == "epoch":
            # The bulk of a journal: most of it is read only when it is looked at.
            self.writer.last = event.get("time", self.writer.last)
            self.history.add(event)
            self._widths = event.get("widths")  # perhaps still as they stand in the file
            return
        self.writer.take(event)
        handler = _HANDLERS.get(name)
        if handler is not None:
            handler(self, event)

    def _row(self, epoch: Event) -> dict[str, object]:
        """What is kept of an epoch."""
        row: dict[str, object] = {
            "loss": epoch.get("loss"),
            "value": epoch.get("energy_mj" if self.energy else "latency_ms"),
            "strength": epoch.get("strength"),
        }
        metrics = epoch.get("metrics")
        if isinstance(metrics, dict):
            row.update(metrics)
        return row

    def current_spaces(self) -> list[Space]:
        """All channel spaces, with the widths of the latest event."""
        self._settle_widths()
        return list(self.spaces.values())

    # Events

    def _started(self, event: Event) -> None:
        again = self.began is not None
        self.began = number_or_none(event.get("time")) if not again else self.began
        own = _name(event.get("session"))
        # An earlier session of the name was set aside under the name and its date.
        self.name = own if own and not self.path.stem.startswith(f"{own}.") else clean(self.path.stem)
        self.model, self.profile = _name(event.get("model")), _name(event.get("profile"))
        self.device = _name(event.get("device"))
        self.energy = event.get("objective") == "energy"
        unit = "mj" if self.energy else "ms"
        if not again:
            self.start = number(event.get(f"start_{unit}"))
        self.target = number(event.get(f"target_{unit}"))
        epochs = number(event.get("epochs"))
        if 0 <= epochs < 1e9:
            self.epochs = self.history.count + int(epochs)
        for name, told in _items(event.get("spaces")):
            space = self._space(name)
            if space is not None and isinstance(told, dict):
                width = number(told.get("width"))
                if not again or math.isnan(space.start):
                    space.start = width
                space.now = width
                space.why = f"kept: {clean(told['kept'], 300)}" if told.get("kept") else ""
        goal = f" to {self.value_text(self.target)}" if math.isfinite(self.target) else ""
        self._happened(event, "trained on" if again else "started", f"{self.model} on {self.profile}{goal}")

    def _prune(self, event: Event) -> None:
        self._settle_widths()
        before = {name: space.start for name, space in self.spaces.items()}
        removed = spaces = 0
        for space, width in self._widths_of(event.get("widths")):
            cut = before.get(space.name, math.nan) - width
            if cut > 0:
                removed, spaces = removed + int(cut), spaces + 1
            space.pruned = space.now = width
            space.grown = math.nan
        told = number(event.get("target_ms"))
        why = f"to meet {time_text(told)}" if told > 0 else "the closed channels"
        self.before_ms, self.after_ms = (
            number(event.get("predicted_before_ms")),
            number(event.get("predicted_ms")),
        )
        text = f"removed {removed} channels of {spaces} spaces, {why}"
        self._happened(event, "prune", text + self._predicted(event))

    def _grow(self, event: Event) -> None:
        self._settle_widths()
        grown = cut = 0
        for space, width in self._widths_of(event.get("widths")):
            more = width - (space.pruned if math.isfinite(space.pruned) else space.now)
            if math.isfinite(more):
                grown, cut = grown + int(max(more, 0)), cut + int(max(-more, 0))
            space.grown = space.now = width
        self.after_ms = number(event.get("predicted_ms"))
        text = f"added {grown} channels" + (f", gave up {cut}" if cut else "")
        self._happened(event, "grow", text + self._predicted(event))
        changes = event.get("changes")
        for change in changes[:MOST_SPACES] if isinstance(changes, list) else []:
            said = clean(change, 400)
            self._happened(event, "", said)
            # "space: 14 -> 16, 0.08042 -> 0.08189 ms: reason"
            name, reason = said.partition(": ")[0], said.partition(" ms: ")[2]
            if name in self.spaces and reason:
                self.spaces[name].why = reason

    def _measured(self, event: Event) -> None:
        median, spread = number(event.get("median_ms")), number(event.get("iqr_ms"))
        where = " ".join(_name(event.get(key)) for key in ("device", "runtime")).strip()
        others = event.get("beside")
        beside = tuple(
            (_name(other.get("model")), number(other.get("median_ms")))
            for other in (others[:8] if isinstance(others, list) else [])
            if isinstance(other, dict)
        )
        self.measured.append(Measured(number(event.get("time")), median, spread, where, beside))
        told = "".join(f"; beside it {name or 'another'} {_time(ms)}" for name, ms in beside)
        self._happened(
            event, "measured", f"{_time(median)} (quartile distance {_time(spread)}) on {where}{told}"
        )

    def _export(self, event: Event) -> None:
        size = number(event.get("bytes"))
        told = f" ({size / 1e3:,.0f} KB)" if math.isfinite(size) else ""
        self._happened(event, "export", f"{_name(event.get('path'), 200)}{told}")

    def _warning(self, event: Event) -> None:
        self._happened(event, "warning", clean(event.get("message", ""), 500))

    def _failed(self, event: Event) -> None:
        self._happened(event, "failed", clean(event.get("reason", ""), 500))

    def _finished(self, event: Event) -> None:
        seconds = number(event.get("seconds"))
        took = f" in {seconds:,.0f} s" if math.isfinite(seconds) else ""
        self._happened(event, "trained", f"{self.history.count} epochs{took}")

    # Parts

    def _happened(self, event: Event, what: str, text: str) -> None:
        self.happenings.append(Happening(number(event.get("time")), what, text))

    def _predicted(self, event: Event) -> str:
        before, after = number(event.get("predicted_before_ms")), number(event.get("predicted_ms"))
        if not (math.isfinite(before) and math.isfinite(after)):
            return ""
        return f"; predicted {time_text(before)} -> {time_text(after)}"

    def _settle_widths(self) -> None:
        """Take over the widths of the latest epoch."""
        widths, self._widths = self._widths, None
        if isinstance(widths, msgspec.Raw):
            widths = msgspec.json.decode(widths)
        for space, width in self._widths_of(widths):
            space.now = width

    def _widths_of(self, widths: object) -> list[tuple[Space, float]]:
        found = []
        for name, told in _items(widths):
            width, space = number(told), self._space(name)
            if space is not None and math.isfinite(width):
                found.append((space, width))
        return found

    def _space(self, name: object) -> Space | None:
        known = _name(name)
        if known not in self.spaces:
            if len(self.spaces) >= MOST_SPACES:
                return None
            self.spaces[known] = Space(known)
        return self.spaces[known]


_HANDLERS: Mapping[str, Callable[[Session, Event], None]] = {
    "started": Session._started,
    "prune": Session._prune,
    "grow": Session._grow,
    "measured": Session._measured,
    "export": Session._export,
    "warning": Session._warning,
    "failed": Session._failed,
    "finished": Session._finished,
}


class _Epoch(msgspec.Struct, tag="epoch", tag_field="event"):
    """An epoch as a LatencyCallback writes it; its widths are read when they are wanted."""

    time: float | None = None
    loss: float | None = None
    latency_ms: float | None = None
    energy_mj: float | None = None
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
        if event["time"] is None:
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


def number_or_none(value: object) -> float | None:
    found = number(value)
    return found if math.isfinite(found) else None


def _items(value: object) -> list[tuple[object, object]]:
    return list(value.items())[:MOST_SPACES] if isinstance(value, dict) else []


def _name(value: object, most: int = LONGEST_NAME) -> str:
    return clean(value, most) if isinstance(value, str | int | float) else ""


def _time(ms: float) -> str:
    return time_text(ms) if math.isfinite(ms) and ms >= 0 else "an unknown time"
