"""``fdi minima``: its arguments, its curve, its plot."""

import json

import numpy as np
import pytest

from fdi_keras.cli.curve import predicted_curve
from fdi_keras.cli.plot import Mark, plot
from fdi_keras.errors import UsageError
from fdi_keras.execution_time import (
    Condition,
    HeldOutError,
    Leaf,
    Split,
    TimeModel,
    Tree,
    latency_curve,
    time_minima,
)
from fdi_keras.operators import KINDS
from fdi_keras.profile import load_profile

DIMS = "in_channels=64,kernel=3,height=28,width=28"


def _model_with_dips():
    """dense is faster at multiples of 8, and costs a step more above 32."""
    fast = Leaf(0.001, {"flops": 1e-9}, samples=20, mape=0.02)
    slow = Leaf(0.010, {"flops": 1e-9}, samples=20, mape=0.02)
    late = Leaf(0.050, {}, samples=20, mape=0.02)
    dips = Split(Condition("out_channels", "multiple", 8), yes=fast, no=slow)
    root = Split(Condition("out_channels", "above", 32.5), yes=late, no=dips)
    ranges = dict.fromkeys(KINDS["dense"].dimensions, (0.0, 100.0))
    tree = Tree(["out_channels", "flops"], ["flops"], root)
    return TimeModel("dense", "paper", tree, ranges, HeldOutError(0.1, 0.5, 0.9, 5, 60))


def test_dips_are_strict_and_plateaus_end():
    curve = predicted_curve(_model_with_dips(), {"in_channels": 16}, "out_channels", range(1, 65), 0.25)
    strict = [curve.widths[at] for at in curve.strict]
    assert strict == [8, 16, 24, 32, 64]
    assert set(curve.strict) <= set(curve.minima)
    assert curve.fixed == {"rows": 1, "in_channels": 16, "activation": 0}
    assert curve.warnings == []


def test_outside_of_what_was_measured_is_warned_of():
    curve = predicted_curve(_model_with_dips(), {"in_channels": 200}, "out_channels", range(1, 9), 0)
    assert curve.warnings == ["in_channels 200 outside 0..100 measured; the prediction extrapolates"]


def test_json(fdi, small_profile):
    answer = fdi(
        "minima", small_profile, "--kind", "conv2d", "--set", DIMS, "--vary", "out_channels=4:64:4", "--json"
    )
    assert answer.err == ""
    document = json.loads(answer.out)
    widths = list(range(4, 65, 4))
    fixed = {"in_channels": 64, "kernel": 3, "height": 28, "width": 28}
    times = latency_curve(load_profile(small_profile).models["conv2d"], fixed, "out_channels", widths)
    assert document["widths"] == widths
    assert document["times_ms"] == times.tolist()
    assert document["free"] == 0.25
    assert document["fixed"] == {
        **{**fixed, "stride": 1, "padding": 1, "activation": 1},
        **{"kernel_width": 0, "stride_width": 0, "dilation": 1},
    }
    expected = np.array(widths)[time_minima(widths, times, free=0.25) | time_minima(widths, times)]
    assert [m["width"] for m in document["minima"]] == expected.tolist()


