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

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

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
        last = ops.cast(ops.equal(logits, ops.max(logits)), "float32")
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
        self.speed_now = float(speed)
        self.position.assign(logits / speed)

    def load_own_variables(self, store: Any) -> None:
        super().load_own_variables(store)
        self.speed_now = float(ops.convert_to_numpy(self.speed))

    def compute_output_spec(self, signal: Any, training: Any = None) -> Any:
        return keras.KerasTensor((self.channels,), dtype="float32")

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels, "space": self.space}


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
    would make, as of the last training step). Its output is a constant that the gates are called on.

    Args:
        excluded: names of channel spaces that the user wants to stay whole.
    """

    def __init__(self, excluded: Sequence[str] = (), **kwargs: Any):
        kwargs.setdefault("dtype", "float32")
        super().__init__(**kwargs)
        self.excluded = tuple(excluded)

    def build(self, input_shape: Any) -> None:
        def state(name: str, value: str) -> Any:
            return self.add_weight(
                name=name, shape=(), initializer=value, trainable=False, dtype="float32", autocast=False
            )

        self.strength = state("strength", "zeros")
        self.target_ms = state("target_ms", "zeros")
        self.start_ms = state("start_ms", "ones")
        self.open_ms = state("open_ms", "ones")

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


class _GatedLayer:
    """What gated layers share: they are called as ``layer(inputs, mask)``, mask ``(in_channels,)``."""

    #: The weight that the mask belongs to, and whether its input channels are its last axis; else they
    #: are the last but one. None: no weight can hold the mask.
    mixing_weight: int | None = 0
    input_channels_last = False

    def build(self, inputs_shape: Any, mask_shape: Any = None) -> None:
        super().build(inputs_shape)  # type: ignore[misc]

    def compute_output_spec(self, inputs: Any, mask: Any) -> Any:
        shape = self.compute_output_shape(inputs.shape)  # type: ignore[attr-defined]
        return keras.KerasTensor(shape, dtype=self.compute_dtype)  # type: ignore[attr-defined]

    @classmethod
    def folded(cls, weights: list[np.ndarray], mask: np.ndarray) -> list[np.ndarray]:
        """Weights of the plain layer that computes the same at inference."""
        if cls.mixing_weight is None:
            return weights
        spread = mask if cls.input_channels_last else mask[:, None]
        return [w * spread if i == cls.mixing_weight else w for i, w in enumerate(weights)]

    def _gated(self, kernel: Any, mask: Any) -> Any:
        kernel = ops.convert_to_tensor(kernel)
        mask = ops.cast(mask, kernel.dtype)
        return kernel * (mask if self.input_channels_last else mask[:, None])

    def _finish(self, outputs: Any) -> Any:
        if self.use_bias:  # type: ignore[attr-defined]
            outputs = ops.add(outputs, self.bias)  # type: ignore[attr-defined]
        activation = self.activation  # type: ignore[attr-defined]
        return outputs if activation is None else activation(outputs)


class _GatedConvolution(_GatedLayer):
    """A convolution of one group, channels last."""

    def call(self, inputs: Any, mask: Any) -> Any:
        kernel = self._gated(self.kernel, mask)  # type: ignore[attr-defined]
        return self._finish(self.convolution_op(inputs, kernel))  # type: ignore[attr-defined]


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedConv1D(_GatedConvolution, keras.layers.Conv1D):
    """Conv1D with a mask."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedConv2D(_GatedConvolution, keras.layers.Conv2D):
    """Conv2D with a mask."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedConv3D(_GatedConvolution, keras.layers.Conv3D):
    """Conv3D with a mask."""


class _GatedTransposedConvolution(_GatedLayer):
    input_channels_last = True

    def call(self, inputs: Any, mask: Any) -> Any:
        layer: Any = self
        outputs = ops.conv_transpose(
            inputs,
            self._gated(layer.kernel, mask),
            strides=list(layer.strides),
            output_padding=layer.output_padding,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
            data_format=layer.data_format,
        )
        return self._finish(outputs)


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedConv1DTranspose(_GatedTransposedConvolution, keras.layers.Conv1DTranspose):
    """Conv1DTranspose with a mask."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedConv2DTranspose(_GatedTransposedConvolution, keras.layers.Conv2DTranspose):
    """Conv2DTranspose with a mask."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedConv3DTranspose(_GatedTransposedConvolution, keras.layers.Conv3DTranspose):
    """Conv3DTranspose with a mask."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedDense(_GatedLayer, keras.layers.Dense):
    """Dense with a mask."""

    def call(self, inputs: Any, mask: Any) -> Any:
        return self._finish(ops.matmul(inputs, self._gated(self.kernel, mask)))


