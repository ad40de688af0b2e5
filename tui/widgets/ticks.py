"""Round numbers for the axes of a plot, and numbers as short texts."""

from __future__ import annotations

import math
from collections.abc import Sequence


def round_step(span: float, count: int, whole: bool = False) -> float:
    """Distance of ticks: 1, 2 or 5 times a power of ten, so that at most ``count`` fit into ``span``.

    Args:
        span: length of the axis, above 0.
        count: of ticks wanted, at least 1.
        whole: the axis counts something; then powers of two, as steps of channels are at multiples of those.

    >>> round_step(1.0, 4), round_step(0.3, 4), round_step(127, 8, whole=True), round_step(3, 8, whole=True)
    (0.5, 0.1, 16, 1)
    """
    least = span / max(count, 1)
    if whole:
        return 2 ** max(math.ceil(math.log2(max(least, 1e-9))), 0)
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least * (1 - 1e-9))


def ticks(low: float, high: float, count: int, whole: bool = False) -> list[float]:
    """Multiples of a round step from ``low`` to ``high``.

    >>> ticks(1, 64, 5, whole=True), ticks(0.0, 1.0, 2)
    ([16, 32, 48, 64], [0.0, 0.5, 1.0])
    """
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return [low] if math.isfinite(low) else []
    step = round_step(high - low, count, whole)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [number * step for number in range(first, min(last, first + 4 * count + 8) + 1)]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Logarithms to base 10 of round numbers, from ``low`` to ``high``, themselves logarithms.

    >>> [round(10**tick, 3) for tick in log_ticks(-1.5, 1.2, 9)]
    [0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0]
    >>> log_ticks(-1.5, 7.2, 4)
    [0.0, 3.0, 6.0]
    """
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return [low] if math.isfinite(low) else []
    decades = [float(power) for power in range(math.floor(low), math.ceil(high) + 1)]
    each = [decade + math.log10(factor) for decade in decades for factor in (1, 2, 5)]
    fine = [tick for tick in each if low <= tick <= high]
    if len(fine) <= count:
        return fine
    whole = [decade for decade in decades if low <= decade <= high]
    if len(whole) < 2:
        return fine[:: -(-len(fine) // max(count, 1))]
    step = -(-len(whole) // max(count, 1))
    return [decade for decade in whole if decade % step == 0] or whole[:1]


def number_text(value: float, step: float = 0.0) -> str:
    """A number with as many digits as ticks of this distance need; powers of ten for the very large and small.

    >>> number_text(16), number_text(0.5, 0.25), number_text(1234567.0), number_text(0.0000123)
    ('16', '0.50', '1.23e6', '1.23e-5')
    >>> number_text(0.0, 0.25)
    '0'
    """
    if not math.isfinite(value):
        return "-"
    size = max(abs(value), step)
    if not value:
        return "0"
    if size >= 1e5 or size < 1e-3 or 0 < step < 1e-9:
        digits, _, power = f"{value:.2e}".partition("e")
        return f"{digits.rstrip('0').rstrip('.')}e{int(power)}"
    if step:
        places = max(0, -math.floor(math.log10(step) + 1e-9))
        if places and abs(step * 10**places - round(step * 10**places)) > 1e-6:
            places += 1
        return f"{value:.{places}f}"
    return f"{value:.4g}"


def tick_line(positions: Sequence[int], texts: Sequence[str], width: int) -> str:
    """Texts below an axis, each centered at its position, without those that would touch another.

    Earlier ones have the right of way.

    >>> tick_line([0, 5, 9], ["0", "five", "10"], 10)
    '0  five 10'
    >>> tick_line([0, 9, 1], ["0", "10", "one"], 10)
    '0       10'
    """
    line = [" "] * width
    taken = [False] * (width + 2)
    for position, text in zip(positions, texts, strict=True):
        begin = min(max(position - len(text) // 2, 0), max(width - len(text), 0))
        if len(text) <= width and not any(taken[begin : begin + len(text) + 2]):
            line[begin : begin + len(text)] = text
            taken[begin + 1 : begin + len(text) + 1] = [True] * len(text)
    return "".join(line).rstrip()
