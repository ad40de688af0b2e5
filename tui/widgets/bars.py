"""Bars of characters, an eighth of a character fine."""

from __future__ import annotations

import math

EIGHTHS = " ▏▎▍▌▋▊▉█"


def bar(share: float, width: int, ascii: bool = False, track: str = "") -> str:
    """A bar of a share of ``width`` characters.

    Args:
        share: 0 to 1; more is cut, what is no number is nothing.
        width: of the whole, in characters.
        ascii: only characters that every font has.
        track: what stands in the empty rest; nothing pads with blanks.

    >>> bar(0.3, 5), bar(0.3, 5, ascii=True), bar(2.0, 3), bar(float("nan"), 3, track=".")
    ('█▌   ', '##   ', '███', '...')
    """
    share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
    if ascii:
        full, rest = round(share * width), ""
    else:
        full, eighth = divmod(round(share * width * 8), 8)
        rest = EIGHTHS[eighth] if eighth else ""
    return (("#" if ascii else "█") * full + rest).ljust(width, track or " ")


def change_bar(start: float, now: float, most: float, width: int, ascii: bool = False) -> str:
    """What is there now, and what of the start is gone, on a scale up to ``most``.

    >>> change_bar(8, 4, 8, 8), change_bar(4, 8, 8, 8), change_bar(8, 4, 16, 8, ascii=True)
    ('████░░░░', '████████', '##..')
    """
    if not (most > 0 and math.isfinite(now)):
        return ""
    there = bar(now / most, width, ascii).rstrip()
    before = round(width * min(max(start / most, 0.0), 1.0)) if math.isfinite(start) else 0
    return there.ljust(before, "." if ascii else "░")
