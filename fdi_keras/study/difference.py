"""Which operators make the difference between two networks of equal FLOPs. Our choice throughout.

If FLOPs explained everything, each operator would cost what its FLOPs cost on average in both networks.
What it costs beyond that (or short of it) is what FLOPs do not explain of it; over all operators this
adds up to the difference of the two networks, but for the little by which their FLOPs differ. Operators of the same
kind and dimensions stand in one row, whichever network they are of, so that what both have cancels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from fdi_keras.operators.words import dims_text
from fdi_keras.profile.roofline import Roofline
from fdi_keras.study.explain import EqualPair
from fdi_keras.study.network import Swept, SweptOperator

#: Rows are named until what is left is at most this share of all that FLOPs do not explain.
LEFT = 0.2

#: Most rows that are named.
MOST = 8


@dataclass(frozen=True)
class Part:
    """Operators of one kind and the same dimensions.

    Attributes:
        name: of the first of them.
        kind, dims: what they are.
        slower, faster: how many the slower and the faster network have.
        flops, memory_bytes: of one of them; memory access as in ``counts.py``.
        intensity: FLOPs for every byte.
        predicted_ms: of one, on average; ``None`` without a profile that knows it.
        bound: which roof of the device is over it; ``None`` where roofs are not known.
        more: what they add to the difference beyond their FLOPs, in the unit of :class:`Difference`;
            below 0 they make it smaller.
    """

    name: str
    kind: str
    dims: Mapping[str, int]
    slower: int
    faster: int
    flops: float
    memory_bytes: float
    intensity: float
    predicted_ms: float | None
    bound: Literal["compute", "memory"] | None
    more: float


@dataclass(frozen=True)
class Difference:
    """What FLOPs do not explain of the difference between two networks.

    Attributes:
        by: what was compared: ``"predicted_ms"``, or ``"memory_bytes"`` where a network has no predicted time.
        total: the slower network's sum less that of the faster one, in ms or bytes.
        by_flops: of that, what the different number of FLOPs accounts for.
        parts: the few operators that account for most of the rest, the largest first.
        rest: what all others add.
        unpriced: how many operators the profile does not know; they are in no sum.
    """

    by: Literal["predicted_ms", "memory_bytes"]
    total: float
    by_flops: float
    parts: tuple[Part, ...]
    rest: float
    unpriced: int

    def to_dict(self) -> dict[str, Any]:
        """As plain data."""
        return asdict(self)


def difference(pair: EqualPair, roofline: Roofline | None = None) -> Difference | None:
    """The operators that make two networks of equal FLOPs differ; None where operators are not known.

    Args:
        pair: of :func:`~fdi_keras.study.explain.equal_pairs`.
        roofline: of the device, to say what bounds each operator.
    """
    slower, faster = pair.slower, pair.faster
    if not (slower.operators and faster.operators):
        return None
    predicted = slower.predicted_ms is not None and faster.predicted_ms is not None
    by: Literal["predicted_ms", "memory_bytes"] = "predicted_ms" if predicted else "memory_bytes"
    cost, flops, unpriced = 0.0, 0.0, 0
    total, more_flops = 0.0, 0.0
    groups: dict[tuple[Any, ...], list[tuple[int, SweptOperator]]] = {}
    for sign, network in ((1, slower), (-1, faster)):
        for operator in network.operators:
            costs = getattr(operator, by)
            if costs is None:
                unpriced += 1
                continue
            cost, flops = cost + costs, flops + operator.flops
            total, more_flops = total + sign * costs, more_flops + sign * operator.flops
            groups.setdefault(_alike(operator), []).append((sign, operator))
    rate = cost / flops if flops else 0.0
    parts = sorted((_part(rows, by, rate, roofline) for rows in groups.values()), key=lambda p: -abs(p.more))
    named = _few(parts)
    return Difference(
        by,
        total,
        rate * more_flops,
        tuple(parts[:named]),
        sum(part.more for part in parts[named:]),
        unpriced,
    )


def _alike(operator: SweptOperator) -> tuple[Any, ...]:
    """Equal for operators that are the same; those without dimensions are told by what they compute and move."""
    return (operator.kind, *sorted(operator.dims.items()), operator.flops, operator.memory_bytes)


def _part(rows: Sequence[tuple[int, SweptOperator]], by: str, rate: float, roofline: Roofline | None) -> Part:
    first = rows[0][1]
    times = [operator.predicted_ms for _, operator in rows if operator.predicted_ms is not None]
    return Part(
        first.name,
        first.kind,
        first.dims,
        sum(sign > 0 for sign, _ in rows),
        sum(sign < 0 for sign, _ in rows),
        first.flops,
        first.memory_bytes,
        first.flops / first.memory_bytes if first.memory_bytes else 0.0,
        sum(times) / len(times) if times else None,
        None if roofline is None else roofline.at(first.flops, first.memory_bytes).bound,
        sum(sign * (getattr(operator, by) - rate * operator.flops) for sign, operator in rows),
    )


def _few(parts: Sequence[Part]) -> int:
    """How many of the first parts leave little to the others."""
    left = whole = sum(abs(part.more) for part in parts)
    for number, part in enumerate(parts[:MOST]):
        if left <= LEFT * whole:
            return number
        left -= abs(part.more)
    return min(len(parts), MOST)


def in_words(found: Difference, slower: Swept, faster: Swept) -> str:
    """What the rows of parts are, in a sentence."""
    text = f"{slower.name} less {faster.name}: {amount(found, found.total)}"
    if found.by == "predicted_ms":
        text += " predicted"
        if slower.measured_ms is not None and faster.measured_ms is not None:
            text += f" ({slower.measured_ms - faster.measured_ms:+.3g} ms measured)"
    else:
        text += " moved"
    text += f", of which {amount(found, found.by_flops)} for its FLOPs."
    if found.unpriced:
        text += f" Operators that the profile does not know are not in it: {found.unpriced}."
    return text


def amount(found: Difference, value: float) -> str:
    """A part of a difference with its unit.

    >>> amount(Difference("memory_bytes", 0.0, 0.0, (), 0.0, 0), -2.5e6)
    '-2.5 MB'
    """
    return f"{value:+.3g} ms" if found.by == "predicted_ms" else f"{value / 1e6:+.3g} MB"


#: Heads of the columns of :func:`cells` but the last, which has the unit.
HEADS = ("layer", "operator", "slower", "faster", "MFLOPs", "MB", "FLOPs/B", "ms each", "bound")


def cells(found: Difference) -> list[tuple[str, ...]]:
    """The parts as rows of texts: heads first, then each part, then all others."""
    unit, factor = ("ms", 1.0) if found.by == "predicted_ms" else ("MB", 1e-6)
    rows = [
        (
            part.name,
            f"{part.kind} {dims_text(part.dims)}",
            f"{part.slower} x" if part.slower else "",
            f"{part.faster} x" if part.faster else "",
            f"{part.flops / 1e6:.4g}",
            f"{part.memory_bytes / 1e6:.3g}",
            f"{part.intensity:.1f}",
            "" if part.predicted_ms is None else f"{part.predicted_ms:.3g}",
            part.bound or "",
            f"{factor * part.more:+.3g}",
        )
        for part in found.parts
    ]
    others = ("", "all others", *[""] * (len(HEADS) - 2), f"{factor * found.rest:+.3g}")
    return [(*HEADS, f"adds {unit}"), *rows, others]
