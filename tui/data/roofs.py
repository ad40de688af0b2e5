"""A profile's roofline: the roofs, its probes under them, and what they say of a kind of operator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fdi_keras.cli.words import count, percent
from fdi_keras.errors import UsageError
from fdi_keras.profile import DeviceProfile
from fdi_keras.profile.roofline import LARGE_BYTES, Probes, Roofline, probes_of, roofline_of

#: Points of a drawn roof.
POINTS = 240

#: Intensities that are shown at least, where there are no probes.
LEAST_REACH = (0.05, 500.0)


@dataclass(frozen=True)
class Points:
    """Logarithms to base 10 of FLOPs a byte and of FLOPs a second, ``(n,)`` each."""

    x: np.ndarray
    y: np.ndarray


class Roofs:
    """Of one profile.

    Attributes:
        roofline: None where there are too few probes for one.
        problem: why there is none.
    """

    def __init__(self, profile: DeviceProfile):
        self._profile = profile
        self._probes = probes_of(profile)
        self.roofline: Roofline | None = None
        self.problem = ""
        try:
            self.roofline = roofline_of(profile, self._probes)
        except UsageError as error:
            self.problem = str(error)

    def of_kind(self, kind: str, leaves: Sequence[int]) -> Points:
        """The probes of a part of a kind's tree."""
        found = self._part(kind, leaves)
        return _points([found] if found else [])

    def others(self, kind: str) -> Points:
        """The probes of all other kinds."""
        return _points([probes for name, probes in self._probes.items() if name != kind])

    def roof(self, near: bool) -> Points:
        """The roof over every intensity that was measured; ``near``: where a cache nearby holds the tensors."""
        if self.roofline is None:
            return Points(np.empty(0), np.empty(0))
        everything = _points(list(self._probes.values())).x
        low, high = (everything.min(), everything.max()) if len(everything) else np.log10(LEAST_REACH)
        x = np.linspace(low, high, POINTS)
        rate = self.roofline.near_bytes_per_s if near else self.roofline.bytes_per_s
        return Points(x, np.log10(np.minimum(self.roofline.flops_per_s, rate * 10**x)))

    def said(self, kind: str, leaves: Sequence[int]) -> str:
        """The roofs, and how near to them the probes of a part of a kind come, in words."""
        if self.roofline is None:
            return self.problem
        found = self._part(kind, leaves)
        if found is None or not len(found.flops):
            return f"{self.roofline.text} No probe of {kind} is here."
        if not found.flops.any():
            return f"{self.roofline.text} {kind} computes nothing: memory is its only limit, and it has no place here."
        rates = np.where(
            found.memory_bytes >= LARGE_BYTES, self.roofline.bytes_per_s, self.roofline.near_bytes_per_s
        )
        by_memory, by_compute = found.memory_bytes / rates, found.flops / self.roofline.flops_per_s
        reached = float(np.median(np.maximum(by_memory, by_compute) / found.seconds))
        waits = float(np.mean(by_memory > by_compute))
        return (
            f"{self.roofline.text} Of {count(len(found.flops), 'probe')} of {kind} here {percent(waits)} wait "
            f"for memory; in the median they reach {percent(reached)} of their roof."
        )

    def _part(self, kind: str, leaves: Sequence[int]) -> Probes | None:
        probes = self._probes.get(kind)
        model = self._profile.models.get(kind)
        if probes is None or model is None or len(leaves) == len(model.tree.leaves):
            return probes
        inside = np.isin(model.leaf_of(self._profile.measurements[kind].dims), leaves)
        return Probes(probes.flops[inside], probes.memory_bytes[inside], probes.seconds[inside])


def _points(probes: Sequence[Probes]) -> Points:
    """Those that compute something, in ascending order of intensity."""
    if not probes:
        return Points(np.empty(0), np.empty(0))
    intensity = np.concatenate([each.intensity for each in probes])
    rate = np.concatenate([each.flops_per_s for each in probes])
    order = np.argsort(intensity, kind="stable")
    order = order[rate[order] > 0]
    return Points(np.log10(intensity[order]), np.log10(rate[order]))
