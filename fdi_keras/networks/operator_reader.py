"""What every rule for reading layers as operators rests on: tensors, their shapes, and fusion.

The rules are what the converter was seen to do. It melts operators into the one before
them, and it reshapes a tensor only where somebody needs the other shape: a reshape after
a reshape is one, and operators on single elements are done before it. So a value of the
graph is a *view*: a tensor as the runtime has it, and the shape that Keras sees, between
which an operator ``reshape`` stands as soon as the Keras shape is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import keras

from fdi_keras.networks import described as d
from fdi_keras.networks.channels import activation_name
from fdi_keras.networks.described import Described, Shape
from fdi_keras.networks.graph import Call, Graph
from fdi_keras.networks.sides import Carrier
from fdi_keras.operators import KINDS, Operator
from fdi_keras.operators.kinds import BINARY_FUSING

#: Operators that take a fused ReLU or ReLU6.
FUSING = frozenset(
    (
        *("conv2d", "grouped_conv2d", "transposed_conv2d", "depthwise_conv2d", "dense"),
        *("max_pool2d", "average_pool2d", *BINARY_FUSING),
    )
)

#: Operators that a following multiplication or addition by channel folds into.
FOLDING = frozenset(("conv2d", "grouped_conv2d", "transposed_conv2d", "depthwise_conv2d", "dense"))

#: A binary operator with a constant is done before a reshape unless the tensor has more axes than this.
MOST_AXES = 3


@dataclass
class NetworkOperator:
    """One operator of a network.

    Attributes:
        kind, dims, name, problem, elements_in, elements_out: as in
            :class:`fdi_keras.operators.Operator`; ``name`` is the layer's.
        channels: for each dimension that counts channels, or as much for each of them, what carries
            these: the value of the graph whose last axis they are, or a part of a layer.
        shared: its weights are those of an earlier operator, of the same layer.
    """

    kind: str
    dims: dict[str, int]
    name: str
    channels: dict[str, Carrier] = field(default_factory=dict)
    problem: str | None = None
    elements_in: int = 0
    elements_out: int = 0
    shared: bool = False

    @property
    def operator(self) -> Operator:
        return Operator(self.kind, self.dims, self.name, self.problem, self.elements_in, self.elements_out)


@dataclass(frozen=True)
class Tensor:
    """A tensor as the runtime has it.

    Attributes:
        number: the same for all views of it.
        shape: without the batch.
        squeezed: it comes from a layer for sequences, which works on images of one row.
        kept: of a mean or a slice, its shape with the axes of one element that it might keep.
    """

    number: int
    shape: Shape
    squeezed: bool = False
    kept: Shape | None = None


def without_repetition(graph: Graph) -> tuple[list[Call], tuple[int, ...]]:
    """The calls of a network, and its outputs, without those that compute what another computes already.

    The converter executes layers of one configuration that read the same value only once.
    """
    same: dict[int, int] = {}
    seen: dict[Any, list[Call]] = {}
    calls = []
    for call in graph.calls:
        inputs = tuple(same.get(value, value) for value in call.inputs)
        alike = seen.setdefault((type(call.layer), inputs), [])
        # Mostly there is none, and no configuration has to be read.
        signature = _signature(call.layer) if alike else None
        first = next((each for each in alike if signature and _signature(each.layer) == signature), call)
        if first is not call:
            same.update(zip(call.outputs, first.outputs, strict=True))
            continue
        alike.append(call)
        if inputs == call.inputs:
            calls.append(call)
        else:
            known = {tensor: same.get(value, value) for tensor, value in call.value_of.items()}
            calls.append(replace(call, inputs=inputs, value_of=known))
    return calls, tuple(same.get(value, value) for value in graph.outputs)


def _signature(layer: Any) -> str | None:
    """What a layer without weights computes, as a text; None where that is not known."""
    if not isinstance(layer, keras.layers.Layer) or layer.weights:
        return None
    if type(layer).__module__.split(".")[0] != "keras" or isinstance(layer, keras.layers.Lambda):
        return None
    if isinstance(layer, keras.layers.Activation):
        name = activation_name(layer.activation)
        return None if name == "?" else f"Activation {name}"
    config = {name: value for name, value in layer.get_config().items() if name != "name"}
    return f"{type(layer).__name__} {config}"


class OperatorReader:
    """Collects the operators of a network, call by call."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.calls, self.outputs = without_repetition(graph)
        self._readers: dict[int, int] = {}
        for call in self.calls:
            for value in call.inputs:
                self._readers[value] = self._readers.get(value, 0) + 1
        self.operators: list[NetworkOperator] = []
        self.call: Call | None = None
        #: The operator that made a value, while something that follows may still melt into it.
        self.open: dict[int, NetworkOperator] = {}
        #: The first call of each layer.
        self._first: dict[int, Call] = {}
        #: For the value that a padding layer makes: the value it pads, and amounts before and after each axis.
        self.padded: dict[int, tuple[int, tuple[tuple[int, int], ...]]] = {}
        #: For a value: multiplications and additions by constants that may melt into what follows.
        self.prepared: dict[int, list[NetworkOperator]] = {}
        #: For the value that a transposition makes: the order of its axes.
        self.moved: dict[int, tuple[int, ...]] = {}
        #: For a value within a layer: the part of the layer that one of its axes grows with, and that axis.
        self._parts: dict[int, tuple[Carrier, int]] = {}
        self._tensors: dict[int, Tensor] = {}
        self._shapes: dict[int, Shape] = {}
        self._reshaped: dict[tuple[int, Shape], Tensor] = {}
        self._views: dict[int, int] = {}
        self._absorbed: dict[int, int] = {}
        self._made = 0

    # Values and their shapes

    def shape(self, value: int) -> Shape:
        """Shape of a value as Keras sees it, without the batch."""
        if value in self._shapes:
            return self._shapes[value]
        return tuple(int(n or 1) for n in self.graph.shapes[value][1:]) or (1,)

    def new(self, shape: Sequence[int], part: Carrier | None = None, axis: int = -1) -> int:
        """A value that no layer of the network has: it lies within one.

        Args:
            part: of the layer, as in :func:`fdi_keras.networks.sides.part`; ``axis`` grows with it.
        """
        self._made += 1
        self._shapes[-self._made] = tuple(int(n) for n in shape)
        if part is not None:
            self._parts[-self._made] = (part, axis)
        return -self._made

    def by_part(self, value: int, describe: Callable[[Shape], Described | None]) -> dict[str, Carrier]:
        """Which dimensions of an operator on a value within a layer grow with a part of the layer."""
        if value not in self._parts:
            return {}
        part, axis = self._parts[value]
        wider = list(self.shape(value))
        wider[axis] *= 2
        before, after = describe(self.shape(value)), describe(tuple(wider))
        if before is None or after is None:
            return {}
        return {name: part for name, size in before.dims.items() if after.dims[name] == 2 * size > 0}

    def single(self, value: int) -> bool:
        """Whether exactly one call reads a value and it is no output. Within a layer: always."""
        if value < 0:
            return True
        return self._readers.get(value, 0) == 1 and value not in self.outputs

    def tensor(self, value: int) -> Tensor:
        """What the runtime has of a value."""
        if value not in self._tensors:
            self._tensors[value] = Tensor(value, self.shape(value))
        return self._tensors[value]

    def need(self, value: int, shape: Shape | None = None) -> Shape:
        """Have a value in a shape, that of Keras unless another is named; reshapes where it must."""
        shape = self.shape(value) if shape is None else shape
        tensor = self.tensor(value)
        if shape in (tensor.shape, tensor.kept):
            return shape
        key = (tensor.number, shape)
        if key not in self._reshaped:
            self.emit(d.reshape(shape), channels={"channels": value, **self.by_part(value, d.reshape)})
            self._made += 1
            self._reshaped[key] = Tensor(-self._made, shape)
        if shape == self.shape(value):
            self._tensors[value] = self._reshaped[key]
        return shape

    def view(self, source: int, target: int) -> None:
        """``target`` is ``source`` in another shape, or the same."""
        self._tensors[target] = self.tensor(source)
        self._views[target] = source
        if self.single(source):
            if source in self.open:
                self.open[target] = self.open[source]
            if source in self.prepared:
                self.prepared[target] = self.prepared[source]

    def settle(self, value: int) -> Shape:
        """Shape in which operators on single elements work: before a reshape, if nobody else reads it."""
        if not self.single(value):
            return self.need(value)
        return self.tensor(value).shape

    # Operators

    def emit(
        self,
        described: Described,
        target: int | None = None,
        shape: Shape | None = None,
        channels: Mapping[str, Carrier] | None = None,
        squeezed: bool = False,
        kept: Shape | None = None,
    ) -> NetworkOperator:
        """Append an operator.

        Args:
            described: what it is.
            target: the value that it makes.
            shape: of that value's tensor, if it is not what Keras sees.
            channels: as in :class:`NetworkOperator`.
            squeezed, kept: see :class:`Tensor`.
        """
        call = self.call
        assert call is not None, "operators are emitted for a call"
        kind, dims, problem = described
        if problem is None and kind not in KINDS:
            problem = f"no time model knows what {kind} costs"
        dims = d.canonical(kind, dims)
        known = {
            name: carrier
            for name, carrier in (channels or {}).items()
            if self._counts(carrier, dims.get(name, 0), kind)
        }
        operator = NetworkOperator(kind, dims, call.name, known, problem)
        operator.shared = self._first.setdefault(id(call.layer), call) is not call
        operator.elements_in = sum(math.prod(self.shape(v)) for v in call.inputs)
        operator.elements_out = sum(math.prod(self.shape(v)) for v in call.outputs)
        self.operators.append(operator)
        if target is not None:
            self.open[target] = operator
            self._made += 1
            self._tensors[target] = Tensor(-self._made, shape or self.shape(target), squeezed, kept)
        return operator

    def _counts(self, carrier: Carrier, size: int, kind: str) -> bool:
        """Whether a dimension of this size counts the channels of a carrier; what a reshape copies is all of it."""
        if isinstance(carrier, tuple):
            return True
        # Before a reshape the last axis may be another one than that of the value.
        return carrier >= 0 and (size == self.shape(carrier)[-1] or kind == "reshape")

    def unknown(self, call: Call, problem: str | None = None) -> None:
        """A layer that no rule describes, or one whose arguments it does not."""
        for value in call.inputs:
            self.need(value)
        name = type(call.layer).__name__
        self.emit(Described(name, {}, problem or f"no time model knows what {name} costs"), call.outputs[0])

    def forget(self, operators: Sequence[NetworkOperator]) -> None:
        """Operators that have melted into another."""
        gone = {id(operator) for operator in operators}
        self.operators = [operator for operator in self.operators if id(operator) not in gone]

    def absorb(self, value: int) -> None:
        """A reader of a padded value does the padding itself; when all do, nothing else does."""
        self._absorbed[value] = self._absorbed.get(value, 0) + 1
        if self._absorbed[value] == self._readers.get(value, 0) and value not in self.outputs:
            self.forget([self.open[value]])

    def fusable(self, value: int, kinds: frozenset[str], own: bool = False) -> NetworkOperator | None:
        """The operator that made a value, if what follows may melt into it.

        ``own``: what follows belongs to the same layer, so that nobody else sees the value.
        """
        operator = self.open.get(value)
        if operator is None or not (own or self.single(value)):
            return None
        return operator if operator.kind in kinds and not operator.dims.get("activation") else None

    def elementwise(self, kind: str, source: int, target: int) -> None:
        """A function of each element; where it can, before a reshape."""
        tensor = self.tensor(source)
        shape = self.settle(source)
        self.emit(d.elementwise(kind, shape), target, shape, {"channels": source}, tensor.squeezed)

    def with_constant(
        self, kind: str, source: int, target: int, constant: Shape | None = None
    ) -> NetworkOperator:
        """A binary operator with one number, or with a constant of some shape."""
        tensor = self.tensor(source)
        one_number = constant is None
        if one_number or (len(constant or ()) == 1 and len(tensor.shape) <= MOST_AXES):
            shape = self.settle(source)
        else:
            shape = self.need(source)
        described = d.binary(kind, shape, constant or (), constant=True)
        made = d.broadcast_shape(shape, constant or ())
        operator = self.emit(described, target, made, {"channels": target}, tensor.squeezed)
        if self.single(source):
            self.prepared[target] = [*self.prepared.get(source, ()), operator]
        return operator

    def combine(self, kind: str, first: int, second: int, target: int) -> None:
        """A binary operator on two values, the smaller one spread over the other."""
        tensors = [self.tensor(value) for value in (first, second)]
        together = tensors[0].shape == tensors[1].shape and self.single(first) and self.single(second)
        alike = self.shape(first) == self.shape(second)
        if alike and together:
            shapes = [tensor.shape for tensor in tensors]
        else:
            shapes = [self._spreadable(value, alike) for value in (first, second)]
        described = d.binary(kind, shapes[0], shapes[1])
        whole = d.broadcast_shape(shapes[0], shapes[1])
        wide = first if math.prod(shapes[0]) >= math.prod(shapes[1]) else second
        self.emit(described, target, whole, {"channels": wide}, tensors[0].squeezed)

    def _spreadable(self, value: int, alike: bool) -> Shape:
        """A shape of a value that can be spread: axes of one element in front need no reshape."""
        tensor, shape = self.tensor(value), self.shape(value)
        if not alike and _stripped(tensor.shape) == _stripped(shape):
            return tensor.shape
        return self.need(value)


def _stripped(shape: Shape) -> Shape:
    """A shape without axes of one element in front."""
    at = next((i for i, size in enumerate(shape) if size > 1), len(shape))
    return shape[at:]
