"""The first half of the tool's output: what it was told, which model, and what will execute it.

Everything before ``Initialized session``. Unknown lines are let pass here, since versions
and drivers have their own; each known line has its place, and must agree with the flags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from fdi_keras.errors import DelegateNotAppliedError, OutputDamagedError, RuntimeRefusedError

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
ACCELERATORS = {"use_gpu": "GPU", "use_nnapi": "NNAPI"}

_ECHO = re.compile(r"([^\[\]]+): \[(.*)\]")
_LEVEL = re.compile(r"(?:INFO|WARN|WARNING|VERBOSE): ")
_LOADED = "Loaded model "
_SIZE = re.compile(r"The input model file size \(MB\): \S+")
SESSION = re.compile(r"Initialized session in (\S+)ms\.")
_APPLIED = re.compile(
    r"(?:Explicitly applied (\w+) delegate, and the model graph will be (completely|partially) executed"
    r" by the delegate(?: w/ (\d+) delegate kernels)?\."
    r"|Though (\w+) delegate is explicitly applied, the model graph will not be executed by the delegate\.)"
)

#: Beginnings of lines that have one place only: anywhere else they are out of order.
_PLACED = ("STARTING!", _LOADED, "The input model file size", "Initialized session in", "Running benchmark",
           "count=", "Inference timings", "Note: as the", "Memory footprint delta", "Peak memory",
           "Overall peak", "Memory status", "- VmRSS", "+ Rss")  # fmt: skip


class Lines:
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


Delegated = tuple[Literal["completely", "partially"] | None, int | None]


def read_start(reader: Lines, flags: Mapping[str, str]) -> Delegated:
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


def _read_delegates(reader: Lines, flags: Mapping[str, str]) -> tuple[Delegated, bool]:
    """Which accelerator executes the model, from the lines before ``Initialized session``."""
    sized = False
    wanted = next((name for flag, name in ACCELERATORS.items() if flags.get(flag) == "true"), None)
    delegated: Delegated = (None, None)
    while True:
        line = reader.peek()
        if line is None:
            raise OutputDamagedError("the output ends while the model is loaded: it was cut off.")
        if SESSION.fullmatch(line):
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
        if flag not in flags and flag in ACCELERATORS and echo[label] != "0":
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
