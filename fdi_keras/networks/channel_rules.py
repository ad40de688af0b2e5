"""How channels pass through each kind of layer: the rules that channel spaces rest on.

A rule is told of one call and says what becomes of the channels on the last axis of its
inputs: they are mixed into new ones, carried on, tied to others, or read in a way that
cannot be followed. A layer that no rule knows keeps all channels that it meets.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from fdi_keras.networks import sequence_rules
from fdi_keras.networks.channels import (
    MIXING_ACTIVATION,
    Channels,
    Rule,
    elementwise_activation,
    label,
)
from fdi_keras.networks.graph import Call

L = keras.layers


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
    **sequence_rules.RULES,
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
