"""Layers and raw operations that combine, move and view tensors, as operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras

from fdi_keras.networks import described as d
from fdi_keras.networks.graph import Call
from fdi_keras.networks.operator_reader import OperatorReader
from fdi_keras.networks.window_rules import repeat

L = keras.layers
Rule = Callable[[OperatorReader, Call], None]


def view(reader: OperatorReader, call: Call) -> None:
    reader.view(call.inputs[0], call.outputs[0])


def merge(kind: str) -> Rule:
    """A layer that combines its inputs, two at a time."""

    def rule(reader: OperatorReader, call: Call) -> None:
        target = call.outputs[0]
        if len(call.inputs) < 2:
            reader.unknown(call, "combines one tensor with nothing")
            return
        value = call.inputs[0]
        for number, other in enumerate(call.inputs[1:], start=2):
            shape = d.broadcast_shape(reader.shape(value), reader.shape(other))
            made = target if number == len(call.inputs) else reader.new(shape)
            reader.combine(kind, value, other, made)
            value = made

    return rule


def average(reader: OperatorReader, call: Call) -> None:
    target = call.outputs[0]
    total = reader.new(reader.shape(target))
    value = call.inputs[0]
    for number, other in enumerate(call.inputs[1:], start=2):
        made = total if number == len(call.inputs) else reader.new(reader.shape(target))
        reader.combine("add", value, other, made)
        value = made
    reader.with_constant("mul", value, target)


def concatenate(reader: OperatorReader, call: Call) -> None:
    shapes = [reader.need(value) for value in call.inputs]
    axis = axis_of(call.layer.axis, len(shapes[0]))
    if axis is None:
        reader.unknown(call, "concatenates along the batch")
        return
    target = call.outputs[0]
    channels = {"channels": target} if axis == len(shapes[0]) - 1 else {}
    reader.emit(d.concat(shapes, axis), target, None, channels)


def permute(reader: OperatorReader, call: Call) -> None:
    move(reader, call.inputs[0], call.outputs[0], [axis - 1 for axis in call.layer.dims])


def move(reader: OperatorReader, source: int, target: int, order: Sequence[int]) -> None:
    """Axes in another order; a view where only axes of one element move."""
    described = d.transpose(reader.shape(source), order)
    if described is None:
        reader.view(source, target)
        return
    reader.need(source)
    channels = reader.by_part(source, lambda shape: d.transpose(shape, order))
    reader.emit(described, target, channels=channels)
    reader.moved[target] = tuple(order)


def repeat_vector(reader: OperatorReader, call: Call) -> None:
    source, target = call.inputs[0], call.outputs[0]
    row = reader.new((1, *reader.shape(source)))
    reader.view(source, row)
    repeat(reader, row, target, (call.layer.n,))


def axis_of(axis: int, rank: int) -> int | None:
    """An axis counted without the batch; None for the batch itself."""
    found = axis % (rank + 1)
    return found - 1 if found else None


#: Layers that cost nothing at inference: gone after conversion, or another shape for the same numbers.
VIEWS = (
    *(L.Flatten, L.Reshape, L.Identity, L.ActivityRegularization, L.GaussianNoise, L.GaussianDropout),
    *(L.AlphaDropout, L.Dropout, L.SpatialDropout1D, L.SpatialDropout2D),
)

RULES: dict[type, Rule] = {
    **dict.fromkeys(VIEWS, view),
    L.Add: merge("add"),
    L.Multiply: merge("mul"),
    L.Subtract: merge("sub"),
    L.Maximum: merge("maximum"),
    L.Minimum: merge("minimum"),
    L.Average: average,
    L.Concatenate: concatenate,
    L.Permute: permute,
    L.RepeatVector: repeat_vector,
}
