"""What it costs that the weights of a network do not stay in the caches.

A probe of one operator is executed over and over and finds its weights where the last
execution left them. In a network they are there again only if the weights of all
operators fit into the caches together; of a larger network a share has to be fetched
from memory at every inference. The same happens to a probe whose own weights are larger
than the caches.

It is learned from probes of many layers (``profiling/cold_weights.py``). There each
byte that is fetched takes longer by the same time, however much an operator computes with
it: a kernel waits for the next piece of its weights and does not compute ahead. It waits
longer where weights meet several rows (the pixels of a convolution) than where they meet
one, as in most dense layers, and are read in one stream. So fetching adds to an operator's
time, at a rate of its own for either. The ramp of the share and how all is fitted are our
choice; the paper times single layers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from fdi_keras.loading import load
from fdi_keras.operators import KINDS
from fdi_keras.operators.formulas import Columns
from fdi_keras.operators.kinds import BYTES, EXPLANATORY
from fdi_keras.operators.recurrent import RECURRENT

#: What weights can meet: one row of numbers, or several, as the pixels of a convolution.
ONE_ROW, SEVERAL_ROWS = ROWS = ("one row", "several rows")

#: Kinds whose weights are not read as a whole.
NOT_READ = ("gather",)

#: Fewest probes to learn a rate from: of one shape nearly all sizes.
FEWEST = 5

#: What is left of a layer's time when it was next to nothing is no time.
LEAST_MS = 1e-9

#: The ramp must explain the times at least so much better than none.
BETTER = 0.8

#: Ends of the ramp are looked for at so many sizes.
GRID = 41

#: One size at which a layer met its cache badly must not tilt the ramp.
ROBUST_STEPS = 6

#: However little time is left without fetching, it is at least this share of what was measured.
LEAST_CACHED = 0.3


class WeightFetch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The cost of weights that have to be fetched from memory.

    Attributes:
        cached_bytes: weights of a network up to this size stay in the caches.
        uncached_bytes: from this size on all are fetched at every inference; between the two
            the share that is fetched rises linearly.
        ms_per_byte: time to fetch them, by what they meet, see :data:`ROWS`.

    Example::

        >>> fetch = WeightFetch(16e6, 64e6, {"one row": 1e-8, "several rows": 2e-8})
        >>> rate = fetch.rate("conv2d", {"height": 7, "width": 7, "in_channels": 64, "out_channels": 64, "kernel": 3})
        >>> float(fetch.share(40e6)), fetch.total_ms(rate, 0.4, 10e6, share=0.5)
        (0.5, array([0.5]))
    """

    cached_bytes: float
    uncached_bytes: float
    ms_per_byte: dict[str, float]

    def rate(self, kind: str, dims: Columns) -> np.ndarray:
        """Milliseconds to fetch a byte of the weights of n operators of a kind, ``(n,)``."""
        if kind in NOT_READ:
            return np.zeros(len(KINDS[kind].weight_bytes(dims)))
        many = _rows(kind, dims) > 1
        one, several = (self.ms_per_byte.get(rows, max(self.ms_per_byte.values())) for rows in ROWS)
        return np.where(many, several, one)

    def share(self, network_bytes: float | np.ndarray) -> np.ndarray:
        """Which share of the weights is fetched when all weights of a network take so many bytes."""
        ramp = (np.asarray(network_bytes, float) - self.cached_bytes) / (
            self.uncached_bytes - self.cached_bytes
        )
        return np.clip(ramp, 0.0, 1.0)

    def total_ms(
        self,
        rate: float | np.ndarray,
        cached_ms: float | np.ndarray,
        weight_bytes: float | np.ndarray,
        share: float | np.ndarray,
    ) -> np.ndarray:
        """Time of operators of which a share of the weights is fetched.

        Args:
            rate: from :meth:`rate`.
            cached_ms: their time with weights in the caches.
            weight_bytes: their weights.
            share: from :meth:`share`.
        """
        return np.asarray(cached_ms + rate * np.asarray(share) * weight_bytes)

    def cached_ms(self, kind: str, dims: Columns, measured_ms: np.ndarray) -> np.ndarray:
        """What probes would take with their weights in the caches, ``(n,)``, from what they took."""
        weight_bytes = KINDS[kind].weight_bytes(dims)
        fetched = self.rate(kind, dims) * self.share(weight_bytes) * weight_bytes
        return np.maximum(measured_ms - fetched, LEAST_CACHED * measured_ms)

    def probe_ms(self, kind: str, dims: Columns, cached_ms: np.ndarray) -> np.ndarray:
        """The reverse of :meth:`cached_ms`: what probes take, being networks of their own."""
        weight_bytes = KINDS[kind].weight_bytes(dims)
        return self.total_ms(self.rate(kind, dims), cached_ms, weight_bytes, self.share(weight_bytes))

    @property
    def text(self) -> str:
        """The cost in one sentence."""
        rates = " and ".join(
            f"{1e9 * rate:.3g} us a MB that meets {rows}" for rows, rate in self.ms_per_byte.items()
        )
        return (
            f"Weights of a network stay in the caches up to {self.cached_bytes / 1e6:.3g} MB; from "
            f"{self.uncached_bytes / 1e6:.3g} MB on all are fetched from memory at every inference, which takes "
            f"{rates}."
        )

    def validate(self, place: str = "$") -> None:
        """Check a cost read from a file.

        Raises:
            ValueError: names the first wrong place.
        """
        numbers = {
            "cached_bytes": self.cached_bytes,
            "uncached_bytes": self.uncached_bytes,
            **{f"ms_per_byte.{rows}": rate for rows, rate in self.ms_per_byte.items()},
        }
        for name, value in numbers.items():
            if not (np.isfinite(value) and value > 0):
                raise ValueError(f"{place}.{name}: expected a finite number above 0, got {value}.")
        unknown = [rows for rows in self.ms_per_byte if rows not in ROWS]
        if unknown or not self.ms_per_byte:
            known = ", ".join(ROWS)
            raise ValueError(
                f"{place}.ms_per_byte: expected rates of {known}, got {', '.join(unknown) or 'none'}."
            )
        if self.uncached_bytes <= self.cached_bytes:
            raise ValueError(
                f"{place}.uncached_bytes: expected more than cached_bytes ({self.cached_bytes:g}), "
                f"got {self.uncached_bytes:g}."
            )


