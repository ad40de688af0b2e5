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
from fdi_keras.operators.kinds import (
    BINARY,
    CHOICES,
    ELEMENTWISE,
    MAY_BE_ZERO,
    REDUCTIONS,
    choices_text,
)
from fdi_keras.operators.recurrent import RECURRENT
from fdi_keras.operators.windows import fits
from fdi_keras.profiling import element_probes, move_probes, window_probes
from fdi_keras.profiling.flatbuffer import ModelBuilder
from fdi_keras.profiling.recurrent_probes import RECURRENT_BUILDERS, recurrent_weights
from fdi_keras.profiling.window_probes import fused, kernel_shape

Dims = Mapping[str, int]
Weights = Sequence[np.ndarray]

#: What the random weights are cut from; prime, so that rows of a matrix differ.
POOL = 1_048_573


def build_probe(
    kind: str,
    dims: Dims,
    seed: int = 0,
    weights: Weights | None = None,
    copies: int = 1,
    layers: int = 1,
) -> bytes:
    """A ``.tflite`` model of one operator, or of several that are the same.

    Args:
        kind: one of :data:`fdi_keras.operators.KINDS`.
        dims: its dimensions; those with a default may be left out.
        seed: of the random weights.
        weights: instead of random ones, those of the Keras layer in its own
            layout: kernel and bias of conv2d ``(k, k, in, out)``, depthwise_conv2d
            ``(k, k, channels, multiplier)``, transposed_conv2d ``(k, k, out, in)`` and dense
            ``(in, out)``; the constant of a binary operator, the slopes of prelu, the table
            ``(entries, channels)`` of gather; kernel, recurrent kernel and bias of recurrent kinds.
        copies: how many; each has an output of its own, they share inputs and weights.
        layers: how many with inputs and weights of their own.

    Raises:
        UsageError: an unknown kind, a dimension that is missing, unknown or impossible.
    """
    full = get_kind(kind).complete(dims)
    _check(kind, full)
    builder = ModelBuilder()
    given = list(weights) if weights is not None else _random_weights(kind, full, seed)
    operands = [np.asarray(w, np.float32) for w in given]
    outputs = [_BUILDERS[kind](builder, full, operands) for _ in range(layers)]
    return builder.finish(builder.repeat(outputs, copies))


def build_overhead_probe() -> bytes:
    """A model that does next to nothing: what remains is the cost of an invocation."""
    return build_probe("relu", {"channels": 1})


def _check(kind: str, dims: Dims) -> None:
    for name, value in dims.items():
        low = 0 if name in MAY_BE_ZERO else 1
        if value < low or value >= CHOICES.get(name, value + 1):
            limits = choices_text(name) if name in CHOICES else f"at least {low}"
            raise UsageError(f"{kind}: {name} must be {limits}; received {value}.")
    if KINDS[kind].windowed and not fits(dims):
        raise UsageError(
            f"{kind}: without padding the kernel ({dims['kernel']}) must fit into the input "
            f"({dims['height']}x{dims['width']})."
        )
    for parts in ("inputs", "outputs"):
        if "channels" in dims and dims.get(parts, 0) > dims["channels"]:
            raise UsageError(
                f"{kind}: {dims[parts]} {parts} need as many channels; received {dims['channels']}."
            )
    for channels in ("in_channels", "out_channels"):
        if dims.get(channels, 0) % dims.get("groups", 1):
            raise UsageError(
                f"{kind}: {channels} must be a multiple of groups ({dims['groups']}); "
                f"received {dims[channels]}."
            )
    if "steps" in dims and dims.get("outputs", 1) not in (1, dims["steps"]):
        raise UsageError(
            f"{kind}: outputs must be 1, or as many as steps ({dims['steps']}); received {dims['outputs']}."
        )


