"""FLOPs, memory and parameters by hand-computed cases for each kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdi_keras.errors import UsageError
from fdi_keras.operators import EXPLANATORY, KINDS, Operator, get_kind

#: kind, dimensions, FLOPs, bytes read, bytes written, parameters.
CASES = [
    ("conv2d", {"height": 8, "width": 8, "in_channels": 3, "out_channels": 5, "kernel": 3},
     2 * 64 * 27 * 5, 768, 1280, 140),
    ("conv2d", {"height": 8, "width": 6, "in_channels": 2, "out_channels": 4, "kernel": 3, "stride": 2, "padding": 0},
     2 * 3 * 2 * 18 * 4, 384, 96, 76),
    ("depthwise_conv2d", {"height": 8, "width": 8, "channels": 4, "kernel": 3, "stride": 2},
     2 * 16 * 9 * 4, 1024, 256, 40),
    ("dense", {"in_channels": 10, "out_channels": 3}, 60, 40, 12, 33),
    ("dense", {"rows": 4, "in_channels": 10, "out_channels": 3}, 240, 160, 48, 33),
    ("max_pool2d", {"height": 8, "width": 8, "channels": 2, "kernel": 2, "stride": 2}, 16 * 4 * 2, 512, 128, 0),
    ("average_pool2d", {"height": 7, "width": 7, "channels": 2, "kernel": 3, "stride": 2}, 9 * 9 * 2, 392, 72, 0),
    ("mean", {"height": 7, "width": 7, "channels": 10}, 490, 1960, 40, 0),
    ("add", {"height": 2, "width": 2, "channels": 3}, 12, 96, 48, 0),
    ("mul", {"height": 2, "width": 2, "channels": 3, "constant": 1}, 12, 60, 48, 3),
    ("concat", {"height": 2, "width": 2, "channels": 3}, 0, 48, 48, 0),
    ("pad", {"height": 2, "width": 2, "channels": 3}, 0, 48, 192, 0),
    ("softmax", {"channels": 10}, 50, 40, 40, 0),
    ("gelu", {"channels": 10}, 10, 40, 40, 0),
    # 4 gates, 5 steps, 3 inputs, 2 units: products of 8 x 3 and 8 x 2, and 18 FLOPs an element.
    ("lstm_while", {"steps": 5, "in_channels": 3, "units": 2}, 5 * (2 * 8 * 5 + 36), 60, 8, 8 * 6),
    ("lstm_while", {"steps": 5, "in_channels": 3, "units": 2, "outputs": 5},
     5 * (2 * 8 * 5 + 36), 60, 40, 8 * 6),
    ("gru_while", {"steps": 5, "in_channels": 3, "units": 2}, 5 * (2 * 6 * 5 + 32), 60, 8, 6 * 7),
    # Unrolled the first step has no state to multiply, and every product has its own weights.
    ("lstm_unrolled", {"steps": 5, "in_channels": 3, "units": 2},
     2 * 8 * (5 * 3 + 4 * 2) + 5 * 36, 60, 40, 8 * (5 * 3 + 4 * 2) + 5 * 8),
    ("gru_unrolled", {"steps": 5, "in_channels": 3, "units": 2},
     2 * 6 * (5 * 3 + 4 * 2) + 5 * 32, 60, 40, 6 * (5 * 3 + 4 * 2) + 5 * 12),
    ("reverse", {"steps": 5, "channels": 3}, 0, 60, 60, 0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "dims", "flops", "read", "written", "parameters"), CASES)
def test_by_hand(kind, dims, flops, read, written, parameters):
    full = KINDS[kind].complete(dims)
    explained = Operator(kind, full).explained
    assert explained["flops"] == flops
    assert (explained["memory_in"], explained["memory_out"]) == (read, written)
    assert explained["parameters"] == parameters


def test_every_kind_has_a_case_or_is_elementwise():
    assert set(KINDS) - {c[0] for c in CASES} <= {
        "relu",
        "relu6",
        "logistic",
        "tanh",
        "hard_swish",
        "elu",
        "leaky_relu",
    }


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_more_channels_never_mean_less_work(name, data):
    kind = KINDS[name]
    dims = {d: data.draw(st.integers(7, 40), label=d) for d in kind.dimensions}
    for flag in ("padding", "activation", "constant"):
        if flag in dims:
            dims[flag] = data.draw(st.integers(0, 1))
    if "kernel" in dims:
        dims |= {"kernel": data.draw(st.integers(1, 7)), "stride": data.draw(st.integers(1, 3))}
    wider = {**dims, kind.channels[-1]: dims[kind.channels[-1]] + 1}
    assert (kind.explain(wider) >= kind.explain(dims)).all()
    assert kind.matrix(dims).shape == (1, len(kind.dimensions) + len(EXPLANATORY))


def test_wrong_dimensions_are_named():
    with pytest.raises(UsageError, match="no dimension colour"):
        get_kind("dense").complete({"colour": 1})
    with pytest.raises(UsageError, match="needs out_channels"):
        get_kind("dense").complete({"in_channels": 1})
    with pytest.raises(UsageError, match="unknown operator kind"):
        get_kind("conv3d")


def test_same_padding_that_pads_nothing_is_valid():
    kind = KINDS["conv2d"]
    dims = kind.complete({"height": 8, "width": 8, "in_channels": 1, "out_channels": 1, "kernel": 1})
    assert kind.canonical(dims)["padding"] == 0
    assert kind.canonical({**dims, "kernel": 3})["padding"] == 1
    assert np.array_equal(kind.explain(dims), kind.explain(kind.canonical(dims)))
