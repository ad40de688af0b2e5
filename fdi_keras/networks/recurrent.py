"""Recurrent layers of a Keras network as the operators that LiteRT executes.

Which kind a layer becomes is its own ``unroll``: a loop, or its steps one after another.
A layer that goes backwards reads its input turned around, which is an operator of its
own before a loop and only another order of the steps when unrolled. ``Bidirectional`` is
its two layers, the second one backwards, and what merges them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import keras

from fdi_keras.networks.channels import activation_name
from fdi_keras.networks.graph import Call, Graph
from fdi_keras.networks.sides import Carrier, part

L = keras.layers

#: Layers with kinds of operators of their own.
CELLS = {L.LSTM: "lstm", L.GRU: "gru"}

#: How Bidirectional merges its layers, as kinds, with 1 for a constant second operand.
MERGES: dict[str | None, tuple[tuple[str, int], ...]] = {
    "sum": (("add", 0),),
    "mul": (("mul", 0),),
    "ave": (("add", 0), ("mul", 1)),
    None: (),
}


class Part(NamedTuple):
    """One operator of a recurrent layer: as in ``NetworkOperator``."""

    kind: str
    dims: dict[str, int]
    channels: dict[str, Carrier]
    problem: str | None = None


def recurrent_parts(graph: Graph, call: Call) -> list[Part]:
    """The operators of an LSTM, a GRU or a Bidirectional of them, in order of execution."""
    layer = call.layer
    if not isinstance(layer, L.Bidirectional):
        return list(_one_way(graph, call, layer, {"units": call.outputs[0]}))
    ways = (layer.forward_layer, layer.backward_layer)
    for way in ways:
        if type(way) not in CELLS:
            problem = f"no time model knows what {type(way).__name__} in both directions costs"
            return [Part(type(layer).__name__, {}, {}, problem)]
    units = part(call, "units")
    parts = [one for way in ways for one in _one_way(graph, call, way, {"units": units})]
    if layer.return_sequences:
        parts.append(_reverse(graph, call, layer.backward_layer.units, {"channels": units}))
    made = call.outputs[0]
    *pixels, channels = (n or 1 for n in graph.shapes[made][1:])
    image = {"height": 1, "width": pixels[0] if pixels else 1, "channels": channels}
    if layer.merge_mode == "concat":
        return [*parts, Part("concat", {**image, "inputs": 2}, {"channels": made})]
    for kind, constant in MERGES[layer.merge_mode]:
        parts.append(Part(kind, {**image, "constant": constant, "activation": 0}, {"channels": made}))
    return parts


def _one_way(graph: Graph, call: Call, layer: Any, channels: dict[str, Carrier]) -> Iterator[Part]:
    source = call.inputs[0]
    steps, n_in = (n or 1 for n in graph.shapes[source][1:])
    dims = {"steps": steps, "in_channels": n_in, "units": layer.units}
    if not layer.unroll:
        dims["outputs"] = steps if layer.return_sequences else 1
        if layer.go_backwards:
            yield _reverse(graph, call, n_in, {"channels": source})
    kind = f"{CELLS[type(layer)]}_{'unrolled' if layer.unroll else 'while'}"
    yield Part(kind, dims, {"in_channels": source, **channels}, _problem(call, layer, steps))


def _reverse(graph: Graph, call: Call, width: int, channels: dict[str, Carrier]) -> Part:
    return Part("reverse", {"steps": graph.shapes[call.inputs[0]][1] or 1, "channels": width}, channels)


def _problem(call: Call, layer: Any, steps: int) -> str | None:
    """Why a layer is not what its kind was measured on; None when it is."""
    name = type(layer).__name__
    usual = {"activation": "tanh", "recurrent_activation": "sigmoid"}
    for argument, expected in usual.items():
        found = activation_name(getattr(layer, argument))
        if found != expected:
            return f"{name} with {argument} {found} instead of {expected}"
    if not getattr(layer, "reset_after", True):
        return f"{name} with reset_after=False"
    if layer.stateful:
        return f"{name} with stateful=True reads its state from variables and writes it back"
    if reads_mask(call):
        return f"{name} that skips masked steps"
    if layer.unroll and steps < 2:
        return f"unrolled {name} of a single step becomes single operators"
    return None


def reads_mask(call: Call) -> bool:
    """Whether a layer is called with a mask of its input, given or carried along by the tensor."""
    args, kwargs = call.arguments
    carried = (getattr(tensor, "_keras_mask", None) for tensor in keras.tree.flatten(args[:1]))
    return kwargs.get("mask") is not None or any(mask is not None for mask in carried)