def _random_weights(kind: str, dims: Dims, seed: int) -> list[np.ndarray]:
    # Made in the order in which the file stores them: transposing twice costs nothing.
    pool = _pool(seed)
    n_in, n_out = dims.get("in_channels", 0), dims.get("out_channels", 0)
    if kind in ("conv2d", "grouped_conv2d"):
        shape = (n_out, *kernel_shape(dims), n_in // dims.get("groups", 1))
        return [np.resize(pool, shape).transpose(1, 2, 3, 0), np.resize(pool, n_out)]
    if kind == "transposed_conv2d":
        kernel = np.resize(pool, (n_out, *kernel_shape(dims), n_in))
        return [kernel.transpose(1, 2, 0, 3), np.resize(pool, n_out)]
    if kind == "depthwise_conv2d":
        kernel = np.resize(pool, (*kernel_shape(dims), dims["channels"], dims["multiplier"]))
        return [kernel, np.resize(pool, dims["channels"] * dims["multiplier"])]
    if kind == "dense":
        return [np.resize(pool, (n_out, n_in)).T, np.resize(pool, n_out)]
    if kind in RECURRENT:
        return recurrent_weights(kind, dims, pool)
    if kind == "gather":
        return [np.resize(pool, (dims["entries"], dims["channels"]))]
    if kind == "prelu":
        pixels = () if dims["shared"] else (dims["height"], dims["width"])
        return [np.resize(pool, (*(pixels or (1, 1)), dims["channels"]))]
    return [np.resize(pool, element_probes.second_shape(dims))] if dims.get("constant") else []


@cache
def _pool(seed: int) -> np.ndarray:
    """Values of both signs with magnitudes in [0.01, 0.11): repeated, they fill any weight fast."""
    rng = np.random.default_rng(seed)
    return (0.01 + 0.1 * rng.random(POOL, np.float32)) * rng.choice(np.array([-1, 1], np.float32), POOL)


def _dense(builder: ModelBuilder, dims: Dims, weights: Weights) -> int:
    kernel, bias = weights
    x = builder.input((dims["rows"], dims["in_channels"]))
    operands = [x, builder.constant(kernel.T), builder.constant(bias)]
    settings = {"fusedActivationFunction": fused(dims)}
    shape = (dims["rows"], dims["out_channels"])
    return builder.operator("FULLY_CONNECTED", operands, shape, "FullyConnectedOptions", settings)


def _batch_matmul(builder: ModelBuilder, dims: Dims, _: Weights) -> int:
    batch, rows, n_in, n_out = (dims[name] for name in ("batch", "rows", "in_channels", "out_channels"))
    second = (n_out, n_in) if dims["transposed"] else (n_in, n_out)
    operands = [builder.input((batch, rows, n_in)), builder.input((batch, *second))]
    settings = {"adjX": False, "adjY": bool(dims["transposed"])}
    return builder.operator("BATCH_MATMUL", operands, (batch, rows, n_out), "BatchMatMulOptions", settings)


_Builder = Callable[[ModelBuilder, Dims, Weights], int]


def _binary(kind: str) -> _Builder:
    return lambda builder, dims, weights: element_probes.binary(builder, dims, weights, kind.upper())


def _elementwise(kind: str) -> _Builder:
    return lambda builder, dims, _: element_probes.elementwise(builder, dims, kind)


def _reduction(kind: str) -> _Builder:
    return lambda builder, dims, _: element_probes.reduction(builder, dims, kind.upper())


def _pool2d(code: str) -> _Builder:
    return lambda builder, dims, _: window_probes.pool2d(builder, dims, code)


def _resize(code: str, options: str) -> _Builder:
    return lambda builder, dims, _: move_probes.resize(builder, dims, code, options)


_BUILDERS: dict[str, _Builder] = {
    "conv2d": window_probes.conv2d,
    "grouped_conv2d": window_probes.conv2d,
    "transposed_conv2d": window_probes.transposed_conv2d,
    "depthwise_conv2d": window_probes.depthwise_conv2d,
    "max_pool2d": _pool2d("MAX_POOL_2D"),
    "average_pool2d": _pool2d("AVERAGE_POOL_2D"),
    "dense": _dense,
    "batch_matmul": _batch_matmul,
    "softmax": element_probes.softmax,
    "gather": move_probes.gather,
    **{kind: _reduction(kind) for kind in REDUCTIONS},
    **{kind: _binary(kind) for kind in BINARY},
    "prelu": element_probes.prelu,
    "compare": element_probes.compare,
    "select": element_probes.select,
    "cast": element_probes.cast,
    "concat": move_probes.concat,
    "split": move_probes.split,
    "slice": move_probes.cut,
    "pad": move_probes.pad,
    "transpose": move_probes.transpose,
    "reshape": move_probes.reshape,
    "tile": move_probes.tile,
    "resize_bilinear": _resize("RESIZE_BILINEAR", "ResizeBilinearOptions"),
    "resize_nearest": _resize("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    **{kind: _elementwise(kind) for kind in ELEMENTWISE},
    **RECURRENT_BUILDERS,
}
