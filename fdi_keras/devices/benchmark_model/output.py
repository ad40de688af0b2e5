"""Reads what one run of ``benchmark_model`` printed: numbers, or the error that names why not.

The tool ends with 0 and a latency in many cases in which the latency is not the one
that was asked for: an unknown flag, an accelerator that is not compiled in or did not
take the model. The text is therefore read line by line against the order in which the
tool writes it, its echo of the flags is compared with what was asked, an accelerator
must be said to execute the model, and the last line must be there. Whatever is said
twice must agree, see :mod:`.statistics`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from fdi_keras.devices.base import Timing
from fdi_keras.devices.benchmark_model.failures import check_ended_well, check_flags_understood
from fdi_keras.devices.benchmark_model.preamble import ACCELERATORS, SESSION, Delegated, Lines, read_start
from fdi_keras.devices.benchmark_model.statistics import Statistics, parse_statistics, tool_number
from fdi_keras.errors import (
    DelegateNotAppliedError,
    MeasurementError,
    OutputDamagedError,
    RuntimeRefusedError,
)


class ToolOutput(msgspec.Struct, frozen=True):
    """What one run left: both streams as they were, the exit code, and files by name."""

    stdout: bytes
    stderr: bytes
    exit_code: int
    files: dict[str, bytes] = {}


class Report(msgspec.Struct, frozen=True):
    """What the tool measured.

    Attributes:
        regular: of the timed runs.
        warmup: of the runs before.
        init_us: loading the model, in microseconds.
        delegated: how much of the model the accelerator executes; None where none was asked for.
        kernels: parts of the model on the accelerator when ``delegated`` is ``"partially"``.
        profiled: the table of operators was written too, which slows every run.
    """

    regular: Statistics
    warmup: Statistics
    init_us: int
    delegated: Literal["completely", "partially"] | None = None
    kernels: int | None = None
    profiled: bool = False

    @property
    def timing(self) -> Timing:
        """The latency; MeasurementError of a run that was slowed by the profiler."""
        if self.profiled:
            raise MeasurementError("a run with operator profiling gives no latency: time the model without.")
        s = self.regular
        return Timing(s.median_ms, s.iqr_ms, s.min / 1e3, s.count)


_RUNNING = re.compile(
    r"Running benchmark for at least (\S+) iterations and at least (\S+) seconds"
    r" but terminate if exceeding (\S+) seconds\."
)
_TIMINGS = re.compile(
    r"Inference timings in us: Init: (\d+), First inference: (\d+), Warmup \(avg\): (\S+), "
    r"Inference \(avg\): (\S+)"
)
_NOTE = "Note: as the benchmark tool itself affects memory footprint"
_MEMORY = re.compile(
    r"(?:Memory footprint delta from the start of the tool|Peak memory footprint) \(MB\): init=\S+ overall=\S+"
)
_PEAK = (
    re.compile(r"Overall peak memory footprint \(MB\) via periodic monitoring: \S+"),
    re.compile(r"Memory status at the end of exeution:"),
    re.compile(r"- VmRSS *: \d+ MB"),
    re.compile(r"\+ RssAnnon *: \d+ MB"),
    re.compile(r"\+ RssFile \+ RssShmem *: \d+ MB"),
)
_XNNPACK = "Created TensorFlow Lite XNNPACK delegate for CPU."


def parse_output(output: ToolOutput, flags: Mapping[str, str]) -> Report:
    """Read one run.

    Args:
        output: all of it. Whether it arrived undamaged is for :mod:`.batch` to check;
            here a cut or reordered text is refused too.
        flags: what the tool was called with, see :func:`.command.flags`.

    Raises:
        RuntimeRefusedError: flags that the tool does not know, or a tool that is too old.
        ModelRefusedError: the model cannot be loaded or executed.
        DelegateNotAppliedError: the accelerator did not take the model.
        ToolCrashedError: killed or crashed.
        OutputDamagedError: cut, out of order, or contradicting itself or the flags.
        MeasurementError: it failed otherwise.
    """
    text = output.stdout.decode("utf-8", "backslashreplace")
    errors = output.stderr.decode("utf-8", "backslashreplace")
    check_flags_understood(text)
    check_ended_well(output.exit_code, text, errors)
    if not text.endswith("\n"):
        raise OutputDamagedError(f"the output is cut off at {text[-80:]!r}.")
    reader = Lines(text[:-1].split("\n"))
    delegated = read_start(reader, flags)
    report = _read_results(reader, flags, delegated)
    _check_cpu_kernels(flags, text, errors)
    if "ERROR:" in errors and not delegated[0]:
        line = next(line for line in errors.splitlines() if "ERROR:" in line)
        raise MeasurementError(f"benchmark_model reported an error beside its result: {line[:200]!r}.")
    return report


def _read_results(reader: Lines, flags: Mapping[str, str], delegated: Delegated) -> Report:
    session = reader.expect(SESSION, "'Initialized session in'")[1]
    dry = flags.get("dry_run") == "true"
    max_s = flags.get("max_secs", "150")
    warmup = _read_series(
        reader,
        "0" if dry else flags.get("warmup_runs", "1"),
        "-1" if dry else flags.get("warmup_min_secs", "0.5"),
        max_s,
    )
    regular = _read_series(
        reader,
        "0" if dry else flags.get("num_runs", "50"),
        "-1" if dry else flags.get("min_secs", "1"),
        max_s,
    )
    line = reader.expect(_TIMINGS, "'Inference timings in us'")
    init, first, warm, avg = line.groups()
    _agree("the time of initialization", tool_number(int(init) / 1e3), session)
    _agree("the first inference", first, str(warmup.first))
    _agree("the average of the warm-up", warm, warmup.avg)
    _agree("the average", avg, regular.avg)
    if reader.take()[: len(_NOTE)] != _NOTE:
        raise OutputDamagedError("the output lacks the note about memory after its result.")
    reader.expect(_MEMORY, "the memory footprint")
    for pattern in _PEAK if flags.get("report_peak_memory_footprint") == "true" else ():
        reader.expect(pattern, "the peak memory footprint")
    if (left := reader.peek()) is not None:
        what = "the table of operators, which should be in its file" if "Profiling" in left else "more"
        raise OutputDamagedError(f"after its result the output has {what}: {left[:160]!r}.")
    if regular.count == 0:
        raise MeasurementError("benchmark_model timed no run at all.")
    return Report(regular, warmup, int(init), *delegated, flags.get("enable_op_profiling") == "true")


def _read_series(reader: Lines, runs: str, min_s: str, max_s: str) -> Statistics:
    """``Running benchmark ...``, its numbers, and the empty line behind them."""
    match = reader.expect(_RUNNING, "'Running benchmark'")
    _agree(
        "the number of runs, the least and the most seconds",
        " ".join(match.groups()),
        f"{runs} {min_s} {max_s}",
    )
    series = parse_statistics(reader.take())
    reader.expect("", "an empty line")
    if series.count == 0:
        return series
    # A run only begins before its time is up, so all but the last fit into that time.
    spent_us = series.count * series.avg_us * (1 - 1e-5) - series.max
    limit_s = float(min_s) if series.count > int(runs) else float(max_s)
    if spent_us > 1e6 * limit_s + 1:
        raise OutputDamagedError(
            f"{series.count} runs of {series.avg} microseconds do not fit into {limit_s:g} seconds."
        )
    return series


def _check_cpu_kernels(flags: Mapping[str, str], text: str, errors: str) -> None:
    """Whether XNNPACK was there, where it decides what was timed."""
    if any(flags.get(flag) == "true" for flag in ACCELERATORS):
        return
    there = _XNNPACK in errors or _XNNPACK in text
    if flags.get("use_xnnpack") == "false" and there:
        raise RuntimeRefusedError("XNNPACK was switched off, yet the tool says that it created its delegate.")
    if flags.get("use_xnnpack") != "false" and not there:
        raise DelegateNotAppliedError(
            "nothing in the output says that XNNPACK was applied. Versions of benchmark_model before it was "
            "the default need another name for their runtime: ask for the delegate 'none'."
        )


def _agree(what: str, one: str, other: str) -> None:
    if one != other:
        raise OutputDamagedError(
            f"the output contradicts itself or the request: {what} is {one} and {other}."
        )
