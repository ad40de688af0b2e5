"""The controller of the penalty's strength, and the journal of a compression session."""

from __future__ import annotations

import math
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fdi_keras.compression.controller import StrengthController
from fdi_keras.compression.gates import CLOSES_AT, START, STEP, check_gates
from fdi_keras.compression.latency_metric import NOT_COMPUTED
from fdi_keras.errors import JournalError, TrainingDivergedError, UsageError
from fdi_keras.journal import Journal, journal_path, read_journal, set_aside
from fdi_keras.networks.budget_plan import BudgetPlan
from fdi_keras.networks.history import history_of
from fdi_keras.networks.latency_plan import LatencyPlan
from fdi_keras.operators import memory_access
from fdi_keras.profile.roofline import roofline_of

if TYPE_CHECKING:
    from fdi_keras.compression.regularizer import Regularizer

CLOSING = 0.2  # share of a training in which an unopposed gate must be able to close


class LatencyCallback(keras.callbacks.Callback):
    """Steers a gated network to its regularizer's target and journals the session.

    Args:
        session: name of the session; its journal lies in the state folder under this name, and one of
            an earlier session is kept under a name with its date. ``None``: no journal is written,
            unless ``journal`` says where.
        journal: path of the journal instead.

    Each epoch the journal receives loss, metrics, predicted latency, target, strength and
    the expected width of every channel space; prune, grow and export add to it later.

    What the controller remembers is saved with the network. A training that was interrupted and
    goes on with ``initial_epoch`` (BackupAndRestore sets it) from saved weights keeps schedule, strength
    and journal; one that begins anew descends from the latency that the network has reached.

    When the loss becomes NaN or infinite, the weights of the last whole epoch are put back
    and TrainingDivergedError is raised: nothing that was trained is lost.

    A training loop of your own calls it as Keras does, through
    ``keras.callbacks.CallbackList([...], model=model, epochs=epochs, steps=steps)``.

    Raises:
        UsageError: the model has no gates or was compiled without a regularizer, gates are
            NaN before the training, or a training step of your own does not call ``compute_loss``.
        TrainingDivergedError: the loss or a gate became NaN or infinite.

    Example::

        model.fit(x, y, epochs=10, callbacks=[fdi.LatencyCallback(session="digits")])
    """

    def __init__(self, session: str | None = None, journal: str | os.PathLike[str] | None = None):
        super().__init__()
        self.session = session
        path = journal_path("sessions", session) if session is not None and journal is None else journal
        self.path = None if path is None else Path(path)
        self._journal: Journal | None = None
        self._good: list[np.ndarray] | None = None

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        regularizer = getattr(self.model, "regularizer", None)
        if regularizer is None:
            raise UsageError(
                "LatencyCallback needs a model made by fdi_keras.prunable and compiled with "
                f"regularizer=LatencyRegularizer(...) or BudgetRegularizer(...); received {type(self.model).__name__} "
                f"{self.model.name!r} without one."
            )
        self._first_epoch: int | None = None
        self._steps = self.params.get("steps")
        self._epochs = self.params.get("epochs") or 1

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._epoch = epoch
        self._batches = 0
        if self._first_epoch is None:
            # Not before: other callbacks restore weights when the training begins.
            self._begin(epoch)

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        loss = float(logs.get("loss", 0.0))
        self._batches = batch + 1
        if not math.isfinite(loss):
            self._diverged(f"the loss is {loss} in epoch {self._epoch + 1}, batch {batch + 1}")
        # Keras has read its metrics already; a loop that is not Keras's may say less.
        said = logs.get(self.model.regularizer.metric)
        predicted = float(_number(self.model.expected_metric.value) if said is None else said)
        if predicted == NOT_COMPUTED:
            raise UsageError(
                f"the training step of {type(self.model).__name__} does not call "
                "self.compute_loss(x, y, y_pred, sample_weight), so the penalty on latency is missing from the "
                "loss. Take the loss from there."
            )
        if not math.isfinite(predicted):
            self._diverged(f"gates are no numbers any more in epoch {self._epoch + 1}, batch {batch + 1}")
        if self._controller is not None:
            progress = self._progress()
            self._steering.strength.assign(self._controller.update(predicted, progress))
            self._keep(progress)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._steps = self._steps or self._batches
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self._remember()
        if self._journal is not None:
            self._journal.write("epoch", **self._state(epoch, logs))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._good = None
        if self._first_epoch is None:
            return  # everything had been trained before
        self._put_gates_back()
        self._steering.goal_ms.assign(0.0)
        self._steering.control.assign(np.zeros(self._steering.control.shape, "float32"))
        self._close("finished", seconds=round(time.time() - self._started, 3))

    def interrupted(self, error: BaseException) -> None:
        """Note in the journal that an error ended the training; ``fit`` of a gated model calls this."""
        self._good = None
        self._close("interrupted", reason=f"{type(error).__name__}: {error}")

    # The parts

    def _begin(self, epoch: int) -> None:
        """Start the controller, or go on with one that was saved in the midst of this training."""
        model, steering = self.model, self.model.steering
        self._steering = steering  # found once: a model looks through all its layers
        check_gates(model.gates)
        self._remember()
        self._first_epoch = self._schedule_from = epoch
        self._started = time.time()
        regularizer = model.regularizer
        self._controller = None
        if regularizer.target is not None:
            self._controller = self._restored(regularizer.target, epoch)
            if self._controller is None:
                reached = float(_number(steering.strength))
                first = reached if reached > 0 else regularizer.first_strength
                start = max(self._reached_ms(), regularizer.target)
                self._controller = StrengthController(start, regularizer.target, first)
            steering.target_ms.assign(regularizer.target)
            self._keep(self._controller.progress)
        self._quicken()
        if self.path is not None:
            self._open_journal(regularizer, float(_number(steering.start_ms)))

    def _restored(self, target: float, epoch: int) -> StrengthController | None:
        """The saved controller, when its training is the one that now goes on with ``epoch``."""
        schedule_from, epochs, *state = map(float, _number(self.model.steering.control))
        same = math.isclose(float(_number(self.model.steering.target_ms)), target, rel_tol=1e-6)
        if not (same and epochs == self._epochs and epoch > schedule_from):
            return None
        controller = StrengthController(target, target, self.model.regularizer.first_strength)
        controller.state = state
        # Weights are saved at the end of the epoch before, or within the one that is trained again.
        done = controller.progress * (epochs - schedule_from) - (epoch - schedule_from)
        if not -1e-3 <= done <= 1 + 1e-3:
            return None
        self._schedule_from = int(schedule_from)
        return controller

    def _keep(self, progress: float) -> None:
        """Put what the next step needs, and what a later process needs, into the network."""
        assert self._controller is not None
        self._steering.control.assign([self._schedule_from, self._epochs, *self._controller.state])
        together = self.model.steps_per_execution
        if together > 1:
            # Of several steps at once only the last is followed by a new strength.
            ahead = progress + together / ((self._steps or 100) * self._scheduled_epochs)
            self._steering.goal_ms.assign(self._controller.scheduled(ahead))

    def _reached_ms(self) -> float:
        """Predicted latency (or energy) as the gates stand: of expected and open widths the slower."""
        return float(np.max(_number(self.model.latency_plan.expected_ms(self.model.widths()))))

    def _progress(self) -> float:
        steps = self._steps or max(self._batches, 100)  # of unknown length until the first epoch ends
        within = min(self._batches / steps, 1.0)
        return (self._epoch - self._schedule_from + within) / self._scheduled_epochs

    @property
    def _scheduled_epochs(self) -> int:
        return max(self._epochs - self._schedule_from, 1)

    def _quicken(self) -> None:
        """Let gates move faster where the training is too short for their usual step."""
        optimizer = self.model.inner_optimizer
        if self._steps and not int(_number(optimizer.iterations)):
            steps = self._steps * self._scheduled_epochs
            updates = max(steps // (optimizer.gradient_accumulation_steps or 1), 1)
            step = max(STEP, (START - CLOSES_AT) / (CLOSING * updates))
            if step > STEP:
                self.model.set_gate_step(min(step, 0.3))

    def _put_gates_back(self) -> None:
        """After an optimizer has put averages over the training in the place of weights.

        The average of a gate that closed is open: a network that never met the target.
        """
        if self.model.inner_optimizer.use_ema:
            self.model.all_gates.position.assign(self._positions)

    def _remember(self) -> None:
        self._good = [_number(v) for v in self.model.variables]
        self._positions = _number(self.model.all_gates.position)

    def _diverged(self, reason: str) -> None:
        for variable, value in zip(self.model.variables, self._good or [], strict=False):
            variable.assign(value)
        self._good = None
        message = (
            f"training diverged: {reason}. The weights of the last whole epoch were put back. Lower the learning "
            "rate, or check the data for NaN."
        )
        self._close("failed", reason=message)
        raise TrainingDivergedError(message)

    def _close(self, event: str, **fields: Any) -> None:
        if self._journal is not None:
            self._journal.write(event, **fields)
            self._journal.close()
            self._journal = None

    def _open_journal(self, regularizer: Any, start: float) -> None:
        assert self.path is not None
        assert self._first_epoch is not None
        about = {
            "session": self.session or self.path.stem,
            "model": self.model.name,
            "profile": ", ".join(profile.name for profile in regularizer.profiles),
            "device": ", ".join(dict.fromkeys(profile.device.name for profile in regularizer.profiles)),
            "measured": not any(profile.caution for profile in regularizer.profiles),
            **_of_objective(regularizer, start, self.model.latency_plan),
            "epochs": self._epochs - self._first_epoch,
            "spaces": {s.name: {"width": s.width, "kept": s.kept} for s in self.model.channel_spaces},
            **_under_the_roofs(self.model.latency_plan, regularizer),
        }
        known = history_of(self.model).journal == str(self.path)
        if not known and not (self._first_epoch and _trained_before(self.path, about, self._first_epoch)):
            set_aside(self.path)  # of an earlier session of this name; a second fit() goes on in its own
        self._journal = Journal(self.path)
        history_of(self.model).journal = str(self.path)
        self._journal.start("session", **about)
        for profile in regularizer.profiles:
            if profile.caution:
                self._journal.write("warning", message=profile.caution)
        for operator in self.model.latency_plan.uncovered:
            reason = operator.problem or "not in the profile"
            self._journal.write(
                "warning", message=f"{operator.name} ({operator.kind}) is not priced: {reason}"
            )

    def _state(self, epoch: int, logs: dict[str, float]) -> dict[str, Any]:
        steering = self.model.steering
        widths = _number(self.model.expected_widths())
        names = [s.name for s in self.model.channel_spaces]
        return {
            "epoch": epoch + 1,
            "loss": logs.pop("loss", None),
            "latency_ms": logs.pop("latency_ms", None),
            **{name: logs.pop(name) for name in ("energy_mj", "budget_share") if name in logs},
            **_amounts(self.model.latency_plan, widths),
            "metrics": logs,
            "target_ms": getattr(self.model.regularizer, "target_ms", None),
            "strength": float(_number(steering.strength)),
            "widths": {name: round(float(w), 2) for name, w in zip(names, widths, strict=True)},
        }


def _number(tensor: Any) -> np.ndarray:
    return keras.ops.convert_to_numpy(tensor)


def _trained_before(path: Path, about: dict[str, Any], epochs: int) -> bool:
    """Whether a journal tells of the first epochs of a training that now goes on in another process."""
    try:
        events = list(read_journal(path)) if path.is_file() else []
    except JournalError:
        return False
    started = [e for e in events if e["event"] == "started"]
    told = max((e.get("epoch", 0) for e in events if e["event"] == "epoch"), default=0)
    # Names that Keras numbers may be others in another process; what the network is, is not.
    same = ("profile", "device", "start_ms", "target_ms", "start_mj", "target_mj", "budgets")
    return (
        bool(started)
        and told >= epochs
        and all(started[-1].get(name) == about.get(name) for name in same)
        and [*started[-1].get("spaces", {}).values()] == [*about["spaces"].values()]
    )


def _amounts(plan: Any, widths: np.ndarray) -> dict[str, Any]:
    """Of several budgets what is used, in the order of the session's."""
    if not isinstance(plan, BudgetPlan):
        return {}
    return {"budgets": [float(f"{amount:.6g}") for amount in plan.amounts(np.round(widths))]}


def _under_the_roofs(plan: Any, regularizer: Regularizer) -> dict[str, Any]:
    """The roofs of the device and the uncompressed network's operators, where one profile shows the roofs."""
    if not isinstance(plan, LatencyPlan):
        return {}
    try:
        roofline = roofline_of(regularizer.profiles[0])
    except UsageError:
        return {}
    operators = [
        {
            "name": operator.name,
            "kind": operator.kind,
            "flops": operator.operator.explained["flops"],
            "memory_bytes": memory_access(operator.operator),
            **({"predicted_ms": time} if regularizer.objective == "latency" else {}),
        }
        for operator, time in plan.priced(plan.full_widths)
    ]
    return {"roofline": asdict(roofline), "operators": operators}


def _of_objective(regularizer: Any, start: float, plan: Any) -> dict[str, Any]:
    """Start and target of a session, under the names of their unit."""
    if regularizer.objective == "latency":
        return {"start_ms": start, "target_ms": regularizer.target_ms}
    about = {"objective": regularizer.objective, "start_ms": None, "target_ms": None}
    if regularizer.objective == "energy":
        return about | {"start_mj": start, "target_mj": regularizer.target_mj}
    amounts = plan.amounts(plan.full_widths)
    return about | {
        "start_share": start,
        "target_share": regularizer.target,
        "budgets": [
            {"subject": budget.subject, "unit": budget.unit, "limit": budget.limit, "start": amount}
            for budget, amount in zip(regularizer.budgets, amounts, strict=True)
        ],
    }
