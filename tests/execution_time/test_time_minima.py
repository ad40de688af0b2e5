import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

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
from fdi_keras.operators.kinds import EXPLANATORY, get_kind

WIDTHS = np.arange(1, 65)


def found(times, reach=None, widths=WIDTHS, free=0.0):
    return widths[time_minima(widths, times, reach, free)].tolist()


@given(st.floats(0, 10), st.floats(0.01, 10), st.sampled_from([None, 1, 4, 100]))
def test_a_ramp_has_none(start, slope, reach):
    assert found(start + slope * WIDTHS, reach) == []


def test_dips_on_a_ramp_are_found():
    times = WIDTHS * np.where(WIDTHS % 4 == 0, 0.7, 1.0) + 1
    assert found(times) == list(range(4, 65, 4))


def test_plateaus_report_their_end():
    times = np.ceil(WIDTHS / 16)
    assert found(times) == [16, 32, 48, 64]
    # Rounding within a plateau is no step.
    assert found(times * (1 + 1e-13 * (WIDTHS % 3))) == [16, 32, 48, 64]


def test_the_way_back_up_from_a_dip_is_no_minimum():
    assert found([10.0, 5.0, 6.0, 7.0, 8.0], widths=np.arange(1, 6)) == [2]


def test_the_ends():
    assert found([3.0, 2.0], widths=np.array([8, 9])) == [9]
    assert found([2.0, 3.0], widths=np.array([8, 9])) == []
    assert found([2.0], widths=np.array([8])) == []
    assert found([], widths=np.array([], int)) == []


def test_a_longer_reach_keeps_the_deeper_dips():
    times = WIDTHS * np.where(WIDTHS % 4 == 0, 0.99, 1.0) * np.where(WIDTHS == 32, 0.7, 1.0)
    assert 28 in found(times * 0.5 + 100 - WIDTHS * 0.49)
    assert found(times, reach=8) == [32]
    assert found([3.0, 2.0, 3.0], reach=4, widths=np.array([8, 16, 24])) == []
    assert found([3.0, 2.0, 3.0], reach=8, widths=np.array([8, 16, 24])) == [16]


def test_nearly_free_channels_make_a_plateau():
    # Blocks of 16, and in them 0.04 % a channel: what XNNPACK does on x86.
    times = np.ceil(WIDTHS / 16) * (1 + 0.0004 * ((WIDTHS - 1) % 16))
    assert found(times, free=0.1) == [16, 32, 48, 64]
    assert found(0.1 * WIDTHS, free=0.1) == []


@given(st.lists(st.integers(1, 6), min_size=1, max_size=30), st.sampled_from([None, 1, 2, 5]))
def test_the_definition(times, reach):
    widths = np.arange(10, 10 + len(times))
    mask = time_minima(widths, np.array(times, float), reach)
    for i in range(len(times)):
        near = times[max(0, i - (reach or 1)) : i]
        expected = bool(near) and times[i] <= min(near) and (i + 1 == len(times) or times[i + 1] > times[i])
        assert mask[i] == expected


@pytest.mark.parametrize(
    ("widths", "times", "reach", "text"),
    [
        ([1, 2], [1.0], None, "same shape"),
        ([2, 1], [1.0, 2.0], None, "ascend"),
        ([1, 1], [1.0, 2.0], None, "ascend"),
        ([0, 2], [1.0, 2.0], None, "positive"),
        ([1, 2], [1.0, 2.0], 0, "reach must be at least 1"),
    ],
)
def test_wrong_arguments(widths, times, reach, text):
    with pytest.raises(ValueError, match=text):
        time_minima(widths, times, reach)


def test_latency_curve():
    kind = get_kind("depthwise_conv2d")
    fast, slow = (Leaf(0.1, {"flops": w}, samples=9, mape=0.01) for w in (1e-6, 2e-6))
    tree = Tree(
        list(kind.features), list(EXPLANATORY), Split(Condition("channels", "multiple", 8.0), fast, slow)
    )
    model = TimeModel("depthwise_conv2d", "paper", tree, {}, HeldOutError(0.05, 0.5, 0.9, 5, 100))
    fixed = {"height": 14, "width": 14, "kernel": 3}
    curve = latency_curve(model, fixed, "channels", WIDTHS)
    assert curve.shape == WIDTHS.shape
    assert curve[7] == pytest.approx(0.1 + 1e-6 * 2 * 14 * 14 * 9 * 8)
    assert found(curve) == list(range(8, 65, 8))
    with pytest.raises(UsageError, match="depthwise_conv2d has no dimension 'out_channels'"):
        latency_curve(model, fixed, "out_channels", WIDTHS)


@pytest.mark.parametrize("free", [-0.1, 1.0])
def test_free_has_limits(free):
    with pytest.raises(ValueError, match="free must be at least 0 and below 1"):
        time_minima([1, 2], [1.0, 2.0], free=free)
