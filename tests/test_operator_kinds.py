"""FLOPs, memory and parameters by hand-computed cases for each kind."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdi_keras.errors import UsageError
from fdi_keras.operators import EXPLANATORY, KINDS, Operator, get_kind
from fdi_keras.operators.kinds import CHOICES, ELEMENTWISE

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
    ("mul", {"height": 2, "width": 2, "channels": 3, "constant": 1}, 12, 60, 48, 0),
    ("concat", {"height": 2, "width": 2, "channels": 3}, 0, 48, 48, 0),
    ("pad", {"height": 2, "width": 2, "channels": 3}, 0, 48, 192, 0),
    ("softmax", {"channels": 10}, 50, 40, 40, 0),
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
    ("conv2d", {"height": 1, "width": 10, "in_channels": 2, "out_channels": 4, "kernel": 1, "kernel_width": 5,
                "padding": 0}, 2 * 6 * 5 * 2 * 4, 80, 96, 44),
    ("conv2d", {"height": 9, "width": 9, "in_channels": 1, "out_channels": 1, "kernel": 3, "dilation": 2,
                "padding": 0}, 2 * 25 * 9, 324, 100, 10),
    ("conv2d", {"height": 8, "width": 8, "in_channels": 1, "out_channels": 1, "kernel": 1, "stride": 2,
                "stride_width": 4}, 2 * 4 * 2, 256, 32, 2),
    ("grouped_conv2d", {"height": 4, "width": 4, "in_channels": 6, "out_channels": 12, "kernel": 3, "groups": 3},
     2 * 16 * 9 * 2 * 12, 384, 768, 9 * 2 * 12 + 12),
    ("transposed_conv2d", {"height": 4, "width": 4, "in_channels": 3, "out_channels": 5, "kernel": 3},
     2 * 16 * 9 * 15, 192, 4 * 64 * 5, 9 * 15 + 5),
    ("transposed_conv2d", {"height": 4, "width": 4, "in_channels": 1, "out_channels": 1, "kernel": 3, "padding": 0},
     2 * 16 * 9, 64, 4 * 81, 10),
    ("depthwise_conv2d", {"height": 4, "width": 4, "channels": 3, "kernel": 3, "multiplier": 2},
     2 * 16 * 9 * 6, 192, 384, 60),
    ("max_pool2d", {"height": 1, "width": 9, "channels": 2, "kernel": 1, "kernel_width": 3, "stride": 3},
     3 * 3 * 2, 72, 24, 0),
    ("batch_matmul", {"batch": 2, "rows": 3, "in_channels": 4, "out_channels": 5},
     2 * 2 * 3 * 4 * 5, 4 * 2 * (12 + 20), 4 * 2 * 15, 0),
    ("gather", {"rows": 3, "channels": 8, "entries": 100}, 0, 12, 96, 24),
    ("mean", {"height": 7, "width": 7, "channels": 10, "over": 1}, 490, 1960, 196, 0),
    ("sum", {"height": 7, "width": 5, "channels": 10, "over": 2}, 350, 1400, 280, 0),
    ("reduce_max", {"channels": 10, "width": 4}, 40, 160, 40, 0),
    ("mul", {"height": 2, "width": 2, "channels": 3, "broadcast": 1}, 12, 60, 48, 0),
    ("add", {"height": 2, "width": 2, "channels": 3, "broadcast": 2}, 12, 64, 48, 0),
    ("sub", {"height": 2, "width": 2, "channels": 3, "constant": 1, "broadcast": 3}, 12, 52, 48, 0),
    ("div", {"height": 2, "width": 2, "channels": 3, "constant": 1, "broadcast": 0}, 12, 96, 48, 0),
    ("maximum", {"height": 2, "width": 2, "channels": 3, "broadcast": 4}, 12, 28, 48, 0),
    ("minimum", {"channels": 3}, 3, 24, 12, 0),
    ("squared_difference", {"channels": 3}, 3, 24, 12, 0),
    ("prelu", {"height": 2, "width": 2, "channels": 3}, 24, 48, 48, 3),
    ("prelu", {"height": 2, "width": 2, "channels": 3, "shared": 0}, 24, 48, 48, 12),
    ("compare", {"channels": 3}, 3, 24, 3, 0),
    ("select", {"channels": 3}, 3, 27, 12, 0),
    ("select", {"channels": 3, "broadcast": 1}, 3, 15, 12, 0),
    ("cast", {"channels": 3}, 3, 12, 12, 0),
    ("split", {"channels": 4}, 0, 16, 16, 0),
    ("slice", {"height": 2, "width": 2, "channels": 4}, 0, 64, 64, 0),
    ("transpose", {"width": 2, "channels": 4, "order": 1}, 0, 32, 32, 0),
    ("reshape", {"channels": 4}, 0, 16, 16, 0),
    ("tile", {"channels": 4, "times": 3}, 0, 16, 48, 0),
    ("resize_bilinear", {"height": 2, "width": 2, "channels": 3, "out_height": 4, "out_width": 4},
     6 * 48, 48, 192, 0),
    ("resize_nearest", {"height": 2, "width": 2, "channels": 3, "out_height": 4, "out_width": 4}, 0, 48, 192, 0),
    ("gelu", {"channels": 10}, 10, 40, 40, 0),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "dims", "flops", "read", "written", "parameters"), CASES)
def test_by_hand(kind, dims, flops, read, written, parameters):
    full = KINDS[kind].complete(dims)
    explained = Operator(kind, full).explained
    assert explained["flops"] == flops
    assert (explained["memory_in"], explained["memory_out"]) == (read, written)
    assert explained["parameters"] == parameters


def test_every_kind_has_a_case_or_is_elementwise():
    assert set(KINDS) - {c[0] for c in CASES} <= set(ELEMENTWISE)


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_more_channels_never_mean_less_work(name, data):
    kind = KINDS[name]
    dims = {d: data.draw(st.integers(7, 40), label=d) for d in kind.dimensions}
    for flag, ways in CHOICES.items():
        if flag in dims:
            dims[flag] = data.draw(st.integers(0, ways - 1))
    if "kernel" in dims:
        dims |= {"kernel": data.draw(st.integers(1, 7)), "stride": data.draw(st.integers(1, 3))}
        dims |= {"kernel_width": data.draw(st.integers(0, 7)), "stride_width": data.draw(st.integers(0, 3))}
    if "dilation" in dims:
        dims["dilation"] = 1
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


def test_a_window_is_written_in_one_way():
    kind = KINDS["conv2d"]
    image = {"height": 1, "width": 12, "in_channels": 2, "out_channels": 2, "padding": 0}
    row = kind.canonical(
        kind.complete({**image, "kernel": 1, "kernel_width": 3, "stride": 1, "stride_width": 2})
    )
    assert (row["stride"], row["stride_width"], row["kernel_width"]) == (2, 0, 3)
    square = kind.canonical(
        kind.complete({**image, "height": 9, "kernel": 3, "kernel_width": 3, "stride_width": 1})
    )
    assert (square["kernel_width"], square["stride_width"]) == (0, 0)
    assert kind.canonical(kind.complete({**image, "kernel": 1, "dilation": 2}))["dilation"] == 1
    whole = KINDS["transposed_conv2d"]
    assert whole.canonical(whole.complete({**image, "kernel": 2, "stride": 2, "padding": 1}))["padding"] == 0
    assert whole.canonical(whole.complete({**image, "kernel": 3, "stride": 2, "padding": 1}))["padding"] == 1


def test_a_constant_is_a_vector_over_the_channels_unless_said_otherwise():
    assert KINDS["mul"].complete({"channels": 3, "constant": 1})["broadcast"] == 1
    assert KINDS["mul"].complete({"channels": 3, "constant": 1, "broadcast": 0})["broadcast"] == 0
    assert KINDS["mul"].complete({"channels": 3})["broadcast"] == 0


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_two_ways_to_write_an_operator_cost_the_same(name, data):
    kind = KINDS[name]
    dims = {d: data.draw(st.integers(1, 9), label=d) for d in kind.dimensions}
    dims |= {n: data.draw(st.integers(0, w - 1), label=n) for n, w in CHOICES.items() if n in dims}
    for zero in ("kernel_width", "stride_width"):
        if zero in dims:
            dims[zero] = data.draw(st.integers(0, 9), label=zero)
    dims |= {"padding": 1} if "padding" in dims else {}
    once = kind.canonical(dims)
    assert kind.canonical(once) == once
    # How many pieces there are is counted for the canonical form only.
    compared = [i for i, name in enumerate(EXPLANATORY) if name != "memory_internal" or "kernel" in dims]
    assert np.array_equal(kind.explain(once)[:, compared], kind.explain(dims)[:, compared])


def test_pieces_are_counted():
    def pieces(kind, **dims):
        return (
            Operator(kind, KINDS[kind].complete({"height": 4, "width": 5, "channels": 6, **dims})).explained[
                "memory_internal"
            ]
            / 4
        )

    assert pieces("mul") == pieces("mul", constant=1, broadcast=3) == 0
    assert pieces("mul", broadcast=1) == pieces("mul", broadcast=2) == 20
    assert (pieces("mean"), pieces("mean", over=1), pieces("mean", over=2)) == (0, 20, 4)
    assert (pieces("concat", inputs=3), pieces("split", outputs=2)) == (60, 40)
    assert (pieces("slice"), pieces("slice", stride=2)) == (4, 120)
    assert (pieces("transpose"), pieces("transpose", order=1)) == (20, 120)
    assert (pieces("tile", times=3), pieces("pad")) == (12, 4)
