"""Probes: one-operator models, one for every configuration of every kind.

A probe must be to LiteRT what the exported Keras layer is: the same operator with
the same options. Tests hold the outputs of both bit-equal. Batch size is 1, tensors
are float32, layout is height, width, channels; weights and biases are random and
never zero, because converters drop what is zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.operators import KINDS, get_kind
from fdi_keras.operators.kinds import ELEMENTWISE, output_size
from fdi_keras.operators.recurrent import RECURRENT
from fdi_keras.profiling.flatbuffer import ModelBuilder
from fdi_keras.profiling.recurrent_probes import RECURRENT_BUILDERS, recurrent_weights

Dims = Mapping[str, int]
Weights = Sequence[np.ndarray]

#: What the random weights are cut from; prime, so that rows of a matrix differ.
POOL = 1_048_573

#: Keras' default slope of a leaky ReLU activation, ``keras.activations.leaky_relu``.
LEAKY_SLOPE = 0.2

SAME, VALID = 0, 1  # as the format numbers them
NO_ACTIVATION, RELU = 0, 1


def build_probe(
    kind: str, dims: Dims, seed: int = 0, weights: Weights | None = None, copies: int = 1
) -> bytes:
    """A ``.tflite`` model of one operator, or of several that are the same.

    Args:
        kind: one of :data:`fdi_keras.operators.KINDS`.
        dims: its dimensions; those with a default may be left out.
        seed: of the random weights.
        weights: instead of random ones, those of the Keras layer in its own
            layout: kernel and bias of conv2d ``(k, k, in, out)``, depthwise_conv2d
            ``(k, k, channels, 1)`` and dense ``(in, out)``; the one vector of an add
            or mul with a constant; kernel, recurrent kernel and bias of recurrent kinds.
        copies: how many; each has an output of its own, they share inputs and weights.

    Raises:
        UsageError: an unknown kind, a dimension that is missing, unknown or impossible.
    """
    full = get_kind(kind).complete(dims)
    _check(kind, full)
    builder = ModelBuilder()
    given = list(weights) if weights is not None else _random_weights(kind, full, seed)
    output = _BUILDERS[kind](builder, full, [np.asarray(w, np.float32) for w in given])
    return builder.finish(builder.repeat([output], copies))


def build_overhead_probe() -> bytes:
    """A model that does next to nothing: what remains is the cost of an invocation."""
    return build_probe("relu", {"channels": 1})


def _check(kind: str, dims: Dims) -> None:
    flags = ("padding", "activation", "constant")
    for name, value in dims.items():
        low = 0 if name in flags or name.startswith("pad_") else 1
        if value < low or (name in flags and value > 1):
            limits = "0 or 1" if name in flags else f"at least {low}"
            raise UsageError(f"{kind}: {name} must be {limits}; received {value}.")
    if KINDS[kind].windowed and not dims["padding"] and min(dims["height"], dims["width"]) < dims["kernel"]:
        raise UsageError(
            f"{kind}: without padding the kernel ({dims['kernel']}) must fit into the input "
            f"({dims['height']}x{dims['width']})."
        )
    if dims.get("outputs", 1) not in (1, dims.get("steps")):
        raise UsageError(
            f"{kind}: outputs must be 1, or as many as steps ({dims['steps']}); received {dims['outputs']}."
        )
    if kind == "concat" and dims["channels"] < dims["inputs"]:
        raise UsageError(
            f"concat: {dims['inputs']} inputs need as many channels; received {dims['channels']}."
        )


def _random_weights(kind: str, dims: Dims, seed: int) -> list[np.ndarray]:
    # Made in the order in which the file stores them: transposing twice costs nothing.
    pool = _pool(seed)
    if kind == "conv2d":
        k, n_in, n_out = dims["kernel"], dims["in_channels"], dims["out_channels"]
        return [np.resize(pool, (n_out, k, k, n_in)).transpose(1, 2, 3, 0), np.resize(pool, n_out)]
    if kind == "depthwise_conv2d":
        k, n = dims["kernel"], dims["channels"]
        return [np.resize(pool, (1, k, k, n)).transpose(1, 2, 3, 0), np.resize(pool, n)]
    if kind == "dense":
        n_in, n_out = dims["in_channels"], dims["out_channels"]
        return [np.resize(pool, (n_out, n_in)).T, np.resize(pool, n_out)]
    if kind in RECURRENT:
        return recurrent_weights(kind, dims, pool)
    return [np.resize(pool, dims["channels"])] if dims.get("constant") else []


@cache
def _pool(seed: int) -> np.ndarray:
    """Values of both signs with magnitudes in [0.01, 0.11): repeated, they fill any weight fast."""
    rng = np.random.default_rng(seed)
    return (0.01 + 0.1 * rng.random(POOL, np.float32)) * rng.choice(np.array([-1, 1], np.float32), POOL)


def _window(dims: Dims) -> tuple[int, int]:
    """Height and width of the output of a sliding window."""
    height, width = (
        int(output_size(dims[side], dims["kernel"], dims["stride"], dims["padding"]))
        for side in ("height", "width")
    )
    return height, width


def _sliding(dims: Dims) -> dict[str, int]:
    return {
        "padding": SAME if dims["padding"] else VALID,
        "strideH": dims["stride"],
        "strideW": dims["stride"],
        "fusedActivationFunction": RELU if dims.get("activation") else NO_ACTIVATION,
    }


def _image(dims: Dims, channels: str = "channels") -> tuple[int, int, int, int]:
    return (1, dims["height"], dims["width"], dims[channels])


def _conv2d(builder: ModelBuilder, dims: Dims, weights: Weights) -> int:
    kernel, bias = weights
    x = builder.input(_image(dims, "in_channels"))
    operands = [x, builder.constant(kernel.transpose(3, 0, 1, 2)), builder.constant(bias)]
    settings = {**_sliding(dims), "dilationHFactor": 1, "dilationWFactor": 1}
    shape = (1, *_window(dims), dims["out_channels"])
    return builder.operator("CONV_2D", operands, shape, "Conv2DOptions", settings)


def _depthwise_conv2d(builder: ModelBuilder, dims: Dims, weights: Weights) -> int:
    kernel, bias = weights
    x = builder.input(_image(dims))
    operands = [x, builder.constant(kernel.transpose(3, 0, 1, 2)), builder.constant(bias)]
    settings = {**_sliding(dims), "depthMultiplier": 1, "dilationHFactor": 1, "dilationWFactor": 1}
    shape = (1, *_window(dims), dims["channels"])
    return builder.operator("DEPTHWISE_CONV_2D", operands, shape, "DepthwiseConv2DOptions", settings)


def _dense(builder: ModelBuilder, dims: Dims, weights: Weights) -> int:
    kernel, bias = weights
    x = builder.input((dims["rows"], dims["in_channels"]))
    operands = [x, builder.constant(kernel.T), builder.constant(bias)]
    settings = {"fusedActivationFunction": RELU if dims["activation"] else NO_ACTIVATION}
    shape = (dims["rows"], dims["out_channels"])
    return builder.operator("FULLY_CONNECTED", operands, shape, "FullyConnectedOptions", settings)


def _pool2d(builder: ModelBuilder, dims: Dims, name: str) -> int:
    x = builder.input(_image(dims))
    settings = {**_sliding(dims), "filterHeight": dims["kernel"], "filterWidth": dims["kernel"]}
    shape = (1, *_window(dims), dims["channels"])
    return builder.operator(name, [x], shape, "Pool2DOptions", settings)


def _mean(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    x = builder.input(_image(dims))
    axes = builder.constant(np.array([1, 2], np.int32))
    return builder.operator("MEAN", [x, axes], (1, dims["channels"]), "ReducerOptions", {"keepDims": False})


def _binary(builder: ModelBuilder, dims: Dims, weights: Weights, name: str) -> int:
    x = builder.input(_image(dims))
    second = builder.constant(weights[0]) if dims["constant"] else builder.input(_image(dims))
    settings = {"fusedActivationFunction": RELU if dims["activation"] else NO_ACTIVATION}
    options = f"{name.capitalize()}Options"
    return builder.operator(name, [x, second], _image(dims), options, settings)


def _concat(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    each, rest = divmod(dims["channels"], dims["inputs"])
    widths = [each + (i < rest) for i in range(dims["inputs"])]
    parts = [builder.input((1, dims["height"], dims["width"], width)) for width in widths]
    settings = {"axis": 3, "fusedActivationFunction": NO_ACTIVATION}
    return builder.operator("CONCATENATION", parts, _image(dims), "ConcatenationOptions", settings)


def _pad(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    x = builder.input(_image(dims))
    sides = [(0, 0), *((n // 2, n - n // 2) for n in (dims["pad_height"], dims["pad_width"])), (0, 0)]
    amounts = builder.constant(np.array(sides, np.int32))
    shape = (1, dims["height"] + dims["pad_height"], dims["width"] + dims["pad_width"], dims["channels"])
    return builder.operator("PAD", [x, amounts], shape, "PadOptions")


def _softmax(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    shape = (dims["rows"], dims["channels"])
    x = builder.input(shape)
    return builder.operator("SOFTMAX", [x], shape, "SoftmaxOptions", {"beta": 1.0})


#: Unfused activations that take options.
_ELEMENTWISE_OPTIONS: dict[str, tuple[str, dict[str, object]]] = {
    "gelu": ("GeluOptions", {"approximate": False}),
    "leaky_relu": ("LeakyReluOptions", {"alpha": LEAKY_SLOPE}),
}


def _elementwise(builder: ModelBuilder, dims: Dims, kind: str) -> int:
    x = builder.input(_image(dims))
    options, settings = _ELEMENTWISE_OPTIONS.get(kind, (None, None))
    return builder.operator(kind.upper(), [x], _image(dims), options, settings)


_Builder = Callable[[ModelBuilder, Dims, Weights], int]


def _builder_of_elementwise(kind: str) -> _Builder:
    return lambda builder, dims, _: _elementwise(builder, dims, kind)


_BUILDERS: dict[str, _Builder] = {
    "conv2d": _conv2d,
    "depthwise_conv2d": _depthwise_conv2d,
    "dense": _dense,
    "max_pool2d": lambda builder, dims, _: _pool2d(builder, dims, "MAX_POOL_2D"),
    "average_pool2d": lambda builder, dims, _: _pool2d(builder, dims, "AVERAGE_POOL_2D"),
    "mean": _mean,
    "add": lambda builder, dims, weights: _binary(builder, dims, weights, "ADD"),
    "mul": lambda builder, dims, weights: _binary(builder, dims, weights, "MUL"),
    "concat": _concat,
    "pad": _pad,
    "softmax": _softmax,
    **{kind: _builder_of_elementwise(kind) for kind in ELEMENTWISE},
    **RECURRENT_BUILDERS,
}
