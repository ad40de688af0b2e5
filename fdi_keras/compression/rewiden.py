"""Rebuilding a network with other channels: fewer when pruning, more when growing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.graph import Call, Graph, copy_layer, copy_with

L = keras.layers

#: Which axis of which weight carries input channels, and which output channels.
#: (weight index, axis of input channels or None, axis of output channels or None)
_KERNEL_AXES: dict[type, tuple[tuple[int | None, int | None], ...]] = {
    L.Conv2D: ((2, 3), (None, 0)),
    L.Dense: ((0, 1), (None, 0)),
    L.SeparableConv2D: ((2, None), (2, 3), (None, 0)),
    L.DepthwiseConv2D: ((2, None), (0, None)),
    L.BatchNormalization: ((0, None),) * 4,
}

#: How a layer's configuration names its number of output channels.
_WIDTH_KEY = {L.Conv2D: "filters", L.Dense: "units", L.SeparableConv2D: "filters"}

#: What new weights are made from: ``(old weights, index of each new input channel among the old
#: ones, the same for output channels) -> new weights``.
WeightMaker = Callable[[Call, list[np.ndarray], np.ndarray | None, np.ndarray | None], list[np.ndarray]]


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
    pairs: list[tuple[Call, Any, np.ndarray | None, np.ndarray | None]] = []

    def build(call: Call, tensors: dict[int, Any]) -> list[Any]:
        layer = call.layer
        known = id(layer) in made
        into = _sources(spaces, call.inputs[0], source) if call.inputs else None
        out = _sources(spaces, call.outputs[0], source)
        if type(layer) in _WIDTH_KEY and out is not None:
            new = copy_with(call, made, {_WIDTH_KEY[type(layer)]: len(out)})
        else:
            new = copy_layer(call, made)
        results = call.apply(new, tensors)
        if not known and isinstance(new, L.Layer) and new is not layer:
            pairs.append((call, new, into, out))
        return results

    model = graph.rebuild(build)
    for call, new, into, out in pairs:
        new.trainable = call.layer.trainable
        weights = call.layer.get_weights()
        if type(call.layer) in _KERNEL_AXES:
            weights = (make_weights or _take)(call, weights, into, out)
        if weights:
            new.set_weights(weights)
    return model


def axes_of(layer: Any, number: int) -> tuple[int | None, int | None]:
    """Axes of the input and the output channels in weight ``number`` of a layer."""
    return _KERNEL_AXES[type(layer)][number]


def _take(
    call: Call, weights: list[np.ndarray], into: np.ndarray | None, out: np.ndarray | None
) -> list[np.ndarray]:
    return [take_channels(call.layer, i, w, into, out) for i, w in enumerate(weights)]


def take_channels(
    layer: Any, number: int, weight: np.ndarray, into: np.ndarray | None, out: np.ndarray | None
) -> np.ndarray:
    """One weight with the given input and output channels only."""
    axis_in, axis_out = axes_of(layer, number)
    if axis_in is not None and into is not None:
        weight = np.take(weight, into, axis=axis_in)
    if axis_out is not None and out is not None:
        weight = np.take(weight, out, axis=axis_out)
    return weight


def _sources(spaces: ChannelSpaces, value: int, source: dict[str, np.ndarray]) -> np.ndarray | None:
    """For each new channel of a value's last axis its position on the old axis, -1 when new.

    A value carries whole spaces one after the other, perhaps once for every pixel.
    """
    numbers = spaces.of_value[value]
    if numbers is None:
        return None
    space_of = np.searchsorted(spaces.offsets, numbers, side="right") - 1
    within = numbers - spaces.offsets[space_of]
    # A whole space starts where its channel 0 stands.
    found = []
    start = 0
    while start < len(numbers):
        space = spaces.spaces[space_of[start]]
        positions = np.empty(space.width, int)
        run = slice(start, start + space.width)
        positions[within[run]] = np.arange(start, start + space.width)
        old = source[space.name]
        found.append(np.where(old < 0, -1, positions[np.maximum(old, 0)]))
        start += space.width
    return np.concatenate(found)
