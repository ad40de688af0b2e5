"""What every device offers, whether it is this computer or a phone on a cable."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, Self

import msgspec

from fdi_keras.errors import EnergyUnavailableError, MeasurementError, UsageError

if TYPE_CHECKING:
    import numpy as np

    from fdi_keras.devices.benchmark_model import OperatorProfile, PowerSample

#: Defaults of a measurement, in seconds: our choice, enough for a median that
#: repeats within 1 % on a quiet computer.
BUDGET_S = 0.25
WARMUP_S = 0.005
MIN_RUNS = 5


class Runtime(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What executes models on a device. Times made by different runtimes do not compare.

    Attributes:
        name: ``"litert"`` on this computer, ``"benchmark_model"`` on a phone.
        version: as its package reports it; of ``benchmark_model``, which reports none,
            the beginning of the hash of its file.
        delegate: which kernels run the operators: ``"xnnpack"``, ``"none"`` (the
            runtime's own), ``"gpu"`` or ``"nnapi"``.
        threads: how many threads a model may use.
        precision: of tensors and arithmetic.
        cores: which cores it is bound to: ``""`` any, ``"big"``, ``"little"``, or a
            mask in hexadecimal digits without ``0x``.
        cpu_mask: the mask that stands for ``cores`` on the device, ``""`` for any.
        binary_sha256: of the file of ``benchmark_model``, 64 hexadecimal digits.
    """

    name: str
    version: str
    delegate: str = "xnnpack"
    threads: int = 1
    precision: str = "float32"
    cores: str = ""
    cpu_mask: str = ""
    binary_sha256: str = ""

    @property
    def text(self) -> str:
        """For people.

        >>> Runtime("benchmark_model", "9f2c", "gpu", precision="float16").text
        'benchmark_model 9f2c (gpu, float16)'
        """
        parts = [self.delegate, *([] if self.precision == "float32" else [self.precision])]
        parts += [f"cores {self.cores}"] if self.cores else []
        return f"{self.name} {self.version} ({', '.join(parts)})"

    @property
    def variant(self) -> str:
        """What tells it from the other runtimes of its device, as part of a file's name.

        >>> Runtime("litert", "2.1").variant
        'litert-xnnpack'
        >>> Runtime("benchmark_model", "9f2c", "none", cores="big", cpu_mask="f0").variant
        'benchmark_model-none-big'
        """
        parts = [self.name, self.delegate]
        if self.precision != "float32":
            parts.append(self.precision)
        return "-".join([*parts, self.cores] if self.cores else parts)


class RuntimeChoice(msgspec.Struct, frozen=True):
    """How a device shall execute models; each choice of the first four is a runtime with profiles of its own.

    Attributes:
        threads: of the CPU; 1 when left out, or what a resumed campaign had.
        delegate: what executes the operators: ``"xnnpack"``, ``"none"`` (the runtime's own kernels), and
            on phones ``"gpu"`` or ``"nnapi"``.
        cores: on phones: ``"big"``, ``"little"`` or a hexadecimal mask; any when empty.
        precision: ``"float16"`` lets a phone's GPU or NNAPI calculate in 16 bits.
        benchmark_model: on phones: the tool's file; looked for when left out.
        adb: adb servers to look for phones at, beside that of this computer.
    """

    threads: int | None = None
    delegate: str = "xnnpack"
    cores: str = ""
    precision: str = "float32"
    benchmark_model: str | None = None
    adb: tuple[str, ...] | None = None


class DeviceInfo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device as it is listed.

    Attributes:
        id: what ``--device`` takes (``"local"``).
        name: for people, usually the processor.
        kind: ``"computer"`` or ``"phone"``.
        state: ``"ready"``, or in a few words why it is not.
        details: what else is known (cores, memory, operating system, ...).
    """

    id: str
    name: str
    kind: Literal["computer", "phone"]
    state: str = "ready"
    details: dict[str, Any] = {}


class Timing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long one execution of a model takes.

    Attributes:
        median_ms: median over the readings, in ms; of a model that was timed in several copies, the middle copy's.
        iqr_ms: distance of the quartiles of all readings, in ms.
        min_ms: the fastest reading, in ms.
        runs: how many executions were timed. Very short models are timed several
            executions a reading, so there may be fewer readings than runs.
        disturbed: share of the readings in which other processes took the processor;
            those count with the time that the model itself ran, where that is known.
        timed_s: seconds that the readings took together; 0 where that is not known.
    """

    median_ms: float
    iqr_ms: float
    min_ms: float
    runs: int
    disturbed: float = 0.0
    timed_s: float = 0.0


