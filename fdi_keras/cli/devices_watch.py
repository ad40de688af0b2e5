"""``fdi devices --watch``: a table that follows on a terminal, lines elsewhere."""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import sys
import time
from collections.abc import Callable, Sequence

import click
import msgspec

from fdi_keras.cli import console
from fdi_keras.devices import DeviceInfo, LocalDevice
from fdi_keras.devices.adb.events import DeviceEvent, follow_devices
from fdi_keras.devices.adb.search import servers_told
from fdi_keras.devices.adb.server import AdbServer

SIGNS = {"appeared": "+", "changed": "~", "gone": "-", "problem": "!"}


def watch_devices(adb: Sequence[str], as_json: bool, every_s: float | None = None) -> None:
    """Show what happens until Ctrl-C, then exit with the status of an interruption."""
    servers = servers_told(adb)
    screen = console.stdout()
    with contextlib.ExitStack() as stack:
        if as_json:
            show: Callable[[DeviceEvent], None] = _print_json
        elif screen.is_terminal:
            show = _Table(stack, screen).show
        else:
            show = _print_line
        try:
            show(DeviceEvent("appeared", LocalDevice().info))
            asyncio.run(_follow(servers, show, every_s))
        except KeyboardInterrupt:
            from fdi_keras.cli.app import INTERRUPTED

            raise click.exceptions.Exit(INTERRUPTED) from None


async def _follow(
    servers: Sequence[AdbServer], show: Callable[[DeviceEvent], None], every_s: float | None
) -> None:
    """Follow until Ctrl-C, or until nobody reads any more: that might not show for hours otherwise."""

    async def follow() -> None:
        async with contextlib.aclosing(follow_devices(servers, every_s)) as events:
            async for event in events:
                show(event)
        await asyncio.Event().wait()  # without a server nothing can happen; Ctrl-C ends that too

    following = asyncio.create_task(follow())
    while not following.done():
        await asyncio.wait([following], timeout=1.0)
        if _reader_is_gone():
            following.cancel()
            return
    await following


def _reader_is_gone() -> bool:
    """Whether standard output is a pipe with nobody at its other end."""
    try:
        poll = select.poll()
        poll.register(sys.stdout, 0)
        return any(what & select.POLLERR for _, what in poll.poll(0))
    except (AttributeError, OSError, ValueError, TypeError):  # no poll() on Windows; a captured output
        return False


def _print_json(event: DeviceEvent) -> None:
    click.echo(json.dumps({"time": round(time.time(), 3), **msgspec.to_builtins(event)}, allow_nan=False))


def _print_line(event: DeviceEvent) -> None:
    device = event.device
    text = event.note if device is None else f"{device.id}  {device.name}"
    if device is not None:
        text += f"  {'gone' if event.event == 'gone' else device.state}"
    click.echo(f"{time.strftime('%H:%M:%S')} {SIGNS[event.event]} {console.clean(text)}")


class _Table:
    """The table of all devices, drawn again with each event, and the last problem below it."""

    def __init__(self, stack: contextlib.ExitStack, screen: console.Console):
        from rich.live import Live

        self._devices: dict[str, DeviceInfo] = {}
        self._problem = ""
        self._live = stack.enter_context(Live(console=screen, auto_refresh=False))

    def show(self, event: DeviceEvent) -> None:
        from rich.console import Group

        from fdi_keras.cli.devices_view import devices_table

        if event.device is None:
            self._problem = event.note
        else:
            self._problem = ""
            self._devices.pop(event.device.id, None)
            if event.event != "gone":
                self._devices[event.device.id] = event.device
        parts = [devices_table(list(self._devices.values()))]
        below = self._problem or "Watching; Ctrl-C ends."
        self._live.update(
            Group(*parts, console.plain(below, "yellow" if self._problem else "dim")), refresh=True
        )
