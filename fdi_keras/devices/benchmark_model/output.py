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


#: Labels under which the tool echoes flags, in its order. Those of accelerators follow in no fixed one.
_LABELS = {
    "num_runs": "Min num runs",
    "min_secs": "Min runs duration (seconds)",
    "max_secs": "Max runs duration (seconds)",
    "num_threads": "Num threads",
    "warmup_runs": "Min warmup runs",
    "warmup_min_secs": "Min warmup runs duration (seconds)",
    "dry_run": "Run w/o invoking kernels",
    "report_peak_memory_footprint": "Report the peak memory footprint",
    "graph": "Graph",
    "signature_to_run_for": "Signature to run",
    "require_full_delegation": "Require full delegation",
    "enable_op_profiling": "Enable op profiling",
    "op_profiling_output_mode": "Op profiling output mode.",
    "op_profiling_output_file": "Op profiling output file.",
}
_DELEGATE_LABELS = {
    "use_gpu": "Use gpu",
    "gpu_precision_loss_allowed": "Allow lower precision in gpu",
    "use_nnapi": "Use NNAPI",
    "disable_nnapi_cpu": "Disable NNAPI cpu",
    "nnapi_allow_fp16": "Allow fp16 in NNAPI",
    "use_xnnpack": "Use xnnpack",
}
_VERBOSE, _THREADS = "Log parameter values verbosely", "#threads used for CPU inference"
_PLACE = {label: at for at, label in enumerate([_VERBOSE, *_LABELS.values(), _THREADS])}
_PLACE |= dict.fromkeys(_DELEGATE_LABELS.values(), len(_PLACE))

#: The accelerators by their flag, and what the tool calls them.
_ACCELERATORS = {"use_gpu": "GPU", "use_nnapi": "NNAPI"}

_ECHO = re.compile(r"([^\[\]]+): \[(.*)\]")
_LEVEL = re.compile(r"(?:INFO|WARN|WARNING|VERBOSE): ")
_LOADED = "Loaded model "
_SIZE = re.compile(r"The input model file size \(MB\): \S+")
_SESSION = re.compile(r"Initialized session in (\S+)ms\.")
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
_APPLIED = re.compile(
    r"(?:Explicitly applied (\w+) delegate, and the model graph will be (completely|partially) executed"
    r" by the delegate(?: w/ (\d+) delegate kernels)?\."
    r"|Though (\w+) delegate is explicitly applied, the model graph will not be executed by the delegate\.)"
)
_XNNPACK = "Created TensorFlow Lite XNNPACK delegate for CPU."

#: Beginnings of lines that have one place only: anywhere else they are out of order.
_PLACED = ("STARTING!", _LOADED, "The input model file size", "Initialized session in", "Running benchmark",
           "count=", "Inference timings", "Note: as the", "Memory footprint delta", "Peak memory",
           "Overall peak", "Memory status", "- VmRSS", "+ Rss")  # fmt: skip


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
    reader = _Lines(text[:-1].split("\n"))
    delegated = _read_start(reader, flags)
    report = _read_results(reader, flags, delegated)
    _check_cpu_kernels(flags, text, errors)
    if "ERROR:" in errors and not delegated[0]:
        line = next(line for line in errors.splitlines() if "ERROR:" in line)
        raise MeasurementError(f"benchmark_model reported an error beside its result: {line[:200]!r}.")
    return report


class _Lines:
    """The lines of stdout without their level, taken one after another."""

    def __init__(self, lines: list[str]):
        self._lines = lines
        self._at = 0
        #: Newer versions begin every line with its level.
        self._levels = bool(lines) and lines[0].startswith("INFO: ")

    def peek(self) -> str | None:
        if self._at >= len(self._lines):
            return None
        line = self._lines[self._at]
        match = _LEVEL.match(line) if self._levels else None
        return line[match.end() :] if match else line

    def take(self) -> str:
        line = self.peek()
        if line is None:
            raise OutputDamagedError("the output ends before its last line: it was cut off.")
        self._at += 1
        return line

    def expect(self, pattern: re.Pattern[str] | str, what: str) -> re.Match[str]:
        line = self.take()
        match = re.fullmatch(pattern, line)
        if match is None:
            raise OutputDamagedError(f"expected {what}, the output has {line[:160]!r} there.")
        return match


_Delegated = tuple[Literal["completely", "partially"] | None, int | None]


