"""Keras's layers with a mask: what reads channels through a gate.

Kernels are multiplied by the mask along their input channels, which is the same arithmetic as
multiplying the feature map. Layers that read several kinds of channels have files of their own.
"""

from __future__ import annotations

from typing import Any, ClassVar

import keras

from fdi_keras.compression.gated_attention import GatedMultiHeadAttention
from fdi_keras.compression.gated_recurrent import (
    GatedBidirectional,
    GatedConvLSTM1D,
    GatedConvLSTM2D,
    GatedConvLSTM3D,
    GatedGRU,
    GatedLSTM,
    GatedSimpleRNN,
)

ops = keras.ops

#: The masks of layers that are called as ``layer(inputs, mask)``; to others they are given by name.
POSITIONAL = {"input": "mask"}


class _GatedLayer:
    """What gated layers share: they are called as ``layer(inputs, mask)``, mask ``(in_channels,)``."""

    #: Sides of a call (see :mod:`fdi_keras.networks.sides`) whose masks are given, by argument.
    masks: ClassVar[dict[str, str]] = POSITIONAL

    #: Whether input channels are the kernel's last axis; else they are the last but one.
    input_channels_last = False

    def build(self, inputs_shape: Any, mask_shape: Any = None) -> None:
        super().build(inputs_shape)  # type: ignore[misc]

    def compute_output_spec(self, inputs: Any, mask: Any) -> Any:
        shape = self.compute_output_shape(inputs.shape)  # type: ignore[attr-defined]
        return keras.KerasTensor(shape, dtype=self.compute_dtype)  # type: ignore[attr-defined]

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
    keras.layers.ConvLSTM1D: GatedConvLSTM1D,
    keras.layers.ConvLSTM2D: GatedConvLSTM2D,
    keras.layers.ConvLSTM3D: GatedConvLSTM3D,
    keras.layers.Bidirectional: GatedBidirectional,
    keras.layers.MultiHeadAttention: GatedMultiHeadAttention,
}
UNGATED: dict[type, type] = {gated: plain for plain, gated in GATED.items()}
