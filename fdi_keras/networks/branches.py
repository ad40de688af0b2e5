"""Branches that an addition reads and nothing else: what a network can do without.

In ``Add([x, f(x)])`` the layers of ``f`` are such a branch, and without it the addition passes ``x`` on. The
network then computes what it computed with the branch's output multiplied by 0.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fdi_keras.networks.channel_spaces import ChannelSpaces, find_channel_spaces
from fdi_keras.networks.graph import Call, Graph


@dataclass(frozen=True)
class Branch:
    """A branch that can be taken away.

    Attributes:
        merge: name of the addition that reads it.
        spaces: channel spaces that only the branch has.
        necks: those of them that all that flows through the branch passes.
        graph: the network without it.
        after: the channel spaces of that, kept where they were kept before.
        renamed: by name of each space that is left, its name without the branch.
    """

    merge: str
    spaces: tuple[str, ...]
    necks: tuple[str, ...]
    graph: Graph
    after: ChannelSpaces
    renamed: dict[str, str]


def find_branches(graph: Graph, spaces: ChannelSpaces) -> list[Branch]:
    """All branches with a channel space of their own, those with the fewest first.

    Left out are branches that the shape of the sum depends on, or an input of the network, and those
    without which channels are tied in another way.
    """
    found = []
    for merge in graph.calls:
        if not _adds(merge.layer):
            continue
        for value in merge.inputs:
            rest = [v for v in merge.inputs if v != value]
            total = graph.shapes[merge.outputs[0]]
            if len(rest) == len(merge.inputs) - 1 and any(graph.shapes[v] == total for v in rest):
                branch = _branch(graph, spaces, merge, value)
                found += [] if branch is None else [branch]
    return sorted(found, key=lambda branch: len(branch.spaces))


def without_emptied(
    graph: Graph, spaces: ChannelSpaces, kept: dict[str, Any]
) -> tuple[Graph, ChannelSpaces, dict[str, str]]:
    """The network without the branches whose spaces are all said to have no channels.

    Returns:
        Graph, spaces, and by name of each space that is left its new name.
    """
    renamed = {space.name: space.name for space in spaces}
    while empty := [name for name, channels in kept.items() if np.ndim(channels) and not len(channels)]:
        fitting = [b for b in find_branches(graph, spaces) if set(b.spaces) <= set(empty)]
        if not fitting:
            break
        branch = fitting[-1]
        graph, spaces = branch.graph, branch.after
        renamed = {old: branch.renamed[new] for old, new in renamed.items() if new in branch.renamed}
        kept = {name: channels for name, channels in kept.items() if name not in branch.spaces}
    return graph, spaces, renamed


def _adds(layer: Any) -> bool:
    return type(layer) is keras.layers.Add or (
        not isinstance(layer, keras.layers.Layer) and type(layer).__name__ == "Add"
    )


def _branch(graph: Graph, spaces: ChannelSpaces, merge: Call, value: int) -> Branch | None:
    smaller = _without(graph, merge, value)
    left = {v for call in smaller.calls for v in call.outputs} | set(graph.inputs)
    if any(not smaller.consumers.get(v) and v not in smaller.outputs for v in graph.inputs):
        return None
    used = np.zeros(spaces.total, bool)
    for v in left:
        used[_numbers(spaces, v)] = True
    own = [space.name for space in spaces if not used[spaces.numbers(space.name)].any()]
    if not own:
        return None
    after = find_channel_spaces(smaller)
    renamed = _renamed(spaces, after, left)
    if renamed is None:
        return None
    for old, new in renamed.items():
        after[new].kept = spaces[old].kept or after[new].kept
    necks = tuple(name for name in own if _is_neck(graph, spaces, name, value, left))
    return Branch(merge.name, tuple(own), necks, smaller, after, renamed)


def _without(graph: Graph, merge: Call, value: int) -> Graph:
    rest = [v for v in merge.inputs if v != value]
    calls = list(graph.calls)
    instead: dict[int, int] = {}
    if len(rest) == 1:
        calls.remove(merge)
        instead[merge.outputs[0]] = rest[0]
    else:
        (tensors, *others), keywords = merge.arguments
        left = [t for t in tensors if merge.value_of[id(t)] != value]
        calls[calls.index(merge)] = dataclasses.replace(
            merge,
            inputs=tuple(rest),
            arguments=((left, *others), keywords),
            value_of={id(t): merge.value_of[id(t)] for t in left},
        )
    outputs = tuple(instead.get(v, v) for v in graph.outputs)
    needed, live = set(outputs), []
    for call in reversed(calls):
        if needed.isdisjoint(call.outputs):
            continue
        inputs = tuple(instead.get(v, v) for v in call.inputs)
        value_of = {key: instead.get(v, v) for key, v in call.value_of.items()}
        live.append(dataclasses.replace(call, inputs=inputs, value_of=value_of))
        needed.update(inputs)
    consumers: dict[int, list[Call]] = {}
    for call in reversed(live):
        for v in call.inputs:
            consumers.setdefault(v, []).append(call)
    return dataclasses.replace(graph, outputs=outputs, calls=live[::-1], consumers=consumers)


def _numbers(spaces: ChannelSpaces, value: int) -> np.ndarray:
    numbers = spaces.of_value[value]
    return np.empty(0, int) if numbers is None else numbers


def _renamed(before: ChannelSpaces, after: ChannelSpaces, left: set[int]) -> dict[str, str] | None:
    """Names of the spaces that are left; None where they are not the same channels in the same order."""
    offset_before, offset_after = (
        np.append(before.offsets, before.total),
        np.append(after.offsets, after.total),
    )
    found: dict[str, str] = {}
    for value in left:
        old, new = _numbers(before, value), _numbers(after, value)
        if len(old) != len(new):
            return None
        s = np.searchsorted(offset_before, old, side="right") - 1
        t = np.searchsorted(offset_after, new, side="right") - 1
        if (old - offset_before[s] != new - offset_after[t]).any():
            return None
        for a, b in {*zip(s.tolist(), t.tolist(), strict=True)}:
            if found.setdefault(before.names[a], after.names[b]) != after.names[b]:
                return None
    same = all(before[old].width == after[new].width for old, new in found.items())
    return found if same and len(set(found.values())) == len(found) else None


def _is_neck(graph: Graph, spaces: ChannelSpaces, name: str, value: int, left: set[int]) -> bool:
    """Whether every way from a branch's output back to what is left meets a tensor of this space alone."""
    maker = {v: call for call in graph.calls for v in call.outputs}
    stack, seen = [value], set()
    while stack:
        v = stack.pop()
        if v in seen:
            continue
        seen.add(v)
        numbers = _numbers(spaces, v)
        if len(numbers) and np.isin(numbers, spaces.numbers(name)).all():
            continue
        if v in left:
            return False
        stack.extend(maker[v].inputs)
    return True
