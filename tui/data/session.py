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
from typing import NamedTuple

from fdi_tui.data.numbers import number, number_or_none
from fdi_tui.data.operators import PlacedOperator, placed_operators
from fdi_tui.data.series import History
from fdi_tui.data.spaces import MOST_SPACES, Space, Spaces, name_of
from fdi_tui.data.tail import Event
from fdi_tui.data.writers import Standing, Writer

from fdi_keras.cli.words import time_text
from fdi_keras.text import clean

#: The number of an epoch that tells what is steered, by objective.
VALUES = {"latency": "latency_ms", "energy": "energy_mj", "budgets": "budget_share"}

#: Budgets of a session that are read.
MOST_BUDGETS = 16

#: Branches that went are named up to this many.
MOST_BRANCHES = 8

#: Happenings that are kept: the latest.
MOST_HAPPENINGS = 500


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
class BudgetUse:
    """One of several limits, and what the network is predicted to take of it.

    Attributes:
        subject, unit, limit: ``on phone-a``, ``ms``, and how many.
        start, now: before, and as of the latest epoch.
    """

    subject: str
    unit: str
    limit: float
    start: float
    now: float

    def __str__(self) -> str:
        way = f"{self.start:.3g}" + (f" to {self.now:.3g}" if math.isfinite(self.now) else "")
        return f"{way} of {self.limit:.3g} {self.unit} {self.subject}"


