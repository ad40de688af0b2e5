"""Rebuilding a network with other channels: fewer when pruning, more when growing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.graph import Call, Graph, copy_with
from fdi_keras.networks.layer_widths import BySide, axes_of, changed_config, has_widths
from fdi_keras.networks.sides import Carrier, sides

L = keras.layers

#: What new weights are made from: ``(call, old weights, index of each new channel among the old ones by
#: side) -> new weights``.
WeightMaker = Callable[[Call, list[np.ndarray], BySide], list[np.ndarray]]


def rewiden(
    graph: Graph,
    spaces: ChannelSpaces,
    channels: dict[str, np.ndarray],
    make_weights: WeightMaker | None = None,
) -> keras.Model:
    """The network with other channels in some spaces.

    Args:
        graph: the plain network.
        spaces: its channel spaces.
        channels: for each space to change, where its channels come from: numbers of old
            channels, or -1 for a channel that is new.
        make_weights: makes the weights of a layer; left out: old weights are taken, and
            new channels (-1) are not allowed.

    Returns:
        A plain Keras model with fresh layers under the old names.
    """
    source = {s.name: channels.get(s.name, np.arange(s.width)) for s in spaces}
    made: dict[int, Any] = {}
    pairs: list[tuple[Call, Any, BySide]] = []

    def build(call: Call, tensors: dict[int, Any]) -> list[Any]:
        layer = call.layer
        known = id(layer) in made
        carriers = sides(call)
        taken = {side: _sources(spaces, carrier, source) for side, carrier in carriers.items()}
        out = taken["output"]
        if type(layer).__name__ == "Reshape" and not isinstance(layer, L.Layer) and out is not None:
            shape = [n or -1 for n in graph.shapes[call.outputs[0]][1:-1]]
            return [keras.ops.reshape(tensors[call.inputs[0]], (-1, *shape, len(out)))]
        before = {side: spaces.of_value.get(carrier) for side, carrier in carriers.items()}
        new = copy_with(call, made, changed_config(layer, _lengths(taken), _lengths(before)))
        results = call.apply(new, tensors)
        if not known and isinstance(new, L.Layer) and new is not layer:
            pairs.append((call, new, taken))
        return results

    model = graph.rebuild(build)
    for call, new, taken in pairs:
        new.trainable = call.layer.trainable
        weights = call.layer.get_weights()
        if has_widths(call.layer):
            weights = (make_weights or _take)(call, weights, taken)
        if weights:
            new.set_weights(weights)
    return model


def _lengths(channels: BySide) -> dict[str, int | None]:
    return {side: None if numbers is None else len(numbers) for side, numbers in channels.items()}


def _take(call: Call, weights: list[np.ndarray], channels: BySide) -> list[np.ndarray]:
    return [take_channels(call.layer, i, w, channels) for i, w in enumerate(weights)]


def take_channels(layer: Any, number: int, weight: np.ndarray, channels: BySide) -> np.ndarray:
    """One weight with the given channels of each side only."""
    for axis in axes_of(layer, number):
        index = axis.positions(weight.shape[axis.number], channels)
        if index is not None:
            weight = np.take(weight, index, axis=axis.number)
    return weight


def _sources(spaces: ChannelSpaces, carrier: Carrier, source: dict[str, np.ndarray]) -> np.ndarray | None:
    """For each new channel of a value's last axis, or of a part, its position there before, -1 when new.

    A value carries whole spaces one after the other, perhaps once for every pixel. Where
    spaces are interleaved none of them changes.
    """
    numbers = spaces.of_value.get(carrier)
    if numbers is None:
        return None
    try:
        segments = spaces.segments(numbers, spaces.copies[carrier])
    except ValueError:
        return np.arange(len(numbers))
    found = [np.empty(0, int)]
    for segment in segments:
        position = np.empty(len(segment.within), int)
        position[segment.within] = segment.start + segment.repeats * np.arange(len(segment.within))
        old = source[spaces.spaces[segment.space].name]
        first = np.where(old < 0, -1, position[np.maximum(old, 0)])
        rows = np.where(first[:, None] < 0, -1, first[:, None] + np.arange(segment.repeats))
        found.append(rows.ravel())
    return np.concatenate(found)
