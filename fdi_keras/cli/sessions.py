"""``fdi sessions``: what the dashboard's room of that name shows, without a screen."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import json_option
from fdi_keras.errors import JournalError

if TYPE_CHECKING:
    from fdi_tui.data.sessions import Session


@click.command(
    epilog="""
    \b
    Examples:
      fdi sessions
      fdi sessions digits
      fdi sessions digits --json | jq .spaces
    """
)
@click.argument("name", required=False)
@json_option
def sessions(name: str | None, as_json: bool) -> None:
    """List the compression sessions of this computer, or show one: its widths, and what was done.

    A session is a Keras training with fdi_keras.LatencyCallback(session=NAME).

    JSON: a list of objects with name, journal, state, host, model, profile, profile_measured, device, epoch,
    start, target, value, unit, problem; for one session, an object with these, and spaces and events.
    """
    from fdi_tui.data.sessions import Follower, SessionFolders

    from fdi_keras.journal import state_folder

    rows = SessionFolders([state_folder() / "sessions"]).read()
    if name is None:
        documents = [_document(row.session, row.epoch, row.problem) for row in rows]
        if as_json:
            console.print_json(documents)
        elif documents:
            _print_list(documents)
        else:
            click.echo("There are no sessions yet: see fdi_keras.LatencyCallback(session=...).")
        return
    row = next((row for row in rows if name in (row.path.stem, row.session.name, str(row.path))), None)
    if row is None:
        known = ", ".join(console.clean(row.path.stem, 60) for row in rows) or "none"
        raise JournalError(f"no session {console.clean(name, 80)!r}; known are: {known}.")
    if row.problem:
        raise JournalError(f"session {console.clean(name, 80)} cannot be shown: {row.problem}.")
    follower = Follower(row.path)
    while follower.behind:
        follower.read()
    session = follower.session
    document = _document(session, row.epoch, follower.tail.problem)
    document["spaces"] = [
        {"name": s.name, "start": _number(s.start), "now": _number(s.now)} for s in session.spaces.current()
    ]
    document["events"] = [{"time": h.time, "what": h.what, "text": h.text} for h in session.happenings]
    if as_json:
        console.print_json(document)
    else:
        _print_one(document)


def _document(session: Session, epoch: float, problem: str) -> dict[str, Any]:
    standing = session.standing(time.time())
    value = session.history.last.get("value") if session.history.count else None
    return {
        "name": console.clean(session.name or session.path.stem, 100),
        "journal": str(session.path),
        "state": standing.state,
        "host": standing.host,
        "model": session.model,
        "profile": session.profile,
        "profile_measured": session.profile_measured,
        "device": session.device,
        "epoch": _number(epoch),
        "start": _number(session.start),
        "target": _number(session.target),
        "value": _number(value),
        "unit": session.unit,
        "problem": problem,
    }


def _print_list(documents: list[dict[str, Any]]) -> None:
    from fdi_keras.cli.tables import new_table

    table = new_table()
    for head in ("session", "state", "epoch", "start", "target", "now"):
        table.add_column(head, justify="left" if head in ("session", "state") else "right", overflow="fold")
    for one in documents:
        epoch = "" if one["epoch"] is None else f"{one['epoch']:g}"
        state = console.plain(one["problem"] or one["state"])
        values = (_with_unit(one[key], one["unit"]) for key in ("start", "target", "value"))
        table.add_row(console.plain(one["name"], "bold"), state, epoch, *values)
    console.stdout().print(table)


def _print_one(one: dict[str, Any]) -> None:
    from fdi_keras.cli.tables import new_table

    out = console.stdout()
    values = ", ".join(
        f"{word} {_with_unit(one[key], one['unit'])}"
        for word, key in (("from", "start"), ("target", "target"), ("now", "value"))
        if one[key] is not None
    )
    out.print(console.plain(f"{one['name']}: {one['state']}, {values}", "bold"))
    if not one["profile_measured"]:
        out.print(console.plain(f"Its profile {one['profile']} was not measured.", "yellow"))
    table = new_table()
    table.add_column("channel space", overflow="fold")
    table.add_column("start", justify="right")
    table.add_column("now", justify="right")
    for space in one["spaces"]:
        numbers = ("" if n is None else f"{n:g}" for n in (space["start"], space["now"]))
        table.add_row(console.plain(space["name"]), *numbers)
    out.print(table)
    for event in one["events"]:
        out.print(console.plain(f"{event['what']}: {event['text']}"))


def _with_unit(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.3g} {unit}"


def _number(value: object) -> float | None:
    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if good else None  # type: ignore[return-value]
