"""A Keras network as a flat list of layer calls, and how to build one again from it.

Nested Functional and Sequential models are inlined, shared layers stay shared.
Everything that reads or rewrites a network (channel spaces, operators, gates,
pruning, growth) works on this list, so that nesting and sharing are dealt with
once, here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import keras

from fdi_keras.errors import UnsupportedModelError

#: A function that builds one call again: ``(call, tensors by value) -> flat list of output tensors``.
CallBuilder = Callable[["Call", dict[int, Any]], list[Any]]


@dataclass
class Call:
    """One layer (or raw operation) applied to some values.

    Attributes:
        layer: the layer object; several calls share it when the layer is shared.
        name: unique name of the layer in the flat network.
        inputs: numbers of the values it reads, in flattened order.
        outputs: numbers of the values it makes.
        arguments: ``(args, kwargs)`` of the original call.
        value_of: number of the value for each symbolic tensor among the arguments.
    """

    layer: Any
    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    arguments: tuple[tuple[Any, ...], dict[str, Any]]
    value_of: dict[int, int]

    def apply(self, layer: Any, tensors: dict[int, Any]) -> list[Any]:
        """Call ``layer`` with this call's arguments, tensors taken from ``tensors``."""

        def fill(x: Any) -> Any:
            return tensors[self.value_of[id(x)]] if isinstance(x, keras.KerasTensor) else x

        args, kwargs = keras.tree.map_structure(fill, self.arguments)
        return keras.tree.flatten(layer(*args, **kwargs))


@dataclass
class Graph:
    """A flat network.

    Attributes:
        name: of the model.
        inputs: value numbers of the model's inputs, flattened.
        outputs: value numbers of the model's outputs, flattened.
        calls: in an order in which they can be executed; input layers are not calls.
        shapes: shape of each value, batch axis included.
    """

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    calls: list[Call]
    shapes: dict[int, tuple[int | None, ...]]
    _input_struct: Any = None
    _output_struct: Any = None
    _input_tensors: tuple[Any, ...] = ()
    _output_names: tuple[str, ...] = ()
    consumers: dict[int, list[Call]] = field(default_factory=dict)

    @property
    def layers(self) -> dict[str, Any]:
        """Layers by flat name, each once."""
        return {call.name: call.layer for call in self.calls}

    def rebuild(self, build: CallBuilder, model_class: type | None = None) -> keras.Model:
        """Build a model of the same wiring, asking ``build`` for the outputs of each call.

        ``build`` also sees the tensors made so far, so it may add layers of its own.
        Input and output structure and output names stay as they were.
        """
        tensors: dict[int, Any] = {}
        for value, old in zip(self.inputs, self._input_tensors, strict=True):
            tensors[value] = keras.Input(
                batch_shape=old.shape, dtype=old.dtype, name=old.name, sparse=bool(old.sparse)
            )
        new_inputs = dict(tensors)
        for call in self.calls:
            tensors.update(zip(call.outputs, build(call, tensors), strict=True))
        outputs = []
        for value, name in zip(self.outputs, self._output_names, strict=True):
            tensor = tensors[value]
            if tensor._keras_history.operation.name != name:
                # The output came from an inlined model: losses given by name must still find it.
                tensor = keras.layers.Identity(name=name)(tensor)
            outputs.append(tensor)
        inputs = keras.tree.pack_sequence_as(self._input_struct, [new_inputs[v] for v in self.inputs])
        packed = keras.tree.pack_sequence_as(self._output_struct, outputs)
        return (model_class or keras.Model)(inputs, packed, name=self.name)


def copy_layer(call: Call, made: dict[int, Any]) -> Any:
    """A fresh layer of the same configuration, without weights; one for each shared original.

    Raises:
        UnsupportedModelError: the layer cannot be rebuilt from its configuration.
    """
    return copy_with(call, made, {})


def copy_with(call: Call, made: dict[int, Any], changes: dict[str, Any], cls: Any = None) -> Any:
    """Like :func:`copy_layer`, with entries of the configuration changed, or of another class."""
    layer = call.layer
    if id(layer) in made:
        return made[id(layer)]
    if not isinstance(layer, keras.layers.Layer) or (
        isinstance(layer, keras.layers.Lambda) and not layer.weights
    ):
        # Raw operations and Lambdas hold no weights: the same object may serve twice.
        made[id(layer)] = layer
        return layer
    try:
        config = _unbuilt(layer.get_config() | {"name": call.name} | changes)
        made[id(layer)] = (cls or type(layer)).from_config(config)
    except Exception as error:
        raise UnsupportedModelError(
            f"layer {layer.name!r} ({type(layer).__name__}) cannot be rebuilt from its configuration: "
            f"{error}. Give the class a get_config() that returns the arguments of its constructor, and "
            "register it with keras.saving.register_keras_serializable()."
        ) from error
    return made[id(layer)]


def _unbuilt(config: Any) -> Any:
    """A configuration without the shapes that a layer, or one that it wraps, was built for."""
    if not isinstance(config, dict):
        return config
    return {name: _unbuilt(value) for name, value in config.items() if name != "build_config"}


