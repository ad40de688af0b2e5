"""Numbers, times and operators as people read them in tables."""

from __future__ import annotations

from collections.abc import Mapping


def time_text(ms: float) -> str:
    """A time with a fitting unit and three significant digits.

    >>> time_text(0.01234), time_text(4.5), time_text(1234.5)
    ('12.3 us', '4.5 ms', '1.23 s')
    """
    for limit, factor, unit in ((0.000_999_5, 1e6, "ns"), (0.9995, 1e3, "us"), (999.5, 1.0, "ms")):
        if ms < limit:
            return f"{_digits(ms * factor)} {unit}"
    return f"{_digits(ms / 1000)} s"


def percent(share: float) -> str:
    """A share in percent, with one digit below 100 %.

    >>> percent(0.0543), percent(1.0), percent(2.231)
    ('5.4 %', '100 %', '223 %')
    """
    return f"{100 * share:.1f} %" if share < 0.9995 else f"{100 * share:.0f} %"


def borrowed_text(lenders: Mapping[str, int]) -> str:
    """Measurements of other kinds that a kind is learned from as well.

    >>> borrowed_text({"relu6": 45, "abs": 32, "neg": 1})
    '45 of relu6, 32 of abs and 1 of neg, which take as long'
    """
    *parts, last = [f"{number} of {kind}" for kind, number in lenders.items()]
    listed = f"{', '.join(parts)} and {last}" if parts else last
    return f"{listed}, which take{'' if parts else 's'} as long"


def error_style(mape: float) -> str:
    """Color of an error: what the project asks of a profile is 8 %, twice that is poor."""
    return "green" if mape <= 0.08 else "yellow" if mape <= 0.16 else "red"


def clock(seconds: float) -> str:
    """A duration.

    >>> clock(7.6), clock(312), clock(3700)
    ('0:08', '5:12', '1:01:40')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def count(number: int, what: str) -> str:
    """A number of things.

    >>> count(1, "thread"), count(2, "thread")
    ('1 thread', '2 threads')
    """
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _digits(value: float) -> str:
    text = f"{value:.3g}"
    return text if "e" not in text else f"{value:.0f}"
