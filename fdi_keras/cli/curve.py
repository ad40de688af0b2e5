"""The predicted time of one operator over one of its dimensions, and its time minima."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.execution_time import TimeModel, latency_curve, time_minima
from fdi_keras.operators import Kind, get_kind

#: Dimensions of which 0 is a value; everything else is counted from 1.
MAY_BE_ZERO = ("padding", "activation", "constant", "pad_height", "pad_width")
#: Dimensions that are off or on.
SWITCHES = ("padding", "activation", "constant")


@dataclass(frozen=True)
class Curve:
    """A curve ready to be shown.

    Attributes:
        kind: of the operator.
        vary: the dimension that changes.
        fixed: all others.
        widths, times_ms: values of ``vary`` and predicted times in ms, both of length n.
        free: share of an average channel's cost that counts as free.
        minima: positions of time minima, ascending.
        strict: those of them that are minima without ``free``.
        warnings: dimensions outside what was measured.
    """

    kind: str
    vary: str
    fixed: dict[str, int]
    widths: list[int]
    times_ms: list[float]
    free: float
    minima: list[int]
    strict: list[int]
    warnings: list[str]


def predicted_curve(
    model: TimeModel, dims: Mapping[str, int], vary: str, values: Sequence[int], free: float
) -> Curve:
    """Predict the curve and find its minima.

    Args:
        model: the time model of the kind.
        dims: the other dimensions; those left out take the kind's defaults.
        vary: the dimension that changes.
        values: ``(n,)`` its values, ascending.
        free: as in :func:`fdi_keras.execution_time.time_minima`.

    Raises:
        UsageError: dimensions that are missing, unknown, or make no operator.
    """
    kind = get_kind(model.kind)
    if vary in dims:
        raise UsageError(f"{vary} is given both by --set and by --vary; leave it out of --set.")
    if vary in SWITCHES:
        raise UsageError(f"{vary} is off or on; --vary needs a dimension that counts something.")
    times = latency_curve(model, dims, vary, values)
    ends = [kind.complete({**dims, vary: value}) for value in (values[0], values[-1])]
    for end in ends:
        _check_possible(kind, end)
    found = np.flatnonzero(time_minima(values, times, free=free))
    # A dip that hardly anything follows lies within a block, and the block's end is found already.
    strict = np.intersect1d(np.flatnonzero(time_minima(values, times)), found)
    warnings = dict.fromkeys(text for end in ends for text in model.out_of_range(end))
    return Curve(
        kind=kind.name,
        vary=vary,
        fixed={name: value for name, value in ends[0].items() if name != vary},
        widths=list(values),
        times_ms=times.tolist(),
        free=free,
        minima=found.tolist(),
        strict=strict.tolist(),
        warnings=[f"{text} measured; the prediction extrapolates" for text in warnings],
    )


def _check_possible(kind: Kind, dims: Mapping[str, int]) -> None:
    for name, value in dims.items():
        if value < 1 and name not in MAY_BE_ZERO:
            raise UsageError(f"{name} must be at least 1; received {value}.")
        if value > 1 and name in SWITCHES:
            raise UsageError(f"{name} must be 0 or 1; received {value}.")
    if kind.windowed:
        derived = kind.derive(dims)
        if min(derived["out_height"], derived["out_width"]) < 1:
            raise UsageError(
                f"a kernel of {dims['kernel']} does not fit into {dims['height']} x {dims['width']} pixels "
                "without padding; set padding=same."
            )
