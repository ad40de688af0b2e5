"""What of a layer changes with its channels: axes of its weights, entries of its configuration."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import keras
import numpy as np

L = keras.layers


class Axis(NamedTuple):
    """An axis of a weight that carries channels.

    Attributes:
        number: of the axis.
        of: whose channels: those of the layer's input or of its output.
        role: the kernel reads them, or makes them, or treats each alone.
        blocks: how often all of them follow each other on it, once for each gate of a recurrent layer.
    """

    number: int
    of: Literal["input", "output"]
    role: Literal["reads", "makes", "alone"] = "alone"
    blocks: int = 1

    def positions(self, size: int, into: np.ndarray | None, out: np.ndarray | None) -> np.ndarray | None:
        """Positions on the axis, of ``size``, of channels given as positions among those of input or output.

        -1 stays: a channel that the weight does not have. None where all of the axis stays.
        """
        channels = into if self.of == "input" else out
        if channels is None:
            return None
        block = size // self.blocks
        return np.concatenate([np.where(channels < 0, -1, channels + block * i) for i in range(self.blocks)])


def _kernel(read: int, made: int) -> tuple[Axis, ...]:
    return (Axis(read, "input", "reads"), Axis(made, "output", "makes"))


def _recurrent(gates: int, bias: int = 0) -> tuple[tuple[Axis, ...], ...]:
    made = Axis(1, "output", "makes", gates)
    own = Axis(0, "output", "reads")
    return ((Axis(0, "input", "reads"), made), (own, made), (Axis(bias, "output", blocks=gates),))


_BIAS = (Axis(0, "output"),)
_BY_CHANNEL = (Axis(0, "input"),)

#: By layer the axes of each of its weights, in their order.
_AXES: dict[type, tuple[tuple[Axis, ...], ...]] = {
    L.Conv1D: (_kernel(1, 2), _BIAS),
    L.Conv2D: (_kernel(2, 3), _BIAS),
    L.Conv3D: (_kernel(3, 4), _BIAS),
    L.Conv1DTranspose: (_kernel(2, 1), _BIAS),
    L.Conv2DTranspose: (_kernel(3, 2), _BIAS),
    L.Conv3DTranspose: (_kernel(4, 3), _BIAS),
    L.SeparableConv1D: ((Axis(1, "input"),), _kernel(1, 2), _BIAS),
    L.SeparableConv2D: ((Axis(2, "input"),), _kernel(2, 3), _BIAS),
    L.DepthwiseConv1D: ((Axis(1, "input"),), _BIAS),
    L.DepthwiseConv2D: ((Axis(2, "input"),), _BIAS),
    L.Dense: (_kernel(0, 1), _BIAS),
    L.Embedding: ((Axis(1, "output", "makes"),),),
    L.LSTM: _recurrent(4),
    L.SimpleRNN: _recurrent(1),
    L.BatchNormalization: (_BY_CHANNEL,) * 4,
    L.LayerNormalization: (_BY_CHANNEL,) * 2,
    L.RMSNormalization: (_BY_CHANNEL,),
    L.GroupNormalization: (_BY_CHANNEL,) * 2,
}

#: How a layer's configuration names its number of output channels.
_WIDTH_KEY: dict[type, str] = {
    **dict.fromkeys(
        (
            *(L.Conv1D, L.Conv2D, L.Conv3D, L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose),
            *(L.SeparableConv1D, L.SeparableConv2D),
        ),
        "filters",
    ),
    **dict.fromkeys((L.Dense, L.LSTM, L.GRU, L.SimpleRNN), "units"),
    L.Embedding: "output_dim",
}


def axes_of(layer: Any, number: int) -> tuple[Axis, ...]:
    """Axes of weight ``number`` of a layer that carry channels."""
    if _is_layer_scale(layer):
        return _BY_CHANNEL
    if type(layer) is L.PReLU:
        shape = layer.alpha.shape
        return (Axis(len(shape) - 1, "input"),) if shape[-1] > 1 else ()
    if type(layer) is L.GRU:  # after a reset its bias is two rows
        return _recurrent(3, bias=1 if layer.reset_after else 0)[number]
    axes = _AXES.get(type(layer), ())
    found = axes[number] if number < len(axes) else ()
    # A group reads its own channels, which the output channels say; and of a separable convolution that
    # makes several of each input channel none is cut.
    if getattr(layer, "groups", 1) > 1 or getattr(layer, "depth_multiplier", 1) > 1:
        found = tuple(axis for axis in found if axis.role != "reads")
    return found


def has_widths(layer: Any) -> bool:
    """Whether weights of a layer have an axis of channels."""
    return type(layer) in _AXES or type(layer) in (L.PReLU, L.GRU) or _is_layer_scale(layer)


def changed_config(layer: Any, read: int | None, made: int | None, before: int | None) -> dict[str, Any]:
    """Entries of a layer's configuration when it reads and makes other numbers of channels.

    Args:
        read, made: channels on the last axis of its input and its output; None where there are none.
        before: channels on the last axis of its output as it is.
    """
    if made is None or made == before:
        return {}
    kind = type(layer)
    changes: dict[str, Any] = {}
    if kind in _WIDTH_KEY:
        changes[_WIDTH_KEY[kind]] = made
    groups = getattr(layer, "groups", 1)
    if groups > 1 and before:
        changes["groups"] = made * groups // before
    if kind is L.Reshape and layer.target_shape[-1] != -1:
        changes["target_shape"] = (*layer.target_shape[:-1], made)
    if _is_layer_scale(layer):
        changes["projection_dim"] = made
    return changes


def _is_layer_scale(layer: Any) -> bool:
    return type(layer).__name__ == "LayerScale" and type(layer).__module__.split(".")[0] == "keras"
