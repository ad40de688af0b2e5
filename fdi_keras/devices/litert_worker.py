"""The child process that executes models: ``python -m fdi_keras.devices.litert_worker THREADS DELEGATE``.

It reads requests from standard input and answers on standard output, in frames
(see ``frames.py``), and ends when its input ends, that is, when its parent does.
It imports LiteRT and numpy only. What LiteRT prints goes to standard error, so
that it cannot fall between two frames.
"""

from __future__ import annotations

import gc
import itertools
import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from time import get_clock_info, perf_counter, process_time
from typing import Any, NamedTuple

import numpy as np

from fdi_keras.devices.frames import die_when_stuck, read_frame, take_standard_streams, write_frame

#: A reading lasts at least this long: models shorter than it are executed several
#: times between two looks at the clock, whose own cost (0.1 us) then vanishes.
READING_S = 50e-6

#: Readings agree when their quartiles lie this close, relative to the median (our choice).
SETTLED = 0.02

#: A reading that lost more than this share of its time to other processes was disturbed.
DISTURBED = 0.02

#: Whether the processor time of this process is known finely enough to see that.
CLOCK_IS_FINE = get_clock_info("process_time").resolution <= 1e-6

#: No measurement stops early before this share of its budget is used.
SETTLING_SHARE = 0.12

Chunks = list[bytes]
Invoke = Callable[[], object]


class Setup(NamedTuple):
    """How models are executed: threads, and ``"xnnpack"`` or ``"none"`` for the runtime's own kernels."""

    threads: int
    delegate: str


def main(setup: Setup) -> None:
    requests, answers = take_standard_streams()
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    import ai_edge_litert.interpreter  # noqa: F401 - loaded before the parent is told that we are ready

    gc.disable()  # a collection inside a reading would be measured; main collects between requests
    gc.freeze()  # and need not look through what was imported
    write_frame(answers, {"ready": os.getpid()})
    while True:
        try:
            header, chunks = read_frame(requests)
        except EOFError:
            return
        die_when_stuck(header.get("timeout_s"))
        try:
            answer, tensors = _ACTIONS[header["do"]](header, chunks, setup)
        except (ValueError, RuntimeError, MemoryError) as error:
            answer, tensors = {"error": str(error) or type(error).__name__}, []
        try:
            write_frame(answers, answer, tensors)
        except BrokenPipeError:
            return
        gc.collect()


def _time(header: dict[str, Any], chunks: Chunks, setup: Setup) -> tuple[dict[str, Any], Chunks]:
    invoke = _load(chunks[0], setup).invoke
    readings = Readings(invoke, _warm_up(invoke, header["warmup_s"]), setup.threads)
    budget_s, min_runs = header["budget_s"], max(1, header["min_runs"])
    begin = perf_counter()
    look_at = SETTLING_SHARE * budget_s
    while True:
        readings.take()
        elapsed = perf_counter() - begin
        if len(readings.seconds) < min_runs:
            continue
        if elapsed >= budget_s:
            break
        if elapsed >= look_at:
            low, median, high = np.percentile(readings.seconds, (25, 50, 75))
            if high - low <= SETTLED * median:
                break
            look_at = 1.5 * elapsed
    return {"timings": [readings.summary()]}, []


def _interleave(header: dict[str, Any], chunks: Chunks, setup: Setup) -> tuple[dict[str, Any], Chunks]:
    invokes = [_load(chunk, setup).invoke for chunk in chunks]
    readings = [Readings(invoke, _warm_up(invoke, header["warmup_s"]), setup.threads) for invoke in invokes]
    turn_s = header["budget_s"] / header["rounds"]
    for _ in range(header["rounds"]):
        for invoke, taken in zip(invokes, readings, strict=True):
            invoke()  # the model before this one has filled the caches
            end = perf_counter() + turn_s
            taken.take()
            while perf_counter() < end:
                taken.take()
    return {"timings": [taken.summary() for taken in readings]}, []


