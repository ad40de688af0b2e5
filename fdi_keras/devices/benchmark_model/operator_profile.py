"""Reads the file that ``--op_profiling_output_mode=csv`` leaves.

It is no single CSV: one report on the initialization and one on the runs, each of three
titled tables. Names of kernels hold commas and are not quoted, so rows are split from
the right, where the number of columns is fixed; a name in the last column has its
commas replaced by tabs.
"""

from __future__ import annotations

import math
import re

import msgspec

from fdi_keras.errors import OutputDamagedError


class OperatorRow(msgspec.Struct, frozen=True):
    """One line of the table of operators, in the order of execution.

    Attributes:
        kind: the kernel, as the runtime calls it: ``"CONV_2D"``, or with XNNPACK
            ``"Convolution (NHWC, F32) IGEMM"``.
        name: of the node, usually of its output tensor; of XNNPACK's operators no
            layer's name is known.
        first_ms: in the first run.
        avg_ms: average over all runs.
        share: of the time of all operators, 0..1.
        memory_kb: allocated by it.
        times_called: in one run. Operators of equal name in two parts of a model are one row.
    """

    kind: str
    name: str
    first_ms: float
    avg_ms: float
    share: float
    memory_kb: float
    times_called: int


class OperatorProfile(msgspec.Struct, frozen=True):
    """What the runtime executed, and how long each operator took with the profiler on.

    Attributes:
        rows: in the order of execution.
        runs: timed executions; 0 where the file does not say.
        total_ms: average of one run, the sum over the rows.
    """

    rows: list[OperatorRow]
    runs: int

    @property
    def total_ms(self) -> float:
        return math.fsum(row.avg_ms for row in self.rows)


_REGULAR = "Operator-wise Profiling Info for Regular Benchmark Runs:"
_RUN_ORDER = re.compile(r"=+ Run Order =+")
_TOP = re.compile(r"=+ Top by Computation Time =+")
_SUMMARY = re.compile(r"=+ Summary by node type =+")
_HEADER = ["node type", "first", "avg_ms", "%", "cdf%", "mem KB", "times called", "name"]
_NODES = re.compile(r"Number of nodes executed: (\d+)")
_TIMINGS = re.compile(r"Timings \(microseconds\): count=(\d+) .*")
_OBSERVED = re.compile(r"(\d+) nodes observed")


def parse_profile(text: str | bytes) -> OperatorProfile:
    """Read the file.

    Raises:
        OutputDamagedError: it is not such a file, cut off, or its tables contradict each
            other: rows are counted, and each is there twice.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    _, found, regular = text.partition(_REGULAR)
    if not found:
        raise OutputDamagedError(
            "the file has no profile of the regular runs: the tool was stopped, or could not write it."
        )
    lines = [line.rstrip() for line in regular.splitlines()]
    order, order_end = _table(lines, _RUN_ORDER, 0)
    top, top_end = _table(lines, _TOP, order_end)
    rows = [_row(line) for line in order]
    if sorted(map(_row, top), key=_key) != sorted(rows, key=_key):
        raise OutputDamagedError("the table of operators differs from the same table sorted by time.")
    count, observed, runs = _counts(lines[top_end:])
    if count != len(rows) or observed != len(rows):
        raise OutputDamagedError(f"the file has {len(rows)} operators, and says that it has {count}.")
    return OperatorProfile(rows, runs)


def _table(lines: list[str], title: re.Pattern[str], begin: int) -> tuple[list[str], int]:
    """The rows under a title and its header, to the next empty line, and where that is."""
    for at in range(begin, len(lines)):
        if title.fullmatch(lines[at]):
            break
    else:
        raise OutputDamagedError(
            f"the file of operators is cut off: it lacks {title.pattern.strip('=+ ')!r}."
        )
    if at + 1 >= len(lines) or [cell.strip() for cell in lines[at + 1].split(",")] != _HEADER:
        raise OutputDamagedError("the table of operators has other columns than those of benchmark_model.")
    end = at + 2
    while end < len(lines) and lines[end]:
        end += 1
    if end >= len(lines):
        raise OutputDamagedError("the file of operators is cut off in the middle of a table.")
    return lines[at + 2 : end], end


def _row(line: str) -> OperatorRow:
    cells = line.rsplit(", ", 7)
    try:
        kind, first, avg, share, cdf, memory, calls, name = cells
        if not share.endswith("%") or not cdf.endswith("%"):
            raise ValueError("no share")
        row = OperatorRow(
            kind,
            name.replace("\t", ","),
            first_ms=float(first),
            avg_ms=float(avg),
            share=float(share[:-1]) / 100,
            memory_kb=float(memory),
            times_called=int(calls),
        )
    except (ValueError, TypeError):
        raise OutputDamagedError(f"a row of the table of operators cannot be read: {line[:160]!r}.") from None
    numbers = (row.first_ms, row.avg_ms, row.share, row.memory_kb)
    if not all(math.isfinite(x) and x >= 0 for x in numbers) or row.share > 1.0001 or row.times_called < 1:
        raise OutputDamagedError(f"a row of the table of operators has impossible numbers: {line[:160]!r}.")
    return row


def _key(row: OperatorRow) -> tuple[str, str, float]:
    return row.name, row.kind, row.avg_ms


def _counts(lines: list[str]) -> tuple[int, int, int]:
    """Nodes that the file says to hold, twice, and the number of runs."""
    found = {}
    for line in lines:
        for name, pattern in (("count", _NODES), ("runs", _TIMINGS), ("observed", _OBSERVED)):
            if match := pattern.fullmatch(line):
                found[name] = int(match[1])
    if "count" not in found or "observed" not in found or not any(_SUMMARY.fullmatch(line) for line in lines):
        raise OutputDamagedError("the file of operators is cut off before its last line.")
    return found["count"], found["observed"], found.get("runs", 0)
