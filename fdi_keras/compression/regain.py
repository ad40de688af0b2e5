"""Channels that come back: a network at other widths, from its own weights and those it came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.gated_model import PrunableModel
from fdi_keras.compression.importance import Ranking, channel_importance
from fdi_keras.compression.rewiden import WeightMaker, rewiden, take_channels
from fdi_keras.compression.ungated import ungated
from fdi_keras.errors import UsageError
from fdi_keras.networks.branches import without_emptied
from fdi_keras.networks.channel_spaces import ChannelSpaces, find_channel_spaces
from fdi_keras.networks.graph import Call, Graph, read_graph
from fdi_keras.networks.history import history_of
from fdi_keras.networks.layer_widths import BySide, axes_of
from fdi_keras.networks.sides import Carrier, sides

#: New channels without an origin start with weights this small, relative to those there are.
SMALL = 1e-2


@dataclass
class Origin:
    """The network that a pruned one came from, its channels numbered as there."""

    weights: dict[str, list[np.ndarray]]
    ranking: Ranking
    widths: np.ndarray
    kept: dict[str, np.ndarray]
    graph: Graph
    spaces: ChannelSpaces

    @classmethod
    def of(cls, small: keras.Model, spaces: ChannelSpaces, origin: keras.Model) -> Origin:
        gated = isinstance(origin, PrunableModel)
        plain = ungated(origin, gates_open=True) if gated else origin
        graph = read_graph(plain)
        graph, theirs, renamed = without_emptied(graph, find_channel_spaces(graph), history_of(small).kept)
        if theirs.names != spaces.names:
            missing = sorted(set(spaces.names) ^ set(theirs.names))
            raise UsageError(
                f"origin {origin.name!r} is not what {small.name!r} was made from: channel spaces "
                f"{', '.join(missing[:4])} are not in both. Pass the model that prune() was called with."
            )
        gates = {renamed[n]: g.values() for n, g in origin.gates.items() if n in renamed} if gated else {}
        kept = _kept_channels(small, spaces, theirs, gates)
        # What is there comes before what could come back.
        ranking = Ranking.of(channel_importance(graph, theirs), kept)
        widths = np.array([s.width for s in theirs], float)
        weights = {
            call.name: call.layer.get_weights() for call in graph.calls if hasattr(call.layer, "get_weights")
        }
        return cls(weights, ranking, widths, kept, graph, theirs)


def _kept_channels(
    small: keras.Model, spaces: ChannelSpaces, theirs: ChannelSpaces, gates: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """For each space the original channels that ``small`` still has."""
    recorded = history_of(small).kept
    kept = {}
    for space in spaces:
        if space.name in recorded:
            candidates = recorded[space.name]
        elif space.name in gates and space.kept is None:
            candidates = np.flatnonzero(gates[space.name] > 0)
        else:
            candidates = np.arange(theirs[space.name].width)
        if len(candidates) != space.width:
            raise UsageError(
                f"which channels of {space.name!r} were kept is not known: {small.name!r} has {space.width}, "
                f"origin's gates leave {len(candidates)} open. Grow the model that prune() returned before saving "
                "it, or leave origin= out."
            )
        kept[space.name] = np.asarray(candidates)
    return kept


def own_ranking(graph: Graph, spaces: ChannelSpaces, upper: np.ndarray) -> Ranking:
    """Ranking without an origin: a new channel is worth as much as the least of those there are."""
    found = channel_importance(graph, spaces)
    for i, space in enumerate(spaces):
        if space.name in found:
            values = found[space.name]
            extra = max(int(upper[i]) - len(values), 0)
            values = np.concatenate([values, np.full(extra, values.min())])
            found[space.name] = values / values.sum()
    return Ranking.of(found, {space.name: np.arange(space.width) for space in spaces})


def rebuild_at(
    graph: Graph,
    spaces: ChannelSpaces,
    widths: np.ndarray,
    source: Origin | None,
    ranking: Ranking,
) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """The network at other widths, and which original channels it then has."""
    channels: dict[str, np.ndarray] = {}
    kept: dict[str, np.ndarray] = {}
    for i, space in enumerate(spaces):
        width = int(widths[i])
        there = source.kept[space.name] if source else np.arange(space.width)
        if space.name not in ranking.order or width == space.width:
            kept[space.name] = there
            continue
        chosen = ranking.first(space.name, width)
        kept[space.name] = chosen
        position = {int(c): p for p, c in enumerate(there)}
        channels[space.name] = np.array([position.get(int(c), -1) for c in chosen])
    maker = _regained(source, kept) if source else _fresh(np.random.default_rng(0))
    return rewiden(graph, spaces, channels, maker), kept


def _regained(source: Origin, kept: dict[str, np.ndarray]) -> WeightMaker:
    """Weights of ``small`` where it has them, trained weights of the origin where a channel comes back."""
    originals = {call.name: call for call in source.graph.calls}

    def make(call: Call, weights: list[np.ndarray], channels: BySide) -> list[np.ndarray]:
        old_call = originals[call.name]
        old = {side: _positions(source.spaces, at, kept) for side, at in sides(old_call).items()}
        made = []
        for number, weight in enumerate(weights):
            back = take_channels(call.layer, number, source.weights[call.name][number], old)
            made.append(_overlay(call.layer, number, weight, back, channels))
        return made

    return make


def _positions(spaces: ChannelSpaces, carrier: Carrier, kept: dict[str, np.ndarray]) -> np.ndarray | None:
    """Where among the origin's channels of a value, or of a part, the kept ones stand."""
    numbers = spaces.of_value.get(carrier)
    if numbers is None:
        return None
    alive = np.zeros(spaces.total, bool)
    for name, channels in kept.items():
        alive[spaces.numbers(name)[channels]] = True
    return np.flatnonzero(alive[numbers])


def _fresh(rng: np.random.Generator) -> WeightMaker:
    """Weights of ``small``, and small random ones where a channel is new."""

    def make(call: Call, weights: list[np.ndarray], channels: BySide) -> list[np.ndarray]:
        made = []
        for number, weight in enumerate(weights):
            shape = list(weight.shape)
            for axis in axes_of(call.layer, number):
                index = axis.positions(weight.shape[axis.number], channels)
                shape[axis.number] = shape[axis.number] if index is None else len(index)
            if weight.ndim == 1:  # biases, and the statistics of a normalization: like the average channel
                new = np.full(shape, weight.mean())
            else:
                new = rng.normal(0.0, SMALL * max(float(weight.std()), 1e-3), shape)
            made.append(_overlay(call.layer, number, weight, new.astype(weight.dtype), channels))
        return made

    return make


def _overlay(
    layer: Any,
    number: int,
    weight: np.ndarray,
    onto: np.ndarray,
    channels: BySide,
) -> np.ndarray:
    """``onto`` with the entries that ``weight`` has (indices not -1) put in their new places."""
    target: list[Any] = [np.arange(n) for n in onto.shape]
    origin: list[Any] = [np.arange(n) for n in weight.shape]
    for axis in axes_of(layer, number):
        index = axis.positions(weight.shape[axis.number], channels)
        if index is not None:
            target[axis.number] = np.flatnonzero(index >= 0)
            origin[axis.number] = index[index >= 0]
    result = onto.copy()
    result[np.ix_(*target)] = weight[np.ix_(*origin)]
    return result