def _run(header: dict[str, Any], chunks: Chunks, setup: Setup) -> tuple[dict[str, Any], Chunks]:
    interpreter = _load(chunks[0], setup)
    inputs, outputs = _signature_order(interpreter)
    if len(inputs) != len(chunks) - 1:
        raise ValueError(f"the model has {len(inputs)} inputs, {len(chunks) - 1} were given")
    for index, tensor, chunk in zip(inputs, header["tensors"], chunks[1:], strict=True):
        interpreter.set_tensor(index, np.frombuffer(chunk, tensor["dtype"]).reshape(tensor["shape"]))
    interpreter.invoke()
    values = [interpreter.get_tensor(index) for index in outputs]
    described = [{"dtype": value.dtype.str, "shape": value.shape} for value in values]
    return {"tensors": described}, [np.ascontiguousarray(value).tobytes() for value in values]


def _signature_order(interpreter: Any) -> tuple[list[int], list[int]]:
    """Indices of input and output tensors in Keras' own order, which the converter shuffles.

    The signature keeps it in the numbers of the names (``output_0``, ``output_1``, ...).
    A model without a signature keeps the order of its graph.
    """
    details = [interpreter.get_input_details(), interpreter.get_output_details()]
    if len(interpreter.get_signature_list()) == 1:
        signature = interpreter.get_signature_runner()
        named = [signature.get_input_details(), signature.get_output_details()]
        details = [[group[name] for name in sorted(group, key=_number_in_name)] for group in named]
    inputs, outputs = ([detail["index"] for detail in group] for group in details)
    return inputs, outputs


def _number_in_name(name: str) -> list[tuple[int, str]]:
    """Sorts ``output_10`` behind ``output_9``."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


_ACTIONS = {"time": _time, "interleave": _interleave, "run": _run}


def _load(model: bytes, setup: Setup) -> Any:
    """An interpreter with its tensors allocated and random inputs set."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.AUTO  # with XNNPACK
    if setup.delegate == "none":
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(
        model_content=model, num_threads=setup.threads, experimental_op_resolver_type=kernels
    )
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in interpreter.get_input_details():
        interpreter.set_tensor(detail["index"], _random(rng, detail["shape"], detail["dtype"]))
    return interpreter


def _random(rng: np.random.Generator, shape: Sequence[int], dtype: Any) -> np.ndarray:
    if np.issubdtype(dtype, np.floating):
        return rng.random(tuple(shape), np.float32).astype(dtype)
    # Indices into tables and booleans: 0 and 1 are always allowed.
    return rng.integers(0, 2, tuple(shape)).astype(dtype)


def _warm_up(invoke: Invoke, seconds: float) -> int:
    """Execute for some time; returns how many executions make one reading."""
    invoke()
    begin = perf_counter()
    count, elapsed = 0, 0.0
    while not count or elapsed < seconds:
        invoke()
        count += 1
        elapsed = perf_counter() - begin
    return max(1, round(READING_S * count / elapsed))


class Readings:
    """Readings of one model, in seconds for one execution.

    While another process has the processor, the clock goes on and the model does not.
    With one thread this shows: the processor time of this process falls behind the
    clock. Such a reading counts with the processor time (our choice), or a busy
    neighbour would double every model that runs longer than the scheduler's time slice.
    """

    def __init__(self, invoke: Invoke, batch: int, threads: int):
        self.seconds: list[float] = []
        self._invoke = invoke
        self._batch = batch
        self._watched = threads == 1 and CLOCK_IS_FINE
        self._disturbed = 0

    def take(self) -> None:
        invoke = self._invoke
        ran = process_time()
        begin = perf_counter()
        for _ in itertools.repeat(None, self._batch):
            invoke()
        took = perf_counter() - begin
        ran = process_time() - ran
        if self._watched and took - ran > DISTURBED * took:
            self._disturbed += 1
            took = ran
        self.seconds.append(took / self._batch)

    def summary(self) -> dict[str, float]:
        low, median, high = 1e3 * np.percentile(self.seconds, (25, 50, 75))
        return {
            "median_ms": float(median),
            "iqr_ms": float(high - low),
            "min_ms": 1e3 * min(self.seconds),
            "runs": len(self.seconds) * self._batch,
            "disturbed": self._disturbed / len(self.seconds),
            "timed_s": sum(self.seconds) * self._batch,
        }


if __name__ == "__main__":
    main(Setup(int(sys.argv[1]), sys.argv[2]))