def fit_weight_fetch(
    shapes: Sequence[tuple[str, Mapping[str, float]]], layers: np.ndarray, times_ms: np.ndarray
) -> WeightFetch | None:
    """Learn the cost from probes of many layers.

    Args:
        shapes: kind and dimensions of the layers of each of n probes.
        layers: ``(n,)`` how many a probe has, each with weights of its own.
        times_ms: ``(n,)`` of one layer.

    Returns:
        The ramp and the rates under which the times are off least, relatively; every shape has a time
        in the caches of its own. None when the probes show none: too few of them, or a device
        whose caches hold all that was measured.
    """
    times = np.asarray(times_ms, float)
    each = np.array([float(KINDS[kind].weight_bytes(dims)[0]) for kind, dims in shapes])
    rows = np.array([int(_rows(kind, dims)[0] > 1) for kind, dims in shapes], int)
    known = [way for way in range(len(ROWS)) if (rows == way).sum() >= FEWEST]
    used = np.isin(rows, known) & (times > LEAST_MS)
    total = each * layers
    if used.sum() < FEWEST or np.ptp(total[used]) == 0:
        return None
    labels = [f"{kind} {dict(dims)}" for kind, dims in shapes]
    names = list(dict.fromkeys(label for label, wanted in zip(labels, used, strict=True) if wanted))
    of_shape = np.array([[label == name for name in names] for label in labels])[used]
    of_rows = (rows[:, None] == known)[used]
    times, each, total = times[used], each[used], total[used]
    _, before = _fitted(of_shape / times[:, None])
    best, error = None, before
    grid = np.geomspace(total.min(), total.max(), GRID)
    for at, low in enumerate(grid):
        for high in grid[at + 1 :]:
            share = np.clip((total - low) / (high - low), 0.0, 1.0)
            fetched = of_rows * (share * each)[:, None]
            found, off = _fitted(np.column_stack([of_shape, fetched]) / times[:, None])
            rates = found[len(names) :]
            if off < error and (rates > 0).all():
                rate_of = {ROWS[way]: float(rate) for way, rate in zip(known, rates, strict=True)}
                best, error = WeightFetch(float(low), float(high), rate_of), off
    return best if error < BETTER * before else None


def _rows(kind: str, dims: Columns) -> np.ndarray:
    """How many rows of numbers the weights of n operators meet, ``(n,)``."""
    spec = KINDS[kind]
    written = spec.explain(dims)[:, EXPLANATORY.index("memory_out")]
    if kind in RECURRENT:  # one step after the other
        return np.ones(len(written))
    return written / (BYTES * np.maximum(np.asarray(dims[spec.channels[-1]], float), 1))


def _fitted(terms: np.ndarray) -> tuple[np.ndarray, float]:
    """Non-negative weights with which rows of relative terms add up to about 1, and how far off they are."""
    # Scipy is for learning, not for loading.
    weights = load("fdi_keras.execution_time.nonnegative").fit_leaf(terms, ROBUST_STEPS)
    return weights, float(np.abs(terms @ weights - 1).mean())
