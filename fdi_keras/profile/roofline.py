"""The roofline of a device, from the measurements in its profile.

After Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore
architectures" (CACM 2009). The roofs are what probes of the campaign reached: FLOPs a second, and bytes
a second of operators that only pass over their tensors, of large ones and of small ones, which a cache nearby
may hold. What counts as large and which probes are taken for the roof are our choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.operators import EXPLANATORY, KINDS, Operator, memory_access
from fdi_keras.operators.kinds import BINARY, BYTES, ELEMENTWISE
from fdi_keras.profile.profile import DeviceProfile
from fdi_keras.profile.unmeasured import TWO_NUMBERS

#: Kinds that touch every byte of their tensors and do next to nothing with it.
PASSING_OVER = (*BINARY, *ELEMENTWISE, "concat")

#: Probes that move fewer bytes may find all of them in a cache nearby.
LARGE_BYTES = 4e6

#: The roof is what all but this share of the probes stay below: single readings may be lucky.
LUCKY = 0.005

#: Fewest probes under a roof.
FEWEST = 20

#: What each bound means for whoever prunes.
MEANING = {
    "compute": "time falls with the product of its input and output channels",
    "memory": "time falls with the bytes of its feature maps and weights: fewer pixels or channels, not fewer FLOPs",
}


@dataclass(frozen=True)
class Place:
    """Where an operator lies.

    Attributes:
        intensity: FLOPs for every byte.
        bound: which roof is over it.
        roof_ms: the least time in which the device could do it.
    """

    intensity: float
    bound: Literal["compute", "memory"]
    roof_ms: float


@dataclass(frozen=True)
class Roofline:
    """What a device reaches at most.

    Attributes:
        flops_per_s: of arithmetic.
        bytes_per_s: of memory access beyond the nearest caches.
        near_bytes_per_s: of what moves less than :data:`LARGE_BYTES`.
    """

    flops_per_s: float
    bytes_per_s: float
    near_bytes_per_s: float

    @property
    def ridge(self) -> float:
        """FLOPs a byte from which on arithmetic is the limit."""
        return self.flops_per_s / self.bytes_per_s

    def place(self, operator: Operator) -> Place:
        """Where an operator lies under the roofs."""
        return self.at(operator.explained["flops"], memory_access(operator))

    def at(self, flops: float, memory_bytes: float) -> Place:
        """Where an operator lies that computes and moves so much."""
        rate = self.bytes_per_s if memory_bytes >= LARGE_BYTES else self.near_bytes_per_s
        by_compute, by_memory = flops / self.flops_per_s, memory_bytes / rate
        return Place(
            flops / memory_bytes if memory_bytes else 0.0,
            "compute" if by_compute >= by_memory else "memory",
            1e3 * max(by_compute, by_memory),
        )

    @property
    def text(self) -> str:
        """In one sentence."""
        return (
            f"At most {self.flops_per_s / 1e9:.4g} GFLOP/s and {self.bytes_per_s / 1e9:.3g} GB/s: operators with less "
            f"than {self.ridge:.3g} FLOPs a byte wait for memory. Those that move less than {LARGE_BYTES / 1e6:g} MB "
            f"get {self.near_bytes_per_s / 1e9:.3g} GB/s."
        )


@dataclass(frozen=True)
class Probes:
    """What the probes of one kind computed and moved, ``(n,)`` each.

    Attributes:
        flops: of one execution.
        memory_bytes: read and written, weights included.
        seconds: of one execution, without the cost of an invocation.
    """

    flops: np.ndarray
    memory_bytes: np.ndarray
    seconds: np.ndarray

    @property
    def intensity(self) -> np.ndarray:
        """FLOPs for every byte, ``(n,)``."""
        return self.flops / self.memory_bytes

    @property
    def flops_per_s(self) -> np.ndarray:
        """What they reached, ``(n,)``."""
        return self.flops / self.seconds


def probes_of(profile: DeviceProfile) -> dict[str, Probes]:
    """The measurements of a profile by kind; none where it was saved without."""
    found = {}
    for kind, table in profile.measurements.items():
        explained = KINDS[kind].explain(table.dims)
        column = {name: explained[:, i] for i, name in enumerate(EXPLANATORY)}
        moved = column["memory_in"] + column["memory_out"] + BYTES * column["parameters"]
        found[kind] = Probes(column["flops"], moved, 1e-3 * table.times_ms(profile.overhead_ms))
    return found


def roofline_of(profile: DeviceProfile, probes: Mapping[str, Probes] | None = None) -> Roofline:
    """The roofs that the measurements of a profile show; of one that was made of two numbers these two.

    Args:
        profile: with its measurements.
        probes: what :func:`probes_of` made of it, where that is known.

    Raises:
        UsageError: it has too few measurements, as one that was saved without.
    """
    if profile.runtime.name == TWO_NUMBERS:
        leaf = next(iter(profile.models.values())).tree.leaves[0].leaf
        flops_per_s, bytes_per_s = (1e3 / leaf.weights[name] for name in ("flops", "memory_in"))
        return Roofline(flops_per_s, bytes_per_s, bytes_per_s)
    rates: list[np.ndarray] = []
    far: list[np.ndarray] = []
    near: list[np.ndarray] = []
    for kind, each in (probes_of(profile) if probes is None else probes).items():
        rates.append(each.flops_per_s)
        if kind in PASSING_OVER:
            moving, large = each.memory_bytes / each.seconds, each.memory_bytes >= LARGE_BYTES
            far.append(moving[large])
            near.append(moving[~large])
    roofs = [np.concatenate(values) if values else np.empty(0) for values in (rates, far, near)]
    if min(len(values) for values in roofs) < FEWEST:
        raise UsageError(
            f"profile {profile.name!r} has too few measurements for a roofline ({len(roofs[0])}; of operators that "
            f"pass over their tensors {len(roofs[1])} with {LARGE_BYTES / 1e6:g} MB or more and {len(roofs[2])} with "
            f"less); at least {FEWEST} of each are needed."
        )
    return Roofline(*(float(np.quantile(values, 1 - LUCKY)) for values in roofs))
