"""Probes of operators that write data to other places, or more of it, and of looking it up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fdi_keras.profiling.flatbuffer import ModelBuilder
from fdi_keras.profiling.window_probes import NO_ACTIVATION, image

Dims = Mapping[str, int]
Weights = Sequence[np.ndarray]

#: Orders of the axes after a transposition, by the dimension ``order``: height and width change
#: places, width and channels do, height and channels do.
ORDERS = ((0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1))


def concat(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    parts = [builder.input((1, dims["height"], dims["width"], width)) for width in _parts(dims, "inputs")]
    settings = {"axis": 3, "fusedActivationFunction": NO_ACTIVATION}
    return builder.operator("CONCATENATION", parts, image(dims), "ConcatenationOptions", settings)


def split(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    outputs, widths = dims["outputs"], _parts(dims, "outputs")
    x = builder.input(image(dims))
    made = [((1, dims["height"], dims["width"], width), "FLOAT32") for width in widths]
    if len(set(widths)) == 1:
        operands, name, options = [_numbers(builder, 3), x], "SPLIT", "SplitOptions"
    else:
        operands, name, options = (
            [x, _numbers(builder, *widths), _numbers(builder, 3)],
            "SPLIT_V",
            "SplitVOptions",
        )
    return builder.operator_of_many(name, operands, made, options, {"numSplits": outputs})[0]


def _parts(dims: Dims, name: str) -> list[int]:
    each, rest = divmod(dims["channels"], dims[name])
    return [each + (i < rest) for i in range(dims[name])]


def cut(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    """A slice that leaves out a border, or all but every n-th pixel."""
    stride = dims["stride"]
    border = 1 if stride == 1 else 0
    height, width = (stride * dims[side] + 2 * border for side in ("height", "width"))
    x = builder.input((1, height, width, dims["channels"]))
    operands = [
        x,
        _numbers(builder, 0, border, border, 0),
        _numbers(builder, 1, height - border, width - border, dims["channels"]),
        _numbers(builder, 1, stride, stride, 1),
    ]
    return builder.operator("STRIDED_SLICE", operands, image(dims), "StridedSliceOptions")


def pad(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    x = builder.input(image(dims))
    sides = [(0, 0), *((n // 2, n - n // 2) for n in (dims["pad_height"], dims["pad_width"])), (0, 0)]
    amounts = builder.constant(np.array(sides, np.int32))
    shape = (1, dims["height"] + dims["pad_height"], dims["width"] + dims["pad_width"], dims["channels"])
    return builder.operator("PAD", [x, amounts], shape, "PadOptions")


def transpose(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    order = ORDERS[dims["order"]]
    shape = tuple(image(dims)[axis] for axis in order)
    operands = [builder.input(image(dims)), _numbers(builder, *order)]
    return builder.operator("TRANSPOSE", operands, shape, "TransposeOptions")


def reshape(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    shape = (1, dims["channels"])
    operands = [builder.input((1, 1, dims["channels"])), _numbers(builder, *shape)]
    return builder.operator("RESHAPE", operands, shape, "ReshapeOptions", {"newShape": list(shape)})


def tile(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    height, width, channels, times = (dims[name] for name in ("height", "width", "channels", "times"))
    operands = [builder.input((1, height, 1, width, channels)), _numbers(builder, 1, 1, times, 1, 1)]
    return builder.operator("TILE", operands, (1, height, times, width, channels), "TileOptions")


def resize(builder: ModelBuilder, dims: Dims, name: str, options: str) -> int:
    made = (dims["out_height"], dims["out_width"])
    operands = [builder.input(image(dims)), _numbers(builder, *made)]
    return builder.operator(name, operands, (1, *made, dims["channels"]), options, {"halfPixelCenters": True})


def gather(builder: ModelBuilder, dims: Dims, weights: Weights) -> int:
    operands = [builder.constant(weights[0]), builder.input((1, dims["rows"]), "INT32")]
    shape = (1, dims["rows"], dims["channels"])
    return builder.operator("GATHER", operands, shape, "GatherOptions", {"axis": 0})


def _numbers(builder: ModelBuilder, *values: int) -> int:
    return builder.constant(np.array(values, np.int32))
