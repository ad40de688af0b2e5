"""Part 5: what tmux captures is what the app says of its screens; other terminals; no colors.

The golden screens of the tests come from the app itself, without a terminal. Here the same
rendering is made of the same journals and compared with what a real terminal shows of them.
"""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.dashboard.settings import Settings
from benchmarks.dashboard.terminal import Terminal, places
from benchmarks.report import Row

SIZES = ((80, 24), (200, 60))
#: Rooms that look the same a moment later, with a text that shows that all is there.
ROOMS = {"rules": "measured", "sessions": "tiny: finished", "profiles": "x86-avx512-litert"}
TERMS = ("xterm", "tmux-256color", "xterm-256color", "screen-256color")
#: What differs from moment to moment: ages.
AGE = re.compile(r"\b\d+(\.\d+)? (s|min|h|days|months)\b( ago)?")
STYLES = re.compile(rb"\x1b\[([0-9;:]*)m")
#: Of the 256 colors of a terminal those that are black, grey or white.
GREYS = {0, 7, 8, 15, 16, 59, 102, 145, 188, 231, *range(232, 256)}
RECORDED = Path(__file__).parents[2] / "tests" / "tui" / "recorded" / "session.jsonl"


def run(settings: Settings) -> list[Row]:
    work = settings.work / "screens"
    sessions = work / "state" / "sessions"
    sessions.mkdir(parents=True)
    shutil.copy(RECORDED, sessions / "tiny.jsonl")
    rows = []
    if shutil.which("tmux"):
        differing = {}
        for size in SIZES:
            for room, text in ROOMS.items():
                own = asyncio.run(rendered(work, room, text, size))
                there = captured(work, room, text, size)
                lines = [(a, b) for a, b in zip(_plain(own), _plain(there), strict=False) if a != b]
                if lines or len(_plain(own)) != len(_plain(there)):
                    differing[f"{room} {size[0]}x{size[1]}"] = lines[:5]
        compared = len(SIZES) * len(ROOMS)
        rows.append(
            Row("5", f"tmux capture-pane, {compared} screens at 80x24 and 200x60", "as the app renders them",
                f"{compared - len(differing)} equal" + "".join(f"; differs: {name}" for name in differing),
                not differing, {"differing": differing})
        )  # fmt: skip
    else:
        rows.append(Row("5", "tmux capture-pane", "as the app renders them", "no tmux here", None))
    rows += [_terminal(work, "TERM", {"TERM": term}) for term in TERMS]
    rows.append(_terminal(work, "NO_COLOR", {"NO_COLOR": "1"}))
    return rows


def _terminal(work: Path, name: str, environment: dict[str, str]) -> Row:
    """Every room is visited in a terminal of a kind."""
    what = f"{name}={environment[name]}"
    try:
        with Terminal(work, size=(80, 24), environment=environment) as terminal:
            terminal.wait_for("5 Profiles")
            for key, text in (
                ("3", "conv2d"),
                ("4", "tiny: finished"),
                ("5", "x86-avx512"),
                ("2", "campaign"),
            ):
                terminal.press(key, text)
            hues = hues_in(terminal.written)
            terminal.quit()
    except TimeoutError as error:
        return Row("5", what, "works", f"does not: {error}", False)
    if name == "NO_COLOR":
        told = f"all rooms shown, {len(hues)} other colors than greys"
        return Row("5", what, "works; nothing is told by a hue", told, not hues, {"hues": sorted(hues)})
    return Row("5", what, "works", "all rooms shown", True)


def hues_in(written: bytes) -> set[str]:
    """Colors that are no greys, as the numbers that set them."""
    found = set()
    for match in STYLES.finditer(written):
        numbers = [int(part or 0) for part in re.split(rb"[;:]", match[1])]
        while numbers:
            first = numbers.pop(0)
            if first in (38, 48) and numbers[:1] == [5]:
                if numbers[1] not in GREYS:
                    found.add(f"{first};5;{numbers[1]}")
                del numbers[:2]
            elif first in (38, 48) and numbers[:1] == [2]:
                if len(set(numbers[1:4])) > 1:
                    found.add(f"{first};2;{numbers[1:4]}")
                del numbers[:4]
            elif first in (*range(31, 37), *range(41, 47), *range(91, 97), *range(101, 107)):
                found.add(str(first))
    return found


async def rendered(work: Path, room: str, text: str, size: tuple[int, int]) -> str:
    """The lines of a room as the app makes them, without a terminal."""
    os.environ.update(places(work))
    from fdi_tui.app import FdiApp
    from fdi_tui.sources import Sources

    app = FdiApp(Sources.usual(), room=room)
    async with app.run_test(size=size) as pilot:
        until = time.monotonic() + 20
        shown = ""
        while time.monotonic() < until and text not in shown:
            await pilot.pause(0.1)
            shown = _lines(app)
        await pilot.pause(1.0)
        return _lines(app)


def _lines(app: object) -> str:
    strips = app.screen._compositor.render_strips()  # type: ignore[attr-defined]
    return "\n".join("".join(segment.text for segment in strip) for strip in strips)


def captured(work: Path, room: str, text: str, size: tuple[int, int]) -> str:
    """The same in a tmux of its own."""
    server = ["tmux", "-L", f"fdi-benchmark-{os.getpid()}", "-f", "/dev/null"]
    variables = [f"{name}={value}" for name, value in places(work).items()]
    command = shlex.join(
        ["env", *variables, sys.executable, "-m", "fdi_keras", "dashboard", "--screen", room]
    )
    new = [*server, "new-session", "-d", "-x", str(size[0]), "-y", str(size[1]), command]
    subprocess.run(new, check=True, capture_output=True)
    try:
        until = time.monotonic() + 20
        shown = ""
        while time.monotonic() < until and text not in shown:
            time.sleep(0.2)
            shown = _capture(server)
        time.sleep(1.0)
        return _capture(server)
    finally:
        subprocess.run([*server, "kill-server"], capture_output=True)


def _capture(server: list[str]) -> str:
    return subprocess.run([*server, "capture-pane", "-p"], capture_output=True, text=True).stdout


def _plain(text: str) -> list[str]:
    """Lines without what fills them and what a clock says."""
    lines = [AGE.sub("AGE", line).rstrip() for line in text.rstrip().splitlines()]
    return [re.sub(r" +", " ", line) for line in lines]
