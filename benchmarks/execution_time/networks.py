"""Part 4: whole networks that nothing was tuned on, the sum of their operators against measured time.

A computer is not as fast at every hour: part 0 times the networks in turns with the campaign that the profile
is learned from. A network's time is the median of its rounds. Converting the networks takes about ten
minutes; the files stay in the work folder for the next time.
"""

from __future__ import annotations

import json

import numpy as np

from benchmarks.execution_time.network_zoo import file_of, makers
from benchmarks.execution_time.settings import Settings
from benchmarks.report import Row
from fdi_keras.networks.latency import predict_latency

#: Share of the networks, and how far off these and all of them may be.
MOST, NEAR, FAR = 0.90, 0.05, 0.10


def run(settings: Settings) -> list[Row]:
    profile = settings.whole
    rounds = json.loads(settings.networks_timed.read_text())
    rows, off, covered, known = [], [], [], []
    for name in makers():
        path = file_of(name, settings.work / "networks")
        report = predict_latency(path, profile)
        times = np.array([each[path.stem] for each in rounds])
        low, measured_ms, high = (float(q) for q in np.quantile(times, (0.25, 0.5, 0.75)))
        error = report.total_ms / measured_ms - 1
        off.append(abs(error))
        covered.append(report.coverage)
        if report.low_ms is not None and report.high_ms is not None:
            known.append(report.low_ms <= measured_ms <= report.high_ms)
        rows.append(
            Row(
                "4",
                name,
                f"within {FAR:.0%}, coverage 100 %",
                f"{error:+.1%}, coverage {report.coverage:.0%} ({report.total_ms:.4g} against {measured_ms:.4g} ms, "
                f"quartiles of {len(times)} rounds {low:.4g}-{high:.4g})",
                abs(error) <= FAR and report.coverage == 1.0,
                {"predicted_ms": report.total_ms, "measured_ms": times.tolist(), "warnings": len(report.warnings)},
            )
        )  # fmt: skip
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
