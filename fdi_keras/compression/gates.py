"""Gates: one learned keep-strength a channel, multiplied into the kernels that read the channel.

A gate must act in front of whatever mixes channels, and only there: between a
convolution and its batch normalization a closed gate would let the shift through.
Multiplying the *kernel* of the reading layer along its input channels is the same
arithmetic as multiplying its input, and costs a training step almost nothing,
because kernels are small where feature maps are large.

Gates are hard concrete (Louizos, Welling, Kingma, "Learning sparse neural networks
through L0 regularization", ICLR 2018): during training a gate is drawn from a
stretched and clipped distribution that is exactly 0 or 1 with positive probability,
so that it learns by gradient and still really closes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.controller import StrengthController
from fdi_keras.errors import UsageError

ops = keras.ops

TEMPERATURE = 2 / 3  # of the concrete distribution, as in the L0 paper
STRETCH = (-0.1, 1.1)  # the interval that is clipped to [0, 1], as in the L0 paper
START = 2.5  # at this logit an undisturbed gate is exactly 1 (our choice)
SPREAD = 3.0  # the most important channel of a space starts this much above START (our choice)
LIMIT = 6.0  # logits stay within +-LIMIT: beyond it a gate could never come back (our choice)
STEP = 0.05  # how far a logit moves in a training step, whatever the optimizer (our choice)

#: A gate is open without noise above this logit.
CLOSES_AT = float(np.log(-STRETCH[0] / STRETCH[1]))

#: P(gate > 0) = sigmoid(logit + OPENING).
OPENING = -TEMPERATURE * CLOSES_AT


class _WithinLimit(keras.constraints.Constraint):
    """Keeps ``position x speed`` within +-LIMIT."""

    def __init__(self, gate: ChannelGate):
        self.gate = gate

    def __call__(self, value: Any) -> Any:
        # A number, not the variable: within a step of jax an optimizer sees only what it trains.
        limit = LIMIT / self.gate.speed_now
        return ops.clip(value, -limit, limit)


@keras.saving.register_keras_serializable(package="fdi_keras")
class ChannelGate(keras.layers.Layer):
    """The gates of one channel space.

    Called on any tensor (it only says when), returns the mask ``(channels,)``: drawn
    while training, undisturbed otherwise. At least one channel stays open.

    Args:
        channels: width of the space.
        space: its name.

    The logit of a gate is ``position * speed``. ``speed`` adapts the step that the
    user's optimizer makes at the user's learning rate to the step that gates need.
    """

    def __init__(self, channels: int, space: str, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.channels = channels
        self.space = space
        self.random = keras.random.SeedGenerator(seed=None)
        self.speed_now = 1.0

    def build(self, input_shape: Any) -> None:
        self.speed = self.add_weight(
            name="speed", shape=(), initializer="ones", trainable=False, dtype="float32", autocast=False
        )
        self.position = self.add_weight(
            name="position",
            shape=(self.channels,),
            initializer=keras.initializers.Constant(START),
            constraint=_WithinLimit(self),
            dtype="float32",
            autocast=False,
        )

    def call(self, signal: Any, training: bool | None = None) -> Any:
        logits = self.logits()
        if training:
            noise = keras.random.uniform((self.channels,), 1e-6, 1 - 1e-6, "float32", seed=self.random)
            noise = (ops.log(noise) - ops.log(1 - noise) + logits) / TEMPERATURE
            return _stretch(ops.sigmoid(noise))
        mask = _stretch(ops.sigmoid(logits))
        last = ops.one_hot(ops.argmax(logits), self.channels, dtype="float32")
        return ops.where(ops.any(mask > 0), mask, last)

    def logits(self) -> Any:
        """``(channels,)`` tensor."""
        return ops.convert_to_tensor(self.position) * ops.convert_to_tensor(self.speed)

    def values(self) -> np.ndarray:
        """Undisturbed gates as numbers in [0, 1], ``(channels,)``; closed is exactly 0."""
        return ops.convert_to_numpy(self(ops.zeros(()), training=False))

    def set_logits(self, logits: np.ndarray) -> None:
        """Set the gates by hand: above :data:`CLOSES_AT` is open."""
        self.position.assign(np.asarray(logits, "float32") / float(ops.convert_to_numpy(self.speed)))

    def set_speed(self, speed: float) -> None:
        """Change the speed without moving a gate."""
        logits = ops.convert_to_numpy(self.logits())
        self.speed.assign(speed)
        self.follow_speed()
        self.position.assign(logits / self.speed_now)

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        self.follow_speed()

    def follow_speed(self) -> bool:
        """After the weights were set from outside; returns whether the speed is another one now."""
        before, self.speed_now = self.speed_now, float(ops.convert_to_numpy(self.speed))
        return self.speed_now != before

    def compute_output_spec(self, signal: Any, training: Any = None) -> Any:
        return keras.KerasTensor((self.channels,), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "space": self.space}


def check_gates(gates: Mapping[str, ChannelGate]) -> None:
    """UsageError when gates, by channel space, are no numbers."""
    for name, gate in gates.items():
        if not np.isfinite(ops.convert_to_numpy(gate.logits())).all():
            raise UsageError(
                f"gates of channel space {name!r} are no numbers any more: the training diverged. Load what was "
                "saved before, or train anew with a smaller learning rate."
            )


def gate_widths(gates: Sequence[ChannelGate]) -> Any:
    """Widths of channel spaces as their gates stand now, at least 1 each.

    Returns:
        Float tensor ``(2, gates)``: how many gates are expected to be open, which has a gradient,
        and how many pruning now would keep, which has none.
    """
    logits = ops.concatenate([gate.logits() for gate in gates])
    opens = ops.sigmoid(logits + OPENING)
    kept = ops.stop_gradient(ops.cast(logits > CLOSES_AT, "float32"))
    space = np.repeat(np.arange(len(gates)), [gate.channels for gate in gates])
    sums = ops.segment_sum(ops.stack([opens, kept], axis=1), space, len(gates))
    return ops.maximum(ops.transpose(sums), 1.0)


def _stretch(x: Any) -> Any:
    low, high = STRETCH
    return ops.clip(x * (high - low) + low, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="fdi_keras")
class Steering(keras.layers.Layer):
    """The state of steering, kept in the network so that it is saved and loaded with it.

    Weights: ``strength`` of the penalty, ``target_ms`` (0: none), ``start_ms`` (predicted
    latency with all gates open), ``open_ms`` (predicted latency of the network that pruning
    would make, as of the last training step), ``goal_ms`` (the penalty rests once the latency has come
    to it; 0: it never does) and ``control`` (what the controller remembers, for a training that is taken up
    again). Its output is a constant that the gates are called on.

    Args:
        excluded: names of channel spaces that the user wants to stay whole.
    """

    def __init__(self, excluded: Sequence[str] = (), **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.excluded = tuple(excluded)

    def build(self, input_shape: Any) -> None:
        def state(name: str, value: str, shape: tuple[int, ...] = ()) -> Any:
            return self.add_weight(
                name=name,
                shape=shape,
                initializer=value,
                trainable=False,
                dtype="float32",
                autocast=False,
                aggregation="only_first_replica",
            )

        self.strength = state("strength", "zeros")
        self.target_ms = state("target_ms", "zeros")
        self.start_ms = state("start_ms", "ones")
        self.open_ms = state("open_ms", "ones")
        self.goal_ms = state("goal_ms", "zeros")
        # First epoch and last of the schedule, then the controller's own state.
        self.control = state("control", "zeros", (2 + len(StrengthController.KEPT),))

    def load_own_variables(self, store: Any) -> None:
        # Networks that were saved before have fewer of these.
        for number, variable in enumerate(self.weights):
            if str(number) in store:
                variable.assign(store[str(number)])

    def call(self, inputs: Any) -> Any:
        return ops.zeros((), "float32")

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "excluded": list(self.excluded)}


@keras.saving.register_keras_serializable(package="fdi_keras")
class MaskOfTensor(keras.layers.Layer):
    """The mask along the last axis of a tensor that carries several spaces, or a flattened image.

    Args:
        pieces: ``(mask, start, stop, repeats)`` runs of channels in order, each channel so many times
            before the next; mask -1 stands for channels without gates.
        tiles: how often the sequence of pieces repeats (pixels of a flattened image).
    """

    def __init__(self, pieces: list[tuple[int, int, int, int]], tiles: int = 1, **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.pieces = [tuple(p) for p in pieces]
        self.tiles = tiles

    def call(self, masks: list[Any]) -> Any:
        runs = []
        for mask, start, stop, repeats in self.pieces:
            run = ops.ones((stop - start,), "float32") if mask < 0 else masks[mask][start:stop]
            runs.append(ops.repeat(run, repeats) if repeats > 1 else run)
        sequence = ops.concatenate(runs) if len(runs) > 1 else runs[0]
        return ops.tile(sequence, self.tiles) if self.tiles > 1 else sequence

    def compute_output_spec(self, masks: Any) -> Any:
        channels = sum((stop - start) * repeats for _, start, stop, repeats in self.pieces)
        return keras.KerasTensor((channels * self.tiles,), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "pieces": [list(p) for p in self.pieces], "tiles": self.tiles}
