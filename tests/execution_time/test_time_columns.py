"""Columns, the search for them, and intervals."""

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdi_keras.execution_time import Condition, Leaf, Split, Tree, fit_time_model
from fdi_keras.execution_time.columns import Column, compute, knows, parse
from fdi_keras.execution_time.discovery import discover
from fdi_keras.execution_time.intervals import combined, with_intervals
from fdi_keras.operators import EXPLANATORY, KINDS
from fdi_keras.operators.windows import fits, output_size, same_padding, sides

CONV = KINDS["conv2d"]


@given(
    st.sampled_from(["flops", "out_channels", "pixels"]),
    st.sampled_from(["", "in_channels"]),
    st.dictionaries(st.sampled_from(["", "in_channels", "pixels"]), st.integers(2, 99)),
)
def test_a_name_says_what_the_column_is(base, per, tiles):
    column = Column(base, per, tuple(tiles.items()))
    assert parse(column.name) == column


@pytest.mark.parametrize(
    "name", ["flops@", "flops@1", "flops@x", "flops@16,16", "flops@:7", "flops/", "speed", "flops@kernel:2",
             "height@2", "flops/kernel", "flops/in_channels@in_channels:4", "out_channels@in_channels:4"]
)  # fmt: skip
def test_what_is_no_column_is_not_known(name):
    assert not knows(CONV, name)


def test_pixels_are_those_of_the_output():
    dims = {
        "height": np.array([8, 7, 1]), "width": 7, "in_channels": 3, "out_channels": 17,
        "kernel": 1, "stride": np.array([2, 1, 7]), "padding": 1, "activation": 0,
    }  # fmt: skip
    names = ["pixels", "flops@16,pixels:7", "flops/in_channels", "parameters@16", "out_channels@16"]
    found = compute(CONV, dims, names)
    assert found["pixels"].tolist() == [16, 49, 1]
    assert found["flops@16,pixels:7"].tolist() == [2 * 21 * 3 * 32, 2 * 49 * 3 * 32, 2 * 7 * 3 * 32]
    assert found["flops/in_channels"].tolist() == [2 * 16 * 17, 2 * 49 * 17, 2 * 17]
    assert found["parameters@16"].tolist() == [3 * 32 + 32]
    assert found["out_channels@16"].tolist() == [32]


