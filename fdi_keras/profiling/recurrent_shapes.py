"""Random shapes of recurrent layers, and the corners of their ranges.

Steps, inputs and units as sequence networks have them: windows of sensors with few
inputs and many steps, embedded words with hundreds of inputs, and layers stacked on
layers of their own width.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

Dims = dict[str, int]

MAX_STEPS = 512
MAX_UNROLLED_STEPS = 128

#: The first step of an unrolled layer does less than the others, which in few steps counts much.
LEAST_UNROLLED_STEPS = 4
MAX_CHANNELS = 512

LIKED_STEPS = (8, 10, 16, 20, 24, 28, 30, 32, 40, 48, 50, 60, 64, 80, 96, 100, 120, 128, 150, 200, 256, 300,
               400, 500)  # fmt: skip
LIKED_UNITS = (8, 16, 20, 24, 32, 40, 48, 50, 64, 80, 96, 100, 128, 160, 192, 200, 256, 300, 384, 512)

#: Limits of one probe: FLOPs, for about 10 ms; bytes that the steps of a loop move; and the weights of an
#: unrolled layer, which it holds once for every step. Beyond these it is much slower than the loop, and
#: nobody should want it.
MAX_FLOPS = 4e8
MAX_INTERNAL = 1e8
MAX_UNROLLED_WEIGHTS = 2.4e7


def within_limits(kind: str, flops: float, internal: float, weight_bytes: float) -> bool:
    """Whether a probe of a recurrent kind is worth its time and memory."""
    kept = weight_bytes <= MAX_UNROLLED_WEIGHTS or not kind.endswith("_unrolled")
    return flops <= MAX_FLOPS and internal <= MAX_INTERNAL and kept


def _log_uniform(rng: Random, low: int, high: int) -> int:
    return min(high, int(math.exp(rng.uniform(math.log(low), math.log(high + 1)))))


def _one_of(rng: Random, liked: tuple[int, ...], low: int, high: int) -> int:
    if rng.random() < 0.3:
        return rng.choice([value for value in liked if value <= high])
    return _log_uniform(rng, low, high)


def _layer(rng: Random, most_steps: int) -> Dims:
    steps = _one_of(rng, LIKED_STEPS, 1 if rng.random() < 0.2 else 6, most_steps)
    units = _one_of(rng, LIKED_UNITS, 4, MAX_CHANNELS)
    way = rng.random()
    if way < 0.35:  # sensors
        n_in = _log_uniform(rng, 1, 24)
    elif way < 0.55:  # behind a layer of about its own width
        n_in = max(1, round(units * math.exp(rng.uniform(-math.log(2.5), math.log(2.5)))))
    else:
        n_in = _one_of(rng, LIKED_UNITS, 1, MAX_CHANNELS)
    return {"steps": steps, "in_channels": min(n_in, MAX_CHANNELS), "units": units}


def loop(rng: Random) -> Dims:
    """An LSTM or GRU as a loop."""
    dims = _layer(rng, MAX_STEPS)
    return {**dims, "outputs": dims["steps"] if rng.random() < 0.4 else 1}


def unrolled(rng: Random) -> Dims:
    """An unrolled LSTM or GRU."""
    dims = _layer(rng, MAX_UNROLLED_STEPS)
    return {**dims, "steps": max(LEAST_UNROLLED_STEPS, dims["steps"])}


def reverse(rng: Random) -> Dims:
    """The order of steps turned around."""
    dims = _layer(rng, MAX_STEPS)
    return {"steps": dims["steps"], "channels": dims["in_channels"]}


BASES: dict[str, Callable[[Random], Dims]] = {
    **dict.fromkeys(("lstm_while", "gru_while"), loop),
    **dict.fromkeys(("lstm_unrolled", "gru_unrolled"), unrolled),
    "reverse": reverse,
}

_LOOPS = ((1, 1, 1, 1), (512, 1, 32, 512), (512, 24, 16, 1), (20, 512, 64, 20), (16, 64, 512, 1),
          (1, 512, 512, 1), (128, 128, 128, 1))  # fmt: skip
_UNROLLED = ((4, 1, 1), (128, 1, 32), (32, 512, 32), (4, 16, 512), (4, 512, 128), (64, 64, 64))

#: Ends of the ranges by kind, in the order of its dimensions.
CORNERS: dict[str, tuple[tuple[int, ...], ...]] = {
    **dict.fromkeys(("lstm_while", "gru_while"), _LOOPS),
    **dict.fromkeys(("lstm_unrolled", "gru_unrolled"), _UNROLLED),
    "reverse": ((1, 1), (512, 512), (512, 1), (1, 512), (50, 64)),
}
