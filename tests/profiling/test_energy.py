"""Energy from samples: any unit and sign gives the same, and what cannot be told is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdi_keras.devices.benchmark_model import PowerSample
from fdi_keras.errors import EnergyUnavailableError
from fdi_keras.profiling.energy import energy_of


def trace(idle_mw=800.0, busy_mw=2600.0, *, unit_a=1e-6, unit_v=1e-6, sign=-1, noise=0.01, status="Discharging",
          seconds=20.0, pause_s=0.1, gauge_s=0.2, after_mw=None, settle_s=0.0, seed=0):  # fmt: skip
    """Samples of a phone whose fuel gauge renews its values every ``gauge_s``, and lags ``settle_s``."""
    rng = np.random.default_rng(seed)
    powers = {"idle": idle_mw, "busy": busy_mw, "after": idle_mw if after_mw is None else after_mw}
    volt, samples, shown = 4.0, [], None
    now, level = 100.0, idle_mw
    for phase, power in powers.items():
        for number in range(round(seconds / pause_s)):
            level = power if not settle_s else level + (power - level) * min(1.0, pause_s / settle_s)
            if number % round(gauge_s / pause_s) == 0 or shown is None:
                ampere = level / 1e3 / volt * (1 + noise * rng.standard_normal())
                shown = sign * round(ampere / unit_a)
            samples.append(PowerSample(round(now, 2), shown, round(volt / unit_v), status, phase))
            now += pause_s
    return samples


@given(
    st.sampled_from([1e-6, 1e-3]), st.sampled_from([1e-6, 1e-3]), st.sampled_from([-1, 1]),
    st.floats(200, 1500), st.floats(600, 6000), st.floats(0.01, 500), st.integers(0, 99),
)  # fmt: skip
def test_unit_and_sign_do_not_matter_and_the_truth_lies_within_the_uncertainty(
    unit_a, unit_v, sign, idle_mw, more_mw, latency_ms, seed
):
    samples = trace(idle_mw, idle_mw + more_mw, unit_a=unit_a, unit_v=unit_v, sign=sign, seed=seed)
    energy = energy_of(samples, latency_ms)
    assert energy.energy_mj == pytest.approx(more_mw * latency_ms / 1e3, abs=5 * energy.uncertainty_mj + 1e-9)
    assert energy.uncertainty_mj < 0.1 * energy.energy_mj
    assert energy.busy_mw - energy.idle_mw == pytest.approx(more_mw, rel=0.1)


@given(st.floats(0.01, 1000), st.floats(1.01, 100))
def test_energy_grows_with_the_time_of_an_execution(latency_ms, factor):
    samples = trace()
    one, other = energy_of(samples, latency_ms), energy_of(samples, factor * latency_ms)
    assert other.energy_mj == pytest.approx(factor * one.energy_mj)
    assert other.uncertainty_mj == pytest.approx(factor * one.uncertainty_mj)


def test_a_gauge_that_lags_is_given_time_to_settle():
    energy = energy_of(trace(settle_s=1.0), 10.0)
    assert energy.energy_mj == pytest.approx(18.0, rel=0.03)


def test_a_drift_of_the_idle_power_is_part_of_the_uncertainty():
    steady, drifting = energy_of(trace(), 10.0), energy_of(trace(after_mw=1200.0), 10.0)
    assert drifting.uncertainty_mj > 1.5 > 5 * steady.uncertainty_mj
    assert abs(drifting.energy_mj - steady.energy_mj) < 2 * drifting.uncertainty_mj


def test_repeated_samples_are_one_reading():
    slow, quick = (energy_of(trace(gauge_s=gauge, noise=0.05), 10.0) for gauge in (1.0, 0.1))
    assert slow.readings < quick.readings / 8
    assert slow.uncertainty_mj > 1.5 * quick.uncertainty_mj


@pytest.mark.parametrize(
    ("samples", "why"),
    [
        (trace(status="Charging"), "while the battery discharges; the phone says 'Charging'"),
        (trace(status="Full"), "'Full'"),
        (trace(status=""), "the phone says ''"),
        (trace()[:-1] + trace(status="Charging")[-1:], "'Charging'. Unplug it"),
        ([], "the phone says nothing"),
        (trace(gauge_s=10.0), "2 different readings while the model ran, 8 are needed"),
        (trace(seconds=0.5), "different readings"),
        (trace(busy_mw=800.0), "a difference that is not clear"),
        (trace(busy_mw=500.0), "a difference that is not clear"),
        (trace(busy_mw=830.0, noise=0.2), "a difference that is not clear"),
        (trace(unit_a=1e-9), "possible neither in mA nor in µA"),
        (trace(unit_a=1.0), "draws no current|possible neither"),
        (trace(unit_v=1e-9), "voltage from"),
        (trace(sign=-1)[:300] + trace(sign=1)[300:], "changes its sign"),
        ([PowerSample(s.time_s, 0, s.voltage, s.status, s.phase) for s in trace()], "no current at all"),
    ],
)
def test_what_cannot_be_told_is_refused_with_its_reason(samples, why):
    with pytest.raises(EnergyUnavailableError, match=why):
        energy_of(samples, 10.0)


@pytest.mark.parametrize("latency_ms", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_time_is_refused(latency_ms):
    with pytest.raises(EnergyUnavailableError, match="must be positive"):
        energy_of(trace(), latency_ms)
