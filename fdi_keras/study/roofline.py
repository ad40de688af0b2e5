"""Where the operators of a network lie under the roofline of a device, and what that means."""

from __future__ import annotations

from fdi_keras.networks.latency import LatencyReport
from fdi_keras.profile.roofline import MEANING, Place, Roofline, roofline_of

__all__ = ["MEANING", "Place", "Roofline", "place_all", "roofline_of"]


def place_all(roofline: Roofline, report: LatencyReport) -> list[Place]:
    """Where each operator of a report lies, in its order."""
    return [roofline.at(row.flops, row.memory_bytes) for row in report.operators]
