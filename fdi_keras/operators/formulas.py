"""What explains the time of each kind: FLOPs, memory and parameters.

The paper names the variables; the exact formulas are our choice and stand here, one
function a kind or family of kinds that cost alike. Each takes columns of dimensions and
gives the explanatory variables in the order of :data:`EXPLANATORY`. They are
polynomials of second degree in the channels, so that a gradient can flow through them.

Internal memory is what is written and read again within the operator. Of operators that
only pass over their tensors it is one address for every piece that is treated by itself:
many short pieces take longer than few long ones of the same size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fdi_keras.operators.windows import sides, transposed_sizes

#: What a leaf of the time model is linear in, with its unit.
#: flops: 2 x multiply-accumulates. memory: bytes of float32. parameters: a count.
EXPLANATORY = ("flops", "memory_in", "memory_out", "memory_internal", "parameters")

BYTES = 4  # float32

Columns = Mapping[str, Any]
Formula = Callable[[Columns], tuple[Any, Any, Any, Any, Any]]

#: How the second operand of a binary operator is spread over the first.
NO_BROADCAST, OVER_PIXELS, OVER_CHANNELS, ONE_NUMBER, BOTH_SPREAD = range(5)

#: What a mean, sum or maximum is taken over.
PIXELS, CHANNELS, WIDTH = range(3)


def conv2d(c: Columns) -> tuple[Any, ...]:
    return grouped_conv2d({**c, "groups": 1})


def grouped_conv2d(c: Columns) -> tuple[Any, ...]:
    out_pixels, window = c["out_height"] * c["out_width"], _window(c)
    connections = window * c["in_channels"] * c["out_channels"] / c["groups"]
    return (
        2 * out_pixels * connections,
        BYTES * c["height"] * c["width"] * c["in_channels"],
        BYTES * out_pixels * c["out_channels"],
        BYTES * out_pixels * window * c["in_channels"],  # the unfolded input patches
        connections + c["out_channels"],
    )


def transposed_conv2d(c: Columns) -> tuple[Any, ...]:
    out_height, out_width = transposed_sizes(c)
    pixels, window = c["height"] * c["width"], _window(c)
    connections = window * c["in_channels"] * c["out_channels"]
    return (
        2 * pixels * connections,
        BYTES * pixels * c["in_channels"],
        BYTES * out_height * out_width * c["out_channels"],
        BYTES * pixels * window * c["in_channels"],
        connections + c["out_channels"],
    )


def depthwise_conv2d(c: Columns) -> tuple[Any, ...]:
    out_pixels, window = c["out_height"] * c["out_width"], _window(c)
    made = c["channels"] * c["multiplier"]
    return (
        2 * out_pixels * window * made,
        BYTES * c["height"] * c["width"] * c["channels"],
        BYTES * out_pixels * made,
        BYTES * out_pixels * window,  # one address a patch element, whatever the channels
        (window + 1) * made,
    )


def _window(c: Columns) -> Any:
    along_height, along_width = sides(c)
    return along_height.kernel * along_width.kernel


def dense(c: Columns) -> tuple[Any, ...]:
    macs = c["rows"] * c["in_channels"] * c["out_channels"]
    return (
        2 * macs,
        BYTES * c["rows"] * c["in_channels"],
        BYTES * c["rows"] * c["out_channels"],
        0 * macs,
        (c["in_channels"] + 1) * c["out_channels"],
    )


def batch_matmul(c: Columns) -> tuple[Any, ...]:
    products = c["batch"] * c["rows"] * c["in_channels"] * c["out_channels"]
    second = c["batch"] * c["in_channels"] * c["out_channels"]
    return (
        2 * products,
        BYTES * (c["batch"] * c["rows"] * c["in_channels"] + second),
        BYTES * c["batch"] * c["rows"] * c["out_channels"],
        BYTES * second,  # brought into the order of weights at every execution
        0 * products,
    )


def pool2d(c: Columns) -> tuple[Any, ...]:
    out_pixels, window = c["out_height"] * c["out_width"], _window(c)
    return (
        out_pixels * window * c["channels"],
        BYTES * c["height"] * c["width"] * c["channels"],
        BYTES * out_pixels * c["channels"],
        BYTES * out_pixels * window,
        0 * out_pixels,
    )


def reduction(c: Columns) -> tuple[Any, ...]:
    elements, over = _elements(c), c["over"]
    kept = (
        (over == PIXELS) * c["channels"]
        + (over == CHANNELS) * c["height"] * c["width"]
        + (over == WIDTH) * c["height"] * c["channels"]
    )
    pieces = (over == CHANNELS) * c["height"] * c["width"] + (over == WIDTH) * c["height"]
    return (elements, BYTES * elements, BYTES * kept, BYTES * pieces, 0 * elements)


def binary(c: Columns) -> tuple[Any, ...]:
    elements, spread = _elements(c), c["broadcast"]
    pixels = c["height"] * c["width"]
    second = (
        (spread == NO_BROADCAST) * elements
        + ((spread == OVER_PIXELS) | (spread == BOTH_SPREAD)) * c["channels"]
        + (spread == OVER_CHANNELS) * pixels
        + (spread == ONE_NUMBER) * 1
    )
    first = elements * (spread != BOTH_SPREAD) + pixels * (spread == BOTH_SPREAD)
    return (
        elements,
        BYTES * (first + second),
        BYTES * elements,
        BYTES * pixels * ((spread != NO_BROADCAST) & (spread != ONE_NUMBER)),
        0 * elements,  # a constant is read as the other operand is, with which it is counted
    )


def compare(c: Columns) -> tuple[Any, ...]:
    flops, read, _, internal, parameters = binary(c)
    return (flops, read, flops, internal, parameters)  # a truth value is one byte


def select(c: Columns) -> tuple[Any, ...]:
    elements = _elements(c)
    operands = elements + elements * (c["broadcast"] == 0)  # what is spread is small
    return (elements, elements + BYTES * operands, BYTES * elements, 0 * elements, 0 * elements)


def prelu(c: Columns) -> tuple[Any, ...]:
    elements = _elements(c)
    slopes = c["channels"] * c["shared"] + elements * (1 - c["shared"])
    return (2 * elements, BYTES * elements, BYTES * elements, 0 * elements, slopes)


def elementwise(c: Columns) -> tuple[Any, ...]:
    elements = _elements(c)
    return (elements, BYTES * elements, BYTES * elements, 0 * elements, 0 * elements)


def move(c: Columns) -> tuple[Any, ...]:
    """Data written to another place: nothing is computed."""
    elements = _elements(c)
    return (0 * elements, BYTES * elements, BYTES * elements, 0 * elements, 0 * elements)


def copy(c: Columns) -> tuple[Any, ...]:
    """All elements of a tensor, whatever its shape."""
    return move({**c, "height": 1, "width": 1})


def concat(c: Columns) -> tuple[Any, ...]:
    return _in_pieces(c, c["height"] * c["width"] * c["inputs"])


def split(c: Columns) -> tuple[Any, ...]:
    return _in_pieces(c, c["height"] * c["width"] * c["outputs"])


def cut(c: Columns) -> tuple[Any, ...]:
    return _in_pieces(c, c["height"] * (c["stride"] == 1) + _elements(c) * (c["stride"] > 1))


def transpose(c: Columns) -> tuple[Any, ...]:
    pixels = c["height"] * c["width"]
    return _in_pieces(c, pixels * (c["order"] == 0) + _elements(c) * (c["order"] > 0))


def _in_pieces(c: Columns, pieces: Any) -> tuple[Any, ...]:
    flops, read, written, _, parameters = move(c)
    return (flops, read, written, BYTES * pieces, parameters)


def tile(c: Columns) -> tuple[Any, ...]:
    elements, pieces = _elements(c), c["height"] * c["times"]
    return (0 * elements, BYTES * elements, BYTES * elements * c["times"], BYTES * pieces, 0 * elements)


def pad(c: Columns) -> tuple[Any, ...]:
    inner = _elements(c)
    outer = (c["height"] + c["pad_height"]) * (c["width"] + c["pad_width"]) * c["channels"]
    pieces = c["height"] * (c["pad_width"] > 0) + (c["pad_width"] == 0)  # rows that nothing parts are one
    return (0 * inner, BYTES * inner, BYTES * outer, BYTES * pieces, 0 * inner)


def resize_nearest(c: Columns) -> tuple[Any, ...]:
    read, made = _elements(c), c["out_height"] * c["out_width"] * c["channels"]
    pixels = c["out_height"] * c["out_width"]
    return (0 * made, BYTES * read, BYTES * made, BYTES * pixels, 0 * made)


def resize_bilinear(c: Columns) -> tuple[Any, ...]:
    _, read, made, internal, parameters = resize_nearest(c)
    return (6 * made / BYTES, read, made, internal, parameters)  # three interpolations an element


def softmax(c: Columns) -> tuple[Any, ...]:
    elements = c["rows"] * c["channels"]
    return (5 * elements, BYTES * elements, BYTES * elements, BYTES * c["rows"], 0 * elements)


def gather(c: Columns) -> tuple[Any, ...]:
    """Of the table only the rows that are looked up count: the others are not read."""
    found = c["rows"] * c["channels"]
    return (0 * found, BYTES * c["rows"] + 0 * found, BYTES * found, 0 * found, found)


def _elements(c: Columns) -> Any:
    return c["height"] * c["width"] * c["channels"]
