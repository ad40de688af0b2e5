"""Time minima: widths at which more channels cost nothing.

Yao et al. (SenSys 2018, Algorithm 2) expand layers to nearby local minima of the time
after compression. The details could not be had; the definition here is our choice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.execution_time.time_model import TimeModel
from fdi_keras.operators.kinds import get_kind

#: Times closer than this share are one time: sums of the same terms in another order.
_SAME = 1e-9


def time_minima(
    widths: Sequence[int] | np.ndarray,
    times_ms: Sequence[float] | np.ndarray,
    reach: int | None = None,
    free: float = 0.0,
) -> np.ndarray:
    """Which widths are time minima.

    A width is a time minimum when it is no slower than every smaller width within
    ``reach`` below it, and the next larger width is slower. So a dip reports the dip, a
    plateau its widest place, and where every channel costs time there is none. The
    smallest width has nothing to be compared with and is none; the largest has no next
    one and counts when the first part holds.

    By default a width is compared with the nearest smaller one alone. Times rise with the
    width over all, so that a dip is often slower than the dip before it and would not be
    found with a reach as long as the distance between dips. A longer reach keeps only the
    dips that undercut all widths in it.

    Within a block that a library computes in full anyway, a channel still costs a little:
    its output is written. With ``free`` above zero a channel counts as free when it costs
    at most that share of the average channel, time / width. A block then reports its end.

    Args:
        widths: ``(n,)`` ascending, positive.
        times_ms: ``(n,)`` their times, in any unit.
        reach: how many channels below a width its time is compared with; None for the
            nearest smaller width, however near. A width without any other in reach is none.
        free: share of the average cost of a channel, from 0 to below 1, up to which more
            channels cost nothing.

    Returns:
        ``(n,)`` bool.

    Raises:
        ValueError: shapes that differ, widths that do not ascend from above zero, a reach below 1, a
            ``free`` outside its limits.

    >>> widths = np.arange(61, 71)
    >>> times = [5.2, 5.3, 5.4, 4.0, 5.5, 5.6, 5.7, 4.2, 4.2, 6.0]  # dips at 64 and from 68 to 69
    >>> widths[time_minima(widths, times)].tolist()
    [64, 69]
    >>> time_minima(widths, widths * 0.1).any()  # a ramp has none
    np.False_
    >>> blocks = [5.00, 5.01, 5.02, 5.03, 7.5, 7.51, 7.52, 7.53, 7.54, 7.55]  # a step behind 64
    >>> widths[time_minima(widths, blocks, free=0.2)].tolist()
    [64, 70]
    """
    width, time = np.asarray(widths, dtype=float), np.asarray(times_ms, dtype=float)
    if width.ndim != 1 or width.shape != time.shape:
        raise ValueError(
            f"widths and times_ms must have the same shape (n,); got {width.shape} and {time.shape}."
        )
    if (np.diff(width, prepend=0.0) <= 0).any():
        raise ValueError("widths must be positive and ascend without repeats.")
    if reach is not None and reach < 1:
        raise ValueError(f"reach must be at least 1 channel, or None; got {reach}.")
    if not 0 <= free < 1:
        raise ValueError(f"free must be at least 0 and below 1; got {free}.")

    def at_most(smaller: slice, larger: slice | int) -> np.ndarray:
        """Where the larger width costs no more than the smaller one and free channels."""
        share = free * (width[larger] - width[smaller]) / width[smaller]
        return time[larger] <= time[smaller] * (1 + share + _SAME)

    rises = np.ones(len(width), dtype=bool)
    rises[:-1] = ~at_most(slice(None, -1), slice(1, None))
    no_slower = np.zeros(len(width), dtype=bool)
    for at in range(1, len(width)):
        first = at - 1 if reach is None else int(np.searchsorted(width, width[at] - reach))
        no_slower[at] = first < at and at_most(slice(first, at), at).all()
    return no_slower & rises


def latency_curve(
    model: TimeModel, fixed: Mapping[str, int], vary: str, values: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Predicted times in ms, ``(n,)``, of operators that differ in one dimension.

    Args:
        model: the time model of their kind.
        fixed: their other dimensions; those left out take the kind's defaults.
        vary: the dimension that changes, such as ``"out_channels"``.
        values: ``(n,)`` its values.

    Raises:
        UsageError: a dimension that is missing or that the kind does not have.
    """
    kind = get_kind(model.kind)
    if vary not in kind.dimensions:
        raise UsageError(f"{kind.name} has no dimension {vary!r}; it has {', '.join(kind.dimensions)}.")
    return model.predict_ms({**fixed, vary: np.asarray(values, dtype=float)})
