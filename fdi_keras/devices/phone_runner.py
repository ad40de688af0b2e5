"""Times models on a phone, as :class:`fdi_keras.devices.base.Runner` wants it."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING

from fdi_keras.devices.adb.facts import PhoneFacts
from fdi_keras.devices.adb.phone import PhoneLink
from fdi_keras.devices.adb.steady import SteadyPhone
from fdi_keras.devices.base import BUDGET_S, MIN_RUNS, Runtime, Timing, check_seconds
from fdi_keras.devices.benchmark_model import (
    Binary,
    JobResult,
    OperatorProfile,
    PowerSample,
    Report,
    Request,
    ToolOutput,
    counted,
    parse_counters,
    parse_profile,
    parse_samples,
)
from fdi_keras.devices.benchmark_model.command import WARMUP_S
from fdi_keras.devices.benchmark_model.power import sampled
from fdi_keras.devices.phone_tool import BATCH, PhoneTool, Task
from fdi_keras.errors import (
    CommandFailedError,
    DeviceError,
    DeviceGoneError,
    EnergyUnavailableError,
    MeasurementError,
    UsageError,
)

if TYPE_CHECKING:
    import numpy as np

#: Seconds of timed executions of each probe of a campaign (our choice): the tool does not stop when
#: its readings agree, and another probe is worth more than a more exact one.
PROBE_S = 0.05

#: Seconds of a run with the tool's profiler.
TABLE_S = 1.0


class PhoneRunner:
    """See :class:`fdi_keras.devices.base.Runner`. Entering its ``with`` statement prepares the phone.

    Args:
        link: the phone.
        facts: what it said of itself.
        runtime: how models are executed.
        binary: the tool.
        state_dir: where it is recorded what was changed on the phone.
        patience_s: a run that is silent for so much longer than it should take is hung.

    Every method raises DeviceGoneError when the phone goes away, and DeviceBusyError when
    another process is using it.
    """

    batch = BATCH

    def __init__(
        self,
        link: PhoneLink,
        facts: PhoneFacts,
        runtime: Runtime,
        binary: Binary,
        state_dir: str | PathLike[str] | None = None,
        patience_s: float | None = None,
    ):
        self._runtime = runtime
        self._steady = SteadyPhone(link, state_dir, perf_harden=facts.simpleperf)
        self._tool = PhoneTool(
            link, runtime, binary, **({} if patience_s is None else {"patience_s": patience_s})
        )
        self._link = link
        self._facts = facts
        self._open = False

    @property
    def runtime(self) -> Runtime:
        return self._runtime

    @property
    def notes(self) -> list[str]:
        """What could not be made steady or restored, and what an earlier crash had left."""
        return self._steady.notes

    def time(
        self,
        model: bytes,
        *,
        budget_s: float = BUDGET_S,
        warmup_s: float = WARMUP_S,
        min_runs: int = MIN_RUNS,
    ) -> Timing:
        check_seconds(budget_s=budget_s, warmup_s=warmup_s)
        return _whole(next(self._results([_task(model, budget_s, warmup_s, min_runs)])))

    def time_many(self, models: Iterable[bytes]) -> Iterator[Timing | MeasurementError]:
        for result in self._results([_task(model, PROBE_S, WARMUP_S, MIN_RUNS) for model in models]):
            try:
                yield _whole(result)
            except MeasurementError as error:
                yield error

    def time_interleaved(
        self,
        models: Sequence[bytes],
        *,
        rounds: int = 20,
        budget_s: float = 1.0,
        warmup_s: float = 0.1,
    ) -> list[Timing]:
        """See the protocol. A turn is a start of the tool; medians and quartiles are over the turns."""
        import numpy as np

        check_seconds(budget_s=budget_s, warmup_s=warmup_s)
        if rounds < 1:
            raise UsageError(f"rounds must be at least 1; received {rounds}.")
        turn = [_task(model, budget_s / rounds, warmup_s / rounds, 1, whole_model=False) for model in models]
        turns: list[list[Timing]] = [[] for _ in models]
        for number, result in enumerate(self._results(turn * rounds)):
            turns[number % len(models)].append(_whole(result))
        found = []
        for own in turns:
            low, median, high = np.percentile([timing.median_ms for timing in own], (25, 50, 75))
            least, runs = min(t.min_ms for t in own), sum(t.runs for t in own)
            found.append(Timing(float(median), float(high - low), least, runs))
        return found

    def run(self, model: bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        raise MeasurementError(
            "benchmark_model times models and gives no outputs; use this computer for those (device 'local')."
        )

    def operator_table(self, model: bytes) -> OperatorProfile:
        table = _left("csv")
        task = _task(
            model, TABLE_S, WARMUP_S, MIN_RUNS, whole_model=False, profile=table, files={"ops": table}
        )
        _, output = self._watched(task)
        return parse_profile(output.files["ops"])

    def cache_counters(self, model: bytes) -> tuple[float, float]:
        stat = _left("stat")
        files = {"stat": stat}
        task = _task(model, BUDGET_S, 0.0, MIN_RUNS, files=files, wrap=lambda words: counted(words, stat))
        report, output = self._watched(task)
        said = output.stdout + output.stderr
        return parse_counters(output.files["stat"], said).per_inference(report)

    def check_energy(self) -> None:
        files = {"current_now": self._facts.current_readable, "voltage_now": self._facts.voltage_readable}
        if missing := [name for name, readable in files.items() if not readable]:
            raise EnergyUnavailableError(
                f"this phone does not let its battery's {' and '.join(missing)} be read by the shell user, so no "
                "energy can be measured on it."
            )
        if self._steady.thermal().plugged:
            raise EnergyUnavailableError(
                "energy can only be measured while the battery discharges, and the phone is plugged in. Unplug it and "
                "measure over Wi-Fi, see 'Energy' in docs/phones.md."
            )

    def sample_power(self, model: bytes, busy_s: float, idle_s: float) -> tuple[list[PowerSample], float]:
        self._prepare()
        self.check_energy()  # before half a minute is spent on it
        power = _left("power")
        task = _task(
            model,
            busy_s,
            WARMUP_S,
            MIN_RUNS,
            files={"power": power},
            wrap=lambda words: sampled(words, power, idle_s=idle_s),
            extra_s=2 * idle_s,
        )
        report, output = self._watched(task)
        return parse_samples(output.files["power"]), report.regular.avg_us / 1e3

    def unsteady(self) -> str | None:
        state = self._steady.thermal()
        return f"the phone is too warm: {state.words}" if state.throttled else None

    def reconnect(self) -> None:
        try:
            self._link.server.ensure()
        except DeviceError as error:
            raise DeviceGoneError(str(error)) from error
        try:
            if self._open:
                self._steady.steady_again()
                self._tool.install_again()
            else:
                self._prepare()
        except CommandFailedError as error:
            # A phone that starts answers before its services do.
            raise DeviceGoneError(f"the phone is there, but not ready: {error}") from error

    def close(self) -> None:
        """Restore the phone; what could not be restored is in :attr:`notes`."""
        if self._open:
            self._open = False
            self._steady.__exit__(None, None, None)

    def __enter__(self) -> PhoneRunner:
        # A phone that goes away only now is not there for what comes next either, which says so and
        # may wait for it.
        with contextlib.suppress(DeviceGoneError):
            self._prepare()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _prepare(self) -> None:
        if self._open:
            return
        self._steady.__enter__()
        self._open = True
        try:
            self._tool.install()
        except BaseException:
            self.close()
            raise

    def _results(self, tasks: Sequence[Task]) -> Iterator[JobResult]:
        self._prepare()
        return self._tool.results(tasks)

    def _watched(self, task: Task) -> tuple[Report, ToolOutput]:
        """What a single run measured and left."""
        result = next(self._results([task]))
        if result.report is None or result.output is None:
            raise result.error or MeasurementError("the phone gave no result.")
        return result.report, result.output


def _task(
    model: bytes,
    budget_s: float,
    warmup_s: float,
    min_runs: int,
    *,
    files: dict[str, str] | None = None,
    wrap: Callable[[list[str]], list[str]] = list,
    extra_s: float = 0.0,
    whole_model: bool = True,
    profile: str | None = None,
) -> Task:
    request = Request(
        model="",
        min_runs=min_runs,
        budget_s=budget_s,
        warmup_s=warmup_s,
        profile=profile,
        whole_model=whole_model,
    )
    return Task(model, request, budget_s + warmup_s + extra_s, files or {}, wrap)


def _left(ending: str) -> str:
    """A new name for a file that a run leaves."""
    return f"{secrets.token_hex(8)}.{ending}"


def _whole(result: JobResult) -> Timing:
    if result.report is None:
        raise result.error or MeasurementError("the phone gave no result.")
    return result.report.timing
