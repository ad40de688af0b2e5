"""Gates for a network: the user's layers, with a mask wired into each that mixes channels."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.gated_layers import GATED, POSITIONAL
from fdi_keras.compression.gated_model import PrunableModel
from fdi_keras.compression.gates import SPREAD, START, ChannelGates, MaskOfTensor, SpaceGates, Steering
from fdi_keras.compression.importance import channel_importance
from fdi_keras.compression.limits import exclude_layers
from fdi_keras.errors import NothingToPruneError, UnsupportedModelError, UsageError
from fdi_keras.networks.channel_spaces import ChannelSpaces, find_channel_spaces
from fdi_keras.networks.graph import Call, Graph, copy_layer, copy_with, read_graph
from fdi_keras.networks.sides import Carrier, sides


def prunable(model: keras.Model, exclude: str | Sequence[str] = ()) -> PrunableModel:
    """The same network with a gate on every channel that can be removed.

    Args:
        model: a built Sequential or functional model; it is not changed. Nested models
            are inlined. What cannot be pruned is kept whole and listed with its reason
            by ``print(result.channel_spaces)``.
        exclude: names or patterns (``"stem_*"``) of layers whose channels shall all stay.

    Returns:
        A model with the same weights and, all gates being open, the same outputs. It is
        compiled, trained, saved and loaded like any Keras model; ``compile`` also takes
        ``regularizer=``.

    Raises:
        UnsupportedModelError: the model is subclassed, not built, or of a class with a training step of its own.
        UsageError: it is prunable already, or a pattern matches no layer.
        NothingToPruneError: no channel of the model can be removed.

    Example::

        model = fdi.prunable(keras_model)
        model.compile("adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"],
                      regularizer=fdi.LatencyRegularizer(profile, target_ms=0.8))
    """
    if isinstance(model, PrunableModel):
        raise UsageError(f"{model.name!r} is prunable already; pass the network it was made from.")
    graph = read_graph(model)
    _check_training(model)
    spaces = find_channel_spaces(graph)
    excluded = exclude_layers(spaces, exclude)
    gated = with_gates(graph, spaces, excluded)
    _spread(gated.gates, channel_importance(graph, spaces))
    return gated


def with_gates(
    graph: Graph,
    spaces: ChannelSpaces,
    excluded: Sequence[str] = (),
    gate_class: type[ChannelGates] = ChannelGates,
) -> PrunableModel:
    """The network of a graph with a mask on every prunable space, and its weights.

    Raises:
        NothingToPruneError: no channel can be removed.
    """
    gated = _Gating(graph, spaces, excluded, gate_class).build() if spaces.prunable else None
    if gated is None or not gated.gates:
        reasons = "; ".join(f"{s.name}: {s.kept}" for s in spaces if s.kept and s.name != "network input")
        raise NothingToPruneError(
            f"no channel of {graph.name!r} can be removed ({reasons or 'it has no channels'}). A network needs at "
            "least one convolution or dense layer whose output another one reads."
        )
    return gated


def _spread(gates: dict[str, SpaceGates], importance: dict[str, np.ndarray]) -> None:
    """Start unimportant channels nearer to closing, so that a space narrows one by one.

    From one common logit all channels of a space close within a few steps of each other,
    which no controller can stop half way.
    """
    for name, gate in gates.items():
        rank = np.argsort(np.argsort(importance[name], kind="stable"))
        gate.set_logits(START + SPREAD * rank / max(len(rank) - 1, 1))


def _check_training(model: keras.Model) -> None:
    own = [
        name
        for name in ("train_step", "test_step", "compute_loss", "compute_metrics")
        if getattr(type(model), name) is not getattr(keras.Model, name)
    ]
    if own:
        name = type(model).__name__
        raise UnsupportedModelError(
            f"{model.name!r} is trained by {name}.{own[0]}, which the gated network would not have. Write it into "
            "a subclass of fdi_keras.PrunableModel, make the gates without it and add it to them: gated = "
            "fdi_keras.prunable(keras.Model(model.input, model.output)), then YourClass(gated.input, gated.output)."
        )


class _Gating:
    """Rebuilds a graph with masks wired into the layers that mix channels."""

    def __init__(
        self, graph: Graph, spaces: ChannelSpaces, excluded: Sequence[str], gate_class: type[ChannelGates]
    ):
        self.graph, self.spaces, self.excluded, self.gate_class = graph, spaces, excluded, gate_class
        self.made: dict[int, Any] = {}
        self.originals: list[tuple[Any, Any]] = []
        self.widths: dict[str, int] = {}  # of the spaces that gated layers read
        self.masks: dict[str, Any] = {}
        self.taken = set(graph.layers)
        self.gated = np.zeros(spaces.total, bool)
        for space in spaces.prunable:
            self.gated[spaces.numbers(space.name)] = True

    def build(self) -> PrunableModel:
        read = [carrier for call in self.graph.calls for carrier in self._carriers(call).values()]
        names = dict.fromkeys(name for carrier in read for name in self.spaces.counts(carrier))
        self.widths = {name: self.spaces[name].width for name in names if self.spaces[name].kept is None}
        model = self.graph.rebuild(self._build_call, PrunableModel)
        for old, new in self.originals:
            new.set_weights(old.get_weights())
            new.trainable = old.trainable
        return model

    def _build_call(self, call: Call, tensors: dict[int, Any]) -> list[Any]:
        known = id(call.layer) in self.made
        masks = self._masks_of(call, tensors)
        gated_class = _gated_class(call.layer)
        if not masks:
            layer = copy_layer(call, self.made)
            results = call.apply(layer, tensors)
        elif gated_class.masks == POSITIONAL:
            layer = copy_with(call, self.made, {}, gated_class)
            results = [layer(tensors[call.inputs[0]], *masks.values())]
        else:
            layer = copy_with(call, self.made, {}, gated_class)
            results = call.apply(partial(layer, **masks), tensors)
        if not known and isinstance(layer, keras.layers.Layer) and layer is not call.layer:
            self.originals.append((call.layer, layer))
        return results

    def _carriers(self, call: Call) -> dict[str, Carrier]:
        """What a call reads that has gates, by the argument of its gated layer that takes the mask."""
        gated_class = _gated_class(call.layer)
        if gated_class is None:
            return {}
        carriers = sides(call)
        return {
            name: carriers[side] for side, name in gated_class.masks.items() if self._is_gated(carriers[side])
        }

    def _masks_of(self, call: Call, tensors: dict[int, Any]) -> dict[str, Any]:
        """The masks of what a call reads, by argument."""
        carriers = self._carriers(call)
        found = {carrier: self._mask(call, carrier, tensors) for carrier in dict.fromkeys(carriers.values())}
        return {name: found[carrier] for name, carrier in carriers.items()}

    def _is_gated(self, carrier: Carrier) -> bool:
        """Whether channels of a value, or of a part of a call, have gates."""
        channels = self.spaces.of_value.get(carrier)
        return channels is not None and bool(self.gated[channels].any())

    def _name(self, wanted: str) -> str:
        while wanted in self.taken:
            wanted += "_"
        self.taken.add(wanted)
        return wanted

    def _space_mask(self, space: int, tensors: dict[int, Any]) -> Any:
        if not self.masks:
            steering = Steering(self.excluded, name=self._name("steering"))
            gates = self.gate_class(self.widths, name=self._name("gates"))
            masks = gates(steering(tensors[self.graph.inputs[0]]))
            self.masks = dict(zip(self.widths, masks, strict=True))
        return self.masks[self.spaces.spaces[space].name]

    def _mask(self, call: Call, carrier: Carrier, tensors: dict[int, Any]) -> Any:
        channels = self.spaces.of_value[carrier]
        assert channels is not None
        tiles = _repeats(channels)
        pieces = []
        used: list[int] = []
        for segment in self.spaces.segments(channels[: len(channels) // tiles]):
            space, repeats = segment.space, segment.repeats
            if self.spaces.spaces[space].kept is not None:
                pieces.append((-1, 0, len(segment.within), repeats))
                continue
            if space not in used:
                used.append(space)
            for run in np.split(segment.within, np.flatnonzero(np.diff(segment.within) != 1) + 1):
                pieces.append((used.index(space), int(run[0]), int(run[-1]) + 1, repeats))
        masks = [self._space_mask(space, tensors) for space in used]
        if tiles == 1 and len(pieces) == 1 and pieces[0][3] == 1:
            return masks[0]
        return MaskOfTensor(pieces, tiles, name=self._name(f"{call.name}_mask"))(masks)


def _gated_class(layer: Any) -> Any:
    """The class that reads through a mask what this layer reads; None where it mixes no channels."""
    # A grouped convolution does not mix: what it makes of a closed group, nobody reads.
    return GATED.get(type(layer)) if getattr(layer, "groups", 1) == 1 else None


def _repeats(channels: np.ndarray) -> int:
    """How often a sequence of channel numbers repeats (flattened pixels)."""
    period = next(iter(np.flatnonzero(channels[1:] == channels[0]) + 1), len(channels))
    tiles, rest = divmod(len(channels), int(period))
    return tiles if not rest and np.array_equal(np.tile(channels[:period], tiles), channels) else 1
