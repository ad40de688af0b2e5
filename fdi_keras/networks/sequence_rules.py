"""How channels pass through layers over sequences: recurrent ones, in one direction or both, and attention."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fdi_keras.networks.channels import (
    MIXING_ACTIVATION,
    RECURRENT,
    Channels,
    Rule,
    elementwise_activation,
    label,
    values_read,
)
from fdi_keras.networks.graph import Call
from fdi_keras.networks.sides import ATTENDED, Carrier, attended, part

L = keras.layers


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
    if layer.num_heads == 1:  # with more, it becomes other operators than it is read as
        channels.keep(heads, f"{label(call)} has a single head")
    for scores in call.outputs[1:]:
        reason = f"{label(call)} returns the scores of each head"
        channels.keep(heads, reason)
        channels.keep(channels.make(scores, call.name), reason)
    return None


RULES: dict[type, Rule] = {
    **dict.fromkeys(RECURRENT, _recurrent),
    L.Bidirectional: _bidirectional,
    L.MultiHeadAttention: _attention,
}
