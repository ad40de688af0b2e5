"""This computer as a device: its description, without loading LiteRT."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fdi_keras.devices.base import DeviceInfo, Runtime, RuntimeChoice
from fdi_keras.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from fdi_keras.devices.litert_runner import LitertRunner

PACKAGE = "ai-edge-litert"

#: What may execute the operators: XNNPACK, or the runtime's own kernels.
DELEGATES = ("xnnpack", "none")

#: Instruction sets that XNNPACK chooses its kernels by, as the operating systems spell them.
EXTENSIONS = (
    "sse4_1", "avx", "f16c", "fma", "avx2", "avx512f", "avx512bw", "avx512vl", "avx512_vnni",
    "avx512_bf16", "avx_vnni", "amx_tile", "neon", "asimd", "asimdhp", "asimddp", "i8mm", "bf16",
    "sve", "sve2", "sme", "v",
)  # fmt: skip


class LocalDevice:
    """This computer, through LiteRT in a child process."""

    id = "local"

    @cached_property
    def info(self) -> DeviceInfo:
        """Name and details; reads a few system files, a matter of milliseconds."""
        import psutil

        cpu, flags = _processor()
        version = _litert_version()
        details: dict[str, Any] = {
            "cpu": cpu,
            "arch": platform.machine(),
            "cores": psutil.cpu_count(logical=False) or os.cpu_count() or 1,
            "threads": os.cpu_count() or 1,
            "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
            "os": f"{platform.system()} {platform.release()}",
            "extensions": [name for name in EXTENSIONS if name in flags],
            "runtime": f"litert {version} (xnnpack)" if version else None,
        }
        state = "ready" if version else f"no runtime: pip install {PACKAGE}"
        return DeviceInfo(self.id, cpu, "computer", state, details)

    def open(self, choice: RuntimeChoice | None = None) -> LitertRunner:
        """A runner whose child process starts with the first measurement."""
        from fdi_keras.devices.litert_runner import LitertRunner

        choice = choice or RuntimeChoice()
        threads = 1 if choice.threads is None else choice.threads
        if isinstance(threads, bool) or not isinstance(threads, int) or threads < 1:
            raise UsageError(f"threads must be a whole number of at least 1; received {threads!r}.")
        possible = {
            "delegate": (choice.delegate, DELEGATES),
            "cores": (choice.cores, ("",)),
            "precision": (choice.precision, ("float32",)),
        }
        for name, (given, allowed) in possible.items():
            if given not in allowed:
                expected = " or ".join(repr(value or "any") for value in allowed)
                raise UsageError(
                    f"this computer executes models with {name} {expected} only, received {given!r}: that is "
                    "a choice for phones."
                )
        if choice.benchmark_model is not None:
            raise UsageError(
                "this computer times models with LiteRT's library; benchmark_model is for phones."
            )
        version = _litert_version()
        if version is None:
            raise DeviceError(f"LiteRT is not installed on this computer: pip install {PACKAGE}.")
        return LitertRunner(Runtime("litert", version, choice.delegate, threads, "float32"))


def _litert_version() -> str | None:
    try:
        return metadata.version(PACKAGE)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> tuple[str, set[str]]:
    """Name of the processor and its instruction-set extensions in lower case."""
    if sys.platform == "darwin":
        return _processor_of_mac()
    try:
        return _processor_of_linux(Path("/proc/cpuinfo").read_text(errors="replace"))
    except OSError:
        return platform.processor() or platform.machine() or "unknown processor", set()


def _processor_of_linux(cpuinfo: str) -> tuple[str, set[str]]:
    """From the text of ``/proc/cpuinfo``: x86 has ``model name`` and ``flags``, Arm ``Features``."""
    fields: dict[str, str] = {}
    for line in cpuinfo.splitlines():
        key, colon, value = line.partition(":")
        if colon and value.strip():
            fields.setdefault(key.strip().lower(), value.strip())
    flags = fields.get("flags") or fields.get("features") or fields.get("isa") or ""
    named = (fields.get(key) for key in ("model name", "hardware", "model", "uarch"))
    name = next(filter(None, named), None) or platform.processor() or platform.machine()
    return name, set(flags.lower().split())


def _processor_of_mac() -> tuple[str, set[str]]:
    name = _sysctl("machdep.cpu.brand_string") or platform.processor() or platform.machine()
    if platform.machine() == "arm64":
        return name, {"neon", "asimd"}
    flags = f"{_sysctl('machdep.cpu.features')} {_sysctl('machdep.cpu.leaf7_features')}".lower()
    return name, set(flags.replace("avx1.0", "avx").replace(".", "_").split())


def _sysctl(name: str) -> str:
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip()
