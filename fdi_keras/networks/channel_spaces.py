"""Which channels must be kept or removed together across a network.

Every producer of channels (a convolution, a dense layer) makes new channels.
Layers that pass channels on one by one (batch normalization, activations,
pooling, depthwise convolutions) keep them; layers that combine tensors channel by
channel (Add) tie the channels of their inputs together. What is tied together
forms a **channel space**: removing channel i of the space removes it from every
tensor of the network that carries it.

The ties are followed for each single channel, not for whole tensors: after
``Concatenate`` and ``Flatten`` a tensor is a sequence of channels of several
spaces, or the same channels once for every pixel, and adding such tensors ties
exactly the channels that meet.

A channel that meets something not understood (an unknown layer, the network's
output) cannot be removed: its whole space is kept, and says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fdi_keras.networks.graph import Call, Graph

L = keras.layers

#: Layers that mix channels: each output channel reads every input channel.
MIXING = (L.Conv2D, L.Dense, L.SeparableConv2D)

#: Layers that treat each channel of the last axis alone and equally.
CHANNELWISE = (
    *(L.ReLU, L.LeakyReLU, L.ELU, L.Dropout, L.SpatialDropout2D, L.GaussianNoise, L.GaussianDropout),
    *(L.AlphaDropout, L.Identity, L.ActivityRegularization, L.MaxPooling2D, L.AveragePooling2D),
    *(L.GlobalAveragePooling2D, L.GlobalMaxPooling2D, L.ZeroPadding2D, L.Cropping2D, L.UpSampling2D),
)

#: Layers that combine tensors channel by channel.
MERGING = (L.Add, L.Subtract, L.Multiply, L.Average, L.Maximum, L.Minimum)

#: Raw operations (``a + b`` on symbolic tensors) that combine tensors channel by channel.
MERGING_OPERATIONS = ("Add", "Subtract", "Multiply", "Maximum", "Minimum")

#: Activations that read one element at a time, by the name Keras serializes them under.
ELEMENTWISE_ACTIVATIONS = frozenset(
    [
        "linear",
        "relu",
        "relu6",
        "sigmoid",
        "tanh",
        "silu",
        "swish",
        "hard_silu",
        "hard_swish",
        "hard_sigmoid",
        "gelu",
        "elu",
        "selu",
        "softplus",
        "softsign",
        "exponential",
        "leaky_relu",
        "celu",
        "mish",
        "log_sigmoid",
    ]
)


@dataclass
class ChannelSpace:
    """One channel space.

    Attributes:
        name: of its first producer (with ``:n`` when a producer has several).
        width: number of channels.
        producers: layers that make its channels.
        consumers: layers that mix its channels.
        kept: why it is kept whole, ``None`` when it can be narrowed.
    """

    name: str
    width: int
    producers: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()
    kept: str | None = None


@dataclass
class ChannelSpaces:
    """All channel spaces of a network. Printing it gives a table.

    Channels are numbered through: channel c of space s is number ``offsets[s] + c``.

    Attributes:
        spaces: in the order of their first producers.
        offsets: number of each space's channel 0; ``(len(spaces),)``.
        of_value: for each value of the graph, the channel numbers along its last axis, or
            ``None`` where the last axis does not carry channels.
    """

    spaces: list[ChannelSpace]
    offsets: np.ndarray
    of_value: dict[int, np.ndarray | None]
    _position: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._position = {space.name: i for i, space in enumerate(self.spaces)}

    def __len__(self) -> int:
        return len(self.spaces)

    def __iter__(self) -> Iterator[ChannelSpace]:
        return iter(self.spaces)

    def __getitem__(self, name: str) -> ChannelSpace:
        return self.spaces[self._position[name]]

    @property
    def prunable(self) -> list[ChannelSpace]:
        """The spaces that can be narrowed."""
        return [space for space in self.spaces if space.kept is None]

    @property
    def names(self) -> list[str]:
        return [space.name for space in self.spaces]

    @property
    def total(self) -> int:
        """Number of channels of all spaces."""
        return sum(space.width for space in self.spaces)

    def numbers(self, name: str) -> np.ndarray:
        """Channel numbers of one space."""
        start = int(self.offsets[self._position[name]])
        return np.arange(start, start + self[name].width)

    def counts(self, value: int) -> dict[str, int]:
        """How often each space's width enters the size of a value's last axis.

        A flattened 7x7 map of space ``a`` gives ``{"a": 49}``, a concatenation of
        ``a`` and ``b`` gives ``{"a": 1, "b": 1}``.
        """
        numbers = self.of_value[value]
        if numbers is None:
            return {}
        space_of = np.searchsorted(self.offsets, numbers, side="right") - 1
        found, times = np.unique(space_of, return_counts=True)
        return {
            self.spaces[s].name: int(t) // self.spaces[s].width for s, t in zip(found, times, strict=True)
        }

    def __str__(self) -> str:
        width = max((len(s.name) for s in self.spaces), default=5)
        lines = [f"{'space':<{width}}  channels  producers -> consumers"]
        for s in self.spaces:
            ends = f"{_some(s.producers)} -> {_some(s.consumers) or 'nothing'}"
            lines.append(
                f"{s.name:<{width}}  {s.width:>8}  {ends}" + (f"  [kept whole: {s.kept}]" if s.kept else "")
            )
        return "\n".join(lines)

    __repr__ = __str__


def find_channel_spaces(graph: Graph) -> ChannelSpaces:
    """The channel spaces of a network, kept ones with their reasons."""
    return _Finder(graph).find()


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")


class _Finder:
    """Follows every channel through the network, then groups what is tied together."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.count = 0
        self.channels: dict[int, np.ndarray | None] = {}
        self.ties: list[tuple[np.ndarray, np.ndarray]] = []
        self.kept: list[tuple[np.ndarray, str]] = []
        self.producers: list[tuple[np.ndarray, str]] = []
        self.consumers: list[tuple[np.ndarray, str]] = []
        self.first_call: dict[int, Call] = {}

    def find(self) -> ChannelSpaces:
        for value in self.graph.inputs:
            if self.graph.shapes[value][-1:] in ((), (None,)) or len(self.graph.shapes[value]) < 2:
                self.channels[value] = None
            else:
                made = self._produce(value, "network input")
                self._keep(made, "channels of the network's input")
        for call in self.graph.calls:
            self._visit(call)
        for value in self.graph.outputs:
            if self.channels[value] is not None:
                self._keep(self.channels[value], "channels of the network's output")
        return self._group()

    # Following channels

    def _visit(self, call: Call) -> None:
        layer = call.layer
        first = self.first_call.setdefault(id(layer), call)
        problem = self._problem(call)
        inputs = [] if problem else [self._of(v) for v in call.inputs]
        if problem:
            for value in call.inputs:
                self._keep(self.channels[value], problem)
            for value in call.outputs:
                made = self._produce(value, call.name)
                self._keep(made, problem)
        elif type(layer) in MIXING:
            self.consumers.append((inputs[0], call.name))
            if first is call:
                self._produce(call.outputs[0], call.name)
            else:  # a shared layer: the same kernel reads and makes the same channels again
                self._tie(inputs[0], self._of(first.inputs[0]))
                self.channels[call.outputs[0]] = self.channels[first.outputs[0]]
            if not _elementwise(layer.activation):
                self._keep(self.channels[call.outputs[0]], _MIXING_ACTIVATION.format(_label(call)))
        elif isinstance(layer, L.Concatenate):
            self.channels[call.outputs[0]] = self._concatenate(layer, call, inputs)
        elif isinstance(layer, MERGING) or type(layer).__name__ in MERGING_OPERATIONS:
            for other in inputs[1:]:
                self._tie(inputs[0], other)
            self.channels[call.outputs[0]] = inputs[0]
        elif isinstance(layer, L.Flatten):
            pixels = math.prod(n or 1 for n in self.graph.shapes[call.inputs[0]][1:-1])
            self.channels[call.outputs[0]] = np.tile(inputs[0], pixels)
        else:  # channelwise, batch normalization, depthwise
            if first is not call and layer.weights:
                self._tie(inputs[0], self._of(first.inputs[0]))
            self.channels[call.outputs[0]] = inputs[0]

    def _of(self, value: int) -> np.ndarray:
        channels = self.channels[value]
        assert channels is not None, "a call without a problem reads channels"
        return channels

    def _problem(self, call: Call) -> str | None:
        """Why channels that meet this call cannot be removed; None when they can."""
        layer, shapes = call.layer, self.graph.shapes
        name = _label(call)
        if any(self.channels[v] is None for v in call.inputs):
            return f"{name} reads a tensor without a channel axis"
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            return f"{name} has data_format channels_first"
        if type(layer) not in MIXING and not _elementwise(getattr(layer, "activation", None)):
            return _MIXING_ACTIVATION.format(name)
        if type(layer) in MIXING or type(layer) is L.DepthwiseConv2D:
            return _convolution_problem(layer, name)
        if type(layer) is L.BatchNormalization:
            rank = len(shapes[call.inputs[0]])
            return (
                None if layer.axis in (-1, rank - 1) else f"{name} normalizes axis {layer.axis}, not the last"
            )
        if isinstance(layer, MERGING) or type(layer).__name__ in MERGING_OPERATIONS:
            sizes = {shapes[v][-1] for v in call.inputs}
            if len(call.inputs) < 2 or len(sizes) > 1:
                return f"{name} combines tensors of different channel counts"
            return None
        if isinstance(layer, L.Flatten):
            known = None not in shapes[call.inputs[0]][1:]
            return None if known else f"{name} flattens an image of unknown size"
        if isinstance(layer, L.Concatenate):
            return None
        if type(layer) in CHANNELWISE or (type(layer) is L.Activation):
            return None
        return f"{name} is not known to pass channels on"

    def _concatenate(self, layer: Any, call: Call, inputs: list[Any]) -> np.ndarray:
        rank = len(self.graph.shapes[call.inputs[0]])
        if layer.axis in (-1, rank - 1):
            return np.concatenate(inputs)
        for other in inputs[1:]:  # side by side in space: the same channels
            self._tie(inputs[0], other)
        return inputs[0]

    def _produce(self, value: int, producer: str) -> np.ndarray | None:
        width = self.graph.shapes[value][-1] if len(self.graph.shapes[value]) > 1 else None
        if width is None:
            self.channels[value] = None
            return None
        made = np.arange(self.count, self.count + width)
        self.count += width
        self.channels[value] = made
        self.producers.append((made, producer))
        return made

    def _keep(self, channels: np.ndarray | None, reason: str) -> None:
        if channels is not None:
            self.kept.append((channels, reason))

    def _tie(self, a: np.ndarray, b: np.ndarray) -> None:
        if len(a) != len(b):
            raise AssertionError("tied tensors have different channel counts")
        self.ties.append((a, b))

    # Grouping

    def _group(self) -> ChannelSpaces:
        root = self._roots()
        # Channels that the same producers make in the same way belong to one space.
        signature: dict[int, set[int]] = {}
        for p, (made, _) in enumerate(self.producers):
            for r in np.unique(root[made]):
                signature.setdefault(int(r), set()).add(p)
        groups: dict[frozenset[int], list[int]] = {}
        for r in sorted(signature):
            groups.setdefault(frozenset(signature[r]), []).append(r)
        ordered = sorted(groups.items(), key=lambda item: item[1][0])
        space_of = np.zeros(self.count, int)  # by root
        number = np.zeros(self.count, int)
        offsets, spaces, start = [], [], 0
        for s, (made_by, roots) in enumerate(ordered):
            space_of[roots] = s
            number[roots] = np.arange(start, start + len(roots))
            offsets.append(start)
            start += len(roots)
            spaces.append(ChannelSpace("", len(roots), tuple(self.producers[p][1] for p in sorted(made_by))))
        self._annotate(spaces, space_of[root])
        of_value = {v: None if c is None else number[root[c]] for v, c in self.channels.items()}
        return ChannelSpaces(spaces, np.asarray(offsets, int), of_value)

    def _roots(self) -> np.ndarray:
        """For each channel the smallest channel tied to it, directly or through others."""
        if not self.count:
            return np.zeros(0, int)
        left = np.concatenate([np.zeros(0, int), *(a for a, _ in self.ties)])
        right = np.concatenate([np.zeros(0, int), *(b for _, b in self.ties)])
        links = coo_matrix((np.ones(len(left)), (left, right)), shape=(self.count, self.count))
        _, label = connected_components(links, directed=False)
        _, first = np.unique(label, return_index=True)
        return first[label]

    def _annotate(self, spaces: list[ChannelSpace], space_of: np.ndarray) -> None:
        consumers: list[list[str]] = [[] for _ in spaces]
        for channels, name in self.consumers:
            for s in np.unique(space_of[channels]):
                if name not in consumers[s]:
                    consumers[s].append(name)
        for channels, reason in self.kept:
            for s in np.unique(space_of[channels]):
                spaces[s].kept = spaces[s].kept or reason
        taken: dict[str, int] = {}
        for space, names in zip(spaces, consumers, strict=True):
            space.consumers = tuple(names)
            first = space.producers[0]
            taken[first] = taken.get(first, 0) + 1
            space.name = first if taken[first] == 1 else f"{first}:{taken[first]}"
            if space.kept is None and not names:
                space.kept = "no layer mixes its channels, so nothing could close them"


_MIXING_ACTIVATION = "{} has an activation that reads several channels at once"


def _label(call: Call) -> str:
    what = "layer" if isinstance(call.layer, L.Layer) else "operation"
    return f"{what} {call.name!r} ({type(call.layer).__name__})"


def _convolution_problem(layer: Any, name: str) -> str | None:
    if getattr(layer, "groups", 1) != 1:
        return f"{name} is a grouped convolution"
    if getattr(layer, "depth_multiplier", 1) != 1:
        return f"{name} has depth_multiplier {layer.depth_multiplier}"
    return None


def _elementwise(activation: Any) -> bool:
    if activation is None:
        return True
    return activation_name(activation) in ELEMENTWISE_ACTIVATIONS


def activation_name(activation: Any) -> str:
    """The name under which Keras knows an activation function; "?" for functions of the user's own."""
    if activation is None:
        return "linear"
    if isinstance(activation, L.Layer):
        return type(activation).__name__
    name = getattr(activation, "__name__", "?")
    return name if getattr(keras.activations, name, None) is activation else "?"
