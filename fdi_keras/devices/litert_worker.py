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

#: A model is as fast as its memory happens to lie. Of 54 kinds of probes loaded five times in one process on a Xeon the
#: copies differed by 0.5 % (standard deviation, in the middle), those of dense and unrolled GRU layers by 5 and 6 %,
#: one's by 46 % from the fastest to the slowest, while a copy kept its time to 0.6 %. So networks are timed
#: in so many copies, and the middle one counts. Probes of campaigns are timed in one: with five they take a third
#: longer (our choice).
COPIES = 5

#: The tensors of all copies take at most so many bytes, so that large networks have fewer (those of 5 to 100 MB
#: differed by 2 % at most).
COPIES_BYTES = 512e6

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
    readings = Readings(_load(chunks[0], setup), setup, header["warmup_s"])
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
    return {"timings": [_summary([readings])]}, []


def _interleave(header: dict[str, Any], chunks: Chunks, setup: Setup) -> tuple[dict[str, Any], Chunks]:
    models = _copies(chunks, setup, header["warmup_s"], min(COPIES, header["rounds"]))
    turn_s = header["budget_s"] / header["rounds"]
    for turn in range(header["rounds"]):
        for copies in models:
            copies[turn % len(copies)].take_for(turn_s)
    return {"timings": [_summary(copies) for copies in models]}, []


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


def _copies(models: Chunks, setup: Setup, warmup_s: float, most: int) -> list[list[Readings]]:
    """Of each model as many copies as there is memory for: at least one, at most so many."""
    loaded = [[_load(model, setup)] for model in models]
    count = int(COPIES_BYTES / max(1, sum(_bytes(first) for (first,) in loaded)))
    count = max(1, min(most, count))
    for model, copies in zip(models, loaded, strict=True):
        # Of its own content, too: weights that are not packed are read from it.
        copies += [_load(bytes(bytearray(model)), setup) for _ in range(count - 1)]
    return [[Readings(copy, setup, warmup_s / count) for copy in copies] for copies in loaded]


def _bytes(interpreter: Any) -> int:
    """Of all tensors of a model: what it takes at most."""
    return sum(
        int(np.prod(detail["shape"])) * np.dtype(detail["dtype"]).itemsize
        for detail in interpreter.get_tensor_details()
    )


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
    """Readings of one copy of a model, in seconds for one execution.

    While another process has the processor, the clock goes on and the model does not.
    With one thread this shows: the processor time of this process falls behind the
    clock. Such a reading counts with the processor time (our choice), or a busy
    neighbour would double every model that runs longer than the scheduler's time slice.
    """

    def __init__(self, interpreter: Any, setup: Setup, warmup_s: float):
        self.seconds: list[float] = []
        self.disturbed = 0
        self._invoke = interpreter.invoke
        self._batch = _warm_up(self._invoke, warmup_s)
        self._watched = setup.threads == 1 and CLOCK_IS_FINE

    def take_for(self, seconds: float) -> None:
        """Take readings for some time, at least one."""
        self._invoke()  # what was executed before has filled the caches
        end = perf_counter() + seconds
        self.take()
        while perf_counter() < end:
            self.take()

    def take(self) -> None:
        invoke = self._invoke
        ran = process_time()
        begin = perf_counter()
        for _ in itertools.repeat(None, self._batch):
            invoke()
        took = perf_counter() - begin
        ran = process_time() - ran
        if self._watched and took - ran > DISTURBED * took:
            self.disturbed += 1
            took = ran
        self.seconds.append(took / self._batch)

    @property
    def runs(self) -> int:
        return len(self.seconds) * self._batch

    @property
    def timed_s(self) -> float:
        return sum(self.seconds) * self._batch


def _summary(copies: Sequence[Readings]) -> dict[str, float]:
    """Of a model: the middle copy's median, and what all readings say."""
    seconds = np.concatenate([readings.seconds for readings in copies])
    low, high = np.percentile(seconds, (25, 75))
    return {
        "median_ms": 1e3 * float(np.median([np.median(readings.seconds) for readings in copies])),
        "iqr_ms": 1e3 * float(high - low),
        "min_ms": 1e3 * float(seconds.min()),
        "runs": sum(readings.runs for readings in copies),
        "disturbed": sum(readings.disturbed for readings in copies) / len(seconds),
        "timed_s": sum(readings.timed_s for readings in copies),
    }


if __name__ == "__main__":
    main(Setup(int(sys.argv[1]), sys.argv[2]))
