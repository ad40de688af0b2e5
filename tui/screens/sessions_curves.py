"""The curves of the room 'Sessions': a quantity of several sessions on the same axes, and its target."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fdi_tui.data.session import Session
from fdi_tui.widgets.picture import Series

#: Color of the pinned session, whichever place it has.
PINNED_COLOR = 1
TARGET_COLOR, TARGET_DASH = 4, 2


def session_series(sessions: Sequence[tuple[Session, bool]], metric: str) -> list[Series]:
    """A line a session, the first on top of the others, and the target of the first.

    Args:
        sessions: with each whether it is pinned.
        metric: name of a column of their histories.
    """
    series = []
    for place, (session, pinned) in reversed(list(enumerate(sessions))):
        color = PINNED_COLOR if pinned else (0 if place == 0 else 1 + place)
        x, y = session.history.column(metric)
        name = session.name + (" (pinned)" if pinned else "")
        if len(x):
            series.append(Series(name, x, y, "line" if len(x) > 1 else "dots", color, color))
    first = sessions[0][0]
    if metric == "value" and math.isfinite(first.target) and first.history.count:
        ends = first.history.column(metric)[0][[0, -1]]
        series.append(Series("target", ends, 0 * ends + first.target, "line", TARGET_COLOR, TARGET_DASH))
    return series
