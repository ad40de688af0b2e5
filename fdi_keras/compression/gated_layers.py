"""Keras's layers with a mask: what reads channels through a gate.

Kernels are multiplied by the mask along their input channels, which is the same arithmetic as
multiplying the feature map. ``folded`` gives the weights with which the plain layer computes the same.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

ops = keras.ops


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
