"""``benchmark_model`` on a phone: put there, and given models to execute, several with one command.

A batch is a script that reports each run as soon as it has ended. Whatever ends it before its time,
every model gets an answer: a report, an error of its own, or DeviceGoneError for all that are left.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import msgspec

from fdi_keras.devices.adb.left_over import BIN, end_processes
from fdi_keras.devices.adb.phone import FOLDER, PhoneLink
from fdi_keras.devices.base import Runtime
from fdi_keras.devices.benchmark_model import Batch, BatchReader, Binary, Job, JobResult, Request
from fdi_keras.devices.benchmark_model.batch import HUNG_UP
from fdi_keras.devices.benchmark_model.command import arguments, flags
from fdi_keras.errors import (
    CommandFailedError,
    DeviceGoneError,
    DeviceSilentError,
    MeasurementError,
    ToolHungError,
)

#: Where models lie while they are timed.
MODELS = f"{FOLDER}/models"

#: Models of one command: so many, and so many bytes, and for a phone without shell v2 (Android 6) a
#: script of so many bytes. The costs of a command are shared by its models.
BATCH = 16
BATCH_BYTES = 32_000_000
OLD_SCRIPT_BYTES = 3500

#: A run that is silent for so many seconds longer than it should take is taken for hung.
PATIENCE_S = 60.0

#: A phone that is awake answers within this many seconds; one that took longer than the second was
#: frozen itself, and its tool did not hang.
AWAKE_S = 5.0
SLOW_ANSWER_S = 1.0

#: A phone that does not even take a file of this size takes no models.
LEAST_FREE_BYTES = 1 << 20


@dataclass(frozen=True)
class Task:
    """One model to execute.

    Attributes:
        model: content of a ``.tflite`` file.
        request: how; its path of the model is filled in.
        files: files that the run leaves in :data:`MODELS` and that come back: name to file name.
        wrap: makes another command of the tool's, one that watches it.
        lasts_s: how long it should take, loading aside.
    """

    model: bytes
    request: Request
    lasts_s: float
    files: dict[str, str] = field(default_factory=dict)
    wrap: Callable[[list[str]], list[str]] = list


class PhoneTool:
    """The tool on one phone, with one runtime.

    Args:
        link: the phone; it is prepared, see :class:`~fdi_keras.devices.adb.steady.SteadyPhone`.
        runtime: how models are executed.
        binary: the tool's file on this computer.
        patience_s: see :data:`PATIENCE_S`.

    Every method raises DeviceGoneError when the phone goes away.
    """

    def __init__(self, link: PhoneLink, runtime: Runtime, binary: Binary, patience_s: float = PATIENCE_S):
        self._link, self._runtime, self._binary = link, runtime, binary
        self._patience_s = patience_s
        self._place = f"{BIN}/benchmark_model-{binary.sha256[:12]}"

    def install(self) -> None:
        """Put the tool on the phone, unless it is there."""
        self._link.run(["mkdir", "-p", BIN, MODELS]).checked(f"making {MODELS}")
        if self._link.size(self._place) != self._binary.bytes:
            self._link.push(self._binary.path, self._place, mode=0o755)

    def install_again(self) -> None:
        """The same on a phone that was away: what it was doing then is ended and removed.

        Raises:
            CommandFailedError: it takes no files, because it is full for instance.
        """
        end_processes(self._link)
        self._link.remove(MODELS)
        self.install()
        self._take_a_file()

    def _take_a_file(self) -> None:
        place = f"{MODELS}/{secrets.token_hex(8)}.space"
        self._link.push(bytes(LEAST_FREE_BYTES), place)
        self._link.remove(place)

    def results(self, tasks: Sequence[Task]) -> Iterator[JobResult]:
        """The result of each task, in order, each as soon as it is known."""
        for portion in self._portions(tasks):
            left = portion
            while left:
                done = 0
                for result in self._batch(left):
                    done += 1
                    yield result
                left = left[done:]

    def _portions(self, tasks: Sequence[Task]) -> Iterator[list[Task]]:
        script = len(Batch([self._job(tasks[0], "")], MODELS).script) if tasks else 0
        old = not self._link.has_shell_v2()
        portion: list[Task] = []
        for task in tasks:
            bytes_ = sum(len(t.model) for t in (*portion, task))
            full = len(portion) >= BATCH or bytes_ > BATCH_BYTES
            if portion and (full or (old and script * (len(portion) + 1) > OLD_SCRIPT_BYTES)):
                yield portion
                portion = []
            portion.append(task)
        if portion:
            yield portion

    def _job(self, task: Task, name: str) -> Job:
        told = flags(self._runtime, msgspec.structs.replace(task.request, model=name))
        return Job(task.wrap(arguments(self._place, self._runtime, told)), told, task.files, [name])

    def _batch(self, tasks: Sequence[Task]) -> Iterator[JobResult]:
        """Results of the first tasks, at least one; the others go into another batch."""
        names = [f"{secrets.token_hex(8)}.tflite" for _ in tasks]
        places = [f"{MODELS}/{name}" for name in names]
        try:
            self._link.push_all(dict(zip(places, (task.model for task in tasks), strict=True)))
        except CommandFailedError as refusal:
            yield from self._refused(tasks, refusal)
            return
        batch = Batch([self._job(task, name) for task, name in zip(tasks, names, strict=True)], MODELS)
        reader = BatchReader(batch)
        silence_s = max(task.lasts_s for task in tasks) + self._patience_s
        said, code = b"", 0
        try:
            with self._link.stream(batch.script, len(tasks) * silence_s, silence_s) as stream:
                for source, data in stream.packets:
                    if isinstance(data, int):
                        code = data
                        break
                    if source == "stderr":
                        said = (said + data)[-300:]
                        continue
                    yield from reader.feed(data)
                    if reader.broken:
                        break
        except DeviceSilentError:
            self._ask_whether_there()  # is it the phone, or only the tool?
            reason = f"the tool did not end within {silence_s:.0f} s and was stopped."
            self._clean(places)
            yield JobResult(reader.done, None, ToolHungError(reason), None)
            return
        if not reader.finished:
            if code == HUNG_UP:
                raise DeviceGoneError("the phone's adb daemon ended the command in the middle.")
            self._clean(places)
            error = reader.broken or MeasurementError(
                f"the phone's shell ended in the middle: {said.decode(errors='replace')!r}."
            )
            yield JobResult(reader.done, None, error, None)

    def _refused(self, tasks: Sequence[Task], error: CommandFailedError) -> Iterator[JobResult]:
        """Models that the phone did not take: fewer at a time, or one is too much, or it takes none."""
        if len(tasks) > 1:
            yield from self._batch(tasks[: len(tasks) // 2])
            return
        try:
            self._take_a_file()
        except CommandFailedError as full:
            raise DeviceGoneError(f"the phone takes no models now: {full}") from full
        yield JobResult(0, None, MeasurementError(f"the phone did not take the model: {error}"), None)

    def _ask_whether_there(self) -> None:
        begin = time.monotonic()
        self._link.run("exit 0", timeout_s=AWAKE_S)
        if time.monotonic() - begin > SLOW_ANSWER_S:
            raise DeviceSilentError("the phone did not answer for a while.")

    def _clean(self, places: Sequence[str]) -> None:
        end_processes(self._link)
        self._link.remove(*places)
