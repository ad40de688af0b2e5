"""How much a channel matters, from the trained weights and gates alone (our choice).

The importance of channel i of a space is

    gate_i x sum over consumers |W[i]|  x  scale_i

where ``|W[i]|`` is the norm of what a consumer's kernel does with the channel, relative
to that kernel's mean, and ``scale_i`` is how strongly the channel is driven: the batch
normalization's |gamma| where there is one behind the producer, else the norm of the
filter that makes it. Importances of a space are shares: they add up to 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.graph import Graph

L = keras.layers


@dataclass(frozen=True)
class Ranking:
    """The channels of each space in the order in which they are kept.

    Attributes:
        order: ``(channels,)`` by space: channel numbers, the first to keep first.
        importance: ``(channels,)`` by space, in that order.
    """

    order: dict[str, np.ndarray]
    importance: dict[str, np.ndarray]

    @classmethod
    def of(cls, importance: dict[str, np.ndarray], present: dict[str, np.ndarray] | None = None) -> Ranking:
        """By importance; with ``present`` (channel numbers by space), those before all others."""
        order = {}
        for name, values in importance.items():
            absent = np.ones(len(values), bool)
            absent[slice(None) if present is None else present[name]] = False
            order[name] = np.lexsort((-values, absent))
        return cls(order, {name: importance[name][order[name]] for name in importance})

    def first(self, space: str, width: int) -> np.ndarray:
        """The ``width`` channels of a space that are kept first, ascending."""
        return np.sort(self.order[space][: int(width)])


def channel_importance(
    graph: Graph, spaces: ChannelSpaces, gates: dict[str, np.ndarray] | None = None
) -> dict[str, np.ndarray]:
    """Importance of every channel of every prunable space.

    Args:
        graph: of the plain network (gates not multiplied in).
        spaces: its channel spaces.
        gates: gate values ``(channels,)`` by space; left out: all open.

    Returns:
        ``(channels,)`` by space, non-negative, adding up to 1; closed channels have 0.
    """
    read = np.zeros(spaces.total)
    driven = np.zeros(spaces.total)
    scaled = np.zeros(spaces.total)
    has_scale = np.zeros(spaces.total, bool)
    done: set[int] = set()
    for call in graph.calls:
        layer = call.layer
        if id(layer) in done or not getattr(layer, "weights", None):
            continue
        done.add(id(layer))
        channels_in = spaces.of_value[call.inputs[0]]
        if type(layer) in (L.Conv2D, L.Dense, L.SeparableConv2D):
            kernel = keras.ops.convert_to_numpy(
                layer.pointwise_kernel if isinstance(layer, L.SeparableConv2D) else layer.kernel
            )
            if channels_in is not None and kernel.shape[-2] == len(channels_in):  # else it is grouped
                np.add.at(read, channels_in, _relative(kernel, axis=-2))
            made = spaces.of_value[call.outputs[0]]
            if made is not None:
                np.add.at(driven, made, _relative(kernel, axis=-1))
        elif (
            type(layer) is L.BatchNormalization
            and layer.scale
            and channels_in is not None
            and layer.gamma.shape[0] == len(channels_in)
        ):
            np.add.at(scaled, channels_in, np.abs(keras.ops.convert_to_numpy(layer.gamma)))
            has_scale[channels_in] = True
    strength = np.where(has_scale, scaled, driven) * read
    found = {}
    for space in spaces.prunable:
        values = strength[spaces.numbers(space.name)]
        if gates is not None and space.name in gates:
            values = values * gates[space.name]
        total = values.sum()
        found[space.name] = values / total if total > 0 else np.full(space.width, 1 / space.width)
    return found


def _relative(kernel: Any, axis: int) -> np.ndarray:
    """Norm of each slice of a kernel along an axis, relative to their mean."""
    axis = axis % kernel.ndim
    norms = np.sqrt(np.square(kernel).sum(axis=tuple(a for a in range(kernel.ndim) if a != axis)))
    return norms / max(float(norms.mean()), 1e-12)
