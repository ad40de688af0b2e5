"""Times models with LiteRT and XNNPACK in a child process on this computer."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from fdi_keras.devices.base import BUDGET_S, MIN_RUNS, WARMUP_S, Runtime, SteadyRunner, Timing, check_seconds
from fdi_keras.devices.child import Child
from fdi_keras.errors import MeasurementError, UsageError

if TYPE_CHECKING:
    import numpy as np

WORKER = "fdi_keras.devices.litert_worker"


class LitertRunner(SteadyRunner):
    """See :class:`fdi_keras.devices.base.Runner`.

    The child starts with the first measurement. When it dies, that measurement
    raises MeasurementError and the next one starts another.

    Args:
        runtime: what to report; its ``threads`` are what the models get.
        timeout_s: a measurement that takes this much longer than it was asked to
            is taken for hung. Covers loading and a first slow execution.
    """

    #: So many at a time are asked for ahead.
    batch = 8

    def __init__(self, runtime: Runtime, timeout_s: float = 60.0):
        self._runtime = runtime
        self._timeout_s = timeout_s
        self._child: Child | None = None

    @property
    def runtime(self) -> Runtime:
        return self._runtime

    @property
    def pid(self) -> int | None:
        """Process id of the child, None while there is none."""
        return self._child.pid if self._child else None

    def time(
        self,
        model: bytes,
        *,
        budget_s: float = BUDGET_S,
        warmup_s: float = WARMUP_S,
        min_runs: int = MIN_RUNS,
    ) -> Timing:
        check_seconds(budget_s=budget_s, warmup_s=warmup_s)
        return self._time(model, budget_s, warmup_s, min_runs)

    def _time(
        self,
        model: bytes,
        budget_s: float = BUDGET_S,
        warmup_s: float = WARMUP_S,
        min_runs: int = MIN_RUNS,
        meanwhile: Callable[[], None] | None = None,
    ) -> Timing:
        request = {"do": "time", "budget_s": budget_s, "warmup_s": warmup_s, "min_runs": min_runs}
        answer, _ = self._ask(request, [model], budget_s + warmup_s, meanwhile)
        return msgspec.convert(answer["timings"][0], Timing)

    def time_many(self, models: Iterable[bytes]) -> Iterator[Timing | MeasurementError]:
        """See :class:`Runner`. Where a core is left, the next model is made while this one is timed."""
        if self._runtime.threads >= (os.cpu_count() or 1):
            yield from super().time_many(models)
            return
        waiting = _Ahead(models)
        while (model := waiting.take()) is not None:
            try:
                result: Timing | MeasurementError = self._time(model, meanwhile=waiting.fetch)
            except MeasurementError as error:
                result = error
            yield result

    def time_interleaved(
        self,
        models: Sequence[bytes],
        *,
        rounds: int = 20,
        budget_s: float = 1.0,
        warmup_s: float = 0.1,
    ) -> list[Timing]:
        check_seconds(budget_s=budget_s, warmup_s=warmup_s)
        if rounds < 1:
            raise UsageError(f"rounds must be at least 1; received {rounds}.")
        request = {"do": "interleave", "rounds": rounds, "budget_s": budget_s, "warmup_s": warmup_s}
        answer, _ = self._ask(request, models, len(models) * (budget_s + warmup_s))
        return msgspec.convert(answer["timings"], list[Timing])

    def run(self, model: bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        import numpy as np

        tensors = [np.ascontiguousarray(value) for value in inputs]
        described = [{"dtype": value.dtype.str, "shape": np.shape(given)}
                     for value, given in zip(tensors, inputs, strict=True)]  # fmt: skip
        request = {"do": "run", "tensors": described}
        answer, chunks = self._ask(request, [model, *(value.tobytes() for value in tensors)], 0.0)
        return [
            np.frombuffer(chunk, tensor["dtype"]).reshape(tensor["shape"])
            for tensor, chunk in zip(answer["tensors"], chunks, strict=True)
        ]

    def close(self) -> None:
        if self._child:
            self._child.close()
            self._child = None

    def __enter__(self) -> LitertRunner:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _ask(
        self,
        request: dict[str, Any],
        chunks: Sequence[bytes],
        lasts_s: float,
        meanwhile: Callable[[], None] | None = None,
    ) -> tuple[dict[str, Any], list[bytes]]:
        if self._child is not None and not self._child.alive:
            self.close()  # it died between two measurements: this one need not suffer
        if self._child is None:
            self._child = Child(WORKER, str(self._runtime.threads), self._runtime.delegate)
        try:
            answer, tensors = self._child.ask(request, chunks, self._timeout_s + lasts_s, meanwhile)
        except BaseException:
            self._child = None
            raise
        if "error" in answer:
            raise MeasurementError(f"LiteRT refused the model: {answer['error'].rstrip('.')}.")
        return answer, tensors


class _Ahead:
    """What comes next of models that are made as they are asked for; what making one raises waits its turn."""

    def __init__(self, models: Iterable[bytes]):
        self._models = iter(models)
        self._fetched: list[bytes | None] = []
        self._error: BaseException | None = None

    def fetch(self) -> None:
        """Make the next one, unless it is there."""
        if not self._fetched and self._error is None:
            try:
                self._fetched.append(next(self._models, None))
            except BaseException as error:
                self._error = error

    def take(self) -> bytes | None:
        """The next one; None at the end."""
        self.fetch()
        if self._error is not None:
            raise self._error
        return self._fetched.pop()
