"""A gated network without its gates, at the widths that they leave."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from fdi_keras.compression.gated_layers import POSITIONAL, UNGATED
from fdi_keras.compression.gates import ChannelGates, MaskOfTensor, Steering
from fdi_keras.networks.graph import Call, Graph, copy_layer, copy_with, read_graph
from fdi_keras.networks.layer_widths import axes_of

if TYPE_CHECKING:
    from fdi_keras.compression.gated_model import PrunableModel

ops = keras.ops


def plain_graph(model: PrunableModel) -> Graph:
    """The graph of a gated model as its plain network reads: gates gone, layers unchanged."""
    return read_graph(ungated(model, weights=False))


def ungated(model: PrunableModel, weights: bool = True, gates_open: bool = False) -> keras.Model:
    """The plain network inside a gated one, the gates' values multiplied into its kernels.

    Args:
        weights: copy weights; without them only the wiring is right.
        gates_open: leave the gates' values out, as if all were open.
    """
    graph = read_graph(model)
    made: dict[int, Any] = {}
    masks: dict[int, np.ndarray] = {}
    pairs: list[tuple[Any, Any, dict[str, np.ndarray]]] = []

    def build(call: Call, tensors: dict[int, Any]) -> list[Any]:
        layer = call.layer
        if isinstance(layer, Steering):
            return [None]
        if isinstance(layer, ChannelGates):
            of_space = model.gates.items()
            for (name, gate), value in zip(of_space, call.outputs, strict=True):
                masks[value] = np.ones(layer.widths[name]) if gates_open or not weights else gate.values()
            return [None] * len(call.outputs)
        if isinstance(layer, MaskOfTensor):
            inputs = [masks[v] for v in call.inputs]
            masks[call.outputs[0]] = ops.convert_to_numpy(
                layer.call([ops.convert_to_tensor(m) for m in inputs])
            )
            return [None]
        known = id(layer) in made
        given: dict[str, np.ndarray] = {}
        if type(layer) in UNGATED:
            plain = copy_with(call, made, {}, UNGATED[type(layer)])
            arguments: dict[str, str] = type(layer).masks
            if arguments == POSITIONAL:
                results = [plain(tensors[call.inputs[0]])]
                given = {"input": masks[call.inputs[1]]}
            else:
                results = call.apply(partial(_without, plain, set(arguments.values())), tensors)
                of_side = {side: call.arguments[1].get(name) for side, name in arguments.items()}
                given = {s: masks[call.value_of[id(m)]] for s, m in of_side.items() if m is not None}
        else:
            plain = copy_layer(call, made)
            results = call.apply(plain, tensors)
        if not known and isinstance(plain, keras.layers.Layer) and plain is not layer:
            pairs.append((layer, plain, given))
        return results

    plain_model = graph.rebuild(build)
    for old, new, given in pairs:
        new.trainable = old.trainable
        if weights:
            new.set_weights(_folded(new, old.get_weights(), given))
    return plain_model


def _without(layer: Any, names: set[str], *args: Any, **kwargs: Any) -> Any:
    """Call a layer without some of the arguments."""
    return layer(*args, **{name: value for name, value in kwargs.items() if name not in names})


def _folded(layer: Any, weights: list[np.ndarray], masks: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Weights with which the plain layer computes at inference what the gated one does; masks by side."""
    folded = list(weights)
    for number, weight in enumerate(weights):
        for axis in axes_of(layer, number):
            if axis.role == "reads" and axis.of in masks:
                shape = [-1 if other == axis.number else 1 for other in range(weight.ndim)]
                folded[number] = folded[number] * masks[axis.of].reshape(shape)
    return folded
