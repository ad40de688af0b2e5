"""How channels pass through each kind of layer: the rules that channel spaces rest on.

A rule is told of one call and says what becomes of the channels on the last axis of its
inputs: they are mixed into new ones, carried on, tied to others, or read in a way that
cannot be followed. A layer that no rule knows keeps all channels that it meets.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np

from fdi_keras.networks.graph import Call
from fdi_keras.networks.sides import ATTENDED, Carrier, attended, part

L = keras.layers


class Channels(Protocol):
    """What a rule sees of the network, and what it may say."""

    shapes: dict[int, tuple[int | None, ...]]

    def of(self, carrier: Carrier) -> np.ndarray:
        """Numbers of the channels along the last axis of a value, or of a part."""

    def make(
        self, carrier: Carrier, producer: str, width: int | None = None, sort: str = ""
    ) -> np.ndarray | None:
        """The call makes new channels, as many as a value has on its last axis, or ``width``.

        ``sort`` tells them from others that the call makes. Returns them; None of a value that has none.
        """

    def carry(self, carrier: Carrier, channels: np.ndarray) -> None:
        """These are the channels along the last axis of a value, or of a part."""

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Channels that can only be removed together, one by one."""

    def bundle(self, channels: np.ndarray, rows: np.ndarray) -> None:
        """Each row of ``rows`` stands side by side on an axis and is removed with the channel of that row."""

    def keep(self, channels: np.ndarray | None, reason: str) -> None:
        """Channels that cannot be removed."""

    def consume(self, channels: np.ndarray, consumer: str) -> None:
        """The call mixes these: a gate in front of it closes them."""


#: Follows one call; returns why its channels cannot be followed, or None.
Rule = Callable[[Channels, Call], str | None]

#: Activations that read one element at a time, by the name Keras serializes them under.
ELEMENTWISE_ACTIVATIONS = frozenset(
    (
        *("linear", "relu", "relu6", "sigmoid", "tanh", "silu", "swish", "hard_silu", "hard_swish"),
        *("hard_sigmoid", "gelu", "elu", "selu", "softplus", "softsign", "exponential", "leaky_relu"),
        *("celu", "mish", "log_sigmoid", "hard_tanh", "tanh_shrink", "squareplus", "sparse_plus"),
    )
)


def label(call: Call) -> str:
    """A call in words, for reasons."""
    what = "layer" if isinstance(call.layer, L.Layer) else "operation"
    return f"{what} {call.name!r} ({type(call.layer).__name__})"


def activation_name(activation: Any) -> str:
    """The name under which Keras knows an activation function; "?" for functions of the user's own."""
    if activation is None:
        return "linear"
    if isinstance(activation, L.Layer):
        return type(activation).__name__
    name = getattr(activation, "__name__", "?")
    return name if getattr(keras.activations, name, None) is activation else "?"


def elementwise_activation(activation: Any) -> bool:
    """Whether an activation reads one element at a time."""
    return activation is None or activation_name(activation) in ELEMENTWISE_ACTIVATIONS


def values_read(call: Call) -> list[int]:
    """Inputs of a call whose channels matter: numbers of words have none, nor has a mask."""
    if type(call.layer) is L.Embedding:
        return []
    if type(call.layer) is L.MultiHeadAttention:
        return list(attended(call).values())
    mask = call.arguments[1].get("mask") if type(call.layer) in (*RECURRENT, L.Bidirectional) else None
    masking = None if mask is None else call.value_of.get(id(mask))
    return [value for value in call.inputs if value != masking]


def rule_of(layer: Any) -> Rule | None:
    """The rule for a layer or a raw operation; None when it is not known.

    Of a layer of the user's own that only bears a known name there is none.
    """
    if type(layer) in _RULES:
        return _RULES[type(layer)]
    own = type(layer).__module__.split(".")[0] == "keras"
    return _BY_NAME.get(type(layer).__name__) if own else None


# Layers that make channels


