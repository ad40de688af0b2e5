"""Probes of operators that treat tensors element by element, or turn many elements into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fdi_keras.operators.formulas import (
    BOTH_SPREAD,
    CHANNELS,
    NO_BROADCAST,
    ONE_NUMBER,
    OVER_CHANNELS,
    OVER_PIXELS,
    PIXELS,
    WIDTH,
)
from fdi_keras.profiling.flatbuffer import ModelBuilder
from fdi_keras.profiling.window_probes import fused, image

Dims = Mapping[str, int]
Weights = Sequence[np.ndarray]

#: Keras' default slope of a leaky ReLU activation, ``keras.activations.leaky_relu``.
LEAKY_SLOPE = 0.2

#: Unfused activations that take options.
_OPTIONS: dict[str, tuple[str, dict[str, object]]] = {
    "gelu": ("GeluOptions", {"approximate": False}),
    "leaky_relu": ("LeakyReluOptions", {"alpha": LEAKY_SLOPE}),
}


def second_shape(dims: Dims) -> tuple[int, ...]:
    """Shape of the second operand of a binary operator."""
    return {
        NO_BROADCAST: image(dims),
        OVER_PIXELS: (dims["channels"],),
        OVER_CHANNELS: (1, dims["height"], dims["width"], 1),
        ONE_NUMBER: (),
        BOTH_SPREAD: (dims["channels"],),
    }[dims["broadcast"]]


def _tensor_shape(dims: Dims) -> tuple[int, ...]:
    """The same of an operand that is computed: it has all axes."""
    shape = second_shape(dims)
    return (1,) * (4 - len(shape)) + shape


def binary(builder: ModelBuilder, dims: Dims, weights: Weights, name: str) -> int:
    height, width = dims["height"], dims["width"]
    x = builder.input((1, height, width, 1) if dims["broadcast"] == BOTH_SPREAD else image(dims))
    second = builder.constant(weights[0]) if dims["constant"] else builder.input(_tensor_shape(dims))
    options, settings = None, None
    if "activation" in dims:
        options, settings = f"{name.capitalize()}Options", {"fusedActivationFunction": fused(dims)}
    return builder.operator(name, [x, second], image(dims), options, settings)


def elementwise(builder: ModelBuilder, dims: Dims, kind: str) -> int:
    options, settings = _OPTIONS.get(kind, (None, None))
    return builder.operator(kind.upper(), [builder.input(image(dims))], image(dims), options, settings)


def prelu(builder: ModelBuilder, dims: Dims, weights: Weights) -> int:
    operands = [builder.input(image(dims)), builder.constant(weights[0])]
    return builder.operator("PRELU", operands, image(dims))


def compare(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    operands = [builder.input(image(dims)), builder.input(_tensor_shape(dims))]
    return builder.operator("GREATER", operands, image(dims), "GreaterOptions", dtype="BOOL")


def select(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    mask, x = builder.input(image(dims), "BOOL"), builder.input(image(dims))
    if dims["broadcast"]:
        other = builder.constant(np.zeros((), np.float32))
        return builder.operator("SELECT_V2", [mask, x, other], image(dims), "SelectV2Options")
    operands = [mask, x, builder.input(image(dims))]
    return builder.operator("SELECT", operands, image(dims), "SelectOptions")


def cast(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    return builder.operator("CAST", [builder.input(image(dims), "INT32")], image(dims), "CastOptions")


def reduction(builder: ModelBuilder, dims: Dims, name: str) -> int:
    x = builder.input(image(dims))
    axes = {PIXELS: [1, 2], CHANNELS: [3], WIDTH: [2]}[dims["over"]]
    kept = tuple(size for axis, size in enumerate(image(dims)) if axis not in axes)
    operands = [x, builder.constant(np.array(axes, np.int32))]
    return builder.operator(name, operands, kept, "ReducerOptions", {"keepDims": False})


def softmax(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    shape = (dims["rows"], dims["channels"])
    return builder.operator("SOFTMAX", [builder.input(shape)], shape, "SoftmaxOptions", {"beta": 1.0})
