"""Cache counters of a run, by Android's ``simpleperf``.

``simpleperf stat`` executes the tool and writes what the processor counted to a file.
The counts are of the whole process: loading, warming up and all timed runs. They are
given as a sum and, divided by all executions, as a number per inference in which the
loading still is; long runs make that part small.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

from fdi_keras.devices.benchmark_model.output import Report
from fdi_keras.errors import MeasurementError, OutputDamagedError

EVENTS = ("cache-references", "cache-misses")

#: What lets the shell user count; needed once after each start of the phone.
PERMIT = "setprop security.perf_harden 0"

_COUNT = re.compile(r"\s*(\d{1,3}(?:[,.']\d{3})+|\d+)\s+([a-z-]+)(?::u)?\s*(?:#.*?)?(?:\((\d+)%\))?\s*")
_CSV = re.compile(r"(\d+),([a-z-]+)(?::u)?,.*")
_ABSENT = re.compile(r"\s*<not (?:supported|counted)>\s+([a-z-]+).*")


class CacheCounters(msgspec.Struct, frozen=True):
    """What the processor counted.

    Attributes:
        references: accesses to the last cache that the event counts.
        misses: of them, those that it could not answer.
        counted: share of the time in which the events were counted, 0..1; when the
            processor has too few counters the numbers are scaled up from that share.
    """

    references: int
    misses: int
    counted: float = 1.0

    @property
    def miss_rate(self) -> float:
        """Misses for each reference, 0..1."""
        return self.misses / self.references if self.references else 0.0

    def per_inference(self, report: Report) -> tuple[float, float]:
        """References and misses for each execution of the model, warm-up included in the count."""
        runs = report.regular.count + report.warmup.count
        return self.references / runs, self.misses / runs


def counted(command: Sequence[str], output: str) -> list[str]:
    """A command that runs another one and writes its counters to a file on the phone.

    >>> counted(["taskset", "f0", "tool"], "/data/local/tmp/fdi/c.txt")[:4]
    ['simpleperf', 'stat', '-e', 'cache-references,cache-misses']
    """
    return ["simpleperf", "stat", "-e", ",".join(EVENTS), "-o", output, *command]


def parse_counters(text: str | bytes, said: str | bytes = "") -> CacheCounters:
    """Read what ``simpleperf stat`` wrote.

    Args:
        text: the file, as a table or with ``--csv``.
        said: what simpleperf itself printed, for the reason when the file is empty.

    Raises:
        MeasurementError: the phone has no such counters, or does not permit them.
        OutputDamagedError: cut off, or more misses than references.
    """
    text, said = (t.decode("utf-8", "backslashreplace") if isinstance(t, bytes) else t for t in (text, said))
    counts: dict[str, int] = {}
    shares = []
    for line in text.splitlines():
        if (match := _ABSENT.fullmatch(line)) and match[1] in EVENTS:
            raise MeasurementError(f"this phone's processor does not count {match[1]}.")
        if match := _CSV.fullmatch(line) or _COUNT.fullmatch(line):
            if match[2] not in EVENTS:
                continue
            if match[2] in counts:
                raise OutputDamagedError(f"simpleperf's table has {match[2]} twice.")
            counts[match[2]] = int(re.sub(r"[,.']", "", match[1]))
            if match.re is _COUNT and match[3]:
                shares.append(int(match[3]) / 100)
    if not counts:
        raise MeasurementError(_why_nothing(text + said))
    if len(counts) < len(EVENTS) or "Total test time" not in text:
        raise OutputDamagedError(f"simpleperf's table is cut off: it has {', '.join(counts)}.")
    if counts["cache-misses"] > counts["cache-references"]:
        raise OutputDamagedError(
            f"simpleperf counted {counts['cache-misses']} misses in {counts['cache-references']} references."
        )
    return CacheCounters(counts["cache-references"], counts["cache-misses"], min(shares, default=1.0))


def _why_nothing(text: str) -> str:
    low = text.lower()
    if "not found" in low or "inaccessible" in low:
        return "this phone has no simpleperf: cache counters need Android 8 or newer, or a simpleperf of the NDK."
    if "permission" in low or "perf_harden" in low or "perf_event_paranoid" in low:
        return f"this phone does not permit cache counters. Run 'adb shell {PERMIT}' and try again."
    if "not supported" in low or "isn't supported" in low or "unknown event" in low or "invalid event" in low:
        return "this phone's processor or kernel does not count cache references and misses."
    last = text.strip().splitlines()[-1:] or ["nothing"]
    return f"simpleperf counted nothing; it said: {last[0][:200]!r}."
