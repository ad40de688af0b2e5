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

from collections.abc import Iterator
from dataclasses import dataclass, field

import keras
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from fdi_keras.networks.channel_rules import MIXING, rule_of
from fdi_keras.networks.channels import (
    MIXING_ACTIVATION,
    RECURRENT,
    elementwise_activation,
    label,
    values_read,
)
from fdi_keras.networks.graph import Call, Graph
from fdi_keras.networks.sides import Carrier, sides

L = keras.layers


@dataclass
class ChannelSpace:
    """One channel space.

    Attributes:
        name: of its first producer (with ``:n`` when a producer has several, ``:heads`` of attention).
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


@dataclass(frozen=True)
class Segment:
    """Where a whole space lies along an axis.

    Attributes:
        space: its place among the spaces.
        start: of the segment on the axis.
        repeats: how often each channel stands there before the next one follows: as often as a group has
            members, or a depthwise convolution makes channels of one.
        within: ``(width,)`` channels of the space in the order in which they stand there.
    """

    space: int
    start: int
    repeats: int
    within: np.ndarray


@dataclass
class ChannelSpaces:
    """All channel spaces of a network. Printing it gives a table.

    Channels are numbered through: channel c of space s is number ``offsets[s] + c``.

    Attributes:
        spaces: in the order of their first producers.
        offsets: number of each space's channel 0; ``(len(spaces),)``.
        of_value: for each value of the graph, the channel numbers along its last axis, or
            ``None`` where the last axis does not carry channels; and those of the parts of calls.
        copies: for each of these, which one it is of those that stand side by side for its channel.
    """

    spaces: list[ChannelSpace]
    offsets: np.ndarray
    of_value: dict[Carrier, np.ndarray | None]
    copies: dict[Carrier, np.ndarray] = field(default_factory=dict)
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

    def counts(self, carrier: Carrier, size: int | None = None) -> dict[str, int]:
        """How often each space's width enters the size of a value's last axis, or of a part.

        A flattened 7x7 map of space ``a`` gives ``{"a": 49}``, a concatenation of
        ``a`` and ``b`` gives ``{"a": 1, "b": 1}``.

        Args:
            size: of something that has the same numbers for each channel, as rows have for each head.
        """
        found: dict[str, int] = {}
        numbers = self.of_value.get(carrier)
        if numbers is None:
            return found
        times = 1 if size is None else size // len(numbers)
        for segment in self.segments(numbers):
            name = self.spaces[segment.space].name
            found[name] = found.get(name, 0) + times * segment.repeats
        return found

    def segments(self, numbers: np.ndarray | None, copies: np.ndarray | None = None) -> list[Segment]:
        """The spaces that follow each other along an axis with these channel numbers.

        Args:
            copies: of these channels. They tell a space of one channel that stands there several times, as
                of a flattened image, from one that is repeated.

        Raises:
            ValueError: spaces are interleaved. No space that can be narrowed is.
        """
        found: list[Segment] = []
        start, end = 0, 0 if numbers is None else len(numbers)
        while start < end:
            assert numbers is not None
            space = int(np.searchsorted(self.offsets, numbers[start], side="right")) - 1
            width = self.spaces[space].width
            ahead = numbers[start : start + end // width + 1] != numbers[start]
            if width == 1 and copies is not None:
                ahead |= copies[start : start + len(ahead)] == copies[start]
                ahead[0] = False
            repeats = int(ahead.argmax()) if ahead.any() else (end - start) // width
            block = numbers[start : start + width * repeats]
            if len(block) < width * repeats:
                raise ValueError("interleaved")
            rows = block.reshape(width, repeats)
            within = rows[:, 0] - self.offsets[space]
            if (rows != rows[:, :1]).any() or not np.array_equal(np.sort(within), np.arange(width)):
                raise ValueError("interleaved")
            found.append(Segment(space, start, repeats, within))
            start += width * repeats
        return found

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
        self.shapes = graph.shapes
        self.count = 0
        self.channels: dict[Carrier, np.ndarray | None] = {}
        self.copies = np.zeros(0, int)
        self.ties: list[tuple[np.ndarray, np.ndarray]] = []
        self.kept: list[tuple[np.ndarray, str]] = []
        self.producers: list[tuple[np.ndarray, str, str]] = []
        self.consumers: list[tuple[np.ndarray, str]] = []
        self.first_call: dict[int, Call] = {}

    def find(self) -> ChannelSpaces:
        for value in self.graph.inputs:
            if self.graph.shapes[value][-1:] in ((), (None,)) or len(self.graph.shapes[value]) < 2:
                self.channels[value] = None
            else:
                self.make(value, "network input")
                self.keep(self.channels[value], "channels of the network's input")
        for call in self.graph.calls:
            self._visit(call)
        for value in self.graph.outputs:
            if self.channels[value] is not None:
                self.keep(self.channels[value], "channels of the network's output")
        return self._group()

    # Following channels

    def _visit(self, call: Call) -> None:
        rule = rule_of(call.layer)
        problem = self._problem(call)
        if problem is None and rule is None:
            problem = f"{label(call)} is not known to pass channels on"
        if problem is None and rule is not None:
            first = self.first_call.setdefault(id(call.layer), call)
            if first is not call and getattr(call.layer, "weights", None):
                problem = self._again(call, first)
                for carrier in sides(first).values() if problem else ():
                    self.keep(self.channels.get(carrier), str(problem))
            else:
                problem = rule(self, call)
        if problem is not None:
            for value in call.inputs:
                self.keep(self.channels[value], problem)
            for value in call.outputs:
                self.make(value, call.name)
                self.keep(self.channels[value], problem)

    def _problem(self, call: Call) -> str | None:
        """Why channels that meet this call cannot be removed, whatever its rule says."""
        layer = call.layer
        if any(self.channels[value] is None for value in values_read(call)):
            return f"{label(call)} reads a tensor without a channel axis"
        if getattr(layer, "data_format", "channels_last") == "channels_first":
            return f"{label(call)} has data_format channels_first"
        if type(layer) not in (*MIXING, *RECURRENT) and not elementwise_activation(
            getattr(layer, "activation", None)
        ):
            return MIXING_ACTIVATION.format(label(call))
        return None

    def _again(self, call: Call, first: Call) -> str | None:
        """A shared layer: the same weights read and make the same channels again."""
        read, known = values_read(call), values_read(first)
        if len(read) != len(known) or len(call.outputs) != len(first.outputs):
            return f"{label(call)} is called in different ways"
        for value, before in zip(read, known, strict=True):
            if len(self.of(value)) != len(self.of(before)):
                return f"{label(call)} is shared by tensors of different channel counts"
            self.tie(self.of(value), self.of(before))
            if type(call.layer) in (*MIXING, *RECURRENT, L.Bidirectional, L.MultiHeadAttention):
                self.consume(self.of(value), call.name)
        # A channelwise layer on another image: the channels, but not once for every pixel.
        for value, before in zip(call.outputs, first.outputs, strict=True):
            self.carry(value, self.of(before))
        for side, own in sides(call).items():
            same = sides(first)[side]
            if isinstance(own, tuple) and same in self.channels:
                self.carry(own, self.of(same))
        return None

    def of(self, carrier: Carrier) -> np.ndarray:
        channels = self.channels[carrier]
        assert channels is not None, "a call without a problem reads channels"
        return channels

    def make(
        self, carrier: Carrier, producer: str, width: int | None = None, sort: str = ""
    ) -> np.ndarray | None:
        if not isinstance(carrier, tuple):
            width = self.shapes[carrier][-1] if len(self.shapes[carrier]) > 1 else None
        if width is None:
            self.channels[carrier] = None
            return None
        made = np.arange(self.count, self.count + width)
        self.count += width
        self.copies = np.concatenate([self.copies, np.zeros(width, int)])
        self.channels[carrier] = made
        self.producers.append((made, producer, sort))
        return made

    def carry(self, carrier: Carrier, channels: np.ndarray) -> None:
        self.channels[carrier] = channels

    def keep(self, channels: np.ndarray | None, reason: str) -> None:
        if channels is not None:
            self.kept.append((channels, reason))

    def consume(self, channels: np.ndarray, consumer: str) -> None:
        self.consumers.append((channels, consumer))

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        if len(a) != len(b):
            raise AssertionError("tied tensors have different channel counts")
        self.ties.append((a, b))

    def bundle(self, channels: np.ndarray, rows: np.ndarray) -> None:
        each = rows.shape[1]
        self.copies[rows] = self.copies[channels][:, None] * each + np.arange(each)
        self.tie(np.repeat(channels, each), rows.ravel())

    # Grouping

    def _group(self) -> ChannelSpaces:
        root = self._roots()
        # Channels that the same producers make in the same way belong to one space.
        signature: dict[int, set[int]] = {}
        for p, (made, _, _) in enumerate(self.producers):
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
        sorts = [self.producers[min(made_by)][2] for made_by, _ in ordered]
        self._annotate(spaces, space_of[root], sorts)
        of_value = {v: None if c is None else number[root[c]] for v, c in self.channels.items()}
        copies = {v: self.copies[c] for v, c in self.channels.items() if c is not None}
        found = ChannelSpaces(spaces, np.asarray(offsets, int), of_value, copies)
        for numbers in of_value.values():
            try:
                found.segments(numbers)
            except ValueError:
                for s in (
                    np.unique(space_of[root][np.isin(number[root], numbers)]) if numbers is not None else ()
                ):
                    spaces[s].kept = spaces[s].kept or "its channels are interleaved with those of others"
        return found

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

    def _annotate(self, spaces: list[ChannelSpace], space_of: np.ndarray, sorts: list[str]) -> None:
        consumers: list[list[str]] = [[] for _ in spaces]
        for channels, name in self.consumers:
            for s in np.unique(space_of[channels]):
                if name not in consumers[s]:
                    consumers[s].append(name)
        for channels, reason in self.kept:
            for s in np.unique(space_of[channels]):
                spaces[s].kept = spaces[s].kept or reason
        taken: dict[str, int] = {}
        for space, names, sort in zip(spaces, consumers, sorts, strict=True):
            space.consumers = tuple(names)
            first = f"{space.producers[0]}:{sort}" if sort else space.producers[0]
            taken[first] = taken.get(first, 0) + 1
            space.name = first if taken[first] == 1 else f"{first}:{taken[first]}"
            if space.kept is None and not names:
                space.kept = "no layer mixes its channels, so nothing could close them"
