"""Operators as people read them in tables."""

from __future__ import annotations

from collections.abc import Mapping

from fdi_keras.text import clean


def dims_text(dims: Mapping[str, int]) -> str:
    """The dimensions of an operator in a few characters.

    >>> dims_text({"height": 28, "width": 28, "in_channels": 64, "out_channels": 96, "kernel": 3, "stride": 2})
    '28x28x64 -> 96, kernel 3, stride 2'
    >>> dims_text({"rows": 1, "in_channels": 64, "out_channels": 10, "activation": 0})
    '64 -> 10'
    """
    sides = [dims[side] for side in ("height", "width") if side in dims]
    if dims.get("rows", 1) > 1:
        sides.append(dims["rows"])
    channels = dims.get("in_channels", dims.get("channels"))
    text = "x".join(str(n) for n in (*sides, channels) if n is not None)
    if "out_channels" in dims:
        text += f" -> {dims['out_channels']}"
    if "kernel" in dims:
        text += f", kernel {dims['kernel']}"
    if dims.get("stride", 1) > 1:
        text += f", stride {dims['stride']}"
    return text


def short_name(name: str) -> str:
    """The last of the names that a converter joins for fused layers, without what it repeats.

    >>> short_name("net_1/re_lu_1/Relu;net_1/conv2d_1/convolution"), short_name("conv2d_1")
    ('net_1/conv2d_1', 'conv2d_1')
    """
    last = clean(name).rpartition(";")[2]
    folder, _, end = last.rpartition("/")
    return folder if "/" in folder and end else last
