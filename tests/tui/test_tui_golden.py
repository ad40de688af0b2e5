"""Golden screens of recorded journals, at three sizes."""

import pytest
from screens import SIZES, check_golden, in_loop, settled, until_shown


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("frozen_clock")
@in_loop
async def test_rooms_look_as_they_did(make_app, state, size):
    app = make_app(state)
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "R58M12ABCDE", "0123456789", "31.2 GB", "60 measurements")
        await settled(pilot)
        check_golden(app, "devices")
        await pilot.press("5")
        await until_shown(pilot, "with-the-library", "own")
        await settled(pilot)
        check_golden(app, "profiles")
        await pilot.press("question_mark")
        await settled(pilot)
        check_golden(app, "help")
    assert app.faults == []
