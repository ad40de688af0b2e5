"""The controller of the penalty's strength, and the journal of a compression session."""

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from fdi_keras.errors import TrainingDivergedError, UsageError
from fdi_keras.journal import Journal, journal_path, set_aside
from fdi_keras.networks.history import history_of

REACH = 0.7  # share of the training in which the schedule descends to the target
WARM_UP = 0.05  # share before it begins
PROPORTIONAL = 20.0  # gains of the controller on the log of the ratio (our choice, tuned on digits)
INTEGRAL = 150.0  # per whole training
TOLERANCE = 0.02  # how far below the schedule the latency may stay
REWARD = 0.3  # of the strongest penalty so far, when the latency is far below the schedule
WINDING = 3.0  # how far the integral may fall below its highest value
SMOOTHING = 0.02  # share of the training over which the fall of the latency is averaged
LARGEST_ERROR = 0.1  # larger errors count as this: gates need time to follow
CLOSING = 0.2  # share of a training in which an unopposed gate must be able to close


class StrengthController:
    """PI control of the strength on ``log(predicted / scheduled latency)``.

    The scheduled latency descends geometrically from the start to the target (our
    choice: each step asks for the same relative saving), then holds.

    Args:
        start_ms, target_ms: predicted latency at the start, and to be reached.
        first: strength at the beginning.

    >>> c = StrengthController(start_ms=2.0, target_ms=1.0, first=0.01)
    >>> round(c.scheduled(0.0), 3), round(c.scheduled(0.7), 3), round(c.scheduled(1.0), 3)
    (2.0, 1.0, 1.0)
    >>> c.update(2.0, progress=0.5) > 0.01
    True
    """

    def __init__(self, start_ms: float, target_ms: float, first: float):
        self.start_ms, self.target_ms, self.first = start_ms, target_ms, first
        self.integral = 0.0
        self.highest = 0.0
        self.strongest = first
        self.progress = 0.0
        self.smooth = math.log(start_ms)  # of the predicted latency, to see how fast it falls
        self.falling = 0.0

    def scheduled(self, progress: float) -> float:
        """Latency to be met when ``progress`` (0 to 1) of the training is done, in ms."""
        share = min(max((progress - WARM_UP) / (REACH - WARM_UP), 0.0), 1.0)
        return self.start_ms * (self.target_ms / self.start_ms) ** share

    def update(self, latency_ms: float, progress: float) -> float:
        """The strength for the next step; negative when gates must open again to come up to the target."""
        error = math.log(max(latency_ms, 1e-9) / self.scheduled(progress))
        error = min(max(error, -LARGEST_ERROR), LARGEST_ERROR)
        step = max(progress - self.progress, 0.0)
        self.progress = progress
        if not (error > 0 and self._catching_up(latency_ms, step)):
            self.integral = min(max(self.integral + INTEGRAL * error * step, self.highest - WINDING), 12.0)
            self.highest = max(self.highest, self.integral)
        if error < -TOLERANCE:
            # Faster than scheduled: nothing else would open a gate again, so the penalty becomes a reward,
            # of a size that counts beside the penalties that the optimizer remembers.
            return REWARD * self.strongest * error / LARGEST_ERROR
        strength = self.first * math.exp(min(self.integral + PROPORTIONAL * error, 12.0))
        self.strongest = max(self.strongest, strength)
        return strength

    def _catching_up(self, latency_ms: float, step: float) -> bool:
        """Whether the latency falls faster than the schedule: more strength would only overshoot."""
        if step <= 0:
            return False
        share = min(step / SMOOTHING, 1.0)
        before = self.smooth
        self.smooth += share * (math.log(max(latency_ms, 1e-9)) - before)
        self.falling += share * ((before - self.smooth) / step - self.falling)
        wanted = math.log(self.start_ms / self.target_ms) / (REACH - WARM_UP)
        return self.falling > wanted


