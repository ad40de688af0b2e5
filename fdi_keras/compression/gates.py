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
from typing import Any, NamedTuple

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

    def __init__(self, gates: ChannelGates):
        self.gates = gates

    def __call__(self, value: Any) -> Any:
        # A number, not the variable: within a step of jax an optimizer sees only what it trains.
        limit = LIMIT / self.gates.speed_now
        return ops.clip(value, -limit, limit)


@keras.saving.register_keras_serializable(package="fdi_keras")
class ChannelGates(keras.layers.Layer):
    """The gates of all channel spaces, in one variable: a training step draws and moves all at once.

    Called on any tensor (it only says when), returns a mask ``(channels,)`` for each space: drawn while
    training, undisturbed otherwise. At least one channel of a space stays open.

    Args:
        widths: channels by channel space.

    The logit of a gate is ``position * speed``. ``speed`` adapts the step that the
    user's optimizer makes at the user's learning rate to the step that gates need.
    """

    def __init__(self, widths: Mapping[str, int], **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.widths = dict(widths)
        self.channels = sum(self.widths.values())
        self.ends = np.cumsum([*self.widths.values()]).tolist()
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

    def call(self, signal: Any, training: bool | None = None) -> list[Any]:
        logits = self.logits()
        if training:
            noise = keras.random.uniform((self.channels,), 1e-6, 1 - 1e-6, "float32", seed=self.random)
            noise = (ops.log(noise) - ops.log(1 - noise) + logits) / TEMPERATURE
            return self.split(_stretch(ops.sigmoid(noise)))
        return [_undisturbed(part) for part in self.split(logits)]

    def split(self, values: Any) -> list[Any]:
        """``(channels,)`` values of all gates, one tensor or array for each space."""
        if len(self.ends) == 1:
            return [values]
        if isinstance(values, np.ndarray):
            return np.split(values, self.ends[:-1])
        parts: list[Any] = ops.split(values, self.ends[:-1])
        return parts

    def logits(self) -> Any:
        """``(channels,)`` tensor."""
        return ops.convert_to_tensor(self.position) * ops.convert_to_tensor(self.speed)

    def members(self, spaces: Sequence[str]) -> np.ndarray:
        """1 where a gate belongs to a channel space, ``(channels, spaces)``."""
        of_space = np.array([[name == space for space in spaces] for name in self.widths], "float32")
        return np.repeat(of_space, [*self.widths.values()], axis=0)

    def open_widths(self, members: Any, least: Any) -> Any:
        """Widths of channel spaces as the gates stand now.

        Args:
            members: of the spaces, see :meth:`members`.
            least: ``(spaces,)`` widths below which they do not count: 1, or that of a space without gates.

        Returns:
            Float tensor ``(2, spaces)``: how many gates are expected to be open, which has a gradient,
            and how many pruning now would keep, which has none.
        """
        logits = self.logits()
        opens = ops.sigmoid(logits + OPENING)
        kept = ops.stop_gradient(ops.cast(logits > CLOSES_AT, "float32"))
        return ops.maximum(ops.matmul(ops.stack([opens, kept]), members), least)

    def set_logits(self, logits: Mapping[str, np.ndarray]) -> None:
        """Set the gates of some spaces by hand: above :data:`CLOSES_AT` is open."""
        speed = float(ops.convert_to_numpy(self.speed))
        position = self.split(np.array(ops.convert_to_numpy(self.position)))
        for name, part in zip(self.widths, position, strict=True):
            if name in logits:
                part[:] = np.asarray(logits[name], "float32") / speed
        self.position.assign(np.concatenate(position))

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

    def compute_output_spec(self, signal: Any, training: Any = None) -> list[Any]:
        return [keras.KerasTensor((width,), dtype="float32") for width in self.widths.values()]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "widths": self.widths}


def _undisturbed(logits: Any) -> Any:
    """The mask of a space whose gates are not drawn, ``(channels,)``."""
    mask = _stretch(ops.sigmoid(logits))
    last = ops.one_hot(ops.argmax(logits), logits.shape[0], dtype="float32")
    return ops.where(ops.any(mask > 0), mask, last)


class SpaceGates(NamedTuple):
    """The gates of one channel space, as a part of the layer that holds all."""

    layer: ChannelGates
    space: str

    @property
    def channels(self) -> int:
        """Width of the space."""
        return self.layer.widths[self.space]

    def logits(self) -> np.ndarray:
        """``(channels,)``."""
        return self._part(ops.convert_to_numpy(self.layer.logits()))

    def values(self) -> np.ndarray:
        """Undisturbed gates as numbers in [0, 1], ``(channels,)``; closed is exactly 0."""
        return ops.convert_to_numpy(_undisturbed(ops.convert_to_tensor(self.logits())))

    def set_logits(self, logits: np.ndarray) -> None:
        """Set them by hand: above :data:`CLOSES_AT` is open."""
        self.layer.set_logits({self.space: logits})

    def _part(self, values: np.ndarray) -> np.ndarray:
        return self.layer.split(values)[[*self.layer.widths].index(self.space)]


def check_gates(gates: Mapping[str, SpaceGates]) -> None:
    """UsageError when gates, by channel space, are no numbers."""
    for name, gate in gates.items():
        if not np.isfinite(gate.logits()).all():
            raise UsageError(
                f"gates of channel space {name!r} are no numbers any more: the training diverged. Load what was "
                "saved before, or train anew with a smaller learning rate."
            )


def _stretch(x: Any) -> Any:
    low, high = STRETCH
    return ops.clip(x * (high - low) + low, 0.0, 1.0)


@keras.saving.register_keras_serializable(package="fdi_keras")
class Steering(keras.layers.Layer):
    """The state of steering, kept in the network so that it is saved and loaded with it.

    Weights: ``strength`` of the penalty, ``target_ms`` (0: none), ``start_ms`` (predicted
    latency with all gates open), ``goal_ms`` (the penalty rests once the latency has come
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
        self.goal_ms = state("goal_ms", "zeros")
        # First epoch and last of the schedule, then the controller's own state.
        self.control = state("control", "zeros", (2 + len(StrengthController.KEPT),))

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
