"""A network at one width as a sweep finds it: what its operators compute and move, and how long it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fdi_keras.devices.caches import SIMULATED, CacheCounts
from fdi_keras.networks.latency import predict_latency
from fdi_keras.networks.tflite_operators import read_tflite_operators
from fdi_keras.operators import memory_access
from fdi_keras.operators.words import short_name
from fdi_keras.profile import DeviceProfile
from fdi_keras.study.counts import count


@dataclass(frozen=True)
class SweptOperator:
    """An operator of a swept network.

    Attributes:
        name: of its layer.
        kind, dims: what it is.
        flops: two for each multiply-accumulate.
        memory_bytes: memory access, see ``counts.py``.
        predicted_ms: by a profile; ``None`` without one, and where it does not know the operator.
    """

    name: str
    kind: str
    dims: Mapping[str, int]
    flops: float
    memory_bytes: float
    predicted_ms: float | None = None


@dataclass(frozen=True)
class Swept:
    """A network at one width.

    Attributes:
        family: of the network: the name of a built-in one, else the name of the model.
        multiplier: of all widths.
        flops: two for each multiply-accumulate.
        memory_bytes: memory access, see ``counts.py``.
        parameters: of its operators.
        predicted_ms: by a profile; ``None`` without one.
        measured_ms, iqr_ms: median of its rounds and the distance of the outer ones; ``None`` without a device.
        cache_references, cache_misses, l2_misses, cache_source: of one inference, where they were counted or
            simulated, and by what; see ``fdi_keras.devices.caches.CacheCounts``.
        kinds: by kind of operator its share of ``flops`` and of ``memory_bytes``, and ``predicted_ms``.
        operators: each of them, in order of execution; none in a row that was read from plain data.
    """

    family: str
    multiplier: float
    flops: float
    memory_bytes: float
    parameters: float
    predicted_ms: float | None = None
    measured_ms: float | None = None
    iqr_ms: float | None = None
    cache_references: float | None = None
    cache_misses: float | None = None
    kinds: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    operators: tuple[SweptOperator, ...] = ()
    l2_misses: float | None = None
    cache_source: str = ""

    @property
    def name(self) -> str:
        """Of the network at this width."""
        return f"{self.family} {self.multiplier:g}"

    @property
    def intensity(self) -> float:
        """FLOPs for every byte of memory access."""
        return self.flops / self.memory_bytes if self.memory_bytes else 0.0

    @property
    def cells(self) -> tuple[str, ...]:
        """GFLOPs, MB, millions of parameters, FLOPs a byte, predicted and measured ms, as tables show them."""
        times = ("" if time is None else f"{time:.4g}" for time in (self.predicted_ms, self.measured_ms))
        return (
            f"{self.flops / 1e9:.3f}",
            f"{self.memory_bytes / 1e6:.1f}",
            f"{self.parameters / 1e6:.2f}",
            f"{self.intensity:.1f}",
            *times,
        )

    @property
    def caches_simulated(self) -> bool:
        """Whether its cache accesses were not counted by a processor."""
        return self.cache_source.startswith(SIMULATED)

    @property
    def cache_cells(self) -> tuple[str, ...]:
        """Accesses to the first cache, its misses, and accesses to memory, in millions."""
        counts = (self.cache_references, self.cache_misses, self.l2_misses)
        return tuple("" if count is None else f"{count / 1e6:.4g}" for count in counts)

    def to_dict(self) -> dict[str, Any]:
        """As plain data, without the operators: those that matter stand in the explained pairs."""
        return {name: value for name, value in asdict(self).items() if name != "operators"}


def swept_network(
    family: str,
    multiplier: float,
    path: Path,
    profile: DeviceProfile | None,
    times: Sequence[float],
    caches: CacheCounts | None,
) -> Swept:
    """The row of one network.

    Args:
        family, multiplier: of the network.
        path: its ``.tflite`` file.
        profile: predicts it.
        times: measured, of each round, in ms; none without a device.
        caches: of one inference.
    """
    operators = read_tflite_operators(path)
    counts = count(operators)
    report = None if profile is None else predict_latency(path, profile)
    rows = [
        SweptOperator(
            short_name(operator.name),
            operator.kind,
            dict(operator.dims),
            operator.explained["flops"],
            memory_access(operator),
            None if report is None else report.operators[i].predicted_ms,
        )
        for i, operator in enumerate(operators)
    ]
    return Swept(
        family,
        multiplier,
        counts.flops,
        counts.memory_bytes,
        counts.parameters,
        None if report is None else report.total_ms,
        float(np.median(times)) if len(times) else None,
        float(np.ptp(times)) if len(times) else None,
        None if caches is None else caches.references,
        None if caches is None else caches.misses,
        _by_kind(rows, predicted=report is not None),
        tuple(rows),
        None if caches is None else caches.l2_misses,
        "" if caches is None else caches.source,
    )


def _by_kind(operators: Sequence[SweptOperator], predicted: bool) -> dict[str, dict[str, float | None]]:
    """Sums of FLOPs, memory access and predicted time over the operators of each kind."""
    kinds: dict[str, dict[str, float | None]] = {}
    for kind in dict.fromkeys(operator.kind for operator in operators):
        own = [operator for operator in operators if operator.kind == kind]
        kinds[kind] = {
            "flops": sum(operator.flops for operator in own),
            "memory_bytes": sum(operator.memory_bytes for operator in own),
            "predicted_ms": sum(o.predicted_ms or 0.0 for o in own) if predicted else None,
        }
    return kinds
