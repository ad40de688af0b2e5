"""Text from elsewhere, made fit to be shown: one function for every screen and message.

What devices, files and models say is data. Before a person sees it, it passes through
:func:`clean`, so that it can neither steer the terminal nor fill it.
"""

from __future__ import annotations

import unicodedata


def clean(text: object, most: int | None = None) -> str:
    """Text from elsewhere on one line, its control characters made visible.

    Args:
        text: anything with a text.
        most: cut after so many characters, with a mark; None keeps all.

    >>> clean("a\\nb\\x1b[31mc")
    'a b\\\\x1b[31mc'
    >>> clean("a" * 50, most=8)
    'aaaaa...'
    """
    whole = str(text)
    one_line = " ".join((whole if most is None else whole[: 4 * most + 4]).splitlines())
    if not one_line.isprintable():
        # Steers terminals (Cc), turns the direction of writing (Cf), cannot be encoded (Cs), or has no
        # known width (Cn, Co); spaces of other widths are spaces.
        one_line = "".join(
            c
            if c.isprintable()
            else " "
            if unicodedata.category(c) == "Zs"
            else c.encode("unicode_escape").decode()
            for c in one_line
        )
    if most is not None and len(one_line) > most:
        return one_line[: most - 3] + "..."
    return one_line