def _mixing(channels: Channels, call: Call) -> str | None:
    layer, source, made = call.layer, call.inputs[0], call.outputs[0]
    if getattr(layer, "depth_multiplier", 1) != 1:
        return f"{label(call)} has depth_multiplier {layer.depth_multiplier}"
    if getattr(layer, "groups", 1) > 1:
        _grouped(channels, call, layer.groups)
    else:
        channels.consume(channels.of(source), call.name)
        channels.make(made, call.name)
    if not elementwise_activation(layer.activation):
        channels.keep(channels.of(made), MIXING_ACTIVATION.format(label(call)))
    return None


def _grouped(channels: Channels, call: Call, groups: int) -> None:
    """A group goes as a whole: what it reads, and what it makes."""
    source, made = call.inputs[0], call.outputs[0]
    channels.make(made, call.name)
    read, written = (channels.of(value).reshape(groups, -1) for value in (source, made))
    for side in (read, written):
        channels.bundle(read[:, 0], side)


def _embedding(channels: Channels, call: Call) -> str | None:
    channels.make(call.outputs[0], call.name)
    return None


def units_of(layer: Any) -> int:
    """How many units a recurrent layer has; one that convolves calls them filters."""
    return layer.filters if hasattr(layer, "filters") else layer.units


def _recurrent(channels: Channels, call: Call) -> str | None:
    return _steps(channels, call, call.outputs[0], call.layer)


def _steps(channels: Channels, call: Call, carrier: Carrier, *layers: Any) -> str | None:
    """Units are made, and read again at the next step. States that a layer is given are its own units."""
    width = units_of(layers[0])
    states = [channels.of(value) for value in values_read(call)[1:]]
    if any(len(state) != width for state in states):
        return f"{label(call)} is given something else than its states"
    channels.consume(channels.of(call.inputs[0]), call.name)
    channels.make(carrier, call.name, width)
    units = channels.of(carrier)
    channels.consume(units, call.name)
    for state in states:
        channels.tie(units, state)
    for value in call.outputs[1:]:
        channels.carry(value, units)
    names = ("activation", "recurrent_activation")
    if not all(elementwise_activation(getattr(layer, name, None)) for layer in layers for name in names):
        channels.keep(units, MIXING_ACTIVATION.format(label(call)))
    return None


def _bidirectional(channels: Channels, call: Call) -> str | None:
    """Both directions keep the same units: Keras derives the shape of the output from the forward one alone."""
    layer, carrier = call.layer, part(call, "units")
    ways = (layer.forward_layer, layer.backward_layer)
    for way in ways:
        if type(way) not in RECURRENT:
            return f"{label(call)} wraps {type(way).__name__}, which is not known to pass channels on"
        if getattr(way, "data_format", "channels_last") == "channels_first":
            return f"{label(call)} has data_format channels_first"
    if units_of(ways[0]) != units_of(ways[1]):
        return f"{label(call)} has different numbers of units in its directions"
    problem = _steps(channels, call, carrier, *ways)
    if problem is None:
        units = channels.of(carrier)
        channels.carry(call.outputs[0], np.tile(units, 2) if layer.merge_mode == "concat" else units)
    return problem


def _attention(channels: Channels, call: Call) -> str | None:
    """Heads do not read each other: each is removed with its share of all projections."""
    layer, read = call.layer, attended(call)
    if len(read) < len(ATTENDED):
        return f"{label(call)} attends to an array"
    for value in dict.fromkeys(read.values()):
        channels.consume(channels.of(value), call.name)
    channels.make(call.outputs[0], call.name)
    channels.make(part(call, "heads"), call.name, layer.num_heads, "heads")
    heads = channels.of(part(call, "heads"))
    channels.consume(heads, call.name)
    for scores in call.outputs[1:]:
        reason = f"{label(call)} returns the scores of each head"
        channels.keep(heads, reason)
        channels.keep(channels.make(scores, call.name), reason)
    return None


# Layers that carry channels on


def _channelwise(channels: Channels, call: Call) -> str | None:
    channels.carry(call.outputs[0], channels.of(call.inputs[0]))
    return None


def _by_axis(channels: Channels, call: Call) -> str | None:
    """Normalizations with statistics over one axis."""
    axes = np.atleast_1d(call.layer.axis)
    rank = len(channels.shapes[call.inputs[0]])
    if [axis % rank for axis in axes] != [rank - 1]:
        return f"{label(call)} normalizes axis {call.layer.axis}, not the last"
    return _channelwise(channels, call)