@dataclass
class Session:
    """What is known of a session.

    Attributes:
        path: its journal.
        name, model, profile, device: what it says of itself.
        objective: what it steers: ``"latency"`` in ms, ``"energy"`` in mJ, or ``"budgets"``, several limits,
            by the largest share of one.
        profile_measured: its profile was measured on a device, and not made of numbers.
        start, target: of what is steered, as predicted; NaN where unknown.
        budgets: the limits, where there are several.
        epochs: planned in all trainings so far.
        history: a row an epoch: ``loss``, ``value`` (what is steered), ``strength``, and metrics.
        spaces: the widths of its network.
        operators: of its network before, the slowest first; none where its journal does not hold them.
        happenings: what was pruned, grown, measured, exported, warned of.
        measured: the latest timings.
    """

    path: Path
    name: str = ""
    model: str = ""
    profile: str = ""
    device: str = ""
    objective: str = "latency"
    profile_measured: bool = True
    start: float = math.nan
    target: float = math.nan
    budgets: list[BudgetUse] = field(default_factory=list)
    epochs: int = 0
    began: float | None = None
    spaces: Spaces = field(default_factory=Spaces)
    operators: list[PlacedOperator] = field(default_factory=list)
    happenings: deque[Happening] = field(default_factory=lambda: deque(maxlen=MOST_HAPPENINGS))
    measured: deque[Measured] = field(default_factory=lambda: deque(maxlen=50))
    before_ms: float = math.nan
    after_ms: float = math.nan

    def __post_init__(self) -> None:
        self.writer = Writer()
        self.history = History(row_of=self._row)

    @property
    def unit(self) -> str:
        return {"energy": "mJ", "budgets": "x"}.get(self.objective, "ms")

    @property
    def quantity(self) -> str:
        return "share of the tightest budget" if self.objective == "budgets" else self.objective

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
        """What this session steers with its unit."""
        if not math.isfinite(value):
            return "-"
        return time_text(value) if self.objective == "latency" else f"{value:.3g} {self.unit}"

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
            self.spaces.take_later(event.get("widths"))
            self._used(event.get("budgets"))
            return
        self.writer.take(event)
        handler = _HANDLERS.get(name)
        if handler is not None:
            handler(self, event)

    def _used(self, amounts: object) -> None:
        """What an epoch or a pruning says of the budgets."""
        if isinstance(amounts, list) and len(amounts) == len(self.budgets):
            for budget, amount in zip(self.budgets, amounts, strict=True):
                budget.now = number(amount)

    def _row(self, epoch: Event) -> dict[str, object]:
        """What is kept of an epoch."""
        row: dict[str, object] = {
            "loss": epoch.get("loss"),
            "value": epoch.get(VALUES.get(self.objective, "latency_ms")),
            "strength": epoch.get("strength"),
        }
        metrics = epoch.get("metrics")
        if isinstance(metrics, dict):
            row.update(metrics)
        return row

    def current_spaces(self) -> list[Space]:
        """All channel spaces, with the widths of the latest event."""
        return self.spaces.current()

    # Events

    def _started(self, event: Event) -> None:
        again = self.began is not None
        self.began = number_or_none(event.get("time")) if not again else self.began
        own = name_of(event.get("session"))
        # An earlier session of the name was set aside under the name and its date.
        self.name = own if own and not self.path.stem.startswith(f"{own}.") else clean(self.path.stem)
        self.model, self.profile = name_of(event.get("model")), name_of(event.get("profile"))
        self.device = name_of(event.get("device"))
        objective = event.get("objective")
        self.objective = objective if isinstance(objective, str) and objective in VALUES else "latency"
        self.profile_measured = event.get("measured") is not False
        unit = {"energy": "mj", "budgets": "share"}.get(self.objective, "ms")
        if not again:
            self.start = number(event.get(f"start_{unit}"))
        self.target = number(event.get(f"target_{unit}"))
        if self.objective == "budgets":
            self.budgets = budgets_of(event.get("budgets"))
        epochs = number(event.get("epochs"))
        if 0 <= epochs < 1e9:
            self.epochs = self.history.count + int(epochs)
        self.spaces.begin(event.get("spaces"), again)
        self.operators = placed_operators(event)
        goal = f" to {self.value_text(self.target)}" if math.isfinite(self.target) else ""
        self._happened(event, "trained on" if again else "started", f"{self.model} on {self.profile}{goal}")
        for budget in self.budgets:
            self._happened(event, "", str(budget))

    def _prune(self, event: Event) -> None:
        removed, spaces = self.spaces.prune(event.get("widths"))
        told = number(event.get("target_ms"))
        why = f"to meet {time_text(told)}" if told > 0 else "the closed channels"
        self.before_ms, self.after_ms = (
            number(event.get("predicted_before_ms")),
            number(event.get("predicted_ms")),
        )
        if number(event.get("target_share")) > 0:
            why = "to keep the budgets"
        text = f"removed {removed} channels of {spaces} spaces{_branches(event.get('branches'))}, {why}"
        self._happened(event, "prune", text + self._predicted(event))

    def _grow(self, event: Event) -> None:
        grown, cut = self.spaces.grow(event.get("widths"))
        self.after_ms = number(event.get("predicted_ms"))
        text = f"added {grown} channels" + (f", gave up {cut}" if cut else "")
        self._happened(event, "grow", text + self._predicted(event))
        changes = event.get("changes")
        for change in changes[:MOST_SPACES] if isinstance(changes, list) else []:
            said = clean(change, 400)
            self._happened(event, "", said)
            # "space: 14 -> 16, 0.08042 -> 0.08189 ms: reason", or "... of the tightest budget: reason"
            name, reason = said.partition(": ")[0], said.partition(": ")[2].partition(": ")[2]
            if reason:
                self.spaces.explain(name, reason)

    def _measured(self, event: Event) -> None:
        median, spread = number(event.get("median_ms")), number(event.get("iqr_ms"))
        where = " ".join(name_of(event.get(key)) for key in ("device", "runtime")).strip()
        others = event.get("beside")
        beside = tuple(
            (name_of(other.get("model")), number(other.get("median_ms")))
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
        self._happened(event, "export", f"{name_of(event.get('path'), 200)}{told}")

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
        uses = event.get("budgets")
        if isinstance(uses, list):
            told = [_use_text(use) for use in uses[:MOST_BUDGETS] if isinstance(use, dict)]
            return f"; predicted {', '.join(told)}" if told else ""
        before, after = number(event.get("predicted_before_ms")), number(event.get("predicted_ms"))
        if not (math.isfinite(before) and math.isfinite(after)):
            return ""
        return f"; predicted {time_text(before)} -> {time_text(after)}"


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


def budgets_of(listed: object) -> list[BudgetUse]:
    """The limits that a session says it keeps to."""
    return [
        BudgetUse(
            name_of(each.get("subject")),
            name_of(each.get("unit")),
            number(each.get("limit")),
            number(each.get("start")),
            math.nan,
        )
        for each in (listed[:MOST_BUDGETS] if isinstance(listed, list) else [])
        if isinstance(each, dict)
    ]


def _use_text(use: Mapping[str, object]) -> str:
    return f"{number(use.get('before')):.3g} -> {number(use.get('after')):.3g} of {name_of(use.get('budget'), 80)}"


def _branches(told: object) -> str:
    """Which additions lost a branch."""
    if not isinstance(told, list) or not told:
        return ""
    more = f" and {len(told) - MOST_BRANCHES} more" if len(told) > MOST_BRANCHES else ""
    return f" and branches of {', '.join(map(name_of, told[:MOST_BRANCHES]))}{more}"


def _time(ms: float) -> str:
    return time_text(ms) if math.isfinite(ms) and ms >= 0 else "an unknown time"