@given(st.sampled_from(["gru_while", "lstm_unrolled"]), st.integers(1, 600), st.sampled_from([4, 16, 32, 64]))
def test_blocks_of_gates_hold_whole_gates(kind, units, tile):
    gates = KINDS[kind].gates
    dims = {"steps": 2, "in_channels": 1, "units": np.array([units])}
    names = [f"gates@gates:{tile}", f"parameters@gates:{tile}"]
    full = {**KINDS[kind].defaults, **dims}
    rounded = compute(KINDS[kind], full, names)
    blocks = -(-gates * units // tile)
    assert rounded[names[0]][0] == blocks * tile  # exactly: conditions ask for its divisors
    exact = KINDS[kind].explain({**full, "units": blocks * tile / gates})[0, EXPLANATORY.index("parameters")]
    assert rounded[names[1]][0] == pytest.approx(exact)


@given(
    st.integers(1, 12), st.integers(1, 12), st.integers(1, 5), st.integers(0, 5), st.integers(1, 4), st.integers(0, 3),
    st.integers(1, 3), st.booleans(),
)  # fmt: skip
def test_what_windows_see_is_counted_pixel_by_pixel(
    height, width, kernel, second, stride, other, dilation, same
):
    dims = {"height": height, "width": width, "in_channels": 3, "out_channels": 2, "kernel": kernel, "stride": stride,
            "kernel_width": second, "stride_width": other, "dilation": dilation, "padding": int(same)}  # fmt: skip
    if not fits(dims):
        return
    counted = 1
    for size, side in zip((height, width), sides(dims), strict=True):
        places = int(output_size(size, side.span, side.stride, int(same)))
        before = same_padding(size, int(side.span), int(side.stride))[0] if same else 0
        looks = (
            (at * side.stride - before + tap * dilation)
            for at in range(places)
            for tap in range(int(side.kernel))
        )
        counted *= sum(0 <= place < size for place in looks)
    (seen,) = compute(CONV, {**CONV.defaults, **dims}, ["memory_seen"]).values()
    assert seen.tolist() == [4 * 3 * counted]


def test_skipped_is_what_lies_between_windows():
    size = {"height": 9, "width": 9, "channels": 4, "padding": 0}
    windows = {
        "kernel": np.array([1, 2, 3, 1]),
        "stride": np.array([2, 2, 2, 1]),
        "stride_width": np.array([0, 0, 4, 3]),
    }
    (skipped,) = compute(KINDS["max_pool2d"], {**size, **windows, "kernel_width": 0}, ["skipped"]).values()
    assert skipped.tolist() == [2, 0, 1, 2]
    kernels = {"kernel": np.array([1, 3, 3]), "kernel_width": np.array([7, 0, 1]), "stride": 1}
    (window,) = compute(KINDS["max_pool2d"], {**size, **kernels, "stride_width": 0}, ["window"]).values()
    assert window.tolist() == [7, 9, 3]
    assert not knows(KINDS["dense"], "skipped")
    assert not knows(KINDS["transposed_conv2d"], "skipped")


def test_only_recurrent_kinds_have_gates():
    assert knows(KINDS["gru_while"], "flops@gates:32")
    assert not knows(KINDS["gru_while"], "flops@32,gates:32")
    assert not knows(CONV, "flops@gates:32")
    assert not knows(KINDS["gru_while"], "in_channels@gates:32")
    assert not knows(KINDS["gru_while"], "units@gates:32")
    assert not knows(KINDS["dense"], "gates")


def library(rows=260, pixels=1, channels=1, seed=0):
    """Times of a library that computes so many pixels and output channels at once."""
    rng = np.random.default_rng(seed)
    dims = {
        "height": rng.integers(1, 13, rows),
        "width": rng.integers(1, 13, rows),
        "in_channels": rng.integers(1, 129, rows),
        "out_channels": rng.integers(1, 161, rows),
        "kernel": rng.choice([1, 3], rows),
        "stride": np.ones(rows),
        "padding": np.ones(rows),
        "activation": np.zeros(rows),
    }
    tiles = [("", channels)] * (channels > 1) + [("pixels", pixels)] * (pixels > 1)
    work = Column("flops", "", tuple(tiles)).name
    columns = compute(CONV, dims, [work, "memory_in"])
    times = 1e-4 + 1e-8 * columns[work] + 1e-7 * columns["memory_in"]
    return dims, times * rng.normal(1.0, 0.01, rows)


@pytest.mark.parametrize(("pixels", "channels"), [(7, 16), (4, 8)])
def test_tiles_of_pixels_and_channels_are_found(pixels, channels):
    dims, times = library(pixels=pixels, channels=channels)
    assert f"flops@{channels},pixels:{pixels}" in discover(CONV, dims, times, np.arange(len(times)))


def test_where_nothing_is_computed_in_blocks_no_tile_is_taken():
    for seed in range(3):
        dims, times = library(seed=seed)
        found = discover(CONV, dims, times, np.arange(len(times)))
        assert found[:6] == (*EXPLANATORY, "pixels")
        assert not any(parse(name).tiles for name in found)


def test_intervals_contain_nine_of_ten_fresh_measurements():
    rng = np.random.default_rng(0)
    dims, exact = library(rows=600)
    times = exact * np.exp(rng.normal(0.0, 0.05, len(exact)))
    known = np.arange(len(times)) < 300
    model = fit_time_model("conv2d", {n: c[known] for n, c in dims.items()}, times[known], folds=3)
    rest = {name: column[~known] for name, column in dims.items()}
    low, high = model.interval_of(rest)
    ratio = times[~known] / model.predict_ms(rest)
    assert 0.85 <= np.mean((low <= ratio) & (ratio <= high)) <= 0.96
    assert (low <= 1).all()
    assert (high >= 1).all()
    again = msgspec.json.decode(msgspec.json.encode(model), type=type(model))
    np.testing.assert_array_equal(again.interval_of(rest)[0], low)


@given(st.lists(st.floats(0.1, 10), min_size=10, max_size=60), st.integers(0, 9))
def test_an_interval_contains_its_prediction_and_lies_within_what_was_seen(ratios, seed):
    split = Split(Condition("x", "above", 1.0), yes=Leaf(1.0, {}, 3, 0.0), no=Leaf(2.0, {}, 3, 0.0))
    leaf = np.random.default_rng(seed).integers(0, 2, len(ratios))
    tree = with_intervals(Tree(["x"], [], split), leaf, np.array(ratios))
    tree.validate()
    for rule in tree.leaves:
        assert min(1.0, *ratios) <= rule.leaf.low <= 1.0 <= rule.leaf.high <= max(1.0, *ratios)


def test_few_rows_say_nothing_about_an_interval():
    tree = Tree(["x"], [], Leaf(1.0, {}, 3, 0.0))
    assert with_intervals(tree, np.zeros(9, int), np.ones(9)).root.low is None


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 9), st.floats(0, 9)), max_size=9))
def test_deviations_of_a_leaf_add_up_and_those_of_others_in_squares(parts):
    below, above = combined((label, 10.0, 10.0 - low, 10.0 + high) for label, low, high in parts)
    for got, sizes in ((below, [low for _, low, _ in parts]), (above, [high for _, _, high in parts])):
        assert np.sqrt(np.sum(np.square(sizes))) <= got + 1e-9
        assert got <= sum(sizes) + 1e-9
