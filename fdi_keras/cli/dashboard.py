"""``fdi dashboard``, and ``fdi`` alone on a terminal."""

from __future__ import annotations

import os
import sys

import click

from fdi_keras.errors import UsageError

ROOMS = ("devices", "campaign", "rules", "sessions", "profiles")


@click.command()
@click.option(
    "--screen", "room", type=click.Choice(ROOMS), default="devices", show_default=True, help="To begin with."
)
def dashboard(room: str) -> None:
    """Everything that is going on, on one screen: devices, campaigns, rules, sessions, profiles."""
    open_dashboard(room)


def is_possible() -> bool:
    """Whether there is a terminal to draw on (textual uses standard error) and a keyboard to read."""
    return all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout)
    ) and os.environ.get("TERM") not in ("dumb", "unknown")


def open_dashboard(room: str = "devices") -> None:
    """Run the app until it is left.

    Raises:
        UsageError: there is no terminal.
    """
    if not is_possible():
        raise UsageError("the dashboard needs a terminal; 'fdi --help' lists what works without one.")
    from fdi_tui.app import FdiApp

    FdiApp(room=room).run()
