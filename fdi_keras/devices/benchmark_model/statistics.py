"""The line of numbers that the tool prints after its runs, and whether they can be true.

A line such as ``count=2947 first=327 curr=326 min=326 max=2186 avg=332.211 std=53 p5=326
median=327 p95=350`` (microseconds) says some things twice: the percentiles bound the
average and the standard deviation, and the average times the count is a whole number.
A digit that was damaged on the way mostly breaks one of these.
"""

from __future__ import annotations

import itertools
import math
import re

import msgspec

from fdi_keras.errors import OutputDamagedError, RuntimeRefusedError

#: Quartiles of a normal distribution lie so far from the median, as a share of its 5th percentile.
IQR_SHARE = 0.6744898 / 1.6448536

_INT = r"(0|[1-9]\d{0,17})"
_NUMBER = r"(0|[1-9]\d*(?:\.\d+)?(?:e\+\d\d)?|0\.\d+)"
_PERCENTILES = rf"(?: p5={_INT} median={_INT} p95={_INT})?"
_FULL = re.compile(
    rf"count={_INT} first={_INT} curr={_INT} min={_INT} max={_INT} avg={_NUMBER} std={_INT}{_PERCENTILES}",
    re.ASCII,
)
_SAME = re.compile(rf"count={_INT} curr={_INT}(\(all same\))?{_PERCENTILES}", re.ASCII)
_NONE = re.compile(r"count=0(?: curr=0)?(?: p5=0 median=0 p95=0)?", re.ASCII)


class Statistics(msgspec.Struct, frozen=True):
    """What the tool printed about a series of runs; times in whole microseconds.

    Attributes:
        count: how many runs.
        first, last, min, max: of the runs.
        avg: as it was printed, six digits.
        avg_us: the same as a number.
        std: standard deviation, cut to whole microseconds.
        p5, median, p95: percentiles.
    """

    count: int
    first: int
    last: int
    min: int
    max: int
    avg: str
    std: int
    p5: int
    median: int
    p95: int

    @property
    def avg_us(self) -> float:
        return float(self.avg)

    @property
    def median_ms(self) -> float:
        """Median in ms, finer than the whole microseconds that are printed.

        Our choice: the average where it lies within half a microsecond of the median, else
        the nearer end of that interval. The average of many readings does not suffer from
        their being cut to whole microseconds, as the median of a 5 microsecond operator
        does by a tenth; being within half a microsecond it cannot be led astray by outliers.
        From a tenth of a second on the six digits of the average are no finer than the median.
        """
        if _half_digit(self.avg_us) >= 0.5:
            return self.median / 1e3
        return min(max(self.avg_us, self.median - 0.5), self.median + 0.5) / 1e3

    @property
    def iqr_ms(self) -> float:
        """Distance of the quartiles in ms, estimated.

        The tool prints no quartiles. Our choice: twice the distance of the median from the 5th
        percentile, scaled as in a normal distribution. The other side is where everything else
        that the phone does shows. A microsecond is what the printed numbers are cut to, and no unrest.
        """
        return 2 * IQR_SHARE * max(self.median - self.p5 - 1, 0) / 1e3


def parse_statistics(line: str) -> Statistics:
    """Read the line, which begins with ``count=``.

    Raises:
        OutputDamagedError: it is not as the tool writes it, or contradicts itself.
        RuntimeRefusedError: it has no percentiles: the tool is too old.
    """
    if _NONE.fullmatch(line):
        return Statistics(0, 0, 0, 0, 0, "0", 0, 0, 0, 0)
    if match := _SAME.fullmatch(line):
        count, value, same, *percentiles = match.groups()
        _check((same is not None) == (int(count) > 1), line, "'(all same)' does not go with the count")
        _require_percentiles(percentiles, line)
        _check(set(percentiles) == {value}, line, "all runs are said to be the same")
        us = int(value)
        return Statistics(int(count), us, us, us, us, tool_number(us), 0, us, us, us)
    match = _FULL.fullmatch(line)
    if not match:
        raise OutputDamagedError(f"the result is not as benchmark_model writes it: {line[:200]!r}.")
    count, first, last, low, high, avg, std, *percentiles = match.groups()
    _require_percentiles(percentiles, line)
    p5, median, p95 = map(int, percentiles)
    result = Statistics(
        int(count), int(first), int(last), int(low), int(high), avg, int(std), p5, median, p95
    )
    check_statistics(result, line)
    return result


def check_statistics(s: Statistics, line: str) -> None:
    """OutputDamagedError unless some series of ``s.count`` runs has these statistics."""
    _check(s.count >= 2 and s.min < s.max, line, "different runs have different times")
    _check(s.avg == tool_number(s.avg_us), line, f"the tool would not write avg={s.avg}")
    _check(s.min <= s.p5 <= s.median <= s.p95 <= s.max, line, "the percentiles are out of order")
    _check(all(s.min <= t <= s.max for t in (s.first, s.last)), line, "a run lies outside min..max")
    half = _half_digit(s.avg_us)
    low, high = s.count * (s.avg_us - half), s.count * (s.avg_us + half)
    _check(math.ceil(low - 1e-6) <= math.floor(high + 1e-6), line, "avg x count is no whole number")
    # Five readings are known by their rank among the sorted ones, by the tool's own rule; each of
    # the others lies between two of them.
    ranks = (0, s.count * 5 // 100, s.count * 50 // 100, s.count * 95 // 100, s.count - 1)
    known: dict[int, int] = {}
    for rank, value in zip(ranks, (s.min, s.p5, s.median, s.p95, s.max), strict=True):
        _check(known.setdefault(rank, value) == value, line, "one run has two times")
    least = most = float(sum(known.values()))
    nearest = farthest = sum((value - s.avg_us) ** 2 for value in known.values())
    for (begin, lower), (end, upper) in itertools.pairwise(known.items()):
        between = end - begin - 1
        least, most = least + between * lower, most + between * upper
        nearest += between * max(lower - s.avg_us, s.avg_us - upper, 0.0) ** 2
        farthest += between * max(abs(lower - s.avg_us), abs(upper - s.avg_us)) ** 2
    _check(least <= high + 1e-6 and most >= low - 1e-6, line, "avg does not go with the percentiles")
    # The tool subtracts two large squares: allow for what doubles lose there.
    slack = s.count * (half**2 + 1e-9 * s.avg_us**2)
    _check(nearest <= s.count * (s.std + 1) ** 2 + slack, line, "std is too small for these times")
    _check(farthest >= (s.count - 1) * s.std**2 - slack, line, "std is too large for these times")


def tool_number(value: float) -> str:
    """As the tool writes a number that is not whole: six digits.

    >>> tool_number(332.211), tool_number(1292840.0)
    ('332.211', '1.29284e+06')
    """
    return f"{value:.6g}"


def _half_digit(value: float) -> float:
    """Half a unit of the last of six significant digits; those that are not printed are zeros."""
    return 0.5 * 10.0 ** (math.floor(math.log10(value)) - 5) if value else 0.0


def _require_percentiles(percentiles: list[str], line: str) -> None:
    if None in percentiles:
        raise RuntimeRefusedError(
            f"this benchmark_model prints no percentiles ({line[:120]!r}): it is too old, and its average "
            "is not a median. Use a newer one, see 'Getting the runner' in docs/phones.md."
        )


def _check(holds: bool, line: str, why: str) -> None:
    if not holds:
        raise OutputDamagedError(f"the result contradicts itself ({why}): {line[:200]!r}.")
