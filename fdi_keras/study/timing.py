"""Timing the networks of a sweep and counting their cache accesses, with a journal of what is done already."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from fdi_keras.devices import LocalDevice, Runner
from fdi_keras.devices.caches import CacheCounts, CacheSizes, perf_counts, simulated_counts, source_of
from fdi_keras.errors import MeasurementError
from fdi_keras.journal import Journal, read_journal
from fdi_keras.networks.latency import time_networks
from fdi_keras.networks.tflite_operators import read_tflite_operators
from fdi_keras.study.counts import count

#: Networks take turns so often, so that a drift of the device hits all alike.
ROUNDS = 3

#: How counts of a phone are called.
SIMPLEPERF = "counted by simpleperf"

#: A network: its family and multiplier.
Key = tuple[str, float]


class Kept:
    """What was measured, in a journal: of each network a time for every round, and what its caches did.

    Args:
        path: of the journal; one that is there is read first.
    """

    def __init__(self, path: Path):
        self.times: dict[Key, list[float]] = {}
        self.caches: dict[Key, CacheCounts] = {}
        known = path.exists() and path.stat().st_size > 0
        for event in read_journal(path) if known else ():
            key = (event.get("family", ""), event.get("multiplier", 0.0))
            if event["event"] == "timed":
                self.times.setdefault(key, []).append(event["median_ms"])
            if event["event"] == "caches":
                self.caches[key] = CacheCounts(
                    event["references"],
                    event["misses"],
                    event.get("l2_misses"),
                    event.get("source", SIMPLEPERF),
                )
        self._journal = Journal(path)
        if not known:
            self._journal.start("sweep")

    def timed(self, key: Key, median_ms: float) -> None:
        self._journal.write("timed", family=key[0], multiplier=key[1], median_ms=median_ms)
        self.times.setdefault(key, []).append(median_ms)

    def counted(self, key: Key, caches: CacheCounts) -> None:
        self._journal.write("caches", family=key[0], multiplier=key[1], **caches._asdict())
        self.caches[key] = caches

    def close(self) -> None:
        self._journal.close()


def time_in_turns(
    runner: Runner,
    device: str,
    paths: Mapping[Key, Path],
    seconds: float,
    kept: Kept,
    report: Callable[[str], None],
) -> None:
    """Time every network :data:`ROUNDS` times, each round all of them; what is kept already stays.

    Args:
        seconds: for each network, over all rounds.
    """
    for number in range(1, ROUNDS + 1):
        for key, path in paths.items():
            if len(kept.times.get(key, ())) < number:
                timed = time_networks(runner, [path.read_bytes()], device, seconds / ROUNDS)
                kept.timed(key, timed[0].median_ms)
        report(f"round {number} of {ROUNDS}: {len(paths)} networks timed")


def count_caches(
    runner: Runner,
    device: str,
    paths: Mapping[Key, Path],
    sizes: CacheSizes,
    kept: Kept,
    report: Callable[[str], None],
) -> None:
    """Count the cache accesses of every network in the best way that this device has, and say which.

    All networks are counted in one way. Where none is possible the reason is reported, and the sweep goes on.

    Args:
        sizes: of the simulated caches, where nothing else is possible.
    """
    for source, way in _ways(runner, device, sizes).items():
        try:
            for key, path in paths.items():
                if key in kept.caches and kept.caches[key].source == source:
                    continue
                found = way(path.read_bytes())
                kept.counted(key, found)
                report(f"{key[0]} {key[1]:g}: {found.references / 1e6:.4g} M cache accesses, {source}")
        except MeasurementError as error:
            report(f"cache accesses are not {source}: {error}")
            for key in [key for key, caches in kept.caches.items() if caches.source == source]:
                del kept.caches[key]  # all networks in one way, or none
        else:
            return


def count_one(runner: Runner, device: str, model: bytes, sizes: CacheSizes) -> CacheCounts:
    """The cache accesses of one inference, in the best way that this device has.

    Args:
        model: content of a ``.tflite`` file.
        sizes: of the simulated caches, where nothing else is possible.

    Raises:
        MeasurementError: there is no way; says why of each.
    """
    reasons = []
    for source, way in _ways(runner, device, sizes).items():
        try:
            return way(model)
        except MeasurementError as error:
            reasons.append(f"they are not {source}: {error}")
    raise MeasurementError(f"cache accesses cannot be counted; {' '.join(reasons)}")


def _ways(runner: Runner, device: str, sizes: CacheSizes) -> dict[str, Callable[[bytes], CacheCounts]]:
    """What counts the cache accesses of a model on a device, the best first, by what it says of itself."""
    delegate = runner.runtime.delegate
    if device != LocalDevice.id:
        return {SIMPLEPERF: lambda model: CacheCounts(*runner.cache_counters(model), None, SIMPLEPERF)}

    def flops(model: bytes) -> float:
        return count(read_tflite_operators(model)).flops

    return {
        "counted by perf": lambda model: perf_counts(model, flops(model), delegate),
        source_of(sizes): lambda model: simulated_counts(model, flops(model), delegate, sizes),
    }
