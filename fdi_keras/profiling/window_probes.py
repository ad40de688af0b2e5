"""Probes of operators with a sliding window: convolutions and pooling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fdi_keras.operators.windows import output_sizes, sides, transposed_sizes
from fdi_keras.profiling.flatbuffer import ModelBuilder

Dims = Mapping[str, int]
Weights = Sequence[np.ndarray]

SAME, VALID = 0, 1  # as the format numbers them
NO_ACTIVATION, RELU = 0, 1


def fused(dims: Dims) -> int:
    """The activation that an operator applies itself, as the format numbers it."""
    return RELU if dims.get("activation") else NO_ACTIVATION


def image(dims: Dims, channels: str = "channels") -> tuple[int, int, int, int]:
    return (1, dims["height"], dims["width"], dims[channels])


def kernel_shape(dims: Dims) -> tuple[int, int]:
    """Height and width of the window."""
    along_height, along_width = sides(dims)
    return int(along_height.kernel), int(along_width.kernel)


def conv2d(builder: ModelBuilder, dims: Dims, weights: Weights) -> int:
    kernel, bias = weights
    x = builder.input(image(dims, "in_channels"))
    operands = [x, builder.constant(kernel.transpose(3, 0, 1, 2)), builder.constant(bias)]
    shape = (1, *_made(dims), dims["out_channels"])
    return builder.operator(
        "CONV_2D", operands, shape, "Conv2DOptions", {**_sliding(dims), **_dilation(dims)}
    )


def depthwise_conv2d(builder: ModelBuilder, dims: Dims, weights: Weights) -> int:
    kernel, bias = weights
    x = builder.input(image(dims))
    made = dims["channels"] * dims["multiplier"]
    operands = [x, builder.constant(kernel.reshape(1, *kernel.shape[:2], made)), builder.constant(bias)]
    settings = {**_sliding(dims), "depthMultiplier": dims["multiplier"], **_dilation(dims)}
    shape = (1, *_made(dims), made)
    return builder.operator("DEPTHWISE_CONV_2D", operands, shape, "DepthwiseConv2DOptions", settings)


def transposed_conv2d(builder: ModelBuilder, dims: Dims, weights: Weights) -> int:
    kernel, bias = weights
    height, width = (int(size) for size in transposed_sizes(dims))
    shape = (1, height, width, dims["out_channels"])
    operands = [
        builder.constant(np.array(shape, np.int32)),
        builder.constant(kernel.transpose(2, 0, 1, 3)),
        builder.input(image(dims, "in_channels")),
        builder.constant(bias),
    ]
    return builder.operator("TRANSPOSE_CONV", operands, shape, "TransposeConvOptions", _sliding(dims))


def pool2d(builder: ModelBuilder, dims: Dims, name: str) -> int:
    x = builder.input(image(dims))
    height, width = kernel_shape(dims)
    settings = {**_sliding(dims), "filterHeight": height, "filterWidth": width}
    return builder.operator(name, [x], (1, *_made(dims), dims["channels"]), "Pool2DOptions", settings)


def _made(dims: Dims) -> tuple[int, int]:
    height, width = output_sizes(dims)
    return int(height), int(width)


def _sliding(dims: Dims) -> dict[str, int]:
    along_height, along_width = sides(dims)
    return {
        "padding": SAME if dims["padding"] else VALID,
        "strideH": int(along_height.stride),
        "strideW": int(along_width.stride),
        "fusedActivationFunction": fused(dims),
    }


def _dilation(dims: Dims) -> dict[str, int]:
    return {"dilationHFactor": dims["dilation"], "dilationWFactor": dims["dilation"]}
