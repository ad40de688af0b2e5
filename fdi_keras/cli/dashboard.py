"""``fdi dashboard``, and ``fdi`` alone on a terminal."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import click

from fdi_keras.cli import console
from fdi_keras.errors import FdiError, UsageError

ROOMS = ("devices", "campaign", "rules", "sessions", "profiles")
WEB_PORT = 8008


@click.command(
    epilog="""
    \b
    Examples:
      fdi dashboard --screen sessions
      fdi dashboard --web                  in a browser, at http://localhost:8008
      fdi dashboard --keys
    """
)
@click.option(
    "--screen", "room", type=click.Choice(ROOMS), default="devices", show_default=True, help="To begin with."
)
@click.option("--keys", is_flag=True, help="List the keys, and by which names settings change them.")
@click.option("--web", is_flag=True, help="Serve it to a browser; needs the extra 'web'.")
@click.option("--host", default="localhost", show_default=True, help="With --web: where to listen.")
@click.option(
    "--port", type=click.IntRange(1, 65535), default=WEB_PORT, show_default=True, help="With --web."
)
@click.option("--json", "as_json", is_flag=True, help="With --keys: one JSON document.")
def dashboard(room: str, keys: bool, web: bool, host: str, port: int, as_json: bool) -> None:
    """Everything that is going on, on one screen: devices, campaigns, rules, sessions, profiles.

    It reads journals and profiles, and starts campaigns as processes of their own, which go on
    when it is left. What it shows and does the verbs of fdi show and do, too: 'fdi devices', 'fdi
    campaigns', 'fdi rules', 'fdi sessions', 'fdi profiles'.

    Whoever reaches the port of --web can do what you can do in the dashboard: leave the host as
    it is, and reach it from elsewhere through ssh.

    JSON: of --keys, a list of objects with id, keys, label, help.
    """
    if as_json and not keys:
        raise click.UsageError("a dashboard is no JSON; --json goes with --keys.")
    if keys:
        _list_keys(as_json)
    elif web:
        serve(room, host, port)
    else:
        open_dashboard(room)


def is_possible() -> bool:
    """Whether there is a terminal to draw on (textual uses standard error) and a keyboard to read."""
    streams = (sys.stdin, sys.stdout, sys.stderr)
    if not all(stream is not None and stream.isatty() for stream in streams):
        return False
    return os.environ.get("TERM") not in ("dumb", "unknown")


def open_dashboard(room: str = "devices") -> None:
    """Run the app until it is left.

    Raises:
        UsageError: there is no terminal.
    """
    served = "TEXTUAL_DRIVER" in os.environ  # textual-serve draws into a pipe
    if not (served or is_possible()):
        raise UsageError("the dashboard needs a terminal; 'fdi --help' lists what works without one.")
    from fdi_tui.app import FdiApp

    FdiApp(room=room).run()


def serve(room: str, host: str, port: int) -> None:
    """Serve the dashboard to browsers, until Ctrl-C; each has its own.

    Raises:
        FdiError: textual-serve is not installed.
    """
    try:
        from textual_serve.server import Server
    except ImportError:
        raise FdiError(
            "the dashboard in a browser needs textual-serve: pip install 'fdi-keras[web]'."
        ) from None
    command = shlex.join([sys.executable, "-m", "fdi_keras", "dashboard", "--screen", room])
    Server(command, host=host, port=port, title="fdi").serve()


def _list_keys(as_json: bool) -> None:
    from fdi_tui.keys import GROUPS, KEYS, keys_of, shown

    if as_json:
        documents: list[dict[str, Any]] = [
            {"id": key.id, "keys": key.keys, "label": key.label, "help": key.help} for key in KEYS
        ]
        console.print_json(documents)
        return
    for group, title in GROUPS.items():
        click.echo(title)
        for key in keys_of(group):
            click.echo(f"  {shown(key.keys):<16} {key.id:<26} {key.help}")
