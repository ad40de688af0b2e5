"""Part 6: how long learning takes, predicting a network, and evaluating widths of a layer."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.execution_time.settings import FURTHER_LIMIT, MAIN, MAIN_LIMIT, PROBES, Settings, predict
from benchmarks.report import Row
from fdi_keras.execution_time import latency_curve
from fdi_keras.networks.latency import price_operators
from fdi_keras.profile import DeviceProfile, load_profile, refit

FIT_LIMIT_S, NETWORK_LIMIT_MS, WIDTHS_A_SECOND = 60.0, 5.0, 1e6


def run(settings: Settings) -> list[Row]:
    began = time.perf_counter()
    refit(settings.short)
    fit_s = time.perf_counter() - began
    count = sum(len(table) for table in settings.short.measurements.values())
    return [
        Row("6", f"learning from {count} measurements", f"< {FIT_LIMIT_S:g} s", f"{fit_s:.1f} s", fit_s < FIT_LIMIT_S),
        _enough(settings),
        _network(settings.whole),
        _widths(settings.whole),
        _loading(settings),
    ]  # fmt: skip


def _enough(settings: Settings) -> Row:
    """Whether so few measurements are enough for the errors of part 1."""
    off = {}
    for kind in settings.short.models:
        fresh = settings.test(kind)
        off[kind] = float(np.abs(predict(settings.short, kind, fresh) / fresh.times - 1).mean())
    met = [kind for kind, error in off.items() if error <= (MAIN_LIMIT if kind in MAIN else FURTHER_LIMIT)]
    listed = ", ".join(f"{kind} {off[kind]:.1%}" for kind in MAIN)
    return Row("6", f"errors of part 1 with {PROBES} probes", "all", f"{len(met)} of {len(off)}; {listed}",
               len(met) == len(off), off)  # fmt: skip


def _network(profile: DeviceProfile) -> Row:
    import keras

    from fdi_keras.networks.latency import read_operators

    operators = read_operators(keras.applications.MobileNetV2(weights=None))
    price_operators(operators, profile)
    took_ms = min(_seconds(lambda: price_operators(operators, profile)) for _ in range(20)) * 1e3
    return Row(
        "6",
        f"predicting MobileNetV2, {len(operators)} operators",
        f"< {NETWORK_LIMIT_MS:g} ms",
        f"{took_ms:.2f} ms",
        took_ms < NETWORK_LIMIT_MS,
    )


def _widths(profile: DeviceProfile) -> Row:
    fixed = {"height": 28, "width": 28, "in_channels": 96, "kernel": 3}
    widths = np.random.default_rng(0).integers(1, 1025, 1_000_000)
    model = profile.models["conv2d"]
    took_s = min(_seconds(lambda: latency_curve(model, fixed, "out_channels", widths)) for _ in range(3))
    rate = len(widths) / took_s
    return Row("6", "width candidates of a layer", f">= {WIDTHS_A_SECOND:.0e} a second",
               f"{rate / 1e6:.2f} million a second", rate >= WIDTHS_A_SECOND)  # fmt: skip


def _loading(settings: Settings) -> Row:
    took_s = min(_seconds(lambda: load_profile(settings.profile_path("whole"))) for _ in range(3))
    return Row("6", "loading a profile", "reported", f"{took_s * 1e3:.0f} ms", None)


def _seconds(do: object) -> float:
    began = time.perf_counter()
    do()  # type: ignore[operator]
    return time.perf_counter() - began
