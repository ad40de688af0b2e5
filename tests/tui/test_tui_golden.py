"""Golden screens of recorded journals, at three sizes."""

import shutil
import tempfile
from pathlib import Path

import pytest
from screens import SIZES, check_golden, in_loop, settled, until, until_shown


@pytest.fixture
def state(state):
    """At a path that is as long everywhere, because screens show it and break it where they must."""
    with tempfile.TemporaryDirectory(prefix="pytest-fdi-", dir="/tmp") as folder:
        shutil.copytree(state, folder, dirs_exist_ok=True)
        yield Path(folder)


def learned_of(app):
    learned = app.screen._learned
    return learned.errors if learned else []


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("frozen_clock")
@in_loop
async def test_rooms_look_as_they_did(make_app, state, size):
    app = make_app(state)
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "R58M12ABCDE", "0123456789", "31.2 GB", "60 measurements")
        await settled(pilot)
        check_golden(app, "devices")
        await pilot.press("2")
        await until_shown(pilot, "local-litert-xnnpack", "finished")
        await until(pilot, lambda: len(learned_of(app)) == 3, "learning")
        await settled(pilot)
        check_golden(app, "campaign")
        for panel in ("failures", "events", "errors", "log"):
            if size == SIZES[0]:
                await pilot.press("o")
                await settled(pilot)
                check_golden(app, f"campaign-{panel}")
        await pilot.press("5")
        await until_shown(pilot, "with-the-library", "own")
        await settled(pilot)
        check_golden(app, "profiles")
        if size == SIZES[0]:
            await pilot.press("question_mark")
            await settled(pilot)
            check_golden(app, "help")
    assert app.faults == []
