"""What the room 'Sessions' says in tables and words."""

from __future__ import annotations

import math
import time
from typing import Any

from fdi_tui.data.session import Session
from fdi_tui.data.sessions import Listed
from fdi_tui.widgets.bars import change_bar
from fdi_tui.widgets.table import Column
from fdi_tui.words import age, standing_style, standing_text, time_text

from fdi_keras.profile.roofline import MEANING

MARKS = {"pinned": "*", "beside": "+"}


def session_columns() -> list[Column]:
    """Of the list of sessions."""
    return [
        Column("mark", "", text=lambda mark: MARKS.get(mark, "")),
        Column("name", "session"),
        Column("state", "state", style=standing_style),
        Column("epoch", "epoch", text=_epoch_text, right=True),
        Column("loss", "loss", text=_number_text, right=True),
        Column("accuracy", "accuracy", text=_share_text, right=True),
        Column("value", "predicted", text=str, right=True),
        Column("target", "target", text=str, right=True),
        Column("strength", "strength", text=_number_text, right=True, wide=100),
        Column("measured", "measured", text=str, right=True, wide=110),
        Column("age", "last event", text=lambda seconds: f"{age(seconds)} ago", right=True, wide=90),
        Column("model", "model", wide=130),
        Column("profile", "profile", wide=130),
        Column("device", "device", wide=160),
        Column("host", "host", wide=160),
    ]


def session_row(listed: Listed, followed: Session | None, mark: str, now: float) -> dict[str, Any]:
    """A row of the list; of a session that is followed from what was followed."""
    session = followed or listed.session
    if listed.problem:
        return {"mark": mark, "name": listed.path.stem, "state": f"unreadable: {listed.problem}"}
    standing = session.standing(now)
    history = session.history
    epoch = history.count if followed else listed.epoch
    accuracy = history.latest(session.accuracy) if session.accuracy else math.nan
    return {
        "mark": mark,
        "name": session.name or listed.path.stem,
        "state": standing_text(standing, now),
        "epoch": None if math.isnan(epoch) else Epoch(epoch, session.epochs),
        "loss": _or_none(history.latest("loss")),
        "accuracy": _or_none(accuracy),
        "value": _quantity(session, history.latest("value") if history.count else session.start),
        "target": _quantity(session, session.target),
        "strength": _or_none(history.latest("strength")),
        "measured": _time(session.measured[-1].median_ms) if session.measured else None,
        "age": None if standing.since is None else max(now - standing.since, 0.0),
        "model": session.model,
        "profile": session.profile if session.profile_measured else f"{session.profile}, not measured",
        "device": session.device,
        "host": session.writer.host,
    }


class Epoch(float):
    """An epoch that knows how many were planned; sorted by the first."""

    of: int

    def __new__(cls, epoch: float, of: int) -> Epoch:
        made = super().__new__(cls, epoch)
        made.of = of
        return made


class Quantity(float):
    """A latency or energy with its unit; sorted by its number."""

    words: str

    def __new__(cls, value: float, words: str) -> Quantity:
        made = super().__new__(cls, value)
        made.words = words
        return made

    def __str__(self) -> str:
        return self.words


def _quantity(session: Session, value: float) -> Quantity | None:
    return Quantity(value, session.value_text(value)) if math.isfinite(value) else None


def _time(ms: float) -> Quantity | None:
    return Quantity(ms, time_text(ms)) if math.isfinite(ms) else None


def _epoch_text(epoch: Any) -> str:
    of = getattr(epoch, "of", 0)
    return f"{epoch:.0f}/{of}" if of else f"{epoch:.0f}"


def _number_text(value: float) -> str:
    return f"{value:.4g}"


def _share_text(value: float) -> str:
    return f"{100 * value:.1f} %" if 0 <= value <= 1 else f"{value:.4g}"


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None


def metric_name(session: Session, metric: str) -> str:
    """What a curve shows, in words."""
    if metric == "value":
        return f"predicted {session.quantity}" + ("" if session.profile_measured else ", nothing measured")
    every = session.history.stride
    return metric.replace("_", " ") + (f", every {every}th epoch" if every > 1 else "")


