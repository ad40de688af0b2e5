"""The whole way as one call: steer, prune, grow, fine-tune, export, measure.

Stages are steps of FastDeepIoT (Yao et al., SenSys 2018, section 5): compression steered by predicted
time, expansion to time minima, fine-tuning. How the epochs are shared, the schedules, distillation and
the estimation of statistics anew are our choice.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras

from fdi_keras.compression.budget_meter import BudgetMeter
from fdi_keras.compression.callback import LatencyCallback
from fdi_keras.compression.distillation import Lesson, TaughtAccuracy, lesson
from fdi_keras.compression.gated_model import PrunableModel
from fdi_keras.compression.on_target import branches_to_remove, pruned_on_target, without_branches
from fdi_keras.compression.prunable import prunable
from fdi_keras.compression.prune import apply_widths
from fdi_keras.compression.recurrent_form import fitting_form
from fdi_keras.compression.regularizer import BudgetRegularizer, LatencyRegularizer, Regularizer
from fdi_keras.compression.run_folder import RunFolder
from fdi_keras.compression.stages import Stage, told_of
from fdi_keras.compression.tuning import (
    at_one_rate,
    averaged_weights,
    estimate_statistics,
    rising,
    rising_and_falling,
    without_dropout,
)
from fdi_keras.errors import UsageError
from fdi_keras.networks.budgets import Budget, checked_budgets, profiles_of
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.export import export_litert
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.history import history_of, inherit
from fdi_keras.profile import DeviceProfile, load_profile
from fdi_keras.profile.timed_on import check_device
from fdi_keras.writing import write_atomically

#: Share of the epochs in which the gates are trained.
STEERING = 0.2

#: Steps of an epoch, of which a schedule is asked for its rates, where the data do not tell them.
UNKNOWN_STEPS = 100

#: Seconds of timing of the original, in whose time all is told.
FIRST_S = 3.0


@dataclass(frozen=True)
class Compressed:
    """What :func:`compress` returns.

    Attributes:
        model: the fine-tuned network, plain Keras, compiled as the original was.
        stages: every network on the way, the original first.
        folder: where all of them lie; ``None`` when none was named.
        cautions: what to know of the numbers: profiles that were not measured, or of another device.
    """

    model: keras.Model
    stages: list[Stage]
    folder: Path | None
    cautions: list[str] = field(default_factory=list)


def compress(
    model: keras.Model,
    profile: DeviceProfile | str,
    target_ms: float,
    data: Any,
    epochs: int,
    *,
    validation_data: Any = None,
    batch_size: int = 32,
    device: str | None = "local",
    budgets: Budget | Sequence[Budget] = (),
    mixtures: bool = True,
    remove_branches: bool = True,
    folder: str | os.PathLike[str] | None = None,
    session: str | None = None,
    report: Callable[[str], None] = print,
) -> Compressed:
    """Make a trained network as fast as asked for, with as little loss of accuracy as this library can.

    Branches of additions go whose time is worth more elsewhere; the gates are steered to the target, closed channels
    removed, widths grown to time minima, and the rest is fine-tuned, its weights averaged over many steps; of both
    trainings the original network is the teacher.
    Recurrent layers become loops or unrolled, as more channels are predicted to fit the target.

    Args:
        model: a trained and compiled Sequential or functional model; it is not changed. Its loss, optimizer
            and metrics are those of the compression, a schedule gives way to its highest learning rate.
        profile: of the device, its path, or the name of a bundled one.
        target_ms: what the network shall take: on ``device`` where one is named, else predicted.
        data: ``(x, y)`` arrays, or whatever else ``fit`` takes; without arrays nobody teaches.
        epochs: in all, steering and fine-tuning together; at least 2.
        validation_data: ``(x, y)``, or a dataset, for the metrics of every stage.
        batch_size: of arrays.
        device: times what is pruned and every stage, as ``fdi devices`` lists it, executed as the profile was
            measured (threads, delegate, precision, cores); ``None`` for none.
        budgets: further limits that have to be kept, such as the latency on another device. A latency is timed
            where its budget names a device, a file is measured; energy and memory are predicted.
        mixtures: whether the teacher is asked about weighted means of two examples as well. False where such means
            are no inputs that a network could have, as of numbers that stand for words. With them dropout
            rests while the network is fine-tuned.
        remove_branches: whether whole branches of additions may go; see :func:`fdi_keras.prune`.
        folder: gets every stage as ``.keras``, the last one as ``.tflite``, and ``result.json``. A
            run that was stopped goes on in its folder: what is done stays done.
        session: name under which the dashboard shows it.
        report: is told what happens, a line at a time.

    Raises:
        UsageError: the model is not compiled or as fast already, too few epochs, arrays without examples or of
            unequal numbers of them, a folder of another run, the target once more among the budgets, or the
            profile of a phone and this computer as device.
        TargetError: no widths meet the target, or keep the budgets.
        StorageError: the folder cannot be written.
        TrainingDivergedError: the loss became NaN.

    Example::

        result = fdi.compress(model, "this-computer.json", 2.0, (x, y), epochs=20, validation_data=(xt, yt))
        result.model.save("small.keras")
    """
    if not isinstance(model, keras.Model):
        raise UsageError(f"compress() takes a Keras model, received {type(model).__name__}.")
    if not model.compiled:
        raise UsageError("compress() takes loss, optimizer and metrics from the model: compile it first.")
    if epochs < 2:
        raise UsageError(f"compress(epochs={epochs}): expected at least 2, to steer and to fine-tune.")
    counts = {len(part) for part in keras.tree.flatten(data)} if _are_arrays(data) else {1}
    if len(counts) != 1 or not min(counts):
        received = " and ".join(map(str, sorted(counts)))
        raise UsageError(f"compress(data=(x, y)): expected as many labels as examples, received {received}.")
    if isinstance(profile, str):
        profile = load_profile(profile)
    limits = [Budget(profile, ms=target_ms, device=device), *(checked_budgets(budgets) if budgets else ())]
    run = _Run(
        model, checked_budgets(limits), data, epochs, validation_data, batch_size, mixtures, remove_branches,
        session, report,
    )  # fmt: skip
    for text in run.cautions:
        report(f"caution: {text}")
    return run.carry_out(folder)


class _Run:
    def __init__(
        self,
        model: keras.Model,
        limits: Sequence[Budget],
        data: Any,
        epochs: int,
        validation_data: Any,
        batch_size: int,
        mixtures: bool,
        remove_branches: bool,
        session: str | None,
        report: Callable[[str], None],
    ):
        first = limits[0]
        assert isinstance(first.profile, DeviceProfile)
        self.model, self.limits = model, list(limits)
        self.meter = BudgetMeter(model, limits)
        self.spaces = find_channel_spaces(read_graph(model))
        self.profile, self.target_ms, self.device = first.profile, first.limit, first.device
        self.data, self.validation_data, self.batch_size = data, validation_data, batch_size
        self.mixtures, self.remove_branches = mixtures, remove_branches
        self.session, self.report = session, report
        self.other_devices = [
            text
            for limit in limits
            if isinstance(limit.profile, DeviceProfile) and limit.device is not None
            if (text := check_device(limit.profile, limit.device))
        ]
        self.cautions = [known.caution for known in profiles_of(limits) if known.caution] + self.other_devices
        self.steering = min(max(round(STEERING * epochs), 1), epochs - 1)
        self.tuning = epochs - self.steering
        self.lesson: Lesson | None = None

    def _asked(self) -> dict[str, Any]:
        """By which a folder tells whether it is this run that was stopped."""
        asked = {
            "model": self.model.name,
            "parameters": self.model.count_params(),
            "target_ms": self.target_ms,
            "epochs": [self.steering, self.tuning],
            "profile": self.profile.name,
            "device": self.device,
        }
        if not self.mixtures:
            asked["mixtures"] = False
        if not self.remove_branches:
            asked["remove_branches"] = False
        if self.limits[1:]:
            asked["budgets"] = [str(budget) for budget in self.limits[1:]]
        return asked

    def carry_out(self, folder: str | os.PathLike[str] | None) -> Compressed:
        """Do what is not done yet in a folder: a new one or that of the same run."""
        self.folder = RunFolder(folder, self._asked())
        took = self.meter.amounts(self.model, FIRST_S)
        if all(amount <= budget.limit for amount, budget in zip(took, self.limits, strict=True)):
            raise UsageError(
                f"{self.model.name!r} takes {self.meter.listed(took)} already; a target must be below that."
            )
        self.report(
            f"from {took[0]:.4g} ms to {self.target_ms:.4g} ms; "
            f"{self.steering} epochs of steering, {self.tuning} of fine-tuning"
        )
        for amount, budget in zip(took[1:], self.limits[1:], strict=True):
            self.report(f"and from {amount:.4g} {budget.unit} to {budget}")
        pruned, grown, tuned = map(self.folder.kept, ("pruned", "grown", "fine-tuned"))
        if pruned is None or grown is None or tuned is None:
            if (rate := self._optimizer()[1]) is not None:
                self.report(
                    f"instead of its schedule the optimizer has the highest learning rate of it, {rate:.3g}"
                )
            self._teach()
            if pruned is None or grown is None:
                pruned, grown = self._narrowed(self._steered())
            tuned = self._tuned(grown)
        else:
            self.report("all training was done before")
        networks = {"original": self.model, "pruned": pruned, "grown": grown, "fine-tuned": tuned}
        stages = told_of(networks, self.spaces, self.meter, self._metrics)
        self._write(tuned, stages)
        return Compressed(tuned, stages, self.folder.path, self.cautions)

    # The stages

    def _teach(self) -> None:
        if not _are_arrays(self.data):
            self.report("nobody teaches: the data are no arrays (x, y)")
            return
        (x, y), loss = self.data, self._compiling()["loss"]
        longest = max(self.steering, self.tuning) if self.mixtures else 0
        found = lesson(self.model, x, y, loss, self.batch_size, longest)
        if isinstance(found, str):
            self.report(f"nobody teaches: {found}")
        else:
            self.lesson = found

    def _steered(self) -> PrunableModel:
        kept = self.folder.kept("gated")
        if isinstance(kept, PrunableModel):
            self.report("steering was done before")
            return kept
        limits = self.meter.to_predict()
        network = fitting_form(self.model, limits, self.report)
        gone = branches_to_remove(network, limits) if self.remove_branches else []
        warnings = list(self.other_devices)
        if gone:
            network = apply_widths(network, dict.fromkeys(gone, ()))
            warnings.append(without_branches(gone))
            self.report(warnings[-1])
        gated = prunable(network)
        regularizer: Regularizer
        if len(limits) == 1:
            regularizer = LatencyRegularizer(self.profile, target_ms=limits[0].limit)
        else:
            regularizer = BudgetRegularizer(limits)
        self._compile(gated, regularizer=regularizer)

        def warn(epoch: int, logs: object) -> None:
            for text in warnings if epoch == 0 else ():
                history_of(gated).write("warning", message=text)

        warned = keras.callbacks.LambdaCallback(on_epoch_end=warn)  # the session begins with the epoch
        self._fit(gated, self.steering, "steering", [LatencyCallback(session=self.session), warned])
        self.folder.keep(gated, "gated")
        return gated

    def _narrowed(self, gated: PrunableModel) -> tuple[keras.Model, keras.Model]:
        pruned, grown = pruned_on_target(gated, self.spaces, self.meter, self.remove_branches, self.report)
        if _are_arrays(self.data):
            estimate_statistics(grown, self.data[0], self.batch_size)
        self.folder.keep(pruned, "pruned")
        self.folder.keep(grown, "grown")
        return pruned, grown

    def _tuned(self, grown: keras.Model) -> keras.Model:
        tuned = keras.models.clone_model(grown)
        tuned.set_weights(grown.get_weights())
        inherit(tuned, grown)
        self._compile(tuned)
        rate = float(keras.ops.convert_to_numpy(tuned.optimizer.learning_rate))
        steps = self._steps_of_an_epoch()
        if steps is None:
            self.report(
                "weights are not averaged but the learning rate falls to zero: of the data no length is known"
            )
        course = rising if steps else rising_and_falling
        schedule = keras.callbacks.LearningRateScheduler(
            lambda epoch, _: rate * course((epoch + 0.5) / self.tuning)
        )
        with ExitStack() as meanwhile:
            # A smaller network can learn less by heart, and mixtures of examples are there against it (our choice).
            mixed = self.lesson is not None and self.lesson.is_mixed
            if mixed and meanwhile.enter_context(without_dropout(tuned)):
                self.report("dropout is left out of fine-tuning: mixtures of examples take its place")
            if steps:
                meanwhile.enter_context(averaged_weights(tuned, steps * self.tuning))
            self._fit(tuned, self.tuning, "fine-tuning", [schedule])
        tuned.compile(**self._compiling())
        tuned.optimizer.build(tuned.trainable_variables)  # or Keras finds its file incomplete
        self.folder.keep(tuned, "fine-tuned")
        return tuned

    # Training

    def _compiling(self, **instead: Any) -> dict[str, Any]:
        """Arguments of ``compile`` as the original had them, with an optimizer of their own."""
        return keras.saving.deserialize_keras_object({**self.model.get_compile_config(), **instead})

    def _optimizer(self) -> tuple[Any, float | None]:
        """Serialized: a schedule is for the training that it was made for, ours has its own."""
        steps = (self._steps_of_an_epoch() or UNKNOWN_STEPS) * self.tuning
        return at_one_rate(self.model.get_compile_config()["optimizer"], steps)

    def _compile(self, network: keras.Model, **further: Any) -> None:
        arguments = self._compiling(optimizer=self._optimizer()[0])
        if self.lesson is not None:
            arguments["loss"] = self.lesson.loss
            if not self.lesson.scores_labels:
                classes = self.lesson.loss.classes
                arguments |= {"metrics": [TaughtAccuracy(classes)], "weighted_metrics": None}
        network.compile(**arguments, **further)

    def _steps_of_an_epoch(self) -> int | None:
        """None where the data do not tell."""
        if _are_arrays(self.data):
            return math.ceil(len(keras.tree.flatten(self.data)[0]) / self.batch_size)
        try:
            return len(self.data)
        except (TypeError, NotImplementedError):
            return None

    def _fit(self, network: keras.Model, epochs: int, what: str, callbacks: list[Any]) -> None:
        callbacks = [*self.folder.going_on(what), *callbacks, _Told(what, epochs, self.report)]
        if not _are_arrays(self.data):
            network.fit(self.data, epochs=epochs, verbose=0, callbacks=callbacks, shuffle=False)
            return
        examples = self.data if self.lesson is None else self.lesson.examples
        size = self.batch_size if len(examples) == 2 else None  # a dataset has its own
        network.fit(*examples, batch_size=size, epochs=epochs, verbose=0, callbacks=callbacks)

    # What is told

    def _write(self, tuned: keras.Model, stages: Sequence[Stage]) -> None:
        if self.folder.path is None:
            return
        export_litert(tuned, self.folder.path / "fine-tuned.tflite")
        told = {"target_ms": self.target_ms, "stages": [asdict(stage) for stage in stages]}
        write_atomically(self.folder.path / "result.json", json.dumps(told, indent=2).encode())

    def _metrics(self, network: keras.Model) -> dict[str, float]:
        if self.validation_data is None:
            return {}
        if not network.compiled or network is not self.model:
            network.compile(**self._compiling())
        given = self.validation_data if _are_arrays(self.validation_data) else (self.validation_data,)
        found = network.evaluate(*given, batch_size=self.batch_size, verbose=0, return_dict=True)
        return {key: float(value) for key, value in found.items()}


class _Told(keras.callbacks.Callback):
    """Tells of every epoch."""

    def __init__(self, what: str, epochs: int, report: Callable[[str], None]):
        super().__init__()
        self.what, self.epochs, self.report, self.began = what, epochs, report, time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        listed = ", ".join(f"{name} {float(value):.4g}" for name, value in (logs or {}).items())
        self.report(f"{self.what} {epoch + 1}/{self.epochs}: {listed}; {time.monotonic() - self.began:.0f} s")


def _are_arrays(data: Any) -> bool:
    return (
        isinstance(data, (tuple, list))
        and len(data) == 2
        and all(hasattr(part, "shape") for part in keras.tree.flatten(data))
    )
