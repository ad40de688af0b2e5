"""The arithmetic of windows that slide over height and width.

A window is given by its dimensions as in the table of kinds: ``kernel`` and ``stride``
are those of the height; ``kernel_width`` and ``stride_width`` are 0 where they are the
same, which is the rule; ``dilation`` is that of both sides. Everything takes numbers or
columns of numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np


class Side(NamedTuple):
    """A window along one side: its kernel and stride, and the pixels that it spans when dilated."""

    kernel: Any
    stride: Any
    span: Any


def sides(dims: Mapping[str, Any]) -> tuple[Side, Side]:
    """The window along height and width.

    >>> along_height, along_width = sides({"kernel": 1, "kernel_width": 7, "stride": 2})
    >>> int(along_height.kernel), int(along_width.kernel), int(along_width.stride)
    (1, 7, 2)
    """
    dilation = dims.get("dilation", 1)
    found = []
    for width in (0, 1):
        kernel, stride = (_of_width(dims, name) if width else dims[name] for name in ("kernel", "stride"))
        found.append(Side(kernel, stride, (kernel - 1) * dilation + 1))
    return found[0], found[1]


def _of_width(dims: Mapping[str, Any], name: str) -> Any:
    own = dims.get(f"{name}_width", 0)
    if isinstance(own, (int, float)):  # one operator: numpy would take many times as long
        return own if own > 0 else dims[name]
    return np.where(np.asarray(own) > 0, own, dims[name])


def output_sizes(dims: Mapping[str, Any]) -> tuple[Any, Any]:
    """Height and width of the output of a sliding window."""
    height, width = (
        output_size(dims[name], side.span, side.stride, dims["padding"])
        for name, side in zip(("height", "width"), sides(dims), strict=True)
    )
    return height, width


def looks_inside(dims: Mapping[str, Any]) -> Any:
    """How often a sliding window looks at pixels of the image, in all its places; padding is no image.

    >>> dims = {"height": 2, "width": 1, "kernel": 3, "stride": 1, "padding": 1}
    >>> float(looks_inside(dims))  # the pixels of either of two windows, of 9 places each
    4.0
    """
    product: Any = 1.0
    for name, side in zip(("height", "width"), sides(dims), strict=True):
        product = product * _looks_along(dims[name], side, dims.get("dilation", 1), dims["padding"])
    return product


def _looks_along(size: Any, side: Side, dilation: Any, same: Any) -> Any:
    """The same along one side: over all places of the window, how much of its kernel lies inside."""
    kernel = np.asarray(side.kernel)
    places = output_size(size, side.span, side.stride, same)
    before = np.where(
        np.asarray(same) > 0, np.maximum((places - 1) * side.stride + side.span - size, 0) // 2, 0
    )
    total: Any = 0.0
    for tap in range(int(np.max(kernel, initial=0))):
        first = np.maximum(-((tap * dilation - before) // side.stride), 0)
        last = np.minimum((size - 1 - tap * dilation + before) // side.stride, places - 1)
        total = total + np.where(tap < kernel, np.maximum(last - first + 1, 0), 0)
    return total


def transposed_sizes(dims: Mapping[str, Any]) -> tuple[Any, Any]:
    """Height and width of the output of a transposed convolution.

    >>> dims = {"height": 8, "width": 8, "kernel": 3, "stride": 2, "padding": 0}
    >>> [int(size) for size in transposed_sizes(dims)]
    [17, 17]
    """
    height, width = (
        dims[name] * side.stride + (1 - dims["padding"]) * np.maximum(side.kernel - side.stride, 0)
        for name, side in zip(("height", "width"), sides(dims), strict=True)
    )
    return height, width


def output_size(size: Any, kernel: Any, stride: Any, same: Any) -> Any:
    """Output side of a sliding window; ``same`` is 1 for SAME and 0 for VALID padding.

    >>> int(output_size(28, 3, 2, 1)), int(output_size(28, 3, 2, 0))
    (14, 13)
    """
    return np.where(np.asarray(same) > 0, -(-size // stride), (size - kernel) // stride + 1)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels that SAME padding adds before and after one side.

    >>> same_padding(224, 3, 2), same_padding(28, 1, 1)
    ((0, 1), (0, 0))
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def fits(dims: Mapping[str, int]) -> bool:
    """Whether the window fits into the image: without padding it must."""
    along_height, along_width = sides(dims)
    inside = along_height.span <= dims["height"] and along_width.span <= dims["width"]
    return bool(dims["padding"]) or bool(inside)


def canonical_window(dims: Mapping[str, int], transposed: bool = False) -> dict[str, int]:
    """The one way to write a window of which several mean the same operator.

    A width that equals the height is 0. Where a side has one pixel, the stride along it is
    that of the other. Padding is 0 (VALID) where SAME would pad nothing, or of a transposed
    convolution cut nothing off.
    """
    found = dict(dims)
    along_height, along_width = sides(dims)
    if "stride_width" in dims:
        if dims["height"] == along_height.kernel == 1:
            found["stride"] = int(along_width.stride)
        elif dims["width"] == along_width.kernel == 1:
            found["stride_width"] = found["stride"]
        if found["stride_width"] == found["stride"] or found["stride"] == int(along_width.stride):
            found["stride_width"] = 0
    if "kernel_width" in dims and dims["kernel_width"] == dims["kernel"]:
        found["kernel_width"] = 0
    if "dilation" in dims and int(along_height.kernel) == int(along_width.kernel) == 1:
        found["dilation"] = 1
    if transposed:
        if all(int(side.kernel) <= int(side.stride) for side in sides(found)):
            found["padding"] = 0
    elif found["padding"]:
        pads = (
            same_padding(dims[name], int(side.span), int(side.stride))
            for name, side in zip(("height", "width"), sides(found), strict=True)
        )
        if all(total == (0, 0) for total in pads):
            found["padding"] = 0
    return found