def _group_normalization(channels: Channels, call: Call) -> str | None:
    if call.layer.groups == 1:
        return f"{label(call)} normalizes all channels together"
    problem = _by_axis(channels, call)
    if problem is None and call.layer.groups > 0:
        read = channels.of(call.inputs[0]).reshape(call.layer.groups, -1)
        channels.bundle(read[:, 0], read)
    return problem


def _depthwise(channels: Channels, call: Call) -> str | None:
    if call.layer.depth_multiplier == 1:
        return _channelwise(channels, call)
    read, made = channels.of(call.inputs[0]), call.outputs[0]
    channels.make(made, call.name)
    channels.bundle(read, channels.of(made).reshape(len(read), -1))
    return None


def _concatenate(channels: Channels, call: Call) -> str | None:
    inputs = [channels.of(value) for value in call.inputs]
    rank = len(channels.shapes[call.inputs[0]])
    if call.layer.axis in (-1, rank - 1):
        channels.carry(call.outputs[0], np.concatenate(inputs))
        return None
    for other in inputs[1:]:  # side by side in space: the same channels
        channels.tie(inputs[0], other)
    channels.carry(call.outputs[0], inputs[0])
    return None


def _merging(channels: Channels, call: Call) -> str | None:
    """Tensors combined channel by channel; one of a single channel is spread over the others."""
    inputs = [channels.of(value) for value in call.inputs]
    if not inputs or (len(inputs) == 1 and not _with_one_number(call)):
        return f"{label(call)} combines channels with an array"
    widest = max(inputs, key=len)
    for value in inputs:
        if len(value) == len(widest):
            channels.tie(widest, value)
        elif len(value) == 1:
            channels.keep(value, f"{label(call)} spreads it over many channels")
        else:
            return f"{label(call)} combines tensors of different channel counts"
    channels.carry(call.outputs[0], widest)
    return None


def _with_one_number(call: Call) -> bool:
    args, kwargs = call.arguments
    others = [x for x in keras.tree.flatten([args, kwargs]) if not isinstance(x, keras.KerasTensor)]
    return all(np.size(other) == 1 for other in others if not isinstance(other, str))


def _flatten(channels: Channels, call: Call) -> str | None:
    source = call.inputs[0]
    if None in channels.shapes[source][1:]:
        return f"{label(call)} flattens an image of unknown size"
    return _reshape(channels, call)


def _reshape(channels: Channels, call: Call) -> str | None:
    """Channels are followed where every row of the new last axis holds the same ones."""
    source, made = call.inputs[0], call.outputs[0]
    before, after = channels.shapes[source][1:], channels.shapes[made][1:]
    if None in before or None in after or not after:
        return f"{label(call)} reshapes an image of unknown size"
    pixels = math.prod(n for n in before[:-1] if n is not None)
    rows = np.tile(channels.of(source), pixels).reshape(-1, int(after[-1] or 1))
    if not (rows == rows[0]).all():
        return f"{label(call)} puts channels on another axis"
    channels.carry(made, rows[0])
    return None


def _permute(channels: Channels, call: Call) -> str | None:
    dims = call.layer.dims
    return _channelwise(channels, call) if dims[-1] == len(dims) else _moved(call)


def _transpose(channels: Channels, call: Call) -> str | None:
    rank, axes = len(channels.shapes[call.inputs[0]]), call.layer.axes
    return _channelwise(channels, call) if axes and axes[-1] % rank == rank - 1 else _moved(call)


def _moved(call: Call) -> str:
    return f"{label(call)} puts channels on another axis"


def _reduction(channels: Channels, call: Call) -> str | None:
    """Sums, means and extremes over other axes than the last."""
    rank, axis = len(channels.shapes[call.inputs[0]]), call.layer.axis
    axes: Sequence[int] = range(rank) if axis is None else [int(a) % rank for a in np.atleast_1d(axis)]
    if rank - 1 in axes or 0 in axes:
        return f"{label(call)} reads several channels at once"
    return _channelwise(channels, call)


