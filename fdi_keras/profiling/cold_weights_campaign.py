"""The part of a campaign that times layers whose weights do not stay in the caches, before the single operators."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial

import msgspec

from fdi_keras.errors import MeasurementError
from fdi_keras.journal import Journal
from fdi_keras.profiling.cold_weights import ColdWeights, Layers, cold_probes
from fdi_keras.profiling.patient_runner import PatientRunner
from fdi_keras.profiling.probes import build_probe
from fdi_keras.profiling.tally import Tally


def measure_cold_weights(
    device: PatientRunner,
    journal: Journal,
    tally: Tally,
    kinds: Sequence[str],
    known: Iterable[ColdWeights],
    limit_s: float,
) -> None:
    """Time probes of many layers, as far as the time for it goes.

    Args:
        device: what executes them.
        journal: of the campaign; gets every result.
        tally: is told.
        kinds: of operators that the campaign is about.
        known: what earlier runs have timed.
        limit_s: they may take so many seconds.
    """
    done = {_key(each) for each in known}
    begin = time.monotonic()
    for probes in cold_probes(kinds):
        for probe in probes:
            if time.monotonic() - begin >= limit_s:
                return
            if _key(probe) in done:
                continue
            tally.tell("weights", probe.kind)
            model = build_probe(probe.kind, probe.dims, layers=probe.layers)
            try:
                timing = device.ask(partial(device.runner.time, model))
            except MeasurementError as error:
                text = f"{probe.layers} layers of {probe.kind} with weights of their own were not timed"
                journal.write("warning", message=f"{text}: {error}")
                break  # larger ones would not do better
            cold = ColdWeights(*probe, timing.median_ms, timing.iqr_ms, timing.min_ms, timing.runs)
            journal.write("cold_weights", **msgspec.structs.asdict(cold))


def _key(probe: Layers | ColdWeights) -> tuple[str, tuple[int, ...], int]:
    return probe.kind, tuple(probe.dims.values()), probe.layers
