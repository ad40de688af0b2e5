"""What the room 'Campaign' says in tables and words."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from fdi_tui.data.campaign import Campaign
from fdi_tui.data.campaigns import CampaignFollower, ListedCampaign
from fdi_tui.data.readings import Reading
from fdi_tui.widgets.meter import meter
from fdi_tui.widgets.table import Column
from fdi_tui.words import clock, error_style, percent, standing_style, standing_text, time_text
from rich.text import Text

from fdi_keras.operators.words import dims_text
from fdi_keras.text import clean

#: Rows of measurements and of the log that are shown; the export has no more either.
MOST_ROWS = 300


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at).strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "?"


def _off_style(off: float) -> str:
    return error_style(abs(off))


def _failures_style(count: int) -> str:
    return "yellow" if count else ""


LIST = [
    Column("name", "campaign"),
    Column("state", "state", style=standing_style),
    Column("done", "done", right=True),
    Column("total", "of", right=True),
    Column("failures", "failed", right=True, style=_failures_style),
    Column("seconds", "took", clock, right=True, wide=100),
    Column("runtime", "runtime", wide=120),
    Column("ending", "reason", wide=100),
]
KINDS = [
    Column("kind", "kind"),
    Column("bar", "", wide=100),
    Column("done", "done", right=True),
    Column("planned", "of", right=True),
    Column("failed", "failed", right=True, style=_failures_style),
    Column("error", "error", percent, right=True, style=error_style),
]
LATEST = [
    Column("at", "time", _moment),
    Column("kind", "kind"),
    Column("dims", "operator"),
    Column("median_ms", "measured", time_text, right=True),
    Column("spread", "spread", percent, right=True),
    Column("predicted_ms", "model", time_text, right=True, wide=100),
    Column("off", "off", lambda off: f"{100 * off:+.0f} %", right=True, style=_off_style, wide=100),
]
FAILURES = [
    Column("at", "time", _moment),
    Column("kind", "kind"),
    Column("dims", "operator"),
    Column("reason", "reason"),
]
EVENTS = [Column("at", "time", _moment), Column("what", "what"), Column("text", "")]
LOG = [Column("at", "time", _moment), Column("event", "event"), Column("data", "")]

#: Name of a panel: its columns, the name of its export, and what it is.
TABLES = {
    "latest": (LATEST, "measurements", "The latest measurements."),
    "failures": (FAILURES, "failures", "Probes that failed, and why."),
    "events": (EVENTS, "events", "Waits, warnings, repeats, restarts."),
    "log": (LOG, "log", "The journal itself."),
}

Rows = dict[str, dict[str, Any]]


def list_row(row: ListedCampaign, followed: Campaign | None, stopping: bool, now: float) -> dict[str, Any]:
    """A row of the list; counts of one that is followed are those of what was followed."""
    state = "unreadable" if row.problem else standing_text(row.standing, now)
    if stopping and row.standing.at_work:
        state = "stopping"
    done, failures = row.done, row.failures
    if followed is not None:
        done, failures = followed.done, sum(followed.failed.values())
    return {
        "name": row.name,
        "state": state,
        "done": done,
        "total": row.total if row.total is not None else (f"{row.minutes:g} min" if row.minutes else None),
        "failures": failures,
        "seconds": row.seconds,
        "runtime": row.runtime,
        "ending": row.problem or row.ending,
    }


def head_text(campaign: Campaign, heat: str, now: float, width: int, ascii: bool) -> Text:
    """How far a campaign is, in two lines; ``width`` is that of the bar."""
    standing = campaign.standing(now)
    words, at_work = standing_text(standing, now), standing.at_work
    total, left, rate = campaign.total(now), campaign.left_s(now), campaign.rate_per_minute(now)
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(words, f"bold {standing_style(words)}").append("  ")
    share = _share_done(campaign, now, at_work)
    line.append(meter(share, width, ascii), "green" if at_work else "dim")
    line.append(f" {100 * min(share, 1.0):.0f} %  {campaign.done}")
    line.append(f" of {'' if campaign.budget else 'about '}{total}" if total and at_work else "")
    line.append(f"  {rate:.0f}/min" if rate and at_work else "")
    line.append(f"  {clock(left)} left" if left is not None and at_work else "")
    line.append(f"  took {clock(campaign.seconds(now, at_work))}")
    second = Text("\n", no_wrap=True, overflow="ellipsis")
    if campaign.waiting and at_work:
        second.append(f"waits: {campaign.waiting}", "yellow")
    elif campaign.ending and not at_work:
        second.append(campaign.ending, "yellow")
    else:
        second.append(clean(campaign.device_name, 60), "dim")
        second.append(f"  {campaign.runtime}", "dim")
    second.append(heat)
    if campaign.waited_s >= 1:
        second.append(f"  waited {clock(campaign.waited_s)}")
    return line + second


def _share_done(campaign: Campaign, now: float, at_work: bool) -> float:
    if campaign.budget:
        return campaign.done / campaign.budget
    return campaign.seconds(now, at_work) / (60 * campaign.minutes) if campaign.minutes else 0.0


def kind_rows(campaign: Campaign, error: Mapping[str, float], now: float, ascii: bool) -> Rows:
    """A row a kind: those asked for, and any others that were measured."""
    at_work = campaign.standing(now).at_work
    planned = campaign.planned(campaign.total(now) if at_work else campaign.budget)
    rows: Rows = {}
    for kind in [*campaign.kinds, *(k for k in campaign.counts if k not in campaign.kinds)]:
        done, failed, of = campaign.counts[kind], campaign.failed[kind], planned.get(kind)
        rows[kind] = {
            "kind": kind,
            "bar": meter((done + failed) / of, 10, ascii) if of else None,
            "done": done,
            "planned": of,
            "failed": failed or None,
            "error": error.get(kind),
        }
    return rows


def latest_of(campaign: Campaign) -> list[Reading]:
    """The latest measurements, newest first."""
    return list(campaign.readings.values())[-MOST_ROWS:][::-1]


def latest_rows(latest: Sequence[Reading], predicted: Mapping[int, float]) -> Rows:
    """A row a measurement, beside it what the model says of it."""
    return {
        str(r.index): {
            "at": r.at,
            "kind": r.kind,
            "dims": dims_text(r.dims),
            "median_ms": r.median_ms,
            "spread": r.iqr_ms / r.median_ms,
            "predicted_ms": predicted.get(r.index),
            "off": predicted[r.index] / r.median_ms - 1 if r.index in predicted else None,
        }
        for r in latest
    }


def failure_rows(campaign: Campaign) -> Rows:
    """A row a probe that failed, newest first."""
    failures = list(campaign.failures.values())[-MOST_ROWS:][::-1]
    return {
        str(f.index): {"at": f.at, "kind": f.kind, "dims": dims_text(f.dims), "reason": f.reason}
        for f in failures
    }


def event_rows(campaign: Campaign) -> Rows:
    """A row for whatever else happened."""
    happenings = list(campaign.happenings)[-MOST_ROWS:]
    return {str(n): {"at": h.at, "what": h.what, "text": h.text} for n, h in enumerate(happenings)}


def log_rows(follower: CampaignFollower) -> Rows:
    """The end of the journal, newest first."""
    rows: Rows = {}
    events = list(follower.raw)[-MOST_ROWS:]
    first = follower.campaign.version - len(events)
    for number, event in enumerate(events, first):
        rest = {key: value for key, value in event.items() if key not in ("event", "time")}
        rows[str(number)] = {
            "at": event.get("time"),
            "event": clean(event["event"], 30),
            "data": clean(json.dumps(rest, ensure_ascii=False)[:2000]),
        }
    return dict(reversed(rows.items()))
