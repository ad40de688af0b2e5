"""The whole way as one call: steer, prune, grow, fine-tune, export, measure.

Stages are steps of FastDeepIoT (Yao et al., SenSys 2018, section 5): compression steered by predicted
time, expansion to time minima, fine-tuning. How the epochs are shared, the schedules, distillation and
the estimation of statistics anew are our choice.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.budget_meter import BudgetMeter
from fdi_keras.compression.callback import LatencyCallback
from fdi_keras.compression.distillation import Lesson, TaughtAccuracy, lesson
from fdi_keras.compression.gated_model import PrunableModel, ungated
from fdi_keras.compression.grow import grow
from fdi_keras.compression.prunable import prunable
from fdi_keras.compression.prune import apply_widths, costly_branches, prune
from fdi_keras.compression.recurrent_form import fitting_form
from fdi_keras.compression.regularizer import BudgetRegularizer, LatencyRegularizer, Regularizer
from fdi_keras.compression.tuning import estimate_statistics, rising_and_falling, without_dropout
from fdi_keras.errors import StorageError, TargetError, UsageError
from fdi_keras.networks.budgets import Budget, checked_budgets, profiles_of
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.export import export_litert
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.history import history_of, inherit
from fdi_keras.networks.latency import measure_interleaved, predict_latency
from fdi_keras.profile import DeviceProfile, load_profile
from fdi_keras.profile.files import write_atomically
from fdi_keras.profile.timed_on import check_device, runtime_of

#: Share of the epochs in which the gates are trained.
STEERING = 0.2

#: Seconds of timing: of the original, in whose time all is told; of each network at the end; of one whose widths are
#: still looked for.
FIRST_S, MEASURE_S, TRY_S = 3.0, 1.0, 0.5

#: What is pruned may miss the target by this share; so often other widths are tried.
ON_TARGET, TRIES = 0.02, 5


@dataclass(frozen=True)
class Stage:
    """A network on the way.

    Attributes:
        name: ``"original"``, ``"pruned"``, ``"grown"`` or ``"fine-tuned"``.
        parameters, flops: counts.
        predicted_ms: by the profile.
        measured_ms: on the device; ``None`` where none was named.
        metrics: of ``validation_data``, loss included; empty without.
        widths: of the channel spaces that the original has and that can be narrowed, by name; 0 where a branch went.
        budgets: what it takes of each further budget, in the budget's unit, by its words.
    """

    name: str
    parameters: int
    flops: float
    predicted_ms: float
    measured_ms: float | None
    metrics: dict[str, float]
    widths: dict[str, int]
    budgets: dict[str, float] = field(default_factory=dict)


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
    removed, widths grown to time minima, and the rest is fine-tuned under a learning rate that falls to zero; of both
    trainings the original network is the teacher.
    Recurrent layers become loops or unrolled, as more channels are predicted to fit the target.

    Args:
        model: a trained and compiled Sequential or functional model; it is not changed. Its loss, optimizer
            and metrics are those of the compression.
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
    run.begin(folder)
    return run.carry_out()


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
        self.folder: Path | None = None
        self.lesson: Lesson | None = None

    def begin(self, folder: str | os.PathLike[str] | None) -> None:
        """Take a folder, a new one or that of the same run."""
        if folder is None:
            return
        path = Path(folder)
        mine = {
            "model": self.model.name,
            "parameters": self.model.count_params(),
            "target_ms": self.target_ms,
            "epochs": [self.steering, self.tuning],
            "profile": self.profile.name,
            "device": self.device,
        }
        if not self.mixtures:
            mine["mixtures"] = False
        if not self.remove_branches:
            mine["remove_branches"] = False
        if self.limits[1:]:
            mine["budgets"] = [str(budget) for budget in self.limits[1:]]
        try:
            path.mkdir(parents=True, exist_ok=True)
            known = json.loads((path / "run.json").read_text()) if (path / "run.json").exists() else mine
        except OSError as error:
            raise StorageError(f"cannot use folder {path}: {error.strerror}. Name another.") from error
        except json.JSONDecodeError as error:
            raise UsageError(f"{path / 'run.json'} is damaged ({error}). Name another folder.") from error
        if known != mine:
            differences = [
                f"{key} {known.get(key)} there, {mine.get(key)} now"
                for key in {**mine, **known}
                if known.get(key) != mine.get(key)
            ]
            raise UsageError(f"{path} holds another run ({'; '.join(differences)}). Name another folder.")
        write_atomically(path / "run.json", json.dumps(mine, indent=2).encode())
        self.folder = path

    def carry_out(self) -> Compressed:
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
        pruned, grown, tuned = map(self._kept, ("pruned", "grown", "fine-tuned"))
        if pruned is None or grown is None or tuned is None:
            self._teach()
            if pruned is None or grown is None:
                pruned, grown = self._on_target(self._steered())
            tuned = self._tuned(grown)
        else:
            self.report("all training was done before")
        networks = {"original": self.model, "pruned": pruned, "grown": grown, "fine-tuned": tuned}
        return Compressed(tuned, self._stages(networks), self.folder, self.cautions)

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
        kept = self._kept("gated")
        if isinstance(kept, PrunableModel):
            self.report("steering was done before")
            return kept
        limits = self.meter.to_predict()
        network = fitting_form(self.model, limits, self.report)
        gone = self._costly_branches(network, limits)
        gated = prunable(apply_widths(network, dict.fromkeys(gone, ())) if gone else network)
        warnings = [*self.other_devices, *self._told_without(gone)]
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
        self._keep(gated, "gated")
        return gated

    def _on_target(self, gated: PrunableModel) -> tuple[keras.Model, keras.Model]:
        """Pruned, and grown to what the device takes; where the profile is off, to what it must say."""
        before = self._widths(ungated(gated))
        went = {name: np.empty(0, int) for name, width in before.items() if not width}
        inherit(gated, gated, went)  # of the original, as what is pruned now will be
        shapes: list[Any] = []
        nearest: tuple[float, keras.Model, keras.Model] | None = None
        for left in reversed(range(TRIES)):
            try:
                pruned, grown = self._narrowed(gated, self.meter.to_predict())
            except TargetError as error:
                if not self.meter.has_learned:
                    raise
                pairs = zip(self.meter.to_predict(), self.limits, strict=True)
                told = ", ".join(f"{predicted} for {budget}" for predicted, budget in pairs)
                raise TargetError(
                    f"{error} By what was measured so far, {told} have to be predicted."
                ) from error
            took = self.meter.amounts(grown, TRY_S)
            most = max(amount / budget.limit for amount, budget in zip(took, self.limits, strict=True))
            # Times are known to a few per cent, files to the byte.
            exceeded = any(
                budget.what == "file_mb" and amount > budget.limit
                for amount, budget in zip(took, self.limits, strict=True)
            )
            off = abs(most - 1) + exceeded
            if nearest is None or off < nearest[0]:
                nearest = off, pruned, grown
            last, shapes = shapes, [weight.shape for weight in grown.weights]
            done = off <= ON_TARGET
            if done or not left or not self.meter.measures or shapes == last:
                break
            told = ", ".join(map(str, self.meter.to_predict()))
            self.report(f"it takes {self.meter.listed(took)}: other widths, for {told} predicted")
        assert nearest is not None
        _, pruned, grown = nearest
        after = self._widths(pruned)
        self._told_without([name for name, width in before.items() if width and not after[name]])
        if _are_arrays(self.data):
            estimate_statistics(grown, self.data[0], self.batch_size)
        self._keep(pruned, "pruned")
        self._keep(grown, "grown")
        return pruned, grown

    def _narrowed(self, gated: PrunableModel, limits: Sequence[Budget]) -> tuple[keras.Model, keras.Model]:
        """The gated network pruned, and grown to what is left, within predicted limits."""
        goal: dict[str, Any] = {"budgets": limits}
        if len(limits) == 1:
            goal = {"profile": self.profile, "target_ms": limits[0].limit}
        pruned = prune(gated, **goal, remove_branches=self.remove_branches)
        return pruned, grow(pruned, **goal, origin=gated, report=None)

    def _costly_branches(self, network: keras.Model, limits: Sequence[Budget]) -> list[str]:
        """What goes before the gates are steered, so that they open where there is time then."""
        if not self.remove_branches:
            return []
        if len(limits) > 1:
            return costly_branches(network, limits, 1.0)
        return costly_branches(network, self.profile, limits[0].limit)

    def _told_without(self, gone: Sequence[str]) -> list[str]:
        told = (
            [f"without the branches of {', '.join(gone)}: their time is worth more elsewhere"] if gone else []
        )
        for text in told:
            self.report(text)
        return told

    def _tuned(self, grown: keras.Model) -> keras.Model:
        tuned = keras.models.clone_model(grown)
        tuned.set_weights(grown.get_weights())
        inherit(tuned, grown)
        self._compile(tuned)
        rate = float(keras.ops.convert_to_numpy(tuned.optimizer.learning_rate))
        schedule = keras.callbacks.LearningRateScheduler(
            lambda epoch, _: rate * rising_and_falling((epoch + 0.5) / self.tuning)
        )
        # A smaller network can learn less by heart, and mixtures of examples are there against it (our choice).
        with without_dropout(tuned) if self.lesson and self.lesson.is_mixed else nullcontext() as dropped:
            if dropped:
                self.report("dropout is left out of fine-tuning: mixtures of examples take its place")
            self._fit(tuned, self.tuning, "fine-tuning", [schedule])
        tuned.compile(**self._compiling())
        tuned.optimizer.build(tuned.trainable_variables)  # or Keras finds its file incomplete
        self._keep(tuned, "fine-tuned")
        return tuned

    # Training

    def _compiling(self) -> dict[str, Any]:
        """Arguments of ``compile`` as the original had them, with an optimizer of their own."""
        return keras.saving.deserialize_keras_object(self.model.get_compile_config())

    def _compile(self, network: keras.Model, **further: Any) -> None:
        arguments = self._compiling()
        if self.lesson is not None:
            arguments["loss"] = self.lesson.loss
            if not self.lesson.scores_labels:
                classes = self.lesson.loss.classes
                arguments |= {"metrics": [TaughtAccuracy(classes)], "weighted_metrics": None}
        network.compile(**arguments, **further)

    def _fit(self, network: keras.Model, epochs: int, what: str, callbacks: list[Any]) -> None:
        if self.folder is not None:
            callbacks = [keras.callbacks.BackupAndRestore(self.folder / f"{what} so far"), *callbacks]
        callbacks = [*callbacks, _Told(what, epochs, self.report)]
        if not _are_arrays(self.data):
            network.fit(self.data, epochs=epochs, verbose=0, callbacks=callbacks, shuffle=False)
            return
        examples = self.data if self.lesson is None else self.lesson.examples
        size = self.batch_size if len(examples) == 2 else None  # a dataset has its own
        network.fit(*examples, batch_size=size, epochs=epochs, verbose=0, callbacks=callbacks)

    # The folder and the device

    def _kept(self, name: str) -> Any:
        path = None if self.folder is None else self.folder / f"{name}.keras"
        return keras.models.load_model(path) if path is not None and path.exists() else None

    def _keep(self, network: keras.Model, name: str) -> None:
        if self.folder is not None:
            unfinished = self.folder / f"unfinished {name}.keras"
            network.save(unfinished)
            unfinished.replace(self.folder / f"{name}.keras")

    def _stages(self, networks: Mapping[str, keras.Model]) -> list[Stage]:
        times: list[float | None] = [None] * len(networks)
        if self.device is not None:
            runtime = runtime_of(self.profile)
            measured = measure_interleaved(
                list(networks.values()), self.device, runtime.threads or 1, MEASURE_S, runtime
            )
            times = [each.median_ms for each in measured]
        stages = [
            self._stage(name, network, took)
            for (name, network), took in zip(networks.items(), times, strict=True)
        ]
        if self.folder is not None:
            export_litert(networks["fine-tuned"], self.folder / "fine-tuned.tflite")
            text = json.dumps(
                {"target_ms": self.target_ms, "stages": [asdict(stage) for stage in stages]}, indent=2
            )
            write_atomically(self.folder / "result.json", text.encode())
        return stages

    def _stage(self, name: str, network: keras.Model, took_ms: float | None) -> Stage:
        priced = predict_latency(network, self.profile)
        return Stage(
            name,
            int(network.count_params()),
            priced.flops,
            priced.total_ms,
            took_ms,
            self._metrics(network),
            self._widths(network),
            self.meter.further(network, MEASURE_S),
        )

    def _widths(self, network: keras.Model) -> dict[str, int]:
        """By the original's channel spaces, which may be called otherwise where a branch went."""
        left = {
            producer: space.width
            for space in find_channel_spaces(read_graph(network))
            for producer in space.producers
        }
        return {
            space.name: next((left[producer] for producer in space.producers if producer in left), 0)
            for space in self.spaces.prunable
        }

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