class LatencyCallback(keras.callbacks.Callback):
    """Steers a gated network to its regularizer's target and journals the session.

    Args:
        session: name of the session; its journal lies in the state folder under this name, and one of
            an earlier session is kept under a name with its date. ``None``: no journal is written,
            unless ``journal`` says where.
        journal: path of the journal instead.

    Each epoch the journal receives loss, metrics, predicted latency, target, strength and
    the expected width of every channel space; prune, grow and export add to it later.

    When the loss becomes NaN or infinite, the weights of the last whole epoch are put back
    and TrainingDivergedError is raised: nothing that was trained is lost.

    Raises:
        UsageError: the model has no gates or was compiled without a LatencyRegularizer.

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
                f"regularizer=LatencyRegularizer(...); received {type(self.model).__name__} "
                f"{self.model.name!r} without one."
            )
        steering = self.model.steering
        self._first_epoch: int | None = None
        self._steps_seen = 0
        self._steps = self.params.get("steps")
        self._epochs = self.params.get("epochs") or 1
        start = float(keras.ops.convert_to_numpy(steering.start_ms))
        self._controller = None
        if regularizer.target is not None:
            first = float(keras.ops.convert_to_numpy(steering.strength))
            self._controller = StrengthController(start, regularizer.target, first)
        self._quicken()
        self._remember()
        if self.path is not None:
            self._open_journal(regularizer, start)

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if self._first_epoch is None:
            self._first_epoch = epoch  # later than 0 when training is taken up again
        self._epoch = epoch
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        logs = logs or {}
        self._batches = batch + 1
        if not math.isfinite(float(logs.get("loss", 0.0))):
            self._diverged(f"the loss is {float(logs['loss'])} in epoch {self._epoch + 1}, batch {batch + 1}")
        metric = self.model.regularizer.metric
        if self._controller is not None and metric in logs:
            # Of the expected and the open widths the slower: pruning must meet the target too.
            steering = self.model.steering
            predicted = max(float(logs[metric]), float(keras.ops.convert_to_numpy(steering.open_ms)))
            strength = self._controller.update(predicted, self._progress())
            steering.strength.assign(strength)

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._steps = self._steps or self._batches
        logs = {name: float(value) for name, value in (logs or {}).items()}
        self._remember()
        if self._journal is not None:
            self._journal.write("epoch", **self._state(epoch, logs))

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._good = None
        if self._journal is not None:
            self._journal.write("finished", seconds=round(time.time() - self._started, 3))
            self._journal.close()
            self._journal = None

    # The parts

    def _progress(self) -> float:
        steps = self._steps or max(self._batches, 100)  # of unknown length until the first epoch ends
        within = min(self._batches / steps, 1.0)
        first = self._first_epoch or 0
        return (self._epoch - first + within) / max(self._epochs - first, 1)

    def _quicken(self) -> None:
        """Let gates move faster where the training is too short for their usual step."""
        from fdi_keras.compression.gates import CLOSES_AT, START, STEP

        untrained = not int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        if self._steps and untrained:
            total = self._steps * self._epochs
            step = max(STEP, (START - CLOSES_AT) / (CLOSING * total))
            if step > STEP:
                self.model.set_gate_step(min(step, 0.3))

    def _remember(self) -> None:
        self._good = [keras.ops.convert_to_numpy(v) for v in self.model.variables]

    def _diverged(self, reason: str) -> None:
        for variable, value in zip(self.model.variables, self._good or [], strict=False):
            variable.assign(value)
        self._good = None
        message = (
            f"training diverged: {reason}. The weights of the last whole epoch were put back. Lower the learning "
            "rate, or check the data for NaN."
        )
        if self._journal is not None:
            self._journal.write("failed", reason=message)
            self._journal.close()
            self._journal = None
        raise TrainingDivergedError(message)

    def _open_journal(self, regularizer: Any, start: float) -> None:
        assert self.path is not None
        if history_of(self.model).journal != str(self.path):
            set_aside(self.path)  # of an earlier session of this name; a second fit() goes on in its own
        self._journal = Journal(self.path)
        self._started = time.time()
        history_of(self.model).journal = str(self.path)
        self._journal.start(
            "session",
            session=self.session or self.path.stem,
            model=self.model.name,
            profile=regularizer.profile.name,
            device=regularizer.profile.device.name,
            **_of_objective(regularizer, start),
            epochs=self._epochs,
            spaces={s.name: {"width": s.width, "kept": s.kept} for s in self.model.channel_spaces},
        )
        for operator in self.model.latency_plan.uncovered:
            reason = operator.problem or "not in the profile"
            self._journal.write(
                "warning", message=f"{operator.name} ({operator.kind}) is not priced: {reason}"
            )

    def _state(self, epoch: int, logs: dict[str, float]) -> dict[str, Any]:
        steering = self.model.steering
        widths = keras.ops.convert_to_numpy(self.model.expected_widths())
        names = [s.name for s in self.model.channel_spaces]
        return {
            "epoch": epoch + 1,
            "loss": logs.pop("loss", None),
            "latency_ms": logs.pop("latency_ms", None),
            **({"energy_mj": logs.pop("energy_mj")} if "energy_mj" in logs else {}),
            "metrics": logs,
            "target_ms": self.model.regularizer.target_ms,
            "strength": float(keras.ops.convert_to_numpy(steering.strength)),
            "widths": {name: round(float(w), 2) for name, w in zip(names, widths, strict=True)},
        }


def _of_objective(regularizer: Any, start: float) -> dict[str, Any]:
    """Start and target of a session, under the names of their unit."""
    if regularizer.objective == "latency":
        return {"start_ms": start, "target_ms": regularizer.target_ms}
    return {"objective": "energy", "start_ms": None, "target_ms": None, "start_mj": start,
            "target_mj": regularizer.target_mj}  # fmt: skip
