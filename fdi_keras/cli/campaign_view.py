"""What ``fdi profile`` shows: where the campaign stands, live, and what came of it.

On a terminal a few lines that redraw themselves; elsewhere (a log file, a CI run) a line
now and then. The campaign calls back after every measurement, up to fifty times a second,
so that the callback only stores what it is told and the screen is drawn at its own pace.
"""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from fdi_keras.cli.console import plain
from fdi_keras.cli.rules_view import HELD_OUT, kinds_table, profile_head
from fdi_keras.cli.words import clock, count, time_text
from fdi_keras.operators.words import dims_text
from fdi_keras.profile import DeviceProfile, profile_folder
from fdi_keras.profiling import CampaignProgress

#: Seconds between two lines where nothing can be redrawn.
LINE_EVERY_S = 30.0


@contextlib.contextmanager
def campaign_progress(
    console: Console, devices: Sequence[str]
) -> Iterator[Callable[[str, CampaignProgress], None]]:
    """Show the progress of campaigns; gives the callback that they report to, with the device's id."""
    if console.is_terminal:
        views = {device: CampaignView(device) for device in devices}
        with Live(Group(*views.values()), console=console, refresh_per_second=8, transient=True):
            yield lambda device, state: views[device].update(state)
    else:
        lines = {device: CampaignLines(console, device) for device in devices}
        yield lambda device, state: lines[device].update(state)


class CampaignView:
    """The campaign as lines that are drawn anew."""

    def __init__(self, device: str):
        self._device = device
        self._state = CampaignProgress("preparing")
        self._spinner = Spinner("dots", style="cyan")

    def update(self, state: CampaignProgress) -> None:
        self._state = state

    def __rich__(self) -> RenderableType:
        state = self._state
        head = Table.grid(padding=(0, 1))
        head.add_row(self._spinner, plain(headline(state, self._device), "bold"))
        lines: list[RenderableType] = [head]
        if state.total:
            bar = ProgressBar(total=state.total, completed=min(state.done, state.total), width=None)
            grid = Table.grid(expand=True, padding=(0, 1))
            grid.add_column(ratio=1)
            grid.add_column(no_wrap=True)
            grid.add_row(bar, Text(share_text(state)))
            lines.append(grid)
        if state.stage != "learning":
            lines.append(Text(pace_text(state), "dim"))
        if state.last is not None:
            lines.append(plain(last_text(state), "dim"))
        if state.waiting:
            lines.append(plain(waiting_text(state), "yellow"))
        return Group(*lines)


class CampaignLines:
    """The campaign as a log: a line when its stage changes, and now and then."""

    def __init__(self, console: Console, device: str):
        self._console = console
        self._device = device
        self._stage = ""
        self._shown = 0.0

    def update(self, state: CampaignProgress) -> None:
        now = time.monotonic()
        if state.stage == self._stage and now - self._shown < LINE_EVERY_S:
            return
        self._stage, self._shown = state.stage, now
        parts = [headline(state, self._device)]
        if state.stage in ("measuring", "finished"):
            parts += [share_text(state), pace_text(state)]
        if state.waiting:
            parts.append(waiting_text(state))
        self._console.print(plain("; ".join(part for part in parts if part)))


def headline(state: CampaignProgress, device: str) -> str:
    """What is being done."""
    match state.stage:
        case "preparing":
            return f"Preparing {device}: the cost of an invocation, and a reference"
        case "weights":
            return f"Timing weights that leave the caches of {device}: {state.kind}"
        case "measuring":
            return f"Timing operators on {device}: {state.kind}"
        case "waiting":
            return f"Waiting for {device}"
        case "energy":
            return f"Measuring energies on {device}: {state.kind}"
        case "learning":
            return f"Learning the time model of {state.kind}"
    return f"Timed operators on {device}"


def share_text(state: CampaignProgress) -> str:
    """How much of the whole is done."""
    if state.total is None:
        return str(state.done)
    if state.stage == "learning":
        return f"{state.done} of {count(state.total, 'kind')}"
    return f"{state.done} of {state.total}"


def pace_text(state: CampaignProgress) -> str:
    """Time spent, speed, time left."""
    parts = [clock(state.seconds)]
    if state.rate_per_minute:
        parts.append(f"{state.rate_per_minute:.0f} a minute")
    if state.eta_s is not None and state.stage in ("measuring", "waiting"):
        parts.append(f"about {clock(state.eta_s)} left")
    if state.failures:
        parts.append(f"{state.failures} failed")
    if state.settled:
        parts.append(f"enough of {count(state.settled, 'kind')}")
    return ", ".join(parts)


def last_text(state: CampaignProgress) -> str:
    """The latest measurement."""
    last = state.last
    if last is None:
        return ""
    return f"latest: {last.kind} {dims_text(last.dims)}: {time_text(last.median_ms)}"


def waiting_text(state: CampaignProgress) -> str:
    """Why the campaign waits, and what becomes of it."""
    return f"{state.waiting}; waiting for it, then repeating what was measured meanwhile"


def print_result(out: Console, profile: DeviceProfile, path: Path, seconds: float) -> None:
    """How good the profile is, where it is, and what to do with it."""
    measured = sum(len(table) for table in profile.measurements.values())
    failed = f", {count(len(profile.failures), 'probe')} failed" if profile.failures else ""
    name = path.stem if path.parent == profile_folder() and path.suffix == ".json" else str(path)
    out.print(profile_head(profile))
    out.print(kinds_table(profile))
    out.print(Text(HELD_OUT, "dim"))
    out.print()
    out.print(f"{count(measured, 'measurement')}{failed}, this run took {clock(seconds)}. The profile is in")
    out.print(plain(path, "bold"), soft_wrap=True)
    example = "conv2d" if "conv2d" in profile.models else next(iter(profile.models))
    command = shlex.join(["fdi", "rules", name, "--kind", example])
    out.print(Text.assemble("Look at it with ", plain(command, "bold")), soft_wrap=True)
