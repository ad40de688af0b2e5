"""Which configurations a campaign times.

A design is an endless sequence, the same for the same kinds and seed, of which a
campaign takes as much as its time allows. Every prefix is a good design: kinds take
turns in proportion to their share, and each kind begins with the corners of its
range. Resuming and extending a campaign is therefore going on in the sequence.

Shares, ranges and mixtures are our choice (the paper's tables could not be had).
Channels come in three ways: log-uniform, at numbers that networks like, and in
dense neighbourhoods, that is, triples such as 63, 64, 65 in which nothing else
changes, so that steps and dips show. A neighbourhood is one group: folds that
split one would test on what was as good as trained on.
"""

from __future__ import annotations

import collections
import itertools
import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from fdi_keras.errors import UsageError
from fdi_keras.operators import KINDS, get_kind
from fdi_keras.operators.recurrent import RECURRENT
from fdi_keras.profiling import recurrent_shapes
from fdi_keras.profiling.corners import CORNERS
from fdi_keras.profiling.shapes import BASES

#: Changes with every change that makes other sequences: campaigns resume only their own.
DESIGN_VERSION = 6

#: Shares of the kinds in a design; what is not named has OTHER_SHARE: operators that take little of
#: a network's time, and whose time is simple.
SHARES = {
    **{"conv2d": 46.0, "depthwise_conv2d": 26.0, "dense": 22.0, "add": 4.0, "mul": 4.0},
    **dict.fromkeys(("lstm_while", "gru_while", "lstm_unrolled", "gru_unrolled"), 5.0),
    **dict.fromkeys(("max_pool2d", "average_pool2d", "mean", "reduce_max"), 3.0),
    **dict.fromkeys(("concat", "pad"), 2.5),
    **dict.fromkeys(
        ("grouped_conv2d", "transposed_conv2d", "batch_matmul", "transpose", "sum", "prelu"), 1.6
    ),
    **dict.fromkeys(("softmax", "split", "slice", "reshape", "sub", "div", "maximum"), 1.0),
}
OTHER_SHARE = 0.7

#: Every kind gets so many before shares count, so that a short campaign knows all kinds at all.
HEAD_START = 5

#: Limits of one probe: about 10 ms, and fitting into the memory of a phone. Weights may be
#: as large as a dense layer of 4096 x 4096, feature maps as two of 224 x 224 x 64. A
#: depthwise convolution does far fewer FLOPs a second, and networks ask it for fewer.
MAX_FLOPS = 1e9
MAX_DEPTHWISE_FLOPS = 6e7
MAX_BYTES = 80e6
MAX_FEATURE_BYTES = 26e6

#: What has fewer FLOPs and bytes together takes about a microsecond, hardly counts in a
#: network and is hard to measure: three of four such configurations are left out.
LITTLE_WORK = 1e5
LITTLE_KEPT = 0.25

#: How often a configuration is surrounded by its neighbours.
NEIGHBOURHOODS = 0.25
MULTIPLES = (4, 8, 16, 32, 64)

Dims = dict[str, int]


class Configuration(NamedTuple):
    """One operator to time; neighbours that differ in little share a group."""

    kind: str
    dims: Dims
    group: int


def configurations(kinds: Sequence[str] | None = None, seed: int = 0) -> Iterator[Configuration]:
    """The endless design: all kinds, unless some are named, in turns.

    Raises:
        UsageError: an unknown kind.

    Example::

        >>> list(itertools.islice(configurations(["softmax"]), 2))[1].kind
        'softmax'
    """
    return _turns(check_kinds(kinds), seed)


def design(kinds: Sequence[str] | None, count: int, seed: int = 0) -> list[Configuration]:
    """The first ``count`` configurations of :func:`configurations`."""
    return list(itertools.islice(configurations(kinds, seed), count))


def planned(kinds: Sequence[str] | None, count: int) -> dict[str, int]:
    """How many of the first ``count`` configurations are of each kind, without making them.

    Raises:
        UsageError: an unknown kind.

    >>> planned(["conv2d", "softmax"], 50)
    {'conv2d': 45, 'softmax': 5}
    """
    names = check_kinds(kinds)
    counts = collections.Counter(itertools.islice(kind_order(names), count))
    return {name: counts[name] for name in names}


