"""Part 4: whole networks that nothing was tuned on, the sum of their operators against measured time.

Converting them takes about ten minutes; the files stay in the work folder for the next time.
"""

from __future__ import annotations

from benchmarks.execution_time.network_zoo import file_of, makers
from benchmarks.execution_time.settings import Settings
from benchmarks.report import Row

#: Share of the networks, and how far off these and all of them may be.
MOST, NEAR, FAR = 0.90, 0.05, 0.10

#: Each is timed for so long, in s.
SECONDS = 3.0


def run(settings: Settings) -> list[Row]:
    import fdi_keras as fdi

    files = {name: file_of(name, settings.work / "networks") for name in makers()}
    rows, off, covered = [], [], []
    for name, path in files.items():
        report = fdi.predict_latency(path, settings.whole)
        measured = fdi.measure_latency(path, threads=settings.whole.runtime.threads, seconds=SECONDS)
        error = report.total_ms / measured.median_ms - 1
        off.append(abs(error))
        covered.append(report.coverage)
        inside = None
        if report.low_ms is not None and report.high_ms is not None:
            inside = report.low_ms <= measured.median_ms <= report.high_ms
        rows.append(
            Row(
                "4",
                name,
                f"within {FAR:.0%}, coverage 100 %",
                f"{error:+.1%}, coverage {report.coverage:.0%} ({report.total_ms:.4g} against {measured})",
                abs(error) <= FAR and report.coverage == 1.0,
                {"predicted_ms": report.total_ms, "measured_ms": measured.median_ms, "inside_interval": inside,
                 "warnings": len(report.warnings)},
            )
        )  # fmt: skip
        print(f"  {name}: {rows[-1].measured}", flush=True)
    near = sum(error <= NEAR for error in off) / len(off)
    known = [row.details["inside_interval"] for row in rows if row.details["inside_interval"] is not None]
    rows.append(
        Row(
            "4",
            f"{len(off)} networks",
            f"{MOST:.0%} within {NEAR:.0%}, all within {FAR:.0%}, coverage 100 %",
            f"{near:.0%} within {NEAR:.0%}, farthest {max(off):.1%}, coverage {min(covered):.0%}; "
            f"{sum(known)} of {len(known)} inside their 90 % interval",
            near >= MOST and max(off) <= FAR and min(covered) == 1.0,
        )
    )
    return rows
