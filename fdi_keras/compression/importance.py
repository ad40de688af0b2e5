"""How much a channel matters. Unless asked for otherwise from the trained weights and gates alone (our choice).

The importance of channel i of a space is

    gate_i x sum over consumers |W[i]|  x  scale_i

where ``|W[i]|`` is the norm of what a consumer's kernel does with the channel, relative
to that kernel's mean, and ``scale_i`` is how strongly the channel is driven: the batch
normalization's |gamma| where there is one behind the producer, else the norm of the
filter that makes it. Importances of a space are shares: they add up to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.networks.channel_spaces import ChannelSpace, ChannelSpaces
from fdi_keras.networks.graph import Graph
from fdi_keras.networks.layer_widths import axes_of
from fdi_keras.networks.sides import sides

L = keras.layers

#: Values by channel space.
Values = Mapping[str, Any]

#: A criterion by name, values, or what makes them.
Importance = str | Values | Callable[[Graph, ChannelSpaces], Values]

#: By name: what drives and reads a channel; the norm of the filters that make it; the scale of its
#: normalization, or that norm where there is none; numbers drawn at random.
CRITERIA = ("weights", "l1", "l2", "scale", "random")

#: Normalizations whose scale says how strongly a channel is driven.
_SCALING = (L.BatchNormalization, L.LayerNormalization, L.GroupNormalization)


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


def importance_by(
    criterion: Importance,
    graph: Graph,
    spaces: ChannelSpaces,
    gates: dict[str, np.ndarray] | None = None,
    seed: int = 0,
) -> dict[str, np.ndarray]:
    """Importance of every channel of every prunable space, by a criterion of the user's choice.

    Args:
        criterion: one of :data:`CRITERIA`; values ``(channels,)`` by space; or a function of graph and
            spaces that returns these.
        graph, spaces, gates: as in :func:`channel_importance`.
        seed: of ``"random"``.

    Returns:
        ``(channels,)`` by space, non-negative, adding up to 1; closed channels have 0.

    Raises:
        UsageError: no such criterion, or values that are none of these channels.
    """
    if criterion == "weights":
        return channel_importance(graph, spaces, gates)
    if isinstance(criterion, str) and criterion not in CRITERIA:
        data = " It needs data: importance=fdi_keras.taylor_importance(model, x, y)."
        raise UsageError(
            f"importance must be one of {', '.join(CRITERIA)}; received {criterion!r}."
            f"{data if criterion == 'taylor' else ''}"
        )
    if criterion == "random":
        rng = np.random.default_rng(seed)
        found = {space.name: rng.uniform(0.5, 1.0, space.width) for space in spaces.prunable}
    elif isinstance(criterion, str):
        strength = _strength_by(criterion, graph, spaces)
        found = {space.name: strength[spaces.numbers(space.name)] for space in spaces.prunable}
    else:
        given = criterion(graph, spaces) if callable(criterion) else criterion
        found = {space.name: _checked(space, given) for space in spaces.prunable}
    return {name: _shares(values, (gates or {}).get(name)) for name, values in found.items()}


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
    strength = _strength_by("weights", graph, spaces)
    return {
        space.name: _shares(strength[spaces.numbers(space.name)], (gates or {}).get(space.name))
        for space in spaces.prunable
    }


def _shares(values: np.ndarray, gates: np.ndarray | None) -> np.ndarray:
    """As shares of all; of a space of which nothing is known every channel counts alike."""
    values = values if gates is None else values * gates
    total = values.sum()
    if total > 0:
        return values / total
    opened = np.ones(len(values)) if gates is None or not gates.any() else (gates > 0).astype(float)
    return opened / opened.sum()


def _checked(space: ChannelSpace, given: Mapping[str, Any]) -> np.ndarray:
    values = np.asarray(given.get(space.name, ()), float)
    if values.shape != (space.width,) or not np.isfinite(values).all() or (values < 0).any():
        raise UsageError(
            f"importance of channel space {space.name!r} must be {space.width} finite numbers, none below 0; "
            f"received {f'shape {values.shape}' if space.name in given else 'none'}."
        )
    return values


def _strength_by(criterion: str, graph: Graph, spaces: ChannelSpaces) -> np.ndarray:
    """What a criterion says of each channel, ``(channels,)``, comparable within a space only."""
    power = 1 if criterion == "l1" else 2
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
        met = {side: spaces.of_value.get(carrier) for side, carrier in sides(call).items()}
        for number, weight in enumerate(layer.weights):
            axes = axes_of(layer, number)
            if not any(axis.role == "makes" for axis in axes):
                continue
            kernel = keras.ops.convert_to_numpy(weight)
            for axis in axes:
                channels = met.get(axis.of)
                if channels is not None:
                    norms = _relative(kernel, axis.number, power).reshape(axis.blocks, -1).mean(axis=0)
                    np.add.at(read if axis.role == "reads" else driven, channels, norms)
        normalized = met.get("input")
        if type(layer) in _SCALING and layer.scale and normalized is not None:
            gamma = np.abs(keras.ops.convert_to_numpy(layer.gamma))
            if len(gamma) == len(normalized):
                np.add.at(scaled, normalized, gamma)
                has_scale[normalized] = True
    if criterion == "weights":
        return np.where(has_scale, scaled, driven) * read
    return np.where(has_scale, scaled, driven) if criterion == "scale" else driven


def _relative(kernel: Any, axis: int, power: int) -> np.ndarray:
    """Norm of each slice of a kernel along an axis, relative to their mean."""
    axis = axis % kernel.ndim
    others = tuple(a for a in range(kernel.ndim) if a != axis)
    norms = (np.abs(kernel) ** power).sum(axis=others) ** (1 / power)
    return norms / max(float(norms.mean()), 1e-12)
