"""The roofline in the room of rules: probes under roofs, by the place in the tree."""

import numpy as np
import pytest
from fdi_tui.data.profiles import rule_tree
from fdi_tui.data.roofs import Roofs
from fdi_tui.widgets.picture import Picture, Series
from fdi_tui.widgets.roofline_plot import RooflinePlot
from fdi_tui.widgets.ticks import log_ticks
from hypothesis import given
from hypothesis import strategies as st
from screens import SIZES, check_golden, in_loop, screen_text, settled, until, until_shown

from fdi_keras.profile import bundled_profiles, load_profile
from fdi_keras.profile.counted import two_number_profile

PROFILE = load_profile("x86-avx512-litert")


@given(st.floats(-9, 9), st.floats(0.01, 12), st.integers(1, 30))
def test_ticks_are_few_round_and_within(low, span, count):
    found = log_ticks(low, low + span, count)
    assert len(found) <= max(count, 1)
    assert all(low <= tick <= low + span for tick in found)
    for tick in found:
        assert round(10 ** (tick - np.floor(tick + 1e-9)), 6) in (1, 2, 5)


def test_every_probe_that_computes_is_drawn_once():
    roofs = Roofs(PROFILE)
    for kind in ("conv2d", "add", "concat"):
        model = PROFILE.models[kind]
        every = list(range(len(model.tree.leaves)))
        table = PROFILE.measurements[kind]
        own = roofs.of_kind(kind, every)
        assert len(own.x) == (0 if kind == "concat" else len(table))
        assert np.isfinite(own.x).all()
        assert np.isfinite(own.y).all()
        branches = [roofs.of_kind(kind, child.leaves) for child in rule_tree(model).children]
        assert sum(len(branch.x) for branch in branches) in (0, len(own.x))
        others = sum((t.times_ms(0.0) > 0).sum() for name, t in PROFILE.measurements.items() if name != kind)
        assert 0 < len(roofs.others(kind).x) <= others


def test_roofs_rise_and_then_are_level_above_nearly_all_probes():
    roofs = Roofs(PROFILE)
    far, near = roofs.roof(near=False), roofs.roof(near=True)
    assert (np.diff(far.y) >= -1e-12).all()
    assert 10 ** far.y[-1] == pytest.approx(roofs.roofline.flops_per_s)
    assert (near.y >= far.y - 1e-12).all()
    own = roofs.others("none")
    over = np.interp(own.x, near.x, near.y)
    assert np.mean(own.y <= over + 0.01) > 0.98


def test_what_is_said_of_a_kind():
    roofs = Roofs(PROFILE)
    assert "wait for memory; in the median they reach" in roofs.said(
        "add", range(len(PROFILE.models["add"].tree.leaves))
    )
    assert "No probe of add is here" in roofs.said("add", [])
    assert "reshape computes nothing" in roofs.said(
        "reshape", range(len(PROFILE.models["reshape"].tree.leaves))
    )


def test_two_numbers_are_roofs_without_probes():
    roofs = Roofs(two_number_profile(50, 10))
    assert roofs.roofline.flops_per_s == pytest.approx(50e9)
    assert roofs.roofline.bytes_per_s == pytest.approx(10e9)
    assert 10 ** roofs.roof(near=False).y[-1] == pytest.approx(50e9)
    assert "No probe of dense is here" in roofs.said("dense", [0])


@pytest.mark.parametrize("ascii", [False, True])
def test_a_logarithmic_picture_says_real_numbers(ascii):
    x = np.linspace(-1, 2, 50)
    picture = Picture(
        [Series("roof", x, x + 9)], x_name="FLOPs a byte", window=(-1, 2), cursor=1.0, logarithmic=True,
        zero=False, ascii=ascii,
    )  # fmt: skip
    lines = ["".join(text for text, _ in line) for line in picture.draw(60, 16).lines]
    assert "FLOPs a byte 10 " in lines[0]
    assert lines[-1].split()[0] == "0.1"
    assert lines[-1].endswith("FLOPs a byte")
    assert any("1e10" in line for line in lines)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.usefixtures("frozen_clock")
@in_loop
async def test_too_few_probes_are_shown_without_a_roof(make_app, state, size):
    app = make_app(state, "rules")
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "dense", "relu", "measured")
        await pilot.press("R")
        await until_shown(pilot, "too few", "FLOPs a byte")
        await settled(pilot)
        check_golden(app, "rules-roofline")
    assert app.faults == []


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
@in_loop
async def test_the_roofline_follows_the_tree_and_is_exported(make_app, state, size):
    PROFILE.save(state / "profiles" / "local.json")
    assert PROFILE.name in bundled_profiles()
    app = make_app(state, "rules")
    async with app.run_test(size=size) as pilot:
        await until_shown(pilot, "depthwise_conv2d", "measured")
        await pilot.press("R")
        await until_shown(pilot, "GFLOP/s and", "in caches", "of conv2d here")
        assert not app.screen.query_one("Setting").display
        plot = app.screen.query_one(RooflinePlot)
        before = len(plot.series[1].x)
        await pilot.press("j")
        await until(pilot, lambda: len(plot.series[1].x) < before, "another branch")
        assert len(plot.series[1].x) > 0
        plot.focus()
        await pilot.press("l", "l", "+")
        assert plot.cursor is not None
        heads, *rows = plot.exported()[1]
        assert heads == ["series", "FLOPs a byte", "FLOP/s"]
        assert all(x > 0 and y > 0 for _, x, y in rows)
        await pilot.press("R")
        await until_shown(pilot, "out_channels →")
        await pilot.press("v", "v")
        await until_shown(pilot, "GFLOP/s and", "FLOPs a byte")
        assert "fdi rules" in app.screen.command()
        assert "too few" not in screen_text(app)
    assert app.faults == []
