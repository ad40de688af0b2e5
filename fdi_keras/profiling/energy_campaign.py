"""The part of a campaign that measures energies, after the times."""

from __future__ import annotations

import time

import msgspec

from fdi_keras.errors import EnergyUnavailableError, MeasurementError
from fdi_keras.journal import Journal
from fdi_keras.profiling.energy import Energy, energy_of
from fdi_keras.profiling.patient_runner import PatientRunner
from fdi_keras.profiling.probes import build_overhead_probe, build_probe
from fdi_keras.profiling.records import read_records
from fdi_keras.profiling.tally import Tally

#: Seconds of execution for an energy, and of rest before and after (our choice): a battery tells a new
#: value once or twice a second.
BUSY_S = 10.0
IDLE_S = 4.0

#: So many energies refused in a row are not about single probes any more.
MAX_REFUSED = 3


def measure_energies(device: PatientRunner, journal: Journal, tally: Tally, limit_s: float) -> None:
    """Energies of an invocation and of the probes that were timed, in the order of the design.

    Args:
        device: what executes them.
        journal: of the campaign; gets every energy, and why one was refused.
        tally: is told.
        limit_s: they may take so many seconds.
    """
    begin = time.monotonic()
    records = read_records(journal.path)
    if records.overhead_mj is None:
        energy = _energy(device, build_overhead_probe())
        if isinstance(energy, EnergyUnavailableError):
            journal.write("warning", message=f"the energy of an invocation is unknown: {energy}")
        else:
            journal.write("energy_overhead", overhead_mj=energy.energy_mj)
    refused = 0
    for index, measurement in sorted(records.measurements.items()):
        if time.monotonic() - begin >= limit_s:
            return
        if measurement.energy_mj is not None:
            continue
        device.cool_down()
        tally.tell("energy", measurement.kind)
        energy = _energy(device, build_probe(measurement.kind, measurement.dims))
        if isinstance(energy, EnergyUnavailableError):
            refused += 1
            journal.write("energy_failure", index=index, reason=str(energy))
            if refused >= MAX_REFUSED:
                journal.write("warning", message=f"energy was given up: {energy}")
                return
        else:
            refused = 0
            journal.write("energy", index=index, **msgspec.structs.asdict(energy))


def _energy(device: PatientRunner, model: bytes) -> Energy | EnergyUnavailableError:
    try:
        return energy_of(*device.ask(lambda: device.runner.sample_power(model, BUSY_S, IDLE_S)))
    except EnergyUnavailableError as error:
        return error
    except MeasurementError as error:
        return EnergyUnavailableError(str(error))
