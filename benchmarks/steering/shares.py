"""Shares of the uncompressed network's time: which to try, and what follows from what was tried."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import Any

import numpy as np

from benchmarks.steering.settings import LOST

#: An opponent that loses at so many times the least share of ours is followed no further.
FAR_ABOVE = 2.0


def first_share(
    runs: Sequence[dict[str, Any]], ladder: Sequence[float], ours: float | None = None
) -> float | None:
    """Where to begin.

    At the least share down to which earlier runs lost nothing, whichever their seeds; else far above the least share
    of ours, where that is known; else in the middle.
    """
    tried = sorted({run["share"] for run in runs} & set(ladder), reverse=True)
    kept = list(takewhile(lambda share: not is_lost(runs, share), tried))
    if kept:
        return kept[-1]
    if ours is not None and ladder:
        return far_above(ours, ladder)
    return ladder[(len(ladder) - 1) // 2] if ladder else None


def far_above(ours: float, ladder: Sequence[float]) -> float:
    """The least share of the ladder at which losing is to be much slower than ours."""
    return min((share for share in ladder if share >= FAR_ABOVE * ours), default=max(ladder))


def next_share(
    runs: Sequence[dict[str, Any]], ladder: Sequence[float], first: float | None, ours: float | None = None
) -> float | None:
    """The next share of the time to try: down until too much accuracy is lost, up until it is not.

    Args:
        runs: of one method on one task, all seeds of each share tried.
        ladder: shares that may be tried, the largest first.
        first: the one that comes first.
        ours: the least share of ours; an opponent that loses far above it is followed no further.
    """
    tried = {run["share"] for run in runs} & set(ladder)
    if not tried:
        return first
    narrowest, widest = ladder.index(min(tried)), ladder.index(max(tried))
    if not is_lost(runs, ladder[narrowest]):
        return ladder[narrowest + 1] if narrowest + 1 < len(ladder) else None
    if is_lost(runs, ladder[widest]):
        enough = ours is not None and ladder[widest] >= far_above(ours, ladder)
        return ladder[widest - 1] if widest and not enough else None
    return None


def is_lost(runs: Sequence[dict[str, Any]], share: float) -> bool:
    """Whether more accuracy is lost at a share, in the mean of the seeds, than may be; or nothing was found."""
    losses = [
        run["start_accuracy"] - run["accuracy"]
        for run in runs
        if run["share"] == share and "error" not in run
    ]
    return not losses or float(np.mean(losses)) > LOST


def least_time(runs: Sequence[dict[str, Any]]) -> float | None:
    """The least share of the uncompressed time at which a method loses at most half a point, over all its seeds.

    Between two targets the accuracy goes with the logarithm of the time. None: not even at the mildest target.
    What could not be built does not count.
    """
    points = []
    runs = [run for run in runs if "error" not in run]
    for share in sorted({run["share"] for run in runs}, reverse=True):
        mine = [run for run in runs if run["share"] == share]
        lost = float(np.mean([run["start_accuracy"] - run["accuracy"] for run in mine]))
        points.append((float(np.mean([run["measured_ms"] / run["start_ms"] for run in mine])), lost))
    before = (1.0, 0.0)
    for point in points:
        if point[1] > LOST:
            if before[0] == 1.0:
                return None
            way = (LOST - before[1]) / (point[1] - before[1])
            return float(np.exp(np.log(before[0]) + way * np.log(point[0] / before[0])))
        before = point
    return before[0] if points else None


def deciding_seeds(runs: Sequence[dict[str, Any]]) -> int:
    """The fewest seeds at a share that decides on the least one: the last that loses nothing, the first that does."""
    tried = sorted({run["share"] for run in runs}, reverse=True)
    kept = len(list(takewhile(lambda share: not is_lost(runs, share), tried)))
    return min(
        len({run["seed"] for run in runs if run["share"] == share})
        for share in tried[max(kept - 1, 0) : kept + 1]
    )


def more_than(runs: Sequence[dict[str, Any]]) -> float:
    """Of a method that lost too much, or found nothing, at every share: the largest of them, as it was measured."""
    widest = max(run["share"] for run in runs)
    times = [
        run["share"] if "error" in run else run["measured_ms"] / run["start_ms"]
        for run in runs
        if run["share"] == widest
    ]
    return float(np.mean(times))
