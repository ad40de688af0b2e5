"""Why a run of the tool failed, from its exit code and what it said."""

from __future__ import annotations

import re

from fdi_keras.errors import (
    DelegateNotAppliedError,
    MeasurementError,
    ModelRefusedError,
    RuntimeRefusedError,
    ToolCrashedError,
)

_UNCONSUMED = re.compile(r"Unconsumed cmdline flags: (.*)")
_FLEX = "Select TensorFlow op"
_NOT_DELEGATED = re.compile(r"Failed to apply (\w+) delegate|Disallowed CPU fallback detected")
_SIGNALS = {
    6: "it aborted",
    9: "it was killed, most likely because the phone ran out of memory",
    11: "it crashed",
    15: "it was ended from outside",
    25: "its output grew beyond all measure",
}
#: Why a shell could not start a program.
_SHELL = {126: "cannot be executed on this phone", 127: "was not found on the phone"}


def check_flags_understood(stdout: str) -> None:
    """RuntimeRefusedError when the tool names flags that it did not understand.

    It then goes on without them: an accelerator that is not compiled in would pass for one.
    """
    match = _UNCONSUMED.search(stdout)
    if match is None:
        return
    flags = match[1].split()
    because = ""
    if any(flag.startswith(("--use_gpu", "--use_nnapi")) for flag in flags):
        because = " That accelerator is not compiled into this file; without it the CPU would be timed."
    raise RuntimeRefusedError(
        f"this benchmark_model does not understand {' '.join(flags)[:300]}.{because} "
        "Give it a build that does, see 'Getting the runner' in docs/phones.md."
    )


def check_ended_well(exit_code: int, stdout: str, stderr: str) -> None:
    """A named error unless the tool ended with 0."""
    if exit_code == 0:
        return
    said = [line.partition("ERROR:")[2].strip() for line in stderr.splitlines() if "ERROR:" in line]
    said = [line for line in said if line != "Benchmarking failed."]
    if exit_code in _SHELL:
        shell = stderr.strip().splitlines()
        raise RuntimeRefusedError(
            f"benchmark_model {_SHELL[exit_code]} (exit code {exit_code}: {(shell or ['no message'])[-1][:200]!r}). "
            "Give it the file for the phone's ABI."
        )
    if exit_code > 128 or exit_code < 0:
        signal = exit_code - 128 if exit_code > 128 else -exit_code
        why = _SIGNALS.get(signal, "it was ended")
        raise ToolCrashedError(f"benchmark_model gave no result: {why} (signal {signal}).{_quoted(said)}")
    flex = next((line for line in said if line.startswith(_FLEX)), None)
    if flex is not None:
        raise ModelRefusedError(
            "the model has TensorFlow (Flex) operators, which this benchmark_model does not execute."
            f"{_quoted([line for line in said if 'Node number' in line])}"
        )
    if any(line.startswith(("Failed to parse flag", "usage:", "Please specify")) for line in said):
        raise RuntimeRefusedError(f"benchmark_model refuses its flags.{_quoted(said)}")
    if any(_NOT_DELEGATED.search(line) for line in [*said, *stdout.splitlines()]):
        raise DelegateNotAppliedError(f"the accelerator does not execute this model.{_quoted(said)}")
    if said:
        raise ModelRefusedError(f"benchmark_model refuses the model (exit code {exit_code}).{_quoted(said)}")
    last = stdout.rstrip().splitlines()[-1:] or ["nothing"]
    raise MeasurementError(
        f"benchmark_model failed with exit code {exit_code} and gave no reason; its last line: {last[0][:200]!r}."
    )


def _quoted(said: list[str]) -> str:
    """What the tool said itself, its first lines, for the end of a message."""
    return "".join(f" It said: {line[:240]!r}." for line in said[:1]) + (
        f" And: {said[-1][:160]!r}." if len(said) > 1 else ""
    )
