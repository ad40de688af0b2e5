"""What of a layer changes with its channels: axes of its weights, entries of its configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import keras
import numpy as np

L = keras.layers

#: Channels by side of a call (see :mod:`fdi_keras.networks.sides`), None where there are none.
BySide = Mapping[str, np.ndarray | None]


class Axis(NamedTuple):
    """An axis of a weight that carries channels.

    Attributes:
        number: of the axis.
        of: whose channels: the side of a call of the layer, mostly its input or output.
        role: the kernel reads them, or makes them, or treats each alone.
        blocks: how often all of them follow each other on it, once for each gate of a recurrent layer.
    """

    number: int
    of: str
    role: Literal["reads", "makes", "alone"] = "alone"
    blocks: int = 1

    def positions(self, size: int, channels_of: BySide) -> np.ndarray | None:
        """Positions on the axis, of ``size``, of channels given as positions among those of each side.

        -1 stays: a channel that the weight does not have. None where all of the axis stays.
        """
        channels = channels_of.get(self.of)
        if channels is None:
            return None
        block = size // self.blocks
        return np.concatenate([np.where(channels < 0, -1, channels + block * i) for i in range(self.blocks)])


def _kernel(read: int, made: int) -> tuple[Axis, ...]:
    return (Axis(read, "input", "reads"), Axis(made, "output", "makes"))


def _recurrent(gates: int, bias: int = 0, window: int = 0) -> tuple[tuple[Axis, ...], ...]:
    """Kernels have ``window`` axes in front."""
    made = Axis(window + 1, "output", "makes", gates)
    own = Axis(window, "output", "reads")
    return ((Axis(window, "input", "reads"), made), (own, made), (Axis(bias, "output", blocks=gates),))


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
    L.ConvLSTM1D: _recurrent(4, window=1),
    L.ConvLSTM2D: _recurrent(4, window=2),
    L.ConvLSTM3D: _recurrent(4, window=3),
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
            *(L.SeparableConv1D, L.SeparableConv2D, L.ConvLSTM1D, L.ConvLSTM2D, L.ConvLSTM3D),
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
    if type(layer) is L.Bidirectional:
        return _axes_in_both(layer, number)
    if type(layer) is L.MultiHeadAttention:
        return _axes_of_attention(layer)[number]
    if type(layer) is L.GRU:  # after a reset its bias is two rows
        return _recurrent(3, bias=1 if layer.reset_after else 0)[number]
    axes = _AXES.get(type(layer), ())
    found = axes[number] if number < len(axes) else ()
    # A group reads its own channels, which the output channels say; and of a separable convolution that
    # makes several of each input channel none is cut.
    if getattr(layer, "groups", 1) > 1 or getattr(layer, "depth_multiplier", 1) > 1:
        found = tuple(axis for axis in found if axis.role != "reads")
    return found


def _axes_in_both(layer: Any, number: int) -> tuple[Axis, ...]:
    """Weights of the forward layer come first; what is an output for each of the two are units of both."""
    forward = len(layer.forward_layer.weights)
    way, at = (layer.forward_layer, 0) if number < forward else (layer.backward_layer, forward)
    return tuple(a._replace(of="units") if a.of == "output" else a for a in axes_of(way, number - at))


def _axes_of_attention(layer: Any) -> list[tuple[Axis, ...]]:
    """Kernels ``(in, heads, size)`` make heads, and one ``(heads, size, *out)`` reads them."""
    last = len(layer.output_dense.kernel.shape) - 1
    gate = ("query",) if layer.get_config()["use_gate"] else ()
    axes: list[tuple[Axis, ...]] = []
    for side in ("query", "key", *gate, "value"):
        axes += [(Axis(0, side, "reads"), Axis(1, "heads", "makes")), (Axis(0, "heads"),)]
    axes += [(Axis(0, "heads", "reads"), Axis(last, "output", "makes")), (Axis(last - 2, "output"),)]
    return axes if layer.use_bias else axes[::2]


def has_widths(layer: Any) -> bool:
    """Whether weights of a layer have an axis of channels."""
    found_otherwise = (L.PReLU, L.GRU, L.Bidirectional, L.MultiHeadAttention)
    return type(layer) in _AXES or type(layer) in found_otherwise or _is_layer_scale(layer)


def changed_config(
    layer: Any, widths: Mapping[str, int | None], before: Mapping[str, int | None]
) -> dict[str, Any]:
    """Entries of a layer's configuration when its sides have other numbers of channels.

    Args:
        widths: channels by side (see :mod:`fdi_keras.networks.sides`); None where there are none.
        before: channels as they are.
    """
    kind = type(layer)
    if kind is L.MultiHeadAttention:
        return _changed_attention(layer, widths)
    if kind is L.Bidirectional:
        return _changed_ways(layer, widths.get("units"))
    made, was = widths["output"], before["output"]
    if made is None or made == was:
        return {}
    changes: dict[str, Any] = {}
    if kind in _WIDTH_KEY:
        changes[_WIDTH_KEY[kind]] = made
    groups = getattr(layer, "groups", 1)
    if groups > 1 and was:
        changes["groups"] = made * groups // was
    if kind is L.Reshape and layer.target_shape[-1] != -1:
        changes["target_shape"] = (*layer.target_shape[:-1], made)
    if _is_layer_scale(layer):
        changes["projection_dim"] = made
    return changes


def _changed_attention(layer: Any, widths: Mapping[str, int | None]) -> dict[str, Any]:
    """Unless it is told otherwise, attention makes as many channels as its query has."""
    heads, made, shape = widths.get("heads"), widths["output"], layer.get_config()["output_shape"]
    changes: dict[str, Any] = {} if heads is None else {"num_heads": heads}
    if made is not None and (shape or made != widths.get("query")):
        changes["output_shape"] = (*(shape or (made,))[:-1], made)
    return changes


def _changed_ways(layer: Any, units: int | None) -> dict[str, Any]:
    if units is None:
        return {}
    ways = {"layer": layer.forward_layer, "backward_layer": layer.backward_layer}
    return in_both(layer, {name: {_WIDTH_KEY[type(way)]: units} for name, way in ways.items()})


def in_both(layer: Any, changes: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Entries of a Bidirectional's configuration that change entries of its ``layer`` and ``backward_layer``."""
    config = layer.get_config()
    return {name: {**config[name], "config": config[name]["config"] | changes[name]} for name in changes}


def _is_layer_scale(layer: Any) -> bool:
    return type(layer).__name__ == "LayerScale" and type(layer).__module__.split(".")[0] == "keras"