def check_kinds(kinds: Sequence[str] | None) -> list[str]:
    """The kinds of a design, in the order of the table; UsageError for an unknown or empty choice."""
    if kinds is None:
        return list(KINDS)
    chosen = {get_kind(name).name for name in kinds}
    if not chosen:
        raise UsageError("a design needs at least one kind of operator.")
    return [name for name in KINDS if name in chosen]


def within_limits(kind: str, dims: Dims) -> bool:
    """Whether a probe of this configuration is worth its time and memory."""
    flops, memory_in, memory_out, internal, parameters = KINDS[kind].explain(dims)[0]
    features = memory_in + memory_out
    if kind in RECURRENT and not recurrent_shapes.within_limits(kind, flops, internal, 4 * parameters):
        return False
    by_channel = kind in ("depthwise_conv2d", "grouped_conv2d")
    return bool(
        flops <= (MAX_DEPTHWISE_FLOPS if by_channel else MAX_FLOPS)
        and features <= MAX_FEATURE_BYTES
        and features + 4 * parameters <= MAX_BYTES
    )


def _turns(kinds: list[str], seed: int) -> Iterator[Configuration]:
    """The kind that is furthest behind its share goes next, once all have their head start."""
    sources = {name: _of_kind(name, seed) for name in kinds}
    for name in kind_order(kinds):
        yield next(sources[name])


def kind_order(kinds: list[str]) -> Iterator[str]:
    """The kinds of an endless design in their turns, by their shares."""
    shares = {name: SHARES.get(name, OTHER_SHARE) for name in kinds}
    taken = dict.fromkeys(kinds, 0)
    while True:
        name = min(kinds, key=lambda k: (min(taken[k], HEAD_START), (taken[k] + 0.5) / shares[k]))
        taken[name] += 1
        yield name


def _of_kind(kind: str, seed: int) -> Iterator[Configuration]:
    """All configurations of one kind, each once; the corners come between the first others."""
    rng = random.Random(f"{seed}/{kind}")  # a text is hashed the same way by every Python
    corners = iter(CORNERS[kind])
    seen: set[tuple[int, ...]] = set()
    for group in itertools.count():
        corner = next(corners, None) if group % 2 == 0 else None
        members = [dict(corner)] if corner else _members(kind, rng)
        for drawn in members:
            dims = KINDS[kind].canonical(drawn)
            key = tuple(dims.values())
            if key not in seen and within_limits(kind, dims):
                seen.add(key)
                yield Configuration(kind, dims, group)


def _members(kind: str, rng: random.Random) -> list[Dims]:
    """A random configuration, alone or with its neighbours."""
    base = KINDS[kind].complete(BASES[kind](rng))
    # Of a recurrent layer every step costs its microsecond, however little it computes.
    while kind not in RECURRENT and _work(kind, base) < LITTLE_WORK and rng.random() >= LITTLE_KEPT:
        base = KINDS[kind].complete(BASES[kind](rng))
    if rng.random() >= NEIGHBOURHOODS:
        return [base]
    # Outputs oftener than inputs: that is where libraries cut their tiles.
    channels = KINDS[kind].channels
    name = channels[-1] if rng.random() < 0.65 else channels[0]
    multiple = rng.choice(MULTIPLES)
    centre = max(multiple, round(base[name] / multiple) * multiple)
    if base.get("groups", 1) > 1:  # channels of a grouped convolution are a multiple of its groups
        return [base]
    least = max(base.get("inputs", 1), base.get("outputs", 1))
    return [{**base, name: value} for value in (centre - 1, centre, centre + 1) if value >= least]


def _work(kind: str, dims: Dims) -> float:
    """FLOPs and bytes of feature maps and weights together."""
    flops, memory_in, memory_out, _, parameters = KINDS[kind].explain(dims)[0]
    return float(flops + memory_in + memory_out + 4 * parameters)
