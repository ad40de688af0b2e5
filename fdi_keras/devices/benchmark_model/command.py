"""Command lines of ``benchmark_model``: from a runtime and a request to exact arguments.

The tool reads only ``--name=value``. What it does not know it names in one line, goes
on, and ends with exit code 0: :mod:`.output` makes an error of that line. Numbers are
therefore written as the tool writes them back, so that its echo can be compared.
"""

from __future__ import annotations

import math
import re
import shlex
from collections.abc import Mapping

import msgspec

from fdi_keras.devices.base import BUDGET_S, MIN_RUNS, Runtime
from fdi_keras.errors import UsageError

#: Seconds of execution before the first reading (our choice): a phone's clock has to rise.
WARMUP_S = 0.02

NAME = "benchmark_model"

#: What a phone may execute models with, and the tool's flags for it. XNNPACK is on unless it is
#: switched off. NNAPI without its reference implementation: that one is slow code for the CPU.
DELEGATES: dict[str, dict[str, str]] = {
    "xnnpack": {},
    "none": {"use_xnnpack": "false"},
    "gpu": {"use_gpu": "true"},
    "nnapi": {"use_nnapi": "true", "disable_nnapi_cpu": "true"},
}

PRECISIONS = ("float32", "float16")

#: Stop after this many seconds whatever else was asked, as the tool does by default.
MAX_SECS = 150.0

_MASK = re.compile(r"[0-9a-f]{1,16}")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What one run of the tool shall do.

    The tool runs until both ``min_runs`` and ``budget_s`` are met; exactly ``min_runs``
    times when ``budget_s`` is 0. ``max_s`` wins over both and never interrupts a run.

    Attributes:
        model: path of the ``.tflite`` file on the phone.
        min_runs: timed executions, at least.
        budget_s: seconds of timed executions, at least.
        warmup_runs: executions before, at least.
        warmup_s: seconds of executions before, at least.
        max_s: no execution begins later than this.
        profile: path on the phone where the table of operators is written; None for
            none. Profiling slows the run, so such a run gives no latency.
        whole_model: an accelerator must take the model as a whole. False for networks
            of which a part may stay on the CPU; the report then says so.
    """

    model: str
    min_runs: int = MIN_RUNS
    budget_s: float = BUDGET_S
    warmup_runs: int = 1
    warmup_s: float = WARMUP_S
    max_s: float = MAX_SECS
    profile: str | None = None
    whole_model: bool = True


def phone_runtime(
    binary_sha256: str,
    *,
    delegate: str = "xnnpack",
    threads: int = 1,
    precision: str = "float32",
    cores: str = "",
    cpu_mask: str = "",
) -> Runtime:
    """The runtime of one way to execute models on a phone.

    Args:
        binary_sha256: of the tool's file.
        delegate: one of :data:`DELEGATES`.
        threads: of the CPU.
        precision: ``"float16"`` lets the GPU and NNAPI calculate in 16 bits.
        cores: how the mask was asked for, see :class:`Runtime`.
        cpu_mask: hexadecimal digits for ``taskset``, ``""`` for any core.

    Raises:
        UsageError: an argument is unknown or impossible.
    """
    if delegate not in DELEGATES:
        raise UsageError(f"delegate must be one of {', '.join(DELEGATES)}; received {delegate!r}.")
    if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
        raise UsageError(f"threads must be a whole number of at least 1; received {threads!r}.")
    if precision not in PRECISIONS:
        raise UsageError(f"precision must be one of {', '.join(PRECISIONS)}; received {precision!r}.")
    if precision != "float32" and delegate not in ("gpu", "nnapi"):
        raise UsageError(f"precision {precision} is for the gpu and nnapi delegates, not for {delegate!r}.")
    if cpu_mask and (not _MASK.fullmatch(cpu_mask) or not int(cpu_mask, 16)):
        raise UsageError(
            f"a CPU mask is 1 to 16 lower-case hexadecimal digits, not 0; received {cpu_mask!r}."
        )
    if bool(cores) != bool(cpu_mask):
        raise UsageError(f"cores and their mask go together; received {cores!r} and {cpu_mask!r}.")
    return Runtime(NAME, binary_sha256[:12], delegate, threads, precision, cores, cpu_mask, binary_sha256)


def flags(runtime: Runtime, request: Request) -> dict[str, str]:
    """The tool's flags by name, in their order; :mod:`.output` compares the echo with them.

    Raises:
        UsageError: a number of the request is impossible.
    """
    for name in ("min_runs", "warmup_runs"):
        value = getattr(request, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < (name == "min_runs"):
            raise UsageError(f"{name} must be a whole number, at least 1 run in all; received {value!r}.")
    for name in ("budget_s", "warmup_s", "max_s"):
        value = getattr(request, name)
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{name} must be a number of seconds, zero or more; received {value!r}.")
    told = {
        "graph": request.model,
        "num_threads": str(runtime.threads),
        "num_runs": str(request.min_runs),
        "min_secs": f"{request.budget_s:.6g}",
        "max_secs": f"{request.max_s:.6g}",
        "warmup_runs": str(request.warmup_runs),
        "warmup_min_secs": f"{request.warmup_s:.6g}",
        **DELEGATES[runtime.delegate],
    }
    half = str(runtime.precision == "float16").lower()
    if runtime.delegate == "gpu":
        told["gpu_precision_loss_allowed"] = half
    if runtime.delegate == "nnapi":
        told["nnapi_allow_fp16"] = half
    if runtime.delegate in ("gpu", "nnapi") and request.whole_model:
        told["require_full_delegation"] = "true"
    if request.profile is not None:
        told["enable_op_profiling"] = "true"
        told["op_profiling_output_mode"] = "csv"
        told["op_profiling_output_file"] = request.profile
    return told


def arguments(tool: str, runtime: Runtime, told: Mapping[str, str]) -> list[str]:
    """The command as a list of words: ``taskset`` where cores were chosen, the tool, its flags."""
    bound = ["taskset", runtime.cpu_mask] if runtime.cpu_mask else []
    return [*bound, tool, *(f"--{name}={value}" for name, value in told.items())]


def command_line(tool: str, runtime: Runtime, request: Request) -> str:
    """One shell command for one run, quoted.

    The shell is replaced by the tool, so that ending the one ends the other.

    >>> request = Request(model="/data/local/tmp/fdi/a b.tflite", budget_s=0.25)
    >>> print(command_line("/data/local/tmp/fdi/benchmark_model", phone_runtime("9f" * 32), request))
    ... # doctest: +NORMALIZE_WHITESPACE
    exec /data/local/tmp/fdi/benchmark_model '--graph=/data/local/tmp/fdi/a b.tflite'
      --num_threads=1 --num_runs=5 --min_secs=0.25 --max_secs=150 --warmup_runs=1 --warmup_min_secs=0.02
    """
    return "exec " + shlex.join(arguments(tool, runtime, flags(runtime, request)))
