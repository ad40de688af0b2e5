"""Energy of an inference from samples of a phone's battery.

A model is executed for a long time while the battery's current and voltage are sampled,
between two idle times. What the busy time takes above the idle power, multiplied by the
time of one execution, is the energy of one inference::

    energy = (mean busy power - mean idle power) * mean time of an execution

Phones disagree about the unit of the current (micro- or milliampere) and about its
sign. Both are inferred from what a phone can possibly draw, or the measurement is
refused: a wrong unit would be wrong by a thousand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from fdi_keras.devices.benchmark_model import PowerSample
from fdi_keras.errors import EnergyUnavailableError

#: A busy phone draws more than this many milliampere, and no phone more than the other (our choice).
LEAST_MA, MOST_MA = 20, 15_000

#: Volts of a phone's battery: one cell, or two in series.
LEAST_V, MOST_V = 2.5, 10.0

#: Parts of the samples that are left out while the fuel gauge still averages over the time before (our
#: choice): of the busy time, of the idle time before, which follows the start, and of that after.
SETTLING = {"busy": 0.25, "idle": 0.1, "after": 0.5}

#: So many different readings of the battery are needed in each of the phases.
FEWEST = 8

#: The difference to idle must be so many times its own uncertainty.
CLEAR = 3.0


class Energy(msgspec.Struct, frozen=True):
    """Energy of one inference.

    Attributes:
        energy_mj: in millijoule, above idle.
        uncertainty_mj: one standard deviation, in millijoule: of the two mean powers, and
            of the idle power's drift from before to after.
        busy_mw, idle_mw: mean powers, in milliwatt.
        readings: different readings of the battery while the model ran.
        seconds: of the busy time that counts.
    """

    energy_mj: float
    uncertainty_mj: float
    busy_mw: float
    idle_mw: float
    readings: int
    seconds: float


def energy_of(samples: Sequence[PowerSample], latency_ms: float) -> Energy:
    """Energy of one inference.

    Args:
        samples: of one run, see :func:`fdi_keras.devices.benchmark_model.parse_samples`.
        latency_ms: mean time of an execution in that run, in ms.

    Raises:
        EnergyUnavailableError: the phone charged, unit or sign cannot be told, there
            are too few readings, or the power was not clearly above idle.
    """
    if not (math.isfinite(latency_ms) and latency_ms > 0):
        raise EnergyUnavailableError(
            f"the mean time of an execution must be positive; received {latency_ms!r} ms."
        )
    _check_unplugged(samples)
    unit_w = _ampere(samples) * _volt(samples)
    phases = {name: _settled(samples, name) for name in SETTLING}
    means = {name: _mean(part, unit_w) for name, part in phases.items()}
    busy_w, busy_error = means["busy"]
    before_w, before_error = means["idle"]
    after_w, after_error = means["after"]
    idle_w = (before_w + after_w) / 2
    idle_error = math.hypot(before_error, after_error, before_w - after_w) / 2
    error = math.hypot(busy_error, idle_error)
    net_w = busy_w - idle_w
    if net_w <= 0 or net_w < CLEAR * error:
        raise EnergyUnavailableError(
            f"the phone drew {1e3 * busy_w:.0f} mW while the model ran and {1e3 * idle_w:.0f} mW idle, a "
            f"difference that is not clear beside its uncertainty of {1e3 * error:.0f} mW. Switch the screen and "
            "radios off, close other apps, or run longer."
        )
    return Energy(
        energy_mj=net_w * latency_ms,
        uncertainty_mj=error * latency_ms,
        busy_mw=1e3 * busy_w,
        idle_mw=1e3 * idle_w,
        readings=_readings(phases["busy"]),
        seconds=phases["busy"][-1].time_s - phases["busy"][0].time_s,
    )


def _check_unplugged(samples: Sequence[PowerSample]) -> None:
    statuses = {sample.status for sample in samples}
    if statuses == {"Discharging"}:
        return
    others = ", ".join(sorted(repr(status[:40]) for status in statuses - {"Discharging"})) or "nothing"
    raise EnergyUnavailableError(
        f"energy can only be measured while the battery discharges; the phone says {others}. Unplug it and "
        "measure over Wi-Fi, see 'Energy' in docs/phones.md."
    )


def _ampere(samples: Sequence[PowerSample]) -> float:
    """Ampere for one unit of the current, made positive."""
    currents = [sample.current for sample in samples if sample.current]
    if not currents:
        raise EnergyUnavailableError(
            "the phone says that it draws no current at all: its fuel gauge is not read."
        )
    if min(currents) < 0 < max(currents):
        raise EnergyUnavailableError(
            "the battery's current changes its sign: the phone charges, or draws almost nothing at times."
        )
    busy = sorted(abs(sample.current) for sample in samples if sample.phase == "busy")
    typical = busy[len(busy) // 2]
    sign = 1 if currents[0] > 0 else -1
    if LEAST_MA <= typical <= MOST_MA:
        return sign * 1e-3
    if LEAST_MA * 1000 <= typical <= MOST_MA * 1000:
        return sign * 1e-6
    raise EnergyUnavailableError(
        f"the battery's current of {typical} while the model ran is possible neither in mA nor in µA "
        f"({LEAST_MA} mA to {MOST_MA} mA are)."
    )


def _volt(samples: Sequence[PowerSample]) -> float:
    voltages = [sample.voltage for sample in samples]
    for unit in (1e-6, 1e-3):
        if min(voltages) * unit >= LEAST_V and max(voltages) * unit <= MOST_V:
            return unit
    raise EnergyUnavailableError(
        f"the battery's voltage from {min(voltages)} to {max(voltages)} is possible neither in mV nor in µV."
    )


def _settled(samples: Sequence[PowerSample], phase: str) -> list[PowerSample]:
    """The samples of a phase without its beginning."""
    part = [sample for sample in samples if sample.phase == phase]
    begin = part[0].time_s + SETTLING[phase] * (part[-1].time_s - part[0].time_s) if part else 0.0
    part = [sample for sample in part if sample.time_s >= begin]
    if (readings := _readings(part)) < FEWEST:
        name = "the model ran" if phase == "busy" else "the phone was idle"
        raise EnergyUnavailableError(
            f"the battery gave {readings} different readings while {name}, {FEWEST} are needed: run longer."
        )
    return part


def _readings(part: Sequence[PowerSample]) -> int:
    """How often the fuel gauge renewed its values; between, samples repeat the last reading."""
    values = [(sample.current, sample.voltage) for sample in part]
    return sum(now != before for before, now in zip([None, *values], values, strict=False))


def _mean(part: Sequence[PowerSample], unit_w: float) -> tuple[float, float]:
    """Mean power in watt, weighted with time, and its standard error."""
    watts = [sample.current * sample.voltage * unit_w for sample in part]
    times = [sample.time_s for sample in part]
    spans = [
        (after - before) / 2
        for before, after in zip([times[0], *times], [*times[1:], times[-1]], strict=False)
    ]
    total = math.fsum(spans)
    mean = math.fsum(w * span for w, span in zip(watts, spans, strict=True)) / total
    variance = math.fsum(span * (w - mean) ** 2 for w, span in zip(watts, spans, strict=True)) / total
    return mean, math.sqrt(variance / _readings(part))
