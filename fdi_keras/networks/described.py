"""Operators described from the shapes of their tensors.

Both ways of reading a network, its Keras layers and its ``.tflite`` file, find shapes;
what kind and dimensions follow from them is said here, once, so that both say the same.
Shapes are without the batch axis, which is 1. A tensor of more or fewer than three axes is
taken for the image that lies the same way in memory: what matters is how many numbers lie
side by side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from fdi_keras.operators import KINDS
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
from fdi_keras.operators.windows import transposed_sizes

Shape = tuple[int, ...]


class Described(NamedTuple):
    """An operator: its kind, its dimensions, and why it cannot be priced, if so."""

    kind: str
    dims: dict[str, int]
    problem: str | None = None


def image(shape: Shape) -> dict[str, int]:
    """Height, width and channels of a tensor; a vector is an image of one pixel.

    >>> image((12, 6)), image((4, 4, 2, 8))["width"]
    ({'height': 1, 'width': 12, 'channels': 6}, 8)
    """
    *pixels, channels = shape or (1,)
    height, width = (1, 1, *pixels)[-2:] if len(pixels) < 3 else (pixels[0], math.prod(pixels[1:]))
    return {"height": int(height), "width": int(width), "channels": int(channels)}


def rows_of(shape: Shape) -> dict[str, int]:
    """The same with all pixels as rows."""
    return {"rows": math.prod(shape[:-1]), "channels": int(shape[-1]) if shape else 1}


def window(
    shape: Shape,
    kernel: Sequence[int],
    strides: Sequence[int],
    same: bool,
    dilation: Sequence[int] = (1, 1),
) -> tuple[dict[str, int], str | None]:
    """Dimensions of a sliding window over an image ``(height, width, channels)``; a problem if there is one."""
    size, problem = image(shape), None
    # Along one pixel nothing is left out.
    spread = {int(d) for k, d in zip(kernel, dilation, strict=True) if k > 1}
    if len(spread) > 1:
        problem = f"dilation {'x'.join(map(str, dilation))} differs by side"
    dims = {
        "height": size["height"],
        "width": size["width"],
        "kernel": int(kernel[0]),
        "stride": int(strides[0]),
        "padding": int(same),
        "kernel_width": int(kernel[1]),
        "stride_width": int(strides[1]),
        "dilation": max(spread, default=1),
    }
    return dims, problem


def transposed(dims: dict[str, int], out: Shape, problem: str | None = None) -> Described:
    """A transposed convolution with an output of ``(height, width, channels)``."""
    if tuple(int(size) for size in transposed_sizes(dims)) != out[:2]:
        problem = f"an output of {out[0]}x{out[1]} pixels, set by output_padding"
    return Described("transposed_conv2d", dims, problem)


def elementwise(kind: str, shape: Shape) -> Described:
    return Described(kind, image(shape))


def binary(kind: str, first: Shape, second: Shape, constant: bool = False, activation: int = 0) -> Described:
    """An operator that combines two tensors element by element, the smaller one spread over the other."""
    out = broadcast_shape(first, second)
    dims = {**image(out), "broadcast": _broadcast(first, second, out)}
    if "constant" in KINDS[kind].dimensions:
        dims["constant"] = int(constant)
    if "activation" in KINDS[kind].dimensions:
        dims["activation"] = activation
    return Described(kind, dims)


def broadcast_shape(first: Shape, second: Shape) -> Shape:
    """Shape of the result of an operator on two tensors.

    >>> broadcast_shape((4, 4, 8), (8,)), broadcast_shape((4, 1), (8,))
    ((4, 4, 8), (4, 8))
    """
    longest = max(len(first), len(second))
    padded = ((1,) * (longest - len(s)) + tuple(s) for s in (first, second))
    return tuple(max(a, b) for a, b in zip(*padded, strict=True))


def _broadcast(first: Shape, second: Shape, out: Shape) -> int:
    whole = math.prod(out)
    smaller = min(first, second, key=math.prod)
    if math.prod(smaller) == whole:
        return NO_BROADCAST
    if max(math.prod(first), math.prod(second)) < whole:
        return BOTH_SPREAD
    if math.prod(smaller) == 1:
        return ONE_NUMBER
    return OVER_PIXELS if smaller[-1] == out[-1] else OVER_CHANNELS


def select(mask: Shape, first: Shape, second: Shape) -> Described:
    out = broadcast_shape(mask, broadcast_shape(first, second))
    spread = any(math.prod(shape) != math.prod(out) for shape in (mask, first, second))
    return Described("select", {**image(out), "broadcast": int(spread)})


def prelu(shape: Shape, slopes: Shape) -> Described:
    shared = int(math.prod(slopes) != math.prod(shape))
    return Described("prelu", {**image(shape), "shared": shared})


def reduction(kind: str, shape: Shape, axes: Sequence[int]) -> Described:
    """A mean, sum or maximum over some axes, counted without the batch."""
    # Axes of one element and axes that lie side by side in memory count as one.
    runs: list[list[int]] = []  # size, and whether it is reduced
    for axis, size in enumerate(shape):
        reduced = int(axis in axes)
        if size == 1 and (runs or axis < len(shape) - 1):
            continue
        if runs and runs[-1][1] == reduced:
            runs[-1][0] *= size
        else:
            runs.append([size, reduced])
    sizes, pattern = [size for size, _ in runs], tuple(reduced for _, reduced in runs)
    match pattern:
        case (1, 0) | (0,):
            dims = {**_inner(shape, sizes if pattern == (1, 0) else [1, *sizes]), "over": PIXELS}
        case (0, 1) | (1,):
            dims = {**_inner(shape, sizes if pattern == (0, 1) else [1, *sizes]), "over": CHANNELS}
        case (0, 1, 0):
            dims = {"height": sizes[0], "width": sizes[1], "channels": sizes[2], "over": WIDTH}
        case _:
            listed = ", ".join(str(axis + 1) for axis in sorted(axes))
            return Described(kind, {**image(shape), "over": PIXELS}, f"a {kind} over the axes {listed}")
    return Described(kind, dims)


def _inner(shape: Shape, sizes: Sequence[int]) -> dict[str, int]:
    """The image of a shape where its channels are the inner run, else one row of runs."""
    whole = image(shape)
    if whole["channels"] == sizes[1]:
        return whole
    return {"height": 1, "width": sizes[0], "channels": sizes[1]}


def concat(shapes: Sequence[Shape], axis: int) -> Described:
    """Tensors laid side by side along an axis, counted without the batch; -1: the last."""
    axis %= len(shapes[0])
    out = list(shapes[0])
    out[axis] = sum(shape[axis] for shape in shapes)
    return Described("concat", {**_blocks(tuple(out), axis), "inputs": len(shapes)})


def split(shape: Shape, axis: int, outputs: int) -> Described:
    return Described("split", {**_blocks(shape, axis % len(shape)), "outputs": outputs})


def _blocks(shape: Shape, axis: int) -> dict[str, int]:
    """What lies side by side when a tensor is cut along an axis, as channels."""
    if axis == len(shape) - 1:
        return image(shape)
    return {"height": 1, "width": math.prod(shape[:axis]), "channels": math.prod(shape[axis:])}


def cut(out: Shape, steps: Sequence[int] = ()) -> Described:
    """A slice of a tensor; ``out`` is its shape with axes of one element still there."""
    return Described("slice", {**image(out), "stride": max((abs(s) for s in steps), default=1)})


def pad(shape: Shape, amounts: Sequence[tuple[int, int]]) -> Described:
    """Zeros around a tensor: before and after each axis, without the batch."""
    around = [before + after for before, after in amounts]
    if around[-1] or len(shape) > 3 or len(shape) < 2:
        return Described("pad", {}, "pads something else than height and width by constant amounts")
    height, width = (0, *around[:-1])[-2:]
    return Described("pad", {**image(shape), "pad_height": height, "pad_width": width})


def transpose(shape: Shape, order: Sequence[int]) -> Described | None:
    """A transposition; ``order`` of the axes without the batch. None where nothing moves."""
    axes = [axis for axis in order if shape[axis] > 1]
    groups: list[list[int]] = []
    real = [axis for axis in range(len(shape)) if shape[axis] > 1]
    following = dict(itertools.pairwise(real))
    for axis in axes:  # axes that stay neighbours move as one
        if groups and following.get(groups[-1][-1]) == axis:
            groups[-1].append(axis)
        else:
            groups.append([axis])
    if len(groups) < 2:
        return None
    ranked = sorted(groups)
    sizes = [math.prod(shape[axis] for axis in group) for group in ranked]
    match [ranked.index(group) for group in groups]:
        case [1, 0]:
            dims = {"height": 1, "width": sizes[0], "channels": sizes[1], "order": 1}
        case [1, 0, 2]:
            dims = {"height": sizes[0], "width": sizes[1], "channels": sizes[2], "order": 0}
        case [0, 2, 1]:
            dims = {"height": sizes[0], "width": sizes[1], "channels": sizes[2], "order": 1}
        case [2, 1, 0]:
            dims = {"height": sizes[0], "width": sizes[1], "channels": sizes[2], "order": 2}
        case _:
            text = ", ".join(str(axis + 1) for axis in order)
            return Described(
                "transpose", {**image(shape), "order": 0}, f"a transposition to the order {text}"
            )
    return Described("transpose", dims)


def reshape(shape: Shape) -> Described:
    """Another shape for the same numbers, which the runtime copies."""
    return Described("reshape", {"channels": math.prod(shape)})


def tile(shape: Shape, multiples: Sequence[int]) -> Described:
    """A tensor repeated along one axis: everything from there on is one row, written several times."""
    repeated = [axis for axis, times in enumerate(multiples) if times > 1]
    if len(repeated) != 1:
        return Described("tile", {**image(shape), "times": 2}, f"a repetition along {len(repeated)} axes")
    axis = repeated[0]
    inner = shape[axis:]
    pixels = math.prod(inner[:-1])
    dims = {"height": math.prod(shape[:axis]), "width": pixels, "channels": inner[-1]}
    return Described("tile", {**dims, "times": multiples[axis]})


def resize(kind: str, shape: Shape, out: Shape) -> Described:
    size = image(out)
    return Described(kind, {**image(shape), "out_height": size["height"], "out_width": size["width"]})


def matmul(first: Shape, second: Shape, first_transposed: bool, transposed: bool) -> Described:
    """A product of batches of matrices ``(..., rows, inner)`` and ``(..., inner, columns)``."""
    rows, inner = reversed(first[-2:]) if first_transposed else first[-2:]
    columns = second[-2] if transposed else second[-1]
    dims = {
        "batch": max(math.prod(first[:-2]), math.prod(second[:-2])),
        "rows": rows,
        "in_channels": inner,
        "out_channels": columns,
        "transposed": int(transposed),
    }
    problem = "the first matrix is transposed" if first_transposed else None
    return Described("batch_matmul", dims, problem)


def gather(entries: int, width: int, rows: int) -> Described:
    return Described("gather", {"rows": rows, "channels": width, "entries": entries})


def canonical(kind: str, dims: Mapping[str, int]) -> dict[str, int]:
    """Dimensions as the table writes them; those of a kind outside the table as they are."""
    if kind not in KINDS or not dims:
        return dict(dims)
    spec = KINDS[kind]
    return spec.canonical(spec.complete({name: dims[name] for name in spec.dimensions if name in dims}))
