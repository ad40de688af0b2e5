"""Part 7: error against measurements and minutes, of a campaign that chooses and of one that goes as it comes.

Both are learned from what they had measured by then, and tested on the same configurations, which
neither has. The one that chooses is the campaign of part 0 of the named kinds, the other the long one in the
order of the design. Minutes are of a campaign of this kind alone: the time between its measurements, choosing
and waiting included.
"""

from __future__ import annotations

import numpy as np

from benchmarks.execution_time.settings import MAIN, Rows, Settings, learned_anew, predict, rows_of
from benchmarks.report import Row
from fdi_keras.journal import read_journal
from fdi_keras.profiling import read_records

#: Measurements of a kind at which the curve has its points.
POINTS = (50, 100, 200, 400, 800, 1600, 3200)

Curve = list[tuple[int, float, float]]


def run(settings: Settings) -> list[Row]:
    rows = []
    for kind in MAIN:
        tested = settings.test(kind)
        curves = {name: _curve(settings, kind, name, tested) for name in ("named", "fresh")}
        for name, way in (("named", "active"), ("fresh", "plain")):
            listed = ", ".join(f"{n}: {error:.1%} ({minutes:.1f} min)" for n, minutes, error in curves[name])
            rows.append(
                Row("7", f"{kind}, {way}, tested on {len(tested)}", "reported", listed, None,
                    {"curve": curves[name]})
            )  # fmt: skip
        plain = {n: error for n, _, error in curves["fresh"]}
        ratios = {n: error / plain[n] for n, _, error in curves["named"] if n in plain}
        listed = ", ".join(f"{n}: {ratio:.2f}" for n, ratio in ratios.items())
        rows.append(Row("7", f"{kind}, error active / plain", "reported", listed, None))
    return rows


def _in_order(settings: Settings, kind: str, journal: str) -> tuple[Rows, np.ndarray]:
    """Rows in the order in which they were measured, and the minutes that the campaign gave this kind until then."""
    records = read_records(settings.journal(journal))
    took: dict[int, float] = {}
    spent, before = 0.0, None
    for event in read_journal(settings.journal(journal)):
        if before is not None and event.get("kind") == kind:
            spent += event["time"] - before
        if (
            event["event"] == "measurement"
            and event["kind"] == kind
            and event["index"] in records.measurements
        ):
            took[event["index"]] = spent / 60
        before = event["time"]
    order = sorted(took, key=lambda index: took[index])
    measured = [records.measurements[index] for index in order]
    return rows_of(kind, measured, records.overhead_ms or 0.0), np.array([took[index] for index in order])


def _curve(settings: Settings, kind: str, journal: str, tested: Rows) -> Curve:
    """Points (measurements, minutes, error)."""
    rows, minutes = _in_order(settings, kind, journal)
    seen = set(tested.configurations)
    apart = np.array([each not in seen for each in rows.configurations], bool)
    rows, minutes = rows[apart], minutes[apart]
    found = []
    for count in dict.fromkeys([*(n for n in POINTS if n < len(rows)), min(len(rows), POINTS[-1])]):
        first = rows[np.arange(len(rows)) < count]
        profile = learned_anew(settings.named, kind, first, settings.seed)
        off = np.abs(predict(profile, kind, tested) / tested.times - 1)
        found.append((count, float(minutes[count - 1]), float(off.mean())))
    return found
