"""What it costs that the weights of a network do not stay in the caches.

A probe is executed over and over and finds its weights where the last execution left
them. In a network they are there again only if the weights of all operators fit into
the caches together; of a larger network a share has to be fetched from memory at every
inference. The same happens to a probe whose own weights are larger than the caches,
and that is where this cost is learned from: dense layers with one row read every
weight once and do little else.

Fetching and computing overlap. Their times are joined as ``sqrt(cached^2 + fetched^2)``:
where one of them is much longer the other hardly counts. The ramp of the share, this
sum and how it is fitted are our choice; the paper times single layers.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from fdi_keras.operators import KINDS

#: The kind of operator that it is learned from.
SOURCE = "dense"

#: Smaller weights say nothing about the caches that a network can overflow.
LEAST_BYTES = 2.0**18

#: Fewest dense probes on either side of the ramp to fit it by.
FEWEST = 12

#: The ramp must explain the times at least so much better than none.
BETTER = 0.95

#: However little time is left without fetching, it is at least this share of what was measured.
LEAST_CACHED = 0.3


class WeightFetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cost of weights that have to be fetched from memory.

    Attributes:
        cached_bytes: weights of a network up to this size stay in the caches.
        uncached_bytes: from this size on all are fetched at every inference; between the two
            the share that is fetched rises linearly.
        ms_per_byte: time to fetch them.

    Example::

        >>> fetch = WeightFetch(16e6, 64e6, ms_per_byte=3e-8)
        >>> float(fetch.share(40e6)), float(fetch.total_ms(0.4, 10e6, share=1.0))
        (0.5, 0.5)
    """

    cached_bytes: float
    uncached_bytes: float
    ms_per_byte: float

    def share(self, network_bytes: float | np.ndarray) -> np.ndarray:
        """Which share of the weights is fetched when all weights of a network take so many bytes."""
        ramp = (np.asarray(network_bytes, float) - self.cached_bytes) / (
            self.uncached_bytes - self.cached_bytes
        )
        return np.clip(ramp, 0.0, 1.0)

    def total_ms(
        self, cached_ms: float | np.ndarray, weight_bytes: float | np.ndarray, share: float | np.ndarray
    ) -> np.ndarray:
        """Time of operators of which a share of the weights is fetched.

        Args:
            cached_ms: their time with weights in the caches.
            weight_bytes: their weights.
            share: from :meth:`share`.
        """
        return np.hypot(cached_ms, self.ms_per_byte * np.asarray(share) * weight_bytes)

    def cached_ms(self, measured_ms: np.ndarray, weight_bytes: np.ndarray) -> np.ndarray:
        """What probes would take with their weights in the caches, ``(n,)``, from what they took."""
        fetched = self.ms_per_byte * self.share(weight_bytes) * weight_bytes
        left = np.sqrt(np.maximum(measured_ms**2 - fetched**2, 0.0))
        return np.maximum(left, LEAST_CACHED * measured_ms)

    def probe_ms(self, cached_ms: np.ndarray, weight_bytes: np.ndarray) -> np.ndarray:
        """The reverse of :meth:`cached_ms`: what probes take, being networks of their own."""
        return self.total_ms(cached_ms, weight_bytes, self.share(weight_bytes))

    @property
    def text(self) -> str:
        """The cost in one sentence."""
        return (
            f"Weights of a network stay in the caches up to {self.cached_bytes / 1e6:.3g} MB; from "
            f"{self.uncached_bytes / 1e6:.3g} MB on all are fetched from memory at every inference, at "
            f"{1e9 * self.ms_per_byte:.3g} us a MB, beside the computation."
        )

    def validate(self, place: str = "$") -> None:
        """Check a cost read from a file.

        Raises:
            ValueError: names the first wrong place.
        """
        for name in ("cached_bytes", "uncached_bytes", "ms_per_byte"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{place}.{name}: expected a finite number above 0, got {value}.")
        if self.uncached_bytes <= self.cached_bytes:
            raise ValueError(
                f"{place}.uncached_bytes: expected more than cached_bytes ({self.cached_bytes:g}), "
                f"got {self.uncached_bytes:g}."
            )


def fit_weight_fetch(dims: Mapping[str, np.ndarray], times_ms: np.ndarray) -> WeightFetch | None:
    """Learn the cost from the probes of kind :data:`SOURCE` with one row.

    Args:
        dims: column ``(n,)`` by dimension.
        times_ms: ``(n,)`` times of the probes.

    Returns:
        The cost under which the logarithms of the times are off least; None when the probes show
        none: too few of them, or a device whose caches hold all that was measured.
    """
    weight_bytes = KINDS[SOURCE].weight_bytes(dims)
    chosen = (weight_bytes >= LEAST_BYTES) & (np.asarray(dims["rows"]) == 1)
    size, per_byte = weight_bytes[chosen], times_ms[chosen] / weight_bytes[chosen]
    if len(size) < 2 * FEWEST:
        return None
    grid = np.geomspace(LEAST_BYTES, size.max(), 33)
    before = float(np.abs(np.log(per_byte) - np.median(np.log(per_byte))).mean())
    best: tuple[float, WeightFetch] | None = None
    for i, low in enumerate(grid):
        inside = size <= low
        if inside.sum() < FEWEST:
            continue
        cached = float(np.median(per_byte[inside]))
        for high in grid[i + 1 :]:
            outside = size >= 0.5 * (low + high)
            if outside.sum() < FEWEST:
                continue
            share = np.clip((size[outside] - low) / (high - low), 0.0, 1.0)
            rate = float(np.median(np.sqrt(np.maximum(per_byte[outside] ** 2 - cached**2, 0.0)) / share))
            if rate <= 0:
                continue
            candidate = WeightFetch(float(low), float(high), rate)
            expected = candidate.total_ms(cached, 1.0, candidate.share(size))
            error = float(np.abs(np.log(per_byte) - np.log(expected)).mean())
            if best is None or error < best[0]:
                best = error, candidate
    return best[1] if best is not None and best[0] < BETTER * before else None
