"""Gates for a network: the user's layers, with a mask wired into each that mixes channels."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fdi_keras.compression.gated_model import PrunableModel
from fdi_keras.compression.gates import GATED, SPREAD, START, ChannelGate, MaskOfTensor, Steering
from fdi_keras.compression.importance import channel_importance
from fdi_keras.errors import NothingToPruneError, UsageError
from fdi_keras.networks.channel_spaces import ChannelSpaces, find_channel_spaces
from fdi_keras.networks.graph import Call, Graph, copy_layer, copy_with, read_graph


def prunable(model: keras.Model) -> PrunableModel:
    """The same network with a gate on every channel that can be removed.

    Args:
        model: a built Sequential or functional model; it is not changed. Nested models
            are inlined. What cannot be pruned is kept whole and listed with its reason
            by ``print(result.channel_spaces)``.

    Returns:
        A model with the same weights and, all gates being open, the same outputs. It is
        compiled, trained, saved and loaded like any Keras model; ``compile`` also takes
        ``regularizer=``.

    Raises:
        UnsupportedModelError: the model is subclassed or not built.
        NothingToPruneError: no channel of the model can be removed.

    Example::

        model = fdi.prunable(keras_model)
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"],
                      regularizer=fdi.LatencyRegularizer(profile, target_ms=0.8))
    """
    if isinstance(model, PrunableModel):
        raise UsageError(f"{model.name!r} is prunable already; pass the network it was made from.")
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    if not spaces.prunable:
        reasons = "; ".join(f"{s.name}: {s.kept}" for s in spaces if s.name != "network input")
        raise NothingToPruneError(
            f"no channel of {model.name!r} can be removed ({reasons or 'it has no channels'}). A network needs at "
            "least one convolution or dense layer whose output another one reads."
        )
    return _Gating(graph, spaces).build()


class _Gating:
    """Rebuilds a graph with masks wired into the layers that mix channels."""

    def __init__(self, graph: Graph, spaces: ChannelSpaces):
        self.graph, self.spaces = graph, spaces
        self.made: dict[int, Any] = {}
        self.originals: list[tuple[Any, Any]] = []
        self.masks: dict[str, Any] = {}
        self.taken = set(graph.layers)
        self.gate_of = np.full(spaces.total, -1)
        for i, space in enumerate(spaces):
            if space.kept is None:
                self.gate_of[spaces.numbers(space.name)] = i

    def build(self) -> PrunableModel:
        model = self.graph.rebuild(self._build_call, PrunableModel)
        for old, new in self.originals:
            new.set_weights(old.get_weights())
            new.trainable = old.trainable
        self._spread(model.gates)
        return model

    def _spread(self, gates: dict[str, ChannelGate]) -> None:
        """Start unimportant channels nearer to closing, so that a space narrows one by one.

        From one common logit all channels of a space close within a few steps of each other,
        which no controller can stop half way.
        """
        for name, values in channel_importance(self.graph, self.spaces).items():
            if name in gates:
                rank = np.argsort(np.argsort(values, kind="stable"))
                gates[name].set_logits(START + SPREAD * rank / max(len(rank) - 1, 1))

    def _build_call(self, call: Call, tensors: dict[int, Any]) -> list[Any]:
        gated_class = GATED.get(type(call.layer))
        channels = self.spaces.of_value[call.inputs[0]] if gated_class and call.inputs else None
        gated = channels is not None and (self.gate_of[channels] >= 0).any()
        known = id(call.layer) in self.made
        if gated and channels is not None:
            layer = copy_with(call, self.made, {}, gated_class)
            mask = self._mask(call, channels, tensors)
            results = [layer(tensors[call.inputs[0]], mask)]
        else:
            layer = copy_layer(call, self.made)
            results = call.apply(layer, tensors)
        if not known and isinstance(layer, keras.layers.Layer) and layer is not call.layer:
            self.originals.append((call.layer, layer))
        return results

    def _name(self, wanted: str) -> str:
        while wanted in self.taken:
            wanted += "_"
        self.taken.add(wanted)
        return wanted

    def _space_mask(self, space: int, tensors: dict[int, Any]) -> Any:
        if not self.masks:
            steering = Steering(name=self._name("steering"))
            self.masks["signal"] = steering(tensors[self.graph.inputs[0]])
        name = self.spaces.spaces[space].name
        if name not in self.masks:
            layer_name = self._name("gate_" + name.replace(":", "_").replace(".", "_"))
            gate = ChannelGate(self.spaces[name].width, name, name=layer_name)
            self.masks[name] = gate(self.masks["signal"])
        return self.masks[name]

    def _mask(self, call: Call, channels: np.ndarray, tensors: dict[int, Any]) -> Any:
        tiles = _repeats(channels)
        base = channels[: len(channels) // tiles]
        pieces = []
        used: list[int] = []
        # A new piece begins where the gate changes or the channel numbers jump.
        breaks = np.flatnonzero((np.diff(base) != 1) | (np.diff(self.gate_of[base]) != 0)) + 1
        for run in np.split(base, breaks):
            space = int(self.gate_of[run[0]])
            if space < 0:
                pieces.append((-1, 0, len(run)))
                continue
            if space not in used:
                used.append(space)
            start = int(run[0] - self.spaces.offsets[space])
            pieces.append((used.index(space), start, start + len(run)))
        masks = [self._space_mask(space, tensors) for space in used]
        if tiles == 1 and len(pieces) == 1:
            return masks[0]
        return MaskOfTensor(pieces, tiles, name=self._name(f"{call.name}_mask"))(masks)


def _repeats(channels: np.ndarray) -> int:
    """How often a sequence of channel numbers repeats (flattened pixels)."""
    period = next(iter(np.flatnonzero(channels[1:] == channels[0]) + 1), len(channels))
    tiles, rest = divmod(len(channels), int(period))
    return tiles if not rest and np.array_equal(np.tile(channels[:period], tiles), channels) else 1