def sum_of(session: Session, now: float) -> str:
    """A session in one line."""
    parts = [f"{session.name}: {standing_text(session.standing(now), now)}"]
    if session.model:
        parts.append(f"{session.model} on {session.device or session.profile}")
    if not session.profile_measured:
        parts.append("its profile was not measured")
    if math.isfinite(session.start) and math.isfinite(session.target):
        parts.append(f"from {session.value_text(session.start)} to {session.value_text(session.target)}")
    parts += map(str, session.budgets)
    if math.isfinite(session.after_ms):
        parts.append(f"pruned to {time_text(session.after_ms)} predicted")
    if session.measured:
        last = session.measured[-1]
        before = "".join(
            f" ({name or 'another'} {time_text(ms)})" for name, ms in last.beside if math.isfinite(ms)
        )
        parts.append(f"measured {time_text(last.median_ms)}{before}")
    return "; ".join(parts)


def width_columns() -> list[Column]:
    """Of the table of channel spaces."""
    return [
        Column("space", "channel space"),
        Column("bar", "start to now"),
        Column("start", "start", text=_width_text, right=True),
        Column("now", "now", text=_width_text, right=True),
        Column("kept", "kept", text=_share_text, right=True),
        Column("removed", "removed", text=lambda n: f"{-n:+.0f}" if n else "", right=True),
        Column("added", "added", text=lambda n: f"{n:+.0f}" if n else "", right=True),
        Column("why", "why"),
    ]


def width_rows(session: Session, wide: int, ascii: bool) -> dict[str, dict[str, Any]]:
    """A row a channel space; the bars share one scale."""
    spaces = session.current_spaces()
    most = max((width for s in spaces for width in (s.start, s.now) if math.isfinite(width)), default=0.0)
    rows = {}
    for space in spaces:
        removed = space.start - space.pruned
        added = space.grown - (space.pruned if math.isfinite(space.pruned) else space.start)
        rows[space.name] = {
            "space": space.name,
            "bar": change_bar(space.start, space.now, most, wide, ascii),
            "start": _or_none(space.start),
            "now": _or_none(space.now),
            "kept": _or_none(space.kept),
            "removed": _or_none(removed),
            "added": _or_none(added),
            "why": space.why or None,
        }
    return rows


def operator_columns() -> list[Column]:
    """Of the table of operators under the roofs."""
    return [
        Column("operator", "operator"),
        Column("kind", "kind", wide=90),
        Column("intensity", "FLOPs a byte", text=_number_text, right=True),
        Column("predicted", "predicted", text=time_text, right=True),
        Column("roof", "at least", text=time_text, right=True),
        Column("reached", "of its roof", text=_share_text, right=True, wide=70),
        Column("bound", "limit"),
        Column("meaning", "so that", text=MEANING.__getitem__, wide=110),
    ]


def operator_rows(session: Session) -> dict[str, dict[str, Any]]:
    """A row an operator of the network before compression, the slowest first."""
    if not session.operators:
        return {
            "": {
                "operator": "not in the journal: the profile has no roofline, or the session is an older one"
            }
        }
    return {
        str(number): {
            "operator": each.name,
            "kind": each.kind,
            "intensity": each.place.intensity,
            "predicted": _or_none(each.predicted_ms),
            "roof": each.place.roof_ms,
            "reached": min(each.place.roof_ms / each.predicted_ms, 1.0) if each.predicted_ms > 0 else None,
            "bound": each.place.bound,
            "meaning": each.place.bound,
        }
        for number, each in enumerate(session.operators)
    }


def _width_text(width: float) -> str:
    return f"{width:.0f}" if width == int(width) else f"{width:.1f}"


def happening_columns() -> list[Column]:
    """Of the table of what was done."""
    return [
        Column("time", "time", text=_clock_text),
        Column("what", "what"),
        Column("text", "with what result, and why"),
    ]


def happening_rows(session: Session) -> dict[str, dict[str, Any]]:
    """A row a happening, the latest first."""
    return {
        str(number): {"time": _or_none(each.time), "what": each.what, "text": each.text}
        for number, each in reversed(list(enumerate(session.happenings)))
    }


def _clock_text(moment: float) -> str:
    try:
        return time.strftime("%H:%M:%S", time.localtime(moment))
    except (OverflowError, ValueError, OSError):
        return "-"