def read_graph(model: Any) -> Graph:
    """Read a Sequential or functional model as a flat graph.

    Raises:
        UnsupportedModelError: the model is subclassed, not built, or no Keras model.
    """
    _check_readable(model)
    reader = _Reader()
    tensors = keras.tree.flatten(model.inputs)
    inputs = tuple(reader.new_value(t) for t in tensors)
    outputs = reader.inline(model, dict(zip(map(id, tensors), inputs, strict=True)), prefix="")
    graph = Graph(
        model.name,
        inputs,
        tuple(outputs),
        reader.calls,
        reader.shapes,
        model.inputs[0] if isinstance(model, keras.Sequential) else model.input,
        model.outputs[0] if isinstance(model, keras.Sequential) else model.output,
        tuple(tensors),
        tuple(t._keras_history.operation.name for t in keras.tree.flatten(model.outputs)),
    )
    for call in graph.calls:
        for value in call.inputs:
            graph.consumers.setdefault(value, []).append(call)
    return graph


def is_graph_model(layer: Any) -> bool:
    """Whether this is a model whose layers and wiring can be read."""
    if isinstance(layer, keras.Sequential):
        return bool(layer.built and layer.inputs)
    # A subclass with a call() of its own computes something else than its graph says.
    functional = _functional_class()
    return isinstance(layer, functional) and type(layer).call is functional.call


@cache
def _functional_class() -> Any:
    """keras has no public name for what ``keras.Model(inputs, outputs)`` makes."""
    tensor = keras.Input((1,))
    return type(keras.Model(tensor, tensor))


def _check_readable(model: Any) -> None:
    if not isinstance(model, keras.Model):
        raise UnsupportedModelError(
            f"expected a keras.Model, received {type(model).__name__}. Pass a Sequential or functional model."
        )
    if isinstance(model, keras.Sequential):
        if not model.built or not model.inputs:
            raise UnsupportedModelError(
                f"the Sequential model {model.name!r} has no input shape yet. Begin it with "
                "keras.Input(shape=...) or call model.build((None, ...)) first."
            )
    elif not is_graph_model(model):
        raise UnsupportedModelError(
            f"{type(model).__name__} is a subclassed model: its wiring is Python code that cannot be read. "
            "Write it as a functional model (keras.Model(inputs, outputs)) or as keras.Sequential; "
            "layers of your own class inside are fine and are kept whole."
        )


class _Reader:
    """Numbers values, names layers and collects calls while models are inlined."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.shapes: dict[int, tuple[int | None, ...]] = {}
        self.names: dict[int, str] = {}
        self.taken: set[str] = set()

    def new_value(self, tensor: Any) -> int:
        number = len(self.shapes)
        self.shapes[number] = tuple(tensor.shape)
        return number

    def name(self, layer: Any, prefix: str) -> str:
        if id(layer) not in self.names:
            name = layer.name
            if name in self.taken and prefix:
                name = f"{prefix}_{name}"
            base, n = name, 1
            while name in self.taken:
                name, n = f"{base}_{n}", n + 1
            self.names[id(layer)] = name
            self.taken.add(name)
        return self.names[id(layer)]

    def inline(self, model: Any, known: dict[int, int], prefix: str) -> list[int]:
        """Add the calls of one model; ``known`` maps its input tensors to values."""
        known = dict(known)
        for node in _nodes_in_order(model, known):
            sources = [known[id(t)] for t in node.input_tensors]
            layer = node.operation
            if is_graph_model(layer):
                inner = dict(zip(map(id, keras.tree.flatten(layer.inputs)), sources, strict=True))
                results = self.inline(layer, inner, layer.name)
            else:
                results = [self.new_value(t) for t in node.outputs]
                arguments = (node.arguments.args, node.arguments.kwargs)
                name = self.name(layer, prefix)
                if (
                    isinstance(layer, keras.layers.TimeDistributed)
                    and type(layer.layer) is keras.layers.Dense
                ):
                    # A dense layer does at every step what it does at every place of the axes before the last.
                    layer, arguments = layer.layer, (arguments[0][:1], {})
                self.calls.append(
                    Call(
                        layer,
                        name,
                        tuple(sources),
                        tuple(results),
                        arguments,
                        {id(t): known[id(t)] for t in node.input_tensors},
                    )
                )
            known.update(zip((id(t) for t in node.outputs), results, strict=True))
        return [known[id(t)] for t in keras.tree.flatten(model.outputs)]


def _nodes_in_order(model: Any, known: dict[int, int]) -> list[Any]:
    """Nodes between the model's inputs and outputs, each after what it reads (iterative depth first)."""
    done: set[int] = set()
    order: list[Any] = []
    stack = [(t, False) for t in reversed(keras.tree.flatten(model.outputs))]
    while stack:
        tensor, expanded = stack.pop()
        if id(tensor) in known:
            continue
        history = tensor._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        if expanded:
            if id(node) not in done:
                done.add(id(node))
                order.append(node)
        elif id(node) not in done:
            stack.append((tensor, True))
            stack.extend((t, False) for t in reversed(node.input_tensors))
    return order