def _item(channels: Channels, call: Call) -> str | None:
    args, kwargs = call.arguments
    key = args[1] if len(args) > 1 else kwargs.get("key")
    keys = key if isinstance(key, tuple) else (key,)
    rank = len(channels.shapes[call.inputs[0]])
    plain = all(isinstance(k, (int, slice)) for k in keys)
    if not plain or (len(keys) == rank and keys[-1] != slice(None)) or len(keys) > rank:
        return f"{label(call)} takes some channels out"
    return _channelwise(channels, call)


#: Layers each of whose outputs reads every input channel, unless they have groups.
MIXING = (
    *(L.Conv1D, L.Conv2D, L.Conv3D, L.Conv1DTranspose, L.Conv2DTranspose, L.Conv3DTranspose),
    *(L.SeparableConv1D, L.SeparableConv2D, L.Dense),
)

#: Layers whose units also read each other, one step later.
RECURRENT = (L.LSTM, L.GRU, L.SimpleRNN, L.ConvLSTM1D, L.ConvLSTM2D, L.ConvLSTM3D)

_CHANNELWISE = (
    *(
        L.ReLU,
        L.LeakyReLU,
        L.ELU,
        L.Activation,
        L.Dropout,
        L.GaussianNoise,
        L.GaussianDropout,
        L.AlphaDropout,
    ),
    *(
        L.PReLU,
        L.SpatialDropout1D,
        L.SpatialDropout2D,
        L.SpatialDropout3D,
        L.Identity,
        L.ActivityRegularization,
    ),
    *(L.MaxPooling1D, L.MaxPooling2D, L.MaxPooling3D, L.AveragePooling1D, L.AveragePooling2D),
    *(L.AveragePooling3D, L.GlobalAveragePooling1D, L.GlobalAveragePooling2D, L.GlobalAveragePooling3D),
    *(L.GlobalMaxPooling1D, L.GlobalMaxPooling2D, L.GlobalMaxPooling3D),
    *(L.ZeroPadding1D, L.ZeroPadding2D, L.ZeroPadding3D, L.Cropping1D, L.Cropping2D, L.Cropping3D),
    *(L.UpSampling1D, L.UpSampling2D, L.UpSampling3D, L.RepeatVector),
)

_MERGING = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)

_RULES: dict[type, Rule] = {
    **dict.fromkeys(MIXING, _mixing),
    **dict.fromkeys(RECURRENT, _recurrent),
    L.Bidirectional: _bidirectional,
    L.MultiHeadAttention: _attention,
    **dict.fromkeys(_CHANNELWISE, _channelwise),
    **dict.fromkeys(_MERGING, _merging),
    **dict.fromkeys((L.DepthwiseConv1D, L.DepthwiseConv2D), _depthwise),
    **dict.fromkeys((L.BatchNormalization, L.LayerNormalization, L.RMSNormalization), _by_axis),
    L.GroupNormalization: _group_normalization,
    L.Embedding: _embedding,
    L.Concatenate: _concatenate,
    L.Flatten: _flatten,
    L.Reshape: _reshape,
    L.Permute: _permute,
}

#: Raw operations, and layers that Keras does not name in public.
_BY_NAME: dict[str, Rule] = {
    **dict.fromkeys(
        ("Add", "Subtract", "Multiply", "Maximum", "Minimum", "TrueDivide", "Divide", "Power"), _merging
    ),
    **dict.fromkeys(
        (
            *(
                "Relu",
                "Relu6",
                "Sigmoid",
                "Silu",
                "HardSigmoid",
                "HardSilu",
                "HardTanh",
                "Softplus",
                "Softsign",
            ),
            *(
                "LogSigmoid",
                "LeakyRelu",
                "Elu",
                "Selu",
                "Celu",
                "Gelu",
                "Tanh",
                "Exp",
                "Log",
                "Sqrt",
                "Rsqrt",
            ),
            *("Absolute", "Abs", "Negative", "Square", "Clip", "Identity", "LayerScale", "StochasticDepth"),
        ),
        _channelwise,
    ),
    **dict.fromkeys(("Mean", "Sum", "Max", "Min"), _reduction),
    "CustomScaleLayer": _merging,
    "Reshape": _reshape,
    "Transpose": _transpose,
    "GetItem": _item,
}

MIXING_ACTIVATION = "{} has an activation that reads several channels at once"
