"""Part 4: whole networks that nothing was tuned on, the sum of their operators against measured time.

A computer is not as fast at every hour: beside each network some operators of the profile are timed once
more, and the network's time is compared as it would have been when the profile was made. Both numbers are
told. Converting the networks takes about ten minutes; the files stay in the work folder for the next time.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from benchmarks.execution_time.network_zoo import file_of, makers
from benchmarks.execution_time.settings import Settings
from benchmarks.report import Row
from fdi_keras.devices import Runner, RuntimeChoice, open_runner
from fdi_keras.networks.latency import measure_latency, predict_latency
from fdi_keras.operators import KINDS
from fdi_keras.profile import DeviceProfile
from fdi_keras.profiling import build_probe

#: Share of the networks, and how far off these and all of them may be.
MOST, NEAR, FAR = 0.90, 0.05, 0.10

#: Each is timed for so long, in s.
SECONDS = 3.0

#: Operators that are timed again, by kind: of what networks spend their time with; and how long these take, in ms.
AGAIN = {"conv2d": 14, "depthwise_conv2d": 6, "dense": 2, "add": 2}
LEAST_MS, MOST_MS = 0.03, 3.0


def run(settings: Settings) -> list[Row]:
    profile = settings.whole
    files = {name: file_of(name, settings.work / "networks") for name in makers()}
    rows, off, covered, known = [], [], [], []
    choice = RuntimeChoice(threads=profile.runtime.threads, delegate=profile.runtime.delegate)
    with open_runner("local", choice) as runner:
        slower = _slowness(profile, runner, settings.seed)
        before = slower()
        for name, path in files.items():
            report = predict_latency(path, profile)
            measured = measure_latency(path, threads=profile.runtime.threads, seconds=SECONDS)
            after = slower()
            slowness, before = (before + after) / 2, after
            then_ms = measured.median_ms / slowness
            error = report.total_ms / then_ms - 1
            off.append(abs(error))
            covered.append(report.coverage)
            if report.low_ms is not None and report.high_ms is not None:
                known.append(report.low_ms <= then_ms <= report.high_ms)
            rows.append(
                Row(
                    "4",
                    name,
                    f"within {FAR:.0%}, coverage 100 %",
                    f"{error:+.1%}, coverage {report.coverage:.0%} ({report.total_ms:.4g} against {then_ms:.4g} ms: "
                    f"{measured} on a computer {slowness:.3f} x as slow as in the campaign)",
                    abs(error) <= FAR and report.coverage == 1.0,
                    {"predicted_ms": report.total_ms, "measured_ms": measured.median_ms, "slowness": slowness,
                     "uncorrected": report.total_ms / measured.median_ms - 1, "warnings": len(report.warnings)},
                )
            )  # fmt: skip
            print(f"  {name}: {rows[-1].measured}", flush=True)
    near = sum(error <= NEAR for error in off) / len(off)
    rows.append(
        Row(
            "4",
            f"{len(off)} networks",
            f"{MOST:.0%} within {NEAR:.0%}, all within {FAR:.0%}, coverage 100 %",
            f"{near:.0%} within {NEAR:.0%}, {sum(error <= FAR for error in off)} within {FAR:.0%}, farthest "
            f"{max(off):.1%}, coverage {min(covered):.0%}; {sum(known)} of {len(known)} inside their 90 % interval",
            near >= MOST and max(off) <= FAR and min(covered) == 1.0,
        )
    )
    return rows


def _slowness(profile: DeviceProfile, runner: Runner, seed: int) -> Callable[[], float]:
    """Asks how many times as long operators of the profile take now as they took in the campaign."""
    rng = np.random.default_rng(seed)
    probes: list[tuple[bytes, float]] = []
    for kind, count in AGAIN.items():
        table = profile.measurements[kind]
        then = table.column("median_ms")
        usual = np.flatnonzero((then >= LEAST_MS) & (then <= MOST_MS))
        for at in rng.permutation(usual)[:count]:
            dims = {name: int(table.dims[name][at]) for name in KINDS[kind].dimensions}
            probes.append((build_probe(kind, dims), float(then[at])))

    def ask() -> float:
        return float(np.median([runner.time(probe).median_ms / then for probe, then in probes]))

    return ask