class _GatedSeparableConvolution(_GatedLayer):
    """A separable convolution: its pointwise half is what mixes."""

    mixing_weight = 1

    def call(self, inputs: Any, mask: Any) -> Any:
        layer: Any = self
        outputs = ops.separable_conv(
            inputs,
            layer.depthwise_kernel,
            self._gated(layer.pointwise_kernel, mask),
            strides=layer.strides,
            padding=layer.padding,
            data_format=layer.data_format,
            dilation_rate=layer.dilation_rate,
        )
        return self._finish(outputs)


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedSeparableConv1D(_GatedSeparableConvolution, keras.layers.SeparableConv1D):
    """SeparableConv1D with a mask."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedSeparableConv2D(_GatedSeparableConvolution, keras.layers.SeparableConv2D):
    """SeparableConv2D with a mask."""


class _GatedNormalization(_GatedLayer):
    """A normalization over the channels of each pixel: its statistics are those of the open ones.

    So it computes what the same layer computes over the channels that pruning leaves.
    """

    mixing_weight = None

    def _mean(self, values: Any, is_open: Any) -> Any:
        return ops.sum(values * is_open, axis=-1, keepdims=True) / ops.sum(is_open)

    def _opened(self, inputs: Any, mask: Any) -> tuple[Any, Any]:
        # Statistics of half precision would overflow, as Keras's own layers know.
        return ops.cast(inputs, "float32"), ops.cast(mask > 0, "float32")


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedLayerNormalization(_GatedNormalization, keras.layers.LayerNormalization):
    """LayerNormalization with a mask."""

    def call(self, inputs: Any, mask: Any) -> Any:
        x, is_open = self._opened(inputs, mask)
        centred = x - self._mean(x, is_open)
        outputs = centred * ops.rsqrt(self._mean(ops.square(centred), is_open) + self.epsilon)
        if self.gamma is not None:
            outputs = outputs * ops.cast(self.gamma, "float32")
        if self.beta is not None:
            outputs = outputs + ops.cast(self.beta, "float32")
        return ops.cast(outputs, self.compute_dtype)


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedRMSNormalization(_GatedNormalization, keras.layers.RMSNormalization):
    """RMSNormalization with a mask."""

    def call(self, inputs: Any, mask: Any) -> Any:
        x, is_open = self._opened(inputs, mask)
        outputs = x * ops.rsqrt(self._mean(ops.square(x), is_open) + self.epsilon)
        return ops.cast(outputs * ops.cast(self.scale, "float32"), self.compute_dtype)


class _MaskedCell:
    """A cell of a recurrent layer whose kernels are multiplied by masks while its layer is called.

    Whatever executes the steps, Keras's loop or a backend's own, asks the cell for its kernels.
    """

    in_mask: Any = None
    unit_mask: Any = None

    @property
    def kernel(self) -> Any:
        return _rows_masked(self._kernel, self.in_mask)

    @kernel.setter
    def kernel(self, value: Any) -> None:
        self._kernel = value

    @property
    def recurrent_kernel(self) -> Any:
        return _rows_masked(self._recurrent_kernel, self.unit_mask)

    @recurrent_kernel.setter
    def recurrent_kernel(self, value: Any) -> None:
        self._recurrent_kernel = value


def _rows_masked(kernel: Any, mask: Any) -> Any:
    if mask is None:
        return kernel
    kernel = ops.convert_to_tensor(kernel)
    return kernel * ops.cast(mask, kernel.dtype)[:, None]


class _MaskedLSTMCell(_MaskedCell, keras.layers.LSTMCell):
    """LSTMCell with masks."""


class _MaskedGRUCell(_MaskedCell, keras.layers.GRUCell):
    """GRUCell with masks."""


class _MaskedSimpleRNNCell(_MaskedCell, keras.layers.SimpleRNNCell):
    """SimpleRNNCell with masks."""


class GatedRecurrent:
    """A recurrent layer called with the masks of what it reads: its input, and its own units a step before.

    Either may be left out. A closed unit is still computed, but nobody reads it any more.
    """

    masked_cell: type

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        # The constructor of the layer makes the cell from its own arguments; only its class is another.
        self.cell.__class__ = self.masked_cell  # type: ignore[attr-defined]

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: Any = False,
        in_mask: Any = None,
        unit_mask: Any = None,
    ) -> Any:
        cell = self.cell  # type: ignore[attr-defined]
        cell.in_mask, cell.unit_mask = in_mask, unit_mask
        try:
            return super().call(  # type: ignore[misc]
                sequences, initial_state=initial_state, mask=mask, training=training
            )
        finally:
            cell.in_mask = cell.unit_mask = None

    def compute_output_spec(self, sequences: Any, initial_state: Any = None, **_: Any) -> Any:
        shapes = self.compute_output_shape(sequences.shape)  # type: ignore[attr-defined]
        dtype = self.compute_dtype  # type: ignore[attr-defined]
        several = isinstance(shapes[0], (tuple, list))
        if not several:
            return keras.KerasTensor(shapes, dtype=dtype)
        return [keras.KerasTensor(shape, dtype=dtype) for shape in shapes]

    @classmethod
    def folded(
        cls, weights: list[np.ndarray], in_mask: np.ndarray | None, unit_mask: np.ndarray | None
    ) -> list[np.ndarray]:
        """Weights of the plain layer that computes the same at inference."""
        masks = (in_mask, unit_mask)
        return [
            w if i > 1 or masks[i] is None else w * np.asarray(masks[i])[:, None]
            for i, w in enumerate(weights)
        ]


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedLSTM(GatedRecurrent, keras.layers.LSTM):
    """LSTM with masks."""

    masked_cell = _MaskedLSTMCell


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedGRU(GatedRecurrent, keras.layers.GRU):
    """GRU with masks."""

    masked_cell = _MaskedGRUCell


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedSimpleRNN(GatedRecurrent, keras.layers.SimpleRNN):
    """SimpleRNN with masks."""

    masked_cell = _MaskedSimpleRNNCell


#: The gated class of each layer that mixes channels, and back.
GATED: dict[type, type] = {
    keras.layers.Conv1D: GatedConv1D,
    keras.layers.Conv2D: GatedConv2D,
    keras.layers.Conv3D: GatedConv3D,
    keras.layers.Conv1DTranspose: GatedConv1DTranspose,
    keras.layers.Conv2DTranspose: GatedConv2DTranspose,
    keras.layers.Conv3DTranspose: GatedConv3DTranspose,
    keras.layers.Dense: GatedDense,
    keras.layers.SeparableConv1D: GatedSeparableConv1D,
    keras.layers.SeparableConv2D: GatedSeparableConv2D,
    keras.layers.LayerNormalization: GatedLayerNormalization,
    keras.layers.RMSNormalization: GatedRMSNormalization,
    keras.layers.LSTM: GatedLSTM,
    keras.layers.GRU: GatedGRU,
    keras.layers.SimpleRNN: GatedSimpleRNN,
}
UNGATED: dict[type, type] = {gated: plain for plain, gated in GATED.items()}
