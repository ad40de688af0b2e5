"""Whether phones of one model are equally fast, so that their measurements may be put together."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from fdi_keras.profiling.records import Records

#: Probes that every phone times (our choice): the first of the design, which are of all kinds.
COMMON = 40

#: Phones agree when the median of their ratios is so near to 1 ...
MEDIAN_WITHIN = 0.05

#: ... and the middle half of the ratios lies so near to the median (our choices).
MIDDLE_WITHIN = 0.10

#: Of fewer common probes nothing can be said.
FEWEST = 10


class Agreement(msgspec.Struct, frozen=True):
    """Two phones compared.

    Attributes:
        agree: their measurements may be put together.
        text: in words, with the numbers.
    """

    agree: bool
    text: str


def compare(first: Records, second: Records, common: int = COMMON) -> Agreement:
    """Compare the times of the probes that both have timed."""
    both = [i for i in range(common) if i in first.measurements and i in second.measurements]
    names = f"{second.device.id} beside {first.device.id}"
    if len(both) < FEWEST:
        return Agreement(False, f"{names}: only {len(both)} common probes, {FEWEST} are needed to compare")
    ratios = np.array([second.measurements[i].median_ms / first.measurements[i].median_ms for i in both])
    low, median, high = np.percentile(ratios, (25, 50, 75))
    agree = abs(median - 1) <= MEDIAN_WITHIN and max(median - low, high - median) <= MIDDLE_WITHIN * median
    return Agreement(
        bool(agree),
        f"{names}: {median:.3f} times its time (middle half {low:.3f}-{high:.3f}, {len(both)} common probes)",
    )


def together(records: Sequence[Records]) -> Records:
    """The measurements of several phones that agree, as those of the first; of common probes its own."""
    first = records[0]
    measurements = {i: m for each in reversed(records) for i, m in each.measurements.items()}
    failures = {i: f for each in reversed(records) for i, f in each.failures.items() if i not in measurements}
    warnings = [warning for each in records for warning in each.warnings]
    return Records(
        first.path,
        first.device,
        first.runtime,
        first.plan,
        measurements,
        failures,
        overhead_ms=first.overhead_ms,
        overhead_mj=next((r.overhead_mj for r in records if r.overhead_mj is not None), None),
        baseline_ms=first.baseline_ms,
        cold_weights=first.cold_weights,
        seconds=max(each.seconds for each in records),
        finished=all(each.finished for each in records),
        warnings=warnings,
    )
