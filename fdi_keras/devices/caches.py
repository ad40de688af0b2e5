"""Cache accesses and misses of a model on this computer: counted by the processor, else simulated.

``perf stat`` counts where the kernel gives a process the processor's counters. Virtual machines often have
none; then valgrind's cachegrind executes the model on a simulated cache. What it executes are the kernels that
LiteRT chooses on the processor that valgrind shows it, which may lack the widest vectors of the real one. Either
way a model has one thread, and a process runs twice, with n and with 2 n inferences, and the difference is that
of n: start-up, loading and the first inferences cancel (our choice).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fdi_keras.errors import MeasurementError, UsageError

#: How the name of every simulation begins.
SIMULATED = "simulated"

WORKER = Path(__file__).with_name("invoke_worker.py")

#: What perf counts: the first level, and what its last level had to fetch from memory.
EVENTS = ("L1-dcache-loads", "L1-dcache-load-misses", "cache-misses")

#: Inferences are so many that they compute about this, or what they need is lost in the start-up.
FLOPS = {"perf": 2e9, "cachegrind": 5e7}

MOST_INFERENCES = 400

#: Bytes of a line, and ways, of the simulated caches: what current processors have.
LINE, WAYS = 64, {"l1": 8, "l2": 16}

#: A process may take so long, in seconds.
TIMEOUT_S = 1800.0


#: Accesses, first-level misses, and accesses to memory.
Counts = tuple[float, float, float]


class CacheSizes(NamedTuple):
    """Of the simulated data caches, in KB (1024 bytes)."""

    l1_kb: int = 32
    l2_kb: int = 1024


class CacheCounts(NamedTuple):
    """Of one inference.

    Attributes:
        references: accesses to the first-level data cache; with perf the reading ones only. On phones what the
            processor calls cache references.
        misses: of them, those that it could not answer.
        l2_misses: accesses that went on to memory; None where they were not counted.
        source: what counted, in words; a simulation says so.
    """

    references: float
    misses: float
    l2_misses: float | None
    source: str

    @property
    def simulated(self) -> bool:
        """Whether nothing was counted on the processor."""
        return self.source.startswith(SIMULATED)


def source_of(sizes: CacheSizes) -> str:
    """How counts of a simulation are called.

    >>> source_of(CacheSizes())
    'simulated by cachegrind (L1 32 KB, L2 1024 KB)'
    """
    return f"{SIMULATED} by cachegrind (L1 {sizes.l1_kb} KB, L2 {sizes.l2_kb} KB)"


def check_sizes(sizes: CacheSizes) -> None:
    """UsageError unless cachegrind can simulate these: numbers of sets that are powers of two, L2 the larger."""
    for level, kb in (("l1", sizes.l1_kb), ("l2", sizes.l2_kb)):
        sets = 1024 * kb / (LINE * WAYS[level])
        if sets < 1 or sets != int(sets) or int(sets) & (int(sets) - 1):
            least = LINE * WAYS[level] / 1024
            raise UsageError(
                f"a simulated {level.upper()} of {kb} KB: expected {least:g} KB times a power of two, as in "
                f"{'32 or 64' if level == 'l1' else '512 or 1024'}."
            )
    if sizes.l2_kb <= sizes.l1_kb:
        raise UsageError(f"an L2 of {sizes.l2_kb} KB must be larger than the L1 of {sizes.l1_kb} KB.")


def perf_counts(model: bytes, flops: float, delegate: str) -> CacheCounts:
    """Counted by the processor.

    Args:
        model: content of a ``.tflite`` file.
        flops: of one inference.
        delegate: what executes the operators.

    Raises:
        MeasurementError: perf is not there, the kernel gives no counters, or the model cannot be executed.
    """
    program = _program("perf", "linux-perf")

    def command(out: Path) -> list[str]:
        return [program, "stat", "-x", ",", "-o", str(out), "-e", ",".join(EVENTS), "--"]

    loads, load_misses, memory = _of_one(model, flops, delegate, "perf", command, read_perf)
    return CacheCounts(loads, load_misses, memory, "counted by perf")


def simulated_counts(model: bytes, flops: float, delegate: str, sizes: CacheSizes) -> CacheCounts:
    """Simulated by cachegrind, some fifty times slower than the model is.

    Args:
        model, flops, delegate: as for :func:`perf_counts`.
        sizes: of the simulated caches.

    Raises:
        UsageError: sizes that cachegrind cannot simulate.
        MeasurementError: valgrind is not there, or cannot execute the model.
    """
    check_sizes(sizes)
    program = _program("valgrind", "valgrind")
    first = f"{1024 * sizes.l1_kb},{WAYS['l1']},{LINE}"
    last = f"{1024 * sizes.l2_kb},{WAYS['l2']},{LINE}"

    def command(out: Path) -> list[str]:
        levels = [f"--I1={first}", f"--D1={first}", f"--LL={last}"]
        return [
            program, "--quiet", "--tool=cachegrind", "--cache-sim=yes", *levels, f"--cachegrind-out-file={out}",
        ]  # fmt: skip

    return CacheCounts(
        *_of_one(model, flops, delegate, "cachegrind", command, read_cachegrind), source_of(sizes)
    )


def read_perf(text: str) -> Counts:
    """Loads, load misses and misses to memory from what ``perf stat -x ,`` wrote.

    Raises:
        MeasurementError: an event is not supported, not permitted, or missing.
    """
    found: dict[str, float] = {}
    for line in text.splitlines():
        fields = line.split(",")
        name = fields[2].partition(":")[0] if len(fields) > 2 else ""
        if name in EVENTS:
            if not fields[0].isdigit():
                reason = fields[0].strip("<>") or "not counted"
                raise MeasurementError(
                    f"{name} is {reason} here. A virtual machine may have no hardware counters, and the "
                    "kernel may keep them from users (/proc/sys/kernel/perf_event_paranoid)."
                )
            found[name] = float(fields[0])
    if len(found) < len(EVENTS):
        raise MeasurementError(f"only {', '.join(found) or 'nothing'} of {', '.join(EVENTS)} was counted.")
    loads, misses, memory = (found[name] for name in EVENTS)
    return loads, misses, memory


def read_cachegrind(text: str) -> Counts:
    """Data accesses, first-level and last-level misses of the data, from a file that cachegrind wrote.

    Raises:
        MeasurementError: it is cut off, or without a simulation of caches.
    """
    names = re.search(r"^events: (.+)$", text, re.M)
    values = re.search(r"^summary: ([\d ]+)$", text, re.M)
    sums: Mapping[str, float] = {}
    if names and values:
        sums = dict(zip(names[1].split(), map(float, values[1].split()), strict=False))
    try:
        groups = (("Dr", "D1mr", "DLmr"), ("Dw", "D1mw", "DLmw"))
        reads, writes = ([sums[name] for name in group] for group in groups)
    except KeyError as error:
        raise MeasurementError(f"cachegrind's file is cut off: it has no sum of {error}.") from error
    accesses, misses, memory = (read + written for read, written in zip(reads, writes, strict=True))
    return accesses, misses, memory


def _program(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise MeasurementError(f"{name} is not installed on this computer (package {package}).")
    return found


def _of_one(
    model: bytes,
    flops: float,
    delegate: str,
    tool: str,
    command: Callable[[Path], list[str]],
    read: Callable[[str], Counts],
) -> Counts:
    """What one inference adds, from a run of n and one of 2 n inferences."""
    count = min(max(round(FLOPS[tool] / max(flops, 1.0)), 1), MOST_INFERENCES)
    with tempfile.TemporaryDirectory(prefix="fdi-caches-") as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(model)
        runs = []
        for number in (count, 2 * count):
            out = Path(folder) / f"{number}.out"
            worker = [sys.executable, str(WORKER), str(file), str(number), delegate]
            said = _carry_out([*command(out), *worker], tool)
            runs.append(read(out.read_text(errors="replace") if out.exists() else said))
    accesses, misses, memory = (max(more - less, 0.0) / count for less, more in zip(*runs, strict=True))
    return accesses, misses, memory


def _carry_out(command: Sequence[str], tool: str) -> str:
    """Run to the end; returns what was said."""
    # Both runs then start alike: no other order of sets, no threads of numpy that wait for work.
    env = {**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=TIMEOUT_S, env=env,
        )  # fmt: skip
    except OSError as error:
        raise MeasurementError(f"{tool} cannot be started: {error.strerror}.") from error
    except subprocess.TimeoutExpired:
        raise MeasurementError(f"{tool} did not end within {TIMEOUT_S:.0f} seconds.") from None
    said = (done.stdout + done.stderr).strip()
    if done.returncode:
        last = said.splitlines()[-1][:200] if said else f"exit status {done.returncode}"
        raise MeasurementError(f"{tool} did not get to the end of the model: {last}")
    return said