def _read_start(reader: _Lines, flags: Mapping[str, str]) -> _Delegated:
    """From ``STARTING!`` to the last line before the model is loaded completely."""
    reader.expect("STARTING!", "'STARTING!'")
    echo: dict[str, str] = {}
    place = -1
    while not (line := reader.take()).startswith(_LOADED):
        _check_place(line)
        match = _ECHO.fullmatch(line)
        if match is None:
            continue
        label, value = match.groups()
        if label in echo:
            raise OutputDamagedError(f"the output says {label!r} twice.")
        if _PLACE.get(label, place) < place:
            raise OutputDamagedError(f"the output has {label!r} out of order.")
        place = _PLACE.get(label, place)
        echo[label] = value
    _check_echo(echo, flags)
    if line != _LOADED + flags.get("graph", ""):
        raise OutputDamagedError(f"the output is of another model: {line[:200]!r}.")
    delegated, sized = _read_delegates(reader, flags)
    if not sized:
        raise OutputDamagedError("the output lacks the size of the model file.")
    return delegated


def _read_delegates(reader: _Lines, flags: Mapping[str, str]) -> tuple[_Delegated, bool]:
    """Which accelerator executes the model, from the lines before ``Initialized session``."""
    sized = False
    wanted = next((name for flag, name in _ACCELERATORS.items() if flags.get(flag) == "true"), None)
    delegated: _Delegated = (None, None)
    while True:
        line = reader.peek()
        if line is None:
            raise OutputDamagedError("the output ends while the model is loaded: it was cut off.")
        if _SESSION.fullmatch(line):
            break
        reader.take()
        if _SIZE.fullmatch(line) and not sized:
            sized = True
            continue
        _check_place(line)
        if (echo := _ECHO.fullmatch(line)) and echo[1] in _PLACE:
            raise OutputDamagedError(f"the output has {echo[1]!r} out of order.")
        match = _APPLIED.fullmatch(line)
        if match is None:
            continue
        name, extent, kernels, refused = match.groups()
        if refused is not None and refused == wanted:
            raise DelegateNotAppliedError(f"the {wanted} delegate took no part of the model: {line}")
        if name is None or name == "XNNPACK":
            continue
        if name != wanted or delegated[0] is not None:
            raise OutputDamagedError(f"not what was asked for, or said twice: {line!r}.")
        delegated = (
            "completely" if extent == "completely" else "partially",
            int(kernels) if kernels else None,
        )
    if wanted is None:
        return delegated, sized
    if delegated[0] is None:
        raise DelegateNotAppliedError(
            f"nothing in the output says that the {wanted} delegate executes the model, "
            "so the CPU may have been timed."
        )
    if delegated[0] == "partially" and flags.get("require_full_delegation") == "true":
        raise DelegateNotAppliedError(f"the {wanted} delegate took only a part of the model.")
    return delegated, sized


def _read_results(reader: _Lines, flags: Mapping[str, str], delegated: _Delegated) -> Report:
    session = reader.expect(_SESSION, "'Initialized session in'")[1]
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


def _read_series(reader: _Lines, runs: str, min_s: str, max_s: str) -> Statistics:
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


def _check_place(line: str) -> None:
    if line.startswith(_PLACED):
        raise OutputDamagedError(f"the output is out of order at {line[:160]!r}.")


def _check_echo(echo: Mapping[str, str], flags: Mapping[str, str]) -> None:
    """What the tool says it was told must be what it was told."""
    if "Graph" not in echo:
        raise OutputDamagedError("the output does not say which model it is of.")
    labels = {**_LABELS, **_DELEGATE_LABELS}
    for flag, label in labels.items():
        if label not in echo:
            continue
        told = {"true": "1", "false": "0"}.get(flags.get(flag, ""), flags.get(flag, ""))
        if flag in flags and told != echo[label]:
            raise OutputDamagedError(
                f"the output is of another run: {label} is {echo[label]!r}, not {told!r}."
            )
        if flag not in flags and flag in _ACCELERATORS and echo[label] != "0":
            raise OutputDamagedError(f"the output is of another run: {label} was not asked for.")
    threads = flags.get("num_threads")
    if threads is not None and echo.get(_THREADS, threads) != threads:
        raise OutputDamagedError(
            f"the output is of another run: {_THREADS} are {echo[_THREADS]}, not {threads}."
        )
    if echo.get("NNAPI accelerators available") == "nnapi-reference":
        raise RuntimeRefusedError(
            "this phone offers NNAPI no accelerator, only its reference code for the CPU: NNAPI cannot be timed."
        )


def _check_cpu_kernels(flags: Mapping[str, str], text: str, errors: str) -> None:
    """Whether XNNPACK was there, where it decides what was timed."""
    if any(flags.get(flag) == "true" for flag in _ACCELERATORS):
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
