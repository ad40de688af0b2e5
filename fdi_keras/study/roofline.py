"""The roofline of a device, from the measurements in its profile.

After Williams, Waterman, Patterson, "Roofline: an insightful visual performance model for multicore
architectures" (CACM 2009). The roofs are what probes of the campaign reached: FLOPs a second, and bytes
a second of operators that only pass over their tensors, of large ones and of small ones, which a cache nearby
may hold. What counts as large and which probes are taken for the roof are our choice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.networks.latency import LatencyReport, OperatorLatency
from fdi_keras.operators import EXPLANATORY, KINDS, Operator
from fdi_keras.operators.kinds import BINARY, BYTES, ELEMENTWISE
from fdi_keras.profile import DeviceProfile
from fdi_keras.study.counts import memory_access

#: Kinds that touch every byte of their tensors and do next to nothing with it.
PASSING_OVER = (*BINARY, *ELEMENTWISE, "concat")

#: Probes that move fewer bytes may find all of them in a cache nearby.
LARGE_BYTES = 4e6

#: The roof is what all but this share of the probes stay below: single readings may be lucky.
LUCKY = 0.005

#: Fewest probes under a roof.
FEWEST = 20


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
        flops, moved = operator.explained["flops"], memory_access(operator)
        rate = self.bytes_per_s if moved >= LARGE_BYTES else self.near_bytes_per_s
        by_compute, by_memory = flops / self.flops_per_s, moved / rate
        return Place(
            flops / moved if moved else 0.0,
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


def place_all(roofline: Roofline, report: LatencyReport) -> list[Place]:
    """Where each operator of a report lies, in its order."""
    return [
        roofline.place(Operator(row.kind, row.dims, row.name) if row.dims else _unknown(row))
        for row in report.operators
    ]


def _unknown(row: OperatorLatency) -> Operator:
    """An operator without dimensions: all that is known is what it reads and writes."""
    return Operator(row.kind, {}, row.name, "", 0, round(row.memory_bytes / BYTES))


#: What each bound means for whoever prunes.
MEANING = {
    "compute": "time falls with the product of its input and output channels",
    "memory": "time falls with the bytes of its feature maps and weights: fewer pixels or channels, not fewer FLOPs",
}


def roofline_of(profile: DeviceProfile) -> Roofline:
    """The roofs that the measurements of a profile show.

    Raises:
        UsageError: it has too few measurements, as one that was saved without.
    """
    rates: list[np.ndarray] = []
    far: list[np.ndarray] = []
    near: list[np.ndarray] = []
    for kind, table in profile.measurements.items():
        explained = KINDS[kind].explain(table.dims)
        seconds = 1e-3 * table.times_ms(profile.overhead_ms)
        column = {name: explained[:, i] for i, name in enumerate(EXPLANATORY)}
        moved = column["memory_in"] + column["memory_out"] + BYTES * column["parameters"]
        rates.append(column["flops"] / seconds)
        if kind in PASSING_OVER:
            far.append((moved / seconds)[moved >= LARGE_BYTES])
            near.append((moved / seconds)[moved < LARGE_BYTES])
    roofs = [np.concatenate(values) if values else np.empty(0) for values in (rates, far, near)]
    if min(len(values) for values in roofs) < FEWEST:
        raise UsageError(
            f"profile {profile.name!r} has too few measurements for a roofline ({len(roofs[0])}; of operators that "
            f"pass over their tensors {len(roofs[1])} with {LARGE_BYTES / 1e6:g} MB or more and {len(roofs[2])} with "
            f"less); at least {FEWEST} of each are needed."
        )
    return Roofline(*(float(np.quantile(values, 1 - LUCKY)) for values in roofs))
