"""Screens as text: reading them, waiting for something in them, comparing them with golden ones.

``FDI_GOLDEN=write pytest tests/tui`` writes the golden screens anew; look at them before you keep them.
"""

import asyncio
import functools
import os
import re
import time
from pathlib import Path

GOLDEN = Path(__file__).parent / "golden"
SIZES = [(80, 24), (120, 40), (200, 60)]


def in_loop(test):
    """Runs an async test to its end in an event loop of its own."""

    @functools.wraps(test)
    def run(*args, **kwargs):
        asyncio.run(test(*args, **kwargs))

    return run


def screen_text(app):
    """The lines of the screen, without what only fills them."""
    lines = ("".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips())
    return "\n".join(line.rstrip() for line in lines).rstrip() + "\n"


async def until(pilot, condition, what="", seconds=20.0):
    """Wait until something holds; fails with the screen as it is then."""
    end = time.monotonic() + seconds
    while True:
        await pilot.pause()
        if condition():
            return
        assert time.monotonic() < end, f"{what or 'it'} did not come about:\n{screen_text(pilot.app)}"
        await asyncio.sleep(0.02)


async def until_shown(pilot, *words, seconds=20.0):
    """Wait until all these words are on the screen."""
    await until(pilot, lambda: all(w in screen_text(pilot.app) for w in words), " ".join(words), seconds)


async def settled(pilot, seconds=10.0):
    """Wait until the screen does not change any more."""
    before, same = "", 0
    end = time.monotonic() + seconds
    while same < 3 and time.monotonic() < end:
        await pilot.pause()
        await asyncio.sleep(0.1)
        now = screen_text(pilot.app)
        before, same = now, same + 1 if now == before else 0


def check_golden(app, name):
    """The screen must be the golden one of this name and the terminal's size."""
    width, height = app.size
    path = GOLDEN / f"{name}-{width}x{height}.txt"
    text = re.sub(
        r"/\S*pytest\S*", lambda found: "PATH".ljust(len(found[0]))[: len(found[0])], screen_text(app)
    )
    text = "\n".join(line.rstrip() for line in text.splitlines()) + "\n"
    if os.environ.get("FDI_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"no golden screen {path.name}; FDI_GOLDEN=write makes it"
    assert text == path.read_text(), f"{path.name} is not what is shown:\n{text}"
