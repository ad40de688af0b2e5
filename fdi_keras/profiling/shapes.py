"""Random shapes of each kind of operator.

Every kind mixes two ways of drawing: anything within the range, log-uniform, and
what networks really contain, where few channels go with large images and many with
small ones. A number drawn here may still be refused for its FLOPs or memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from fdi_keras.operators.formulas import BOTH_SPREAD, NO_BROADCAST, ONE_NUMBER, OVER_CHANNELS, OVER_PIXELS
from fdi_keras.operators.kinds import BINARY, BINARY_FUSING, ELEMENTWISE, REDUCTIONS
from fdi_keras.operators.windows import fits
from fdi_keras.profiling import recurrent_shapes

Dims = dict[str, int]
Base = Callable[[Random], Dims]

MAX_SIDE = 224
MAX_CHANNELS = 1024
MAX_POINTWISE = 2048
MAX_DENSE = 4096
MAX_FLATTENED = 25_088  # 7 x 7 x 512, what VGG16 flattens
MAX_STEPS = 4096  # of a sequence
MAX_RESHAPED = 3_000_000
MAX_TABLE = 8_000_000  # numbers in a table of embeddings

#: Sides of feature maps in networks for images of 28, 32, 64, 96, 128, 160 and 224 pixels.
SIDES = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 224)

LIKED_CHANNELS = (8, 16, 24, 32, 40, 48, 64, 80, 96, 112, 128, 160, 192, 256, 320, 384, 512, 576, 768,
                  960, 1024, 1280, 1536, 2048)  # fmt: skip


def log_uniform(rng: Random, low: int, high: int) -> int:
    """A whole number between ``low`` and ``high``, every octave equally likely."""
    return min(high, int(math.exp(rng.uniform(math.log(low), math.log(high + 1)))))


def _sides(rng: Random) -> tuple[int, int]:
    side = rng.choice(SIDES) if rng.random() < 0.5 else log_uniform(rng, 1, MAX_SIDE)
    other = side if rng.random() < 0.9 else log_uniform(rng, 1, MAX_SIDE)
    return side, other


def _channels(rng: Random, high: int = MAX_CHANNELS) -> int:
    way = rng.random()
    if way < 0.3:
        return rng.choice([c for c in LIKED_CHANNELS if c <= high])
    # One to three channels are a third of the octaves below 64, and rare in networks.
    return log_uniform(rng, 1 if way < 0.45 else 4, high)


def _usual_channels(rng: Random, side: int, high: int) -> int:
    """About as many as networks have at this side: some 32 at 112, 512 at 7, spread by 8 up and down."""
    middle = 3584 / max(side, 4)
    value = round(middle * math.exp(rng.uniform(-math.log(8), math.log(8))))
    return max(1, min(high, value))


def _image(rng: Random, high: int = MAX_CHANNELS) -> Dims:
    height, width = _sides(rng)
    usual = rng.random() < 0.65
    channels = _usual_channels(rng, min(height, width), high) if usual else _channels(rng, high)
    return {"height": height, "width": width, "channels": channels}


def _fitting(dims: Dims) -> Dims:
    """Without padding a kernel must fit into the image."""
    if not fits(dims):
        dims["padding"] = 1
    return dims


def _shaped(rng: Random, dims: Dims, often: float) -> Dims:
    """Now and then a window that differs by side, or one with holes."""
    way = rng.random()
    if way < often:
        if dims["kernel"] == 1:
            dims["kernel"] = rng.choices((2, 3, 5, 7), (10, 60, 15, 15))[0]
        dims["kernel_width"] = 1
        if rng.random() < 0.65:  # sequences are images of one row
            dims["kernel"], dims["kernel_width"] = 1, dims["kernel"]
            if rng.random() < 0.4:
                dims["width"], dims["height"] = min(MAX_STEPS, dims["width"] * dims["height"]), 1
    elif way < 1.3 * often and dims["stride"] > 1:
        dims["stride"], dims["stride_width"] = rng.choice(((1, dims["stride"]), (dims["stride"], 1)))
    elif way < 1.8 * often and dims["kernel"] > 1 and "activation" in dims:
        dims["dilation"], dims["stride"] = rng.choices((2, 3, 4, 6, 12), (50, 10, 20, 10, 10))[0], 1
    return dims


def _conv2d(rng: Random) -> Dims:
    kernel = rng.choices((1, 2, 3, 4, 5, 6, 7), (36, 2, 42, 2, 9, 2, 7))[0]
    high = MAX_POINTWISE if kernel == 1 else MAX_CHANNELS
    way = rng.random()
    if way < 0.06:  # the first layer of a network
        side, n_in, n_out = rng.choice(SIDES[10:]), rng.choice((1, 3)), log_uniform(rng, 4, 128)
        height, width = side, side
    elif way < 0.55:  # a layer within
        height, width = _sides(rng)
        n_in = _usual_channels(rng, min(height, width), high)
        n_out = max(1, min(high, round(n_in * math.exp(rng.uniform(-math.log(6), math.log(6))))))
    else:
        height, width = _sides(rng)
        n_in, n_out = _channels(rng, high), _channels(rng, high)
    dims = {
        "height": height, "width": width, "in_channels": n_in, "out_channels": n_out, "kernel": kernel,
        "stride": 2 if rng.random() < 0.22 else 1,
        "padding": int(rng.random() < (0.5 if kernel == 1 else 0.75)),
        "activation": int(rng.random() < 0.6),
    }  # fmt: skip
    return _fitting(_shaped(rng, dims, 0.12))


def _grouped_conv2d(rng: Random) -> Dims:
    dims = _shaped(rng, _conv2d(rng), 0.05)
    # As many groups as channels is a convolution by channel: Keras writes some of them so.
    each = 1 if rng.random() < 0.4 else rng.choice((2, 4, 8, 16, 32))
    dims["groups"] = max(2, min(MAX_CHANNELS, dims["in_channels"]) // each)
    dims["in_channels"] = dims["groups"] * each
    dims["out_channels"] = dims["in_channels"] * (2 if rng.random() < 0.15 else 1)
    return _fitting(dims)


def _transposed_conv2d(rng: Random) -> Dims:
    height, width = (min(side, MAX_SIDE // 2) for side in _sides(rng))
    n_in = _usual_channels(rng, min(height, width), MAX_CHANNELS // 2)
    dims = {
        "height": height, "width": width, "in_channels": n_in,
        "out_channels": max(1, round(n_in * math.exp(rng.uniform(-math.log(6), math.log(2))))),
        "kernel": rng.choices((2, 3, 4, 5), (40, 30, 20, 10))[0],
        "stride": 2 if rng.random() < 0.85 else rng.choice((1, 4)),
        "padding": int(rng.random() < 0.7), "activation": int(rng.random() < 0.4),
    }  # fmt: skip
    if rng.random() < 0.1:
        dims |= {"height": 1, "kernel": 1, "kernel_width": dims["kernel"]}
    return dims


def _depthwise_conv2d(rng: Random) -> Dims:
    dims = {
        **_image(rng),
        "kernel": rng.choices((1, 2, 3, 4, 5, 6, 7), (3, 2, 58, 2, 25, 2, 8))[0],
        "stride": 2 if rng.random() < 0.3 else 1,
        "padding": int(rng.random() < 0.7),
        "activation": int(rng.random() < 0.6),
    }
    # No multipliers and no windows that differ by side: they are rare in networks, run in other ways, and
    # the few that a campaign has time for mislead the model about all others.
    if dims["kernel"] > 1 and rng.random() < 0.06:
        dims |= {"dilation": rng.choices((2, 3, 4, 6, 12), (50, 10, 20, 10, 10))[0], "stride": 1}
    return _fitting(dims)


def _dense(rng: Random) -> Dims:
    rows = 1 if rng.random() < 0.88 else log_uniform(rng, 2, 256)
    way = rng.random()
    if way < 0.35:  # weights that leave the caches
        n_in, n_out = log_uniform(rng, 256, MAX_DENSE), log_uniform(rng, 256, MAX_DENSE)
    elif way < 0.45:  # behind a flattened image
        n_in, n_out = log_uniform(rng, 512, MAX_FLATTENED), log_uniform(rng, 10, 1024)
    elif way < 0.6:  # classes of an ordinary classifier
        n_in, n_out = _channels(rng, MAX_POINTWISE), rng.choice((1, 2, 10, 20, 100, 1000))
    else:
        n_in, n_out = _channels(rng, MAX_POINTWISE), _channels(rng, MAX_DENSE)
    return {"rows": rows, "in_channels": n_in, "out_channels": n_out, "activation": int(rng.random() < 0.4)}


def _pool2d(rng: Random) -> Dims:
    dims = {
        **_image(rng),
        "kernel": rng.choices((1, 2, 3, 4, 5, 6, 7), (4, 40, 30, 8, 7, 4, 7))[0],
        "stride": rng.choices((1, 2, 3), (30, 60, 10))[0],
        "padding": int(rng.random() < 0.5),
    }
    return _fitting(_shaped(rng, dims, 0.1))


def _binary(rng: Random) -> Dims:
    constant = int(rng.random() < 0.4)
    ways = (NO_BROADCAST, OVER_PIXELS, OVER_CHANNELS, ONE_NUMBER, BOTH_SPREAD)
    broadcast = rng.choices(ways, (5, 55, 5, 30, 5) if constant else (55, 20, 20, 0, 5))[0]
    return {
        **_image(rng),
        "constant": constant,
        "activation": int(rng.random() < 0.4),
        "broadcast": broadcast,
    }


def _plain_binary(rng: Random) -> Dims:
    dims = _binary(rng)
    del dims["activation"]
    return dims


def _reduction(rng: Random) -> Dims:
    dims = {name: max(2, size) for name, size in _image(rng).items()}
    return {**dims, "over": rng.choices((0, 1, 2), (55, 35, 10))[0]}


def _with(name: str, values: tuple[int, ...], weights: tuple[int, ...]) -> Base:
    """An image and one more number."""
    return lambda rng: {**_image(rng), name: rng.choices(values, weights)[0]}


def _tokens(rng: Random) -> Dims:
    """Sequences and attention: an image of one row, or heads of few channels."""
    if rng.random() < 0.5:
        return _image(rng)
    return {"height": log_uniform(rng, 8, 512), "width": rng.choice((1, 2, 4, 6, 8, 12)),
            "channels": rng.choice((16, 24, 32, 48, 64, 96, 128))}  # fmt: skip


def _transpose(rng: Random) -> Dims:
    order = rng.choices((0, 1, 2), (40, 50, 10))[0]
    dims = _tokens(rng)
    least = {"height": 1 if order == 1 else 2, "width": 2, "channels": 2}
    return {**{name: max(least[name], size) for name, size in dims.items()}, "order": order}


def _resize(rng: Random) -> Dims:
    dims = _image(rng)
    scale = rng.choices((2, 3, 4), (80, 5, 15))[0]
    height, width = (
        scale * dims[s] if rng.random() < 0.85 else log_uniform(rng, 1, MAX_SIDE) for s in ("height", "width")
    )
    return {**dims, "out_height": height, "out_width": width}


def _batch_matmul(rng: Random) -> Dims:
    """The two products of attention, or any."""
    tokens, size = log_uniform(rng, 4, 512), rng.choice((16, 24, 32, 48, 64, 96, 128))
    batch, transposed = log_uniform(rng, 1, 16), int(rng.random() < 0.5)
    rows, n_in, n_out = rng.choice(
        (
            (tokens, size, tokens),
            (tokens, tokens, size),
            (log_uniform(rng, 1, 512), log_uniform(rng, 1, 512), log_uniform(rng, 1, 512)),
        )
    )
    return {
        "batch": batch,
        "rows": rows,
        "in_channels": n_in,
        "out_channels": n_out,
        "transposed": transposed,
    }


def _gather(rng: Random) -> Dims:
    channels = rng.choice((8, 16, 32, 50, 64, 100, 128, 200, 256, 300, 512, 768))
    entries = log_uniform(rng, 2, MAX_TABLE // channels)
    return {"rows": log_uniform(rng, 1, MAX_STEPS), "channels": channels, "entries": entries}


def _concat(rng: Random) -> Dims:
    return _in_parts(rng, "inputs")


def _split(rng: Random) -> Dims:
    return _in_parts(rng, "outputs")


def _in_parts(rng: Random, name: str) -> Dims:
    parts = rng.choices((2, 3, 4, 5, 6), (50, 20, 20, 5, 5))[0]
    image = _image(rng)
    return {**image, "channels": max(parts, image["channels"]), name: parts}


def _pad(rng: Random) -> Dims:
    total = rng.choices((1, 2, 3, 4, 6), (25, 45, 5, 10, 15))[0]
    other = total if rng.random() < 0.9 else rng.randrange(7)
    return {**_image(rng), "pad_height": total, "pad_width": other}


def _softmax(rng: Random) -> Dims:
    rows = 1 if rng.random() < 0.6 else log_uniform(rng, 2, 4096)
    return {"rows": rows, "channels": rng.choice((2, 10, 100, 1000)) if rng.random() < 0.3
            else log_uniform(rng, 1, MAX_DENSE)}  # fmt: skip


BASES: dict[str, Base] = {
    "conv2d": _conv2d,
    "grouped_conv2d": _grouped_conv2d,
    "transposed_conv2d": _transposed_conv2d,
    "depthwise_conv2d": _depthwise_conv2d,
    "dense": _dense,
    "batch_matmul": _batch_matmul,
    "max_pool2d": _pool2d,
    "average_pool2d": _pool2d,
    **dict.fromkeys(REDUCTIONS, _reduction),
    **dict.fromkeys(BINARY, _plain_binary),
    **dict.fromkeys(BINARY_FUSING, _binary),
    "prelu": _with("shared", (1, 0), (80, 20)),
    "compare": _with("broadcast", (NO_BROADCAST, ONE_NUMBER), (50, 50)),
    "select": _with("broadcast", (0, 1), (50, 50)),
    "cast": _image,
    "concat": _concat,
    "split": _split,
    "slice": _with("stride", (1, 2), (85, 15)),
    "pad": _pad,
    "transpose": _transpose,
    "reshape": lambda rng: {"channels": log_uniform(rng, 16, MAX_RESHAPED)},
    "tile": _with("times", (2, 3, 4), (80, 5, 15)),
    "resize_bilinear": _resize,
    "resize_nearest": _resize,
    "softmax": _softmax,
    "gather": _gather,
    **dict.fromkeys(ELEMENTWISE, _image),
    **recurrent_shapes.BASES,
}
