"""Words that several rooms share: ages, errors, standings."""

from __future__ import annotations

from fdi_tui.data.writers import Standing

from fdi_keras.cli.words import clock, count, error_style, percent, time_text

__all__ = ["age", "clock", "count", "error_style", "percent", "standing_style", "standing_text", "time_text"]


def age(seconds: float) -> str:
    """How long ago, in one unit.

    >>> age(30), age(4000), age(3 * 86400), age(400 * 86400)
    ('30 s', '67 min', '3 days', '13 months')
    """
    if seconds < 120:
        return f"{max(seconds, 0):.0f} s"
    for limit, unit, name in ((120 * 60, 60, "min"), (48 * 3600, 3600, "h"), (90 * 86400, 86400, "days")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / (30.44 * 86400):.0f} months"


#: Rich styles of how a writer stands; also told by the word itself.
_STYLES = {
    "running": "green",
    "silent": "yellow",
    "paused": "yellow",
    "finished": "",
    "interrupted": "yellow",
    "failed": "red",
    "died": "red",
    "elsewhere": "cyan",
}


def standing_text(standing: Standing, now: float) -> str:
    """How a writer stands: ``silent for 2 min``, ``died``, ``on other-host``."""
    if standing.state == "silent" and standing.since is not None:
        return f"silent for {age(now - standing.since)}"
    if standing.state == "elsewhere":
        return f"on {standing.host}"
    return standing.state


def standing_style(text: str) -> str:
    """Color of :func:`standing_text`."""
    word = text.split(" ")[0]
    return _STYLES.get("elsewhere" if word == "on" else word, "")
