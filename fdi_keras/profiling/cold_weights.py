"""Probes whose weights do not stay in the caches, as those of a large network do not.

A probe of one operator is executed over and over and finds its weights where the last
execution left them. A probe of many layers that are alike, each with weights of its own,
finds them there only while all of them together fit. What a layer takes longer in the
larger of such probes is what its weights cost on their way from memory (our choice; the
paper times single layers).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from fdi_keras.operators import KINDS
from fdi_keras.profiling.plan import Plan

#: Layers that are put into probes, weights of about 1 MB each: on few pixels, where weights count most.
SHAPES: tuple[tuple[str, Mapping[str, int]], ...] = (
    ("conv2d", {"height": 4, "width": 4, "in_channels": 512, "out_channels": 512, "kernel": 1}),
    ("dense", {"in_channels": 512, "out_channels": 512}),
    ("conv2d", {"height": 7, "width": 7, "in_channels": 160, "out_channels": 160, "kernel": 3}),
    ("dense", {"in_channels": 1024, "out_channels": 256}),
    ("conv2d", {"height": 7, "width": 7, "in_channels": 256, "out_channels": 1024, "kernel": 1}),
    ("conv2d", {"height": 3, "width": 3, "in_channels": 192, "out_channels": 128, "kernel": 3}),
)

#: Weights of a whole probe, in bytes: from what every cache holds to what none does.
TOTAL_BYTES = (1.5e6, 6e6, 12e6, 18e6, 24e6, 32e6, 48e6, 96e6)

#: They may take this share of a campaign's time.
SHARE = 0.06

#: A probe of a campaign that is limited by their number takes about so long.
USUAL_S = 0.05

#: A campaign so short that they would get less has none: it is about single operators.
LEAST_S = 2.0


class ColdWeights(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A probe of many layers that was timed.

    Attributes:
        kind, dims: of each layer.
        layers: how many, each with weights of its own.
        median_ms, iqr_ms, min_ms, runs: of the whole probe, the invocation included; see
            :class:`fdi_keras.devices.Timing`.
    """

    kind: str
    dims: dict[str, int]
    layers: int
    median_ms: float
    iqr_ms: float
    min_ms: float
    runs: int


class Layers(NamedTuple):
    """A probe to time."""

    kind: str
    dims: dict[str, int]
    layers: int


def cold_probes(kinds: Sequence[str]) -> list[list[Layers]]:
    """Probes of each shape whose kind is among these, the smaller ones first."""
    found = []
    for kind, dims in SHAPES:
        if kind in kinds:
            full = KINDS[kind].complete(dims)
            each = float(KINDS[kind].weight_bytes(full)[0])
            found.append([Layers(kind, full, max(1, round(total / each))) for total in TOTAL_BYTES])
    return found


def seconds_for(plan: Plan) -> float:
    """How long a campaign may time such probes; 0 when it is too short for any."""
    limits = []
    if plan.minutes is not None:
        limits.append(60 * plan.minutes)
    if plan.measurements is not None:
        limits.append(USUAL_S * plan.measurements)
    seconds = SHARE * min(limits, default=0.0)
    return seconds if seconds >= LEAST_S else 0.0
