"""Random shapes of each kind of operator, and the corners of their ranges.

Every kind mixes two ways of drawing: anything within the range, log-uniform, and
what networks really contain, where few channels go with large images and many with
small ones. A number drawn here may still be refused for its FLOPs or memory.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from random import Random

from fdi_keras.operators.kinds import ELEMENTWISE, KINDS
from fdi_keras.profiling import recurrent_shapes

Dims = dict[str, int]
Base = Callable[[Random], Dims]

MAX_SIDE = 224
MAX_CHANNELS = 1024
MAX_POINTWISE = 2048
MAX_DENSE = 4096
MAX_FLATTENED = 25_088  # 7 x 7 x 512, what VGG16 flattens

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
    if not dims["padding"] and dims["kernel"] > min(dims["height"], dims["width"]):
        dims["padding"] = 1
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
    return _fitting(dims)


def _depthwise_conv2d(rng: Random) -> Dims:
    dims = {
        **_image(rng),
        "kernel": rng.choices((1, 2, 3, 4, 5, 6, 7), (3, 2, 58, 2, 25, 2, 8))[0],
        "stride": 2 if rng.random() < 0.3 else 1,
        "padding": int(rng.random() < 0.7),
        "activation": int(rng.random() < 0.6),
    }
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
    return _fitting(dims)


def _binary(rng: Random) -> Dims:
    return {**_image(rng), "constant": int(rng.random() < 0.4), "activation": int(rng.random() < 0.4)}


def _concat(rng: Random) -> Dims:
    inputs = rng.choices((2, 3, 4, 5, 6), (50, 20, 20, 5, 5))[0]
    image = _image(rng)
    return {**image, "channels": max(inputs, image["channels"]), "inputs": inputs}


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
    "depthwise_conv2d": _depthwise_conv2d,
    "dense": _dense,
    "max_pool2d": _pool2d,
    "average_pool2d": _pool2d,
    "mean": _image,
    "add": _binary,
    "mul": _binary,
    "concat": _concat,
    "pad": _pad,
    "softmax": _softmax,
    **dict.fromkeys(ELEMENTWISE, _image),
    **recurrent_shapes.BASES,
}


def _rows(kind: str, *rows: tuple[int, ...]) -> tuple[Mapping[str, int], ...]:
    names = KINDS[kind].dimensions
    return tuple({name: int(v) for name, v in zip(names, row, strict=True)} for row in rows)


_IMAGES = ((224, 224, 32), (1, 1, 2048), (7, 7, 1024), (1, 224, 1), (224, 1, 1), (28, 28, 64))


def _corners() -> dict[str, tuple[Mapping[str, int], ...]]:
    """Configurations at the ends of every dimension, so that short campaigns span the range too."""
    pools = tuple(
        (*image, kernel, stride, padding)
        for image, kernel, stride, padding in zip(
            _IMAGES, (2, 7, 7, 1, 1, 3), (2, 1, 1, 1, 1, 3), (0, 1, 0, 0, 1, 1), strict=True
        )
    )
    return {
        "conv2d": _rows(
            "conv2d",
            (224, 224, 3, 32, 3, 2, 1, 1),
            (1, 1, 2048, 512, 1, 1, 1, 1),
            (7, 7, 512, 2048, 1, 1, 0, 0),
            (4, 4, 512, 512, 3, 1, 1, 1),
            (112, 112, 3, 64, 7, 2, 0, 1),
            (1, 1, 1024, 1024, 3, 1, 1, 0),
            (2, 2, 1, 1, 7, 2, 1, 1),
        ),
        "depthwise_conv2d": _rows(
            "depthwise_conv2d",
            (224, 224, 16, 3, 1, 1, 1),
            (7, 7, 1024, 7, 1, 1, 0),
            (112, 112, 64, 3, 2, 0, 1),
            (1, 1, 2048, 3, 1, 1, 1),
            (1, 1, 1, 1, 1, 0, 0),
        ),
        "dense": _rows(
            "dense",
            (1, 4096, 4096, 1),
            (1, MAX_FLATTENED, 512, 0),
            (256, 512, 512, 0),
            (1, 1, 1, 0),
            (1, 2048, 1000, 0),
            (1, 1, 4096, 1),
        ),
        "max_pool2d": _rows("max_pool2d", *pools),
        "average_pool2d": _rows("average_pool2d", *pools),
        "mean": _rows("mean", *_IMAGES),
        **{
            name: _rows(name, *((*image, i % 2, i % 3 == 0) for i, image in enumerate(_IMAGES)))
            for name in ("add", "mul")
        },
        "concat": _rows(
            "concat", *((h, w, max(c, 6), 2 + 2 * (i % 3)) for i, (h, w, c) in enumerate(_IMAGES))
        ),
        "pad": _rows("pad", *((h, w, c, 6 * (i % 2), 6 * (i % 2)) for i, (h, w, c) in enumerate(_IMAGES))),
        "softmax": _rows("softmax", (1, 1), (1, 4096), (4096, 10), (4096, 1), (1, 1000)),
        **{name: _rows(name, *_IMAGES) for name in ELEMENTWISE},
        **{name: _rows(name, *rows) for name, rows in recurrent_shapes.CORNERS.items()},
    }


CORNERS = _corners()