@pytest.mark.parametrize("columns", ["80", "160"])
def test_for_people(fdi, small_profile, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    answer = fdi("minima", small_profile, "--kind", "conv2d", "--set", DIMS, "--vary", "out_channels=1:128")
    assert answer.status == 0
    assert max(map(len, answer.out.splitlines())) <= int(columns)
    assert "conv2d by out_channels" in answer.out
    assert "height 28, width 28, in_channels 64" in answer.out
    assert "└" in answer.out


def test_marks_and_their_table(fdi, small_profile, monkeypatch):
    monkeypatch.setattr("fdi_keras.cli.rules.model_of", lambda profile, kind: _model_with_dips())
    out = fdi(
        "minima", small_profile, "--kind", "dense", "--set", "in_channels=16", "--vary", "out_channels=1:60"
    ).out
    assert out.count("◆") >= 8  # four dips in the plot and in the table, and the explanation
    assert "+" in out
    words = " ".join(out.split())
    assert "◆ 8 1 us" in words
    none = fdi(
        "minima", small_profile, "--kind", "dense", "--set", "in_channels=16", "--vary", "out_channels=9:15",
        "--free", "0",
    )  # fmt: skip
    assert none.status == 0
    assert "No time minimum here" in none.out


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--set", "in_channels=64", "--vary", "out_channels=1:9"], "conv2d needs height, width, kernel"),
        (["--set", "in_channels", "--vary", "out_channels=1:9"], "--set expects name=number"),
        (["--set", "in_channels=", "--vary", "out_channels=1:9"], "needs a whole number"),
        (["--set", "in_channels=-3", "--vary", "out_channels=1:9"], "needs a whole number"),
        (["--set", "in_channels=1_000", "--vary", "out_channels=1:9"], "needs a whole number"),
        (["--set", "kernel=3,kernel=5", "--vary", "out_channels=1:9"], "gives kernel twice"),
        (["--set", "in_channels=0,kernel=3,height=4,width=4", "--vary", "out_channels=1:9"], "at least 1"),
        (["--set", DIMS + ",padding=2", "--vary", "out_channels=1:9"], "padding must be 0 or 1"),
        (["--set", DIMS + ",padding=odd", "--vary", "out_channels=1:9"], "needs a whole number"),
        (["--set", "foo=3", "--vary", "out_channels=1:9"], "has no dimension foo"),
        (["--vary", "foo=1:9"], "has no dimension 'foo'"),
        (["--vary", "out_channels"], "--vary expects"),
        (["--vary", "out_channels=5"], "--vary expects"),
        (["--vary", "out_channels=1:2:3:4"], "--vary expects"),
        (["--vary", "out_channels=9:1"], "needs 1 <= first < last"),
        (["--vary", "out_channels=0:9"], "needs 1 <= first < last"),
        (["--vary", "out_channels=1:9:0"], "a step of at least 1"),
        (["--vary", "out_channels=1:99999999"], "more than 10000 values"),
        (["--set", DIMS + ",out_channels=3", "--vary", "out_channels=1:9"], "both by --set and by --vary"),
        (["--set", DIMS, "--vary", "padding=1:2"], "padding is off or on"),
        (
            ["--set", "in_channels=8,kernel=9,height=4,width=4,padding=valid", "--vary", "out_channels=1:9"],
            "fit",
        ),
        (["--set", DIMS, "--vary", "out_channels=1:9", "--free", "1"], "range"),
        (["--set", DIMS, "--vary", "out_channels=1:9", "--free", "nan"], "no finite number"),
        (["--set", DIMS], "missing option '--vary'"),
    ],
)
def test_wrong_use(fdi, small_profile, args, says):
    answer = fdi("minima", small_profile, "--kind", "conv2d", *args)
    assert answer.status == 2
    assert answer.out == ""
    assert says in answer.err
    assert answer.err.count("\n") == 1


def test_plot_keeps_its_size_and_shows_every_mark():
    x = list(range(1, 129))
    y = [1.0 + n // 16 for n in x]
    marks = {at: Mark("●", "green") for at in range(14, 128, 16)}
    lines = plot(x, y, marks, width=80, height=12)
    assert len(lines) == 14
    assert max(len(line) for line in lines) <= 80
    assert "".join(line.plain for line in lines).count("●") == len(marks)


def test_plot_of_a_flat_line():
    lines = plot([1, 2], [0.5, 0.5], {}, width=40, height=4, unicode=False)
    assert sum("*" in line.plain for line in lines) == 1


def test_a_curve_that_cannot_be():
    with pytest.raises(UsageError, match="in_channels"):
        predicted_curve(_model_with_dips(), {}, "out_channels", range(1, 9), 0)
