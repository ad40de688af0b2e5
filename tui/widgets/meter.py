"""A share as a bar of characters."""

from __future__ import annotations

_EIGHTHS = " ▏▎▍▌▋▊▉"


def meter(share: float, width: int, ascii: bool = False) -> str:
    """A bar of ``width`` characters; shares below 0 and above 1 count as these.

    >>> meter(0.5, 4), meter(0.3, 4), meter(0.5, 4, ascii=True)
    ('██··', '█▏··', '##..')
    """
    share = min(max(share, 0.0), 1.0)
    if ascii:
        whole = round(share * width)
        return "#" * whole + "." * (width - whole)
    eighths = int(share * width * 8)
    whole, rest = divmod(eighths, 8)
    text = "█" * whole + (_EIGHTHS[rest] if rest else "")
    return text + "·" * (width - len(text))