class Runner(Protocol):
    """An opened device. Use it in a ``with`` statement, or call :meth:`close`.

    Every method that executes a model raises MeasurementError when the runtime
    refuses the model, crashes, or does not answer in time; the runner stays
    usable afterwards.
    """

    @property
    def runtime(self) -> Runtime: ...

    def time(
        self,
        model: bytes,
        *,
        budget_s: float = BUDGET_S,
        warmup_s: float = WARMUP_S,
        min_runs: int = MIN_RUNS,
    ) -> Timing:
        """Time one model on random inputs.

        Args:
            model: content of a ``.tflite`` file.
            budget_s: stop after this time; earlier when the readings agree.
            warmup_s: execute this long before the first reading.
            min_runs: take at least so many readings, whatever the budget.
        """
        ...

    @property
    def notes(self) -> list[str]:
        """What a user should know of how the device was prepared and left."""
        ...

    @property
    def batch(self) -> int:
        """How many models :meth:`time_many` times at little more cost than one."""
        ...

    def time_many(self, models: Iterable[bytes]) -> Iterator[Timing | MeasurementError]:
        """Time several models one after another; each result comes as soon as it is known.

        A model that cannot be timed gives its MeasurementError and the next one is timed.

        Raises:
            DeviceGoneError: between two results; the models without a result have none.
        """
        ...

    def check_energy(self) -> None:
        """Whether energies could be measured now, without measuring any.

        Raises:
            EnergyUnavailableError: the device has no battery that it lets be read, or charges it.
        """
        ...

    def sample_power(self, model: bytes, busy_s: float, idle_s: float) -> tuple[list[PowerSample], float]:
        """Samples of the battery before, during and after long execution, and the mean time of one in ms.

        Raises:
            EnergyUnavailableError: the device does not let its current and voltage be read.
        """
        ...

    def cache_counters(self, model: bytes) -> tuple[float, float]:
        """Cache references and misses of one execution.

        Raises:
            MeasurementError: the device has no such counters, or does not permit them.
        """
        ...

    def operator_table(self, model: bytes) -> OperatorProfile | None:
        """Where a network's time goes by the runtime's own profiler, which slows it; None: it has none.

        Raises:
            MeasurementError: the runtime refuses the model.
        """
        ...

    def unsteady(self) -> str | None:
        """Why times cannot be trusted now (too hot, say), in words; None while they can.

        Raises:
            DeviceGoneError: the device does not answer.
        """
        ...

    def reconnect(self) -> None:
        """Make a device that went away ready again.

        Raises:
            DeviceGoneError: it is not back yet.
        """
        ...

    def time_interleaved(
        self,
        models: Sequence[bytes],
        *,
        rounds: int = 20,
        budget_s: float = 1.0,
        warmup_s: float = 0.1,
    ) -> list[Timing]:
        """Time several models in short turns, A B C A B C, so that drift hits all alike.

        This computer loads each several times, as far as memory goes, and gives its turns to these copies by rotation.

        Args:
            models: contents of ``.tflite`` files; all are loaded at once.
            rounds: how many turns each model has.
            budget_s: seconds for each model over all its turns.
            warmup_s: seconds of execution for each model before the first turn.
        """
        ...

    def run(self, model: bytes, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs of one execution.

        Inputs and outputs stand in the order of the Keras model that was exported
        (of the graph, in a file without a signature); their shapes are the model's.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class SteadyRunner:
    """What runners share whose device neither leaves nor says how hot it is."""

    batch = 1

    def time_many(self: Runner, models: Iterable[bytes]) -> Iterator[Timing | MeasurementError]:
        for model in models:
            try:
                yield self.time(model)
            except MeasurementError as error:
                yield error

    @property
    def notes(self) -> list[str]:
        return []

    def check_energy(self) -> NoReturn:
        raise EnergyUnavailableError("energy is measured from the battery of a phone; this device is none.")

    def sample_power(self, model: bytes, busy_s: float, idle_s: float) -> tuple[list[PowerSample], float]:
        self.check_energy()

    def cache_counters(self, model: bytes) -> tuple[float, float]:
        raise MeasurementError("cache accesses are counted with simpleperf on a phone; this device is none.")

    def operator_table(self, model: bytes) -> OperatorProfile | None:
        return None

    def unsteady(self) -> str | None:
        return None

    def reconnect(self) -> None:
        pass


class Device(Protocol):
    """Something that executes models."""

    @property
    def id(self) -> str:
        """What ``--device`` takes; known without asking the device."""
        ...

    @property
    def info(self) -> DeviceInfo: ...

    def open(self, choice: RuntimeChoice | None = None) -> Runner:
        """A runner that executes models as was chosen, or else as this device does by itself.

        Raises:
            UsageError: something that this device does not have.
            DeviceError: the device or its runtime does not answer.
        """
        ...


def check_seconds(**seconds: float) -> None:
    """UsageError unless each is a number of seconds, zero or more."""
    for name, value in seconds.items():
        if not (math.isfinite(value) and value >= 0):
            raise UsageError(f"{name} must be a number of seconds, zero or more; received {value!r}.")
