"""The memory that the feature maps of a network take at once, as a function of its widths.

LiteRT keeps feature maps in one arena and uses its space again for what is not needed any more. While an
operator runs, what it reads, what it makes and what later operators still read are there; so are the network's
inputs and outputs, all the time. The most of it at any operator is what the arena needs at least. Of a layer
within which several operators run only one operator's tensors at a time are counted; weights, and what kernels
need for themselves, are not counted (our choice).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np

from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.graph import Call, Graph
from fdi_keras.networks.layer_operators import read_calls
from fdi_keras.networks.operator_reader import NetworkOperator, OperatorReader
from fdi_keras.operators import KINDS, Operator
from fdi_keras.operators.kinds import BYTES

ops = keras.ops


class PeakMemory:
    """Bytes of feature maps at each operator: an affine function of the widths of all channel spaces.

    Args:
        graph: of the network.
        spaces: its channel spaces; widths below are in their order.

    Attributes:
        constant, matrix: ``(steps,)`` and ``(steps, spaces)`` bytes; steps that never need most are left out.
    """

    def __init__(self, graph: Graph, spaces: ChannelSpaces):
        reader = read_calls(graph)
        tensors = _Tensors(reader, graph, spaces)
        within: dict[str, list[NetworkOperator]] = {}
        for operator in reader.operators:
            within.setdefault(operator.name, []).append(operator)
        calls = tensors.calls
        rows = [tensors.alive(step) for step in range(len(calls))] or [tensors.alive(0)]
        for step, call in enumerate(calls):
            inside = within.get(call.name, [])
            if len(inside) > 1:
                around = tensors.alive(step, without=call)
                rows += [around + _row_of(operator, spaces) for operator in inside]
        together = np.array(rows)
        together = together[_undominated(together)]
        self.constant, self.matrix = together[:, -1], together[:, :-1]

    def bytes(self, widths: np.ndarray) -> np.ndarray:
        """At each step, ``(..., steps)`` for ``(..., spaces)``; the most of it is the peak."""
        return np.asarray(widths, float) @ self.matrix.T + self.constant

    def expected_bytes(self, widths: Any) -> Any:
        """The peak in the training graph, ``(networks,)`` for ``(networks, spaces)``."""
        rows = ops.matmul(widths, ops.convert_to_tensor(self.matrix.T.astype("float32")))
        return ops.max(rows + ops.convert_to_tensor(self.constant.astype("float32")), axis=1)


class _Tensors:
    """Which tensors the runtime has when; bytes are rows ``(spaces + 1,)``, by each space's width, the constant last.

    Attributes:
        calls: those that make tensors, in the order of execution.
    """

    def __init__(self, reader: OperatorReader, graph: Graph, spaces: ChannelSpaces):
        done = {id(operator) for operator in reader.operators}

        def number(value: int) -> int:
            if value in reader.padded and id(reader.open.get(value)) not in done:
                return number(reader.padded[value][0])  # its readers pad for themselves
            return reader.tensor(value).number

        self._number = {value: number(value) for value in graph.shapes}
        self._sizes: dict[int, np.ndarray] = {}
        for value, tensor in self._number.items():
            size = _size(value, graph, spaces)
            # Of the views of a tensor the first one that carries channels tells how it grows.
            if tensor not in self._sizes or (size[:-1].any() and not self._sizes[tensor][:-1].any()):
                self._sizes[tensor] = size
        self._none = np.zeros(len(spaces) + 1)
        self.calls = [call for call in reader.calls if self._of(call.outputs) - self._of(call.inputs)]
        end = len(self.calls)
        self._made = dict.fromkeys(self._of(graph.inputs), -1)
        self._last = dict.fromkeys(self._of((*graph.inputs, *reader.outputs)), end)
        for step, call in enumerate(self.calls):
            for tensor in self._of((*call.inputs, *call.outputs)):
                self._made.setdefault(tensor, step)
                self._last[tensor] = max(self._last.get(tensor, step), step)

    def alive(self, step: int, without: Call | None = None) -> np.ndarray:
        """Bytes during a call; without those that the call reads and makes, if it is named."""
        mine = set() if without is None else self._of((*without.inputs, *without.outputs))
        alive = (t for t, made in self._made.items() if made <= step <= self._last[t] and t not in mine)
        return sum((self._sizes[t] for t in alive), self._none)

    def _of(self, values: Iterable[int]) -> set[int]:
        return {self._number[value] for value in values}


def _size(value: int, graph: Graph, spaces: ChannelSpaces) -> np.ndarray:
    """Bytes of a value."""
    shape = [int(n or 1) for n in graph.shapes[value][1:]] or [1]
    row = np.zeros(len(spaces) + 1)
    row[-1] = shape[-1]
    counts = spaces.counts(value) if value in spaces.of_value else {}
    for i, space in enumerate(spaces):
        row[i] = counts.get(space.name, 0)
        row[-1] -= row[i] * space.width
    return BYTES * math.prod(shape[:-1]) * row


def _row_of(operator: NetworkOperator, spaces: ChannelSpaces) -> np.ndarray:
    """Bytes that an operator reads and makes, its weights aside."""
    row = np.zeros(len(spaces) + 1)
    if operator.problem or operator.kind not in KINDS:
        row[-1] = BYTES * (operator.elements_in + operator.elements_out)
        return row
    of_space: dict[str, dict[str, int]] = {}
    for name, carrier in operator.channels.items():
        for made, count in spaces.counts(carrier, operator.dims[name]).items():
            of_space.setdefault(made, {})[name] = count
    whole = _touched(operator, {})
    row[-1] = whole
    for i, space in enumerate(spaces):
        if space.name in of_space and space.width > 1:
            row[i] = whole - _touched(operator, of_space[space.name])
            row[-1] -= row[i] * space.width
    return row


def _touched(operator: NetworkOperator, less: Mapping[str, int]) -> float:
    """Bytes that an operator reads and makes with some dimensions smaller."""
    dims = {name: size - less.get(name, 0) for name, size in operator.dims.items()}
    explained = Operator(operator.kind, dims, operator.name).explained
    return explained["memory_in"] + explained["memory_out"]


def _undominated(rows: np.ndarray) -> np.ndarray:
    """Which rows no other one exceeds everywhere; of equal ones the first."""
    rows, first = np.unique(rows, axis=0, return_index=True)
    keep = [
        not any((other >= row).all() for other in np.delete(rows, i, axis=0)) for i, row in enumerate(rows)
    ]
    return np.sort(first[np.array(keep)])
