"""Measured times of one kind of operator, and what the model makes of them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from fdi_tui.data.readings import Reading
from fdi_tui.widgets.picture import Series
from fdi_tui.widgets.plot import Plot

from fdi_keras.cli.words import time_text
from fdi_keras.operators.words import dims_text

if TYPE_CHECKING:
    from fdi_keras.profile import DeviceProfile


#: Kinds whose error is plotted; more lines cannot be told apart.
MOST_KINDS = 5


class TimesPlot(Plot):
    """Times over a dimension, on a logarithmic axis: they reach from a microsecond to ten milliseconds."""

    about = (
        "Dots are measured times; those that differ in nothing but the dimension below are drawn over the "
        "others. The line is the model that was learned so far, for such an operator."
    )

    def __init__(self, **options: Any):
        super().__init__(y_text=lambda y: time_text(10**y), whole=True, zero=False, **options)

    def show_times(
        self,
        readings: Sequence[Reading],
        vary: str,
        anchor: Mapping[str, int],
        profile: DeviceProfile | None,
        kind: str,
        overhead_ms: float,
    ) -> None:
        """Show the measurements of a kind, and the curve through an operator like ``anchor``."""
        here = [r for r in readings if vary in r.dims]
        alike = [r for r in here if all(r.dims.get(n) == v for n, v in anchor.items() if n != vary)]
        series = [_dots("measured", here, vary, 0)]
        low, high = (
            min((r.dims[vary] for r in here), default=1),
            max((r.dims[vary] for r in here), default=1),
        )
        if profile is not None and kind in profile.models and anchor:
            series += _curve(profile, kind, anchor, vary, max(low, 1), high, overhead_ms)
        if alike and anchor:
            series.append(_dots("measured, alike", alike, vary, 2))
        text = dims_text({n: v for n, v in anchor.items() if n != vary}) if anchor else ""
        title = f"{kind} over {vary}" + (f"; line: {text}" if text and len(series) > 1 else "")
        self.show(series, title=title, x_name=vary)

    def exported(self) -> tuple[str, list[list[Any]]]:
        _, rows = super().exported()
        return "times", [[*rows[0][:2], "time_ms"], *([name, x, 10**y] for name, x, y in rows[1:])]


def first_dimension(readings: Sequence[Reading]) -> str:
    """The dimension to plot times of a kind over that is not known here."""
    return next(iter(readings[-1].dims), "") if readings else ""


def most_alike(readings: Sequence[Reading], vary: str) -> dict[str, int]:
    """Of the operators that differ in one dimension only, the latest of the largest group."""
    keys = [tuple((n, v) for n, v in r.dims.items() if n != vary) for r in readings]
    groups = Counter(keys)
    most = max(groups.values())
    at = next(i for i in range(len(keys) - 1, -1, -1) if groups[keys[i]] == most)
    return dict(readings[at].dims)


def error_series(
    errors: Sequence[tuple[int, Mapping[str, float]]], counts: Mapping[str, int]
) -> list[Series]:
    """Held-out errors in percent over the measurements that were learned from, of the kinds with most of them."""
    if not errors:
        return []
    x = np.array([count for count, _ in errors], float)
    kinds = sorted(errors[-1][1], key=lambda kind: -counts.get(kind, 0))[:MOST_KINDS]
    return [
        Series(kind, x, np.array([100 * mape.get(kind, np.nan) for _, mape in errors]), "line", number)
        for number, kind in enumerate(kinds)
    ]


def _dots(name: str, readings: Sequence[Reading], vary: str, color: int) -> Series:
    points = sorted((r.dims[vary], math.log10(r.median_ms)) for r in readings)
    x, y = np.array(points, float).reshape(-1, 2).T
    return Series(name, x, y, "dots", color)


def _curve(
    profile: DeviceProfile,
    kind: str,
    anchor: Mapping[str, int],
    vary: str,
    low: int,
    high: int,
    overhead_ms: float,
) -> list[Series]:
    from fdi_tui.data.profiles import curve

    if high <= low:
        return []
    part = curve(profile.models[kind], anchor, vary, low, high)
    good = part.times_ms + overhead_ms > 0
    y = np.log10(part.times_ms[good] + overhead_ms)
    return [Series("model", part.x[good].astype(float), y, "line", 1)] if good.any() else []
