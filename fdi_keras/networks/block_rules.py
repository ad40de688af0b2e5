"""Layers that become many operators, or none: dense, normalization, attention, embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from fdi_keras.networks import described as d
from fdi_keras.networks import sides
from fdi_keras.networks.activation_rules import activate
from fdi_keras.networks.channels import activation_name
from fdi_keras.networks.described import Described
from fdi_keras.networks.graph import Call
from fdi_keras.networks.operator_reader import FOLDING, OperatorReader
from fdi_keras.networks.recurrent import recurrent_parts
from fdi_keras.networks.sides import Carrier, attended
from fdi_keras.networks.tensor_rules import Rule, move
from fdi_keras.operators import KINDS
from fdi_keras.operators.formulas import ONE_NUMBER

L = keras.layers


def dense(reader: OperatorReader, call: Call) -> None:
    source, made = call.inputs[0], call.outputs[0]
    project(reader, source, made, {"in_channels": source, "out_channels": made})
    activate(reader, call, activation_name(call.layer.activation), made)


def project(
    reader: OperatorReader, source: int, target: int, channels: Mapping[str, Carrier] | None = None
) -> None:
    """A dense layer over the last axis, done before a reshape that keeps that axis."""
    tensor, shape = reader.tensor(source), reader.shape(source)
    units = reader.shape(target)[-1]
    if tensor.shape[-1] == shape[-1] and not tensor.squeezed and reader.single(source):
        shape = tensor.shape
    else:
        reader.need(source)
    if reader.single(source) and shape == reader.tensor(source).shape:
        _melt(reader, source)
    rows = d.rows_of(shape)
    dims = {"rows": rows["rows"], "in_channels": shape[-1], "out_channels": units, "activation": 0}
    made = (*shape[:-1], units) if len(reader.shape(target)) > 1 else (units,)
    reader.emit(Described("dense", dims), target, made, channels)


def _melt(reader: OperatorReader, source: int) -> None:
    """Numbers by channel before a dense layer become part of its weights and bias."""
    before = []
    for operator in reversed(reader.prepared.get(source, [])):
        if operator.kind not in ("add", "mul"):
            break
        before.append(operator)
    reader.forget(before)


def batch_normalization(reader: OperatorReader, call: Call) -> None:
    source, target = call.inputs[0], call.outputs[0]
    rank = len(reader.shape(source))
    if call.layer.axis not in (-1, rank):
        reader.unknown(call, f"normalizes axis {call.layer.axis}, not the last")
    elif reader.fusable(source, FOLDING) is not None:
        reader.view(source, target)
    else:
        channels = reader.shape(source)[-1:]
        scaled = reader.new(reader.shape(source))
        reader.with_constant("mul", source, scaled, channels)
        reader.with_constant("add", scaled, target, channels)


def layer_scale(reader: OperatorReader, call: Call) -> None:
    source, target = call.inputs[0], call.outputs[0]
    if reader.fusable(source, FOLDING) is not None:
        reader.view(source, target)
    else:
        reader.with_constant("mul", source, target, reader.shape(source)[-1:])


def scaled_addition(reader: OperatorReader, call: Call) -> None:
    """The first tensor and a multiple of the second."""
    first, second = call.inputs
    scaled = reader.new(reader.shape(second))
    reader.with_constant("mul", second, scaled)
    reader.combine("add", first, scaled, call.outputs[0])


def rescaling(reader: OperatorReader, call: Call) -> None:
    layer, value, target = call.layer, call.inputs[0], call.outputs[0]
    for kind, numbers in (("mul", layer.scale), ("add", layer.offset)):
        many = np.size(numbers) > 1
        if kind == "add" and not np.any(numbers):
            continue
        made = reader.new(reader.shape(value))
        reader.with_constant(kind, value, made, (int(np.size(numbers)),) if many else None)
        value = made
    reader.view(value, target)


def normalization(reader: OperatorReader, call: Call) -> None:
    layer, value, target = call.layer, call.inputs[0], call.outputs[0]
    if layer.invert or layer.mean is None:
        reader.unknown(call)
        return
    mean, variance = (keras.ops.convert_to_numpy(number) for number in (layer.mean, layer.variance))
    for kind, numbers, neutral in (("sub", mean, 0.0), ("mul", variance, 1.0)):
        if np.all(numbers == neutral):
            continue  # the converter leaves it out
        made = reader.new(reader.shape(value))
        reader.with_constant(kind, value, made, tuple(numbers.shape[1:]))
        value = made
    reader.view(value, target)


def layer_normalization(reader: OperatorReader, call: Call) -> None:
    """(x - mean) * scale / deviation + offset, as x * g + (offset - mean * g)."""
    layer, source, target = call.layer, call.inputs[0], call.outputs[0]
    shape = reader.need(source)
    rank = len(shape)
    if [axis % (rank + 1) for axis in np.atleast_1d(layer.axis)] != [rank]:
        reader.unknown(call, "normalizes other axes than the last")
        return
    pixel, channel = (*shape[:-1], 1), (*(1,) * (rank - 1), shape[-1])
    wide = shape if layer.scale else pixel
    feeds = {"channels": source}
    reader.emit(d.reduction("mean", shape, [rank - 1]), channels=feeds)
    reader.emit(d.elementwise("neg", pixel))
    reader.emit(d.binary("squared_difference", shape, pixel), channels=feeds)
    reader.emit(d.reduction("mean", shape, [rank - 1]), channels=feeds)
    reader.emit(d.binary("add", pixel, (), constant=True))
    reader.emit(d.elementwise("rsqrt", pixel))
    if layer.scale:
        reader.emit(d.binary("mul", pixel, channel, constant=True), channels=feeds)
    reader.emit(d.binary("mul", pixel, wide), channels=feeds if layer.scale else {})
    if layer.center:
        described = d.binary("add", wide, channel, constant=True)
        reader.emit(described, channels=feeds)
        wide_offset = shape
    else:
        wide_offset = wide
    reader.emit(d.binary("mul", shape, wide), channels=feeds)
    reader.emit(d.binary("add", shape, wide_offset), target, None, feeds)


def rms_normalization(reader: OperatorReader, call: Call) -> None:
    source, target = call.inputs[0], call.outputs[0]
    shape = reader.need(source)
    rank = len(shape)
    if [axis % (rank + 1) for axis in np.atleast_1d(call.layer.axis)] != [rank]:
        reader.unknown(call, "normalizes other axes than the last")
        return
    pixel, feeds = (*shape[:-1], 1), {"channels": source}
    reader.emit(d.elementwise("square", shape), channels=feeds)
    reader.emit(d.reduction("mean", shape, [rank - 1]), channels=feeds)
    reader.emit(d.binary("add", pixel, (), constant=True))
    reader.emit(d.elementwise("rsqrt", pixel))
    reader.emit(d.binary("mul", shape, pixel), channels=feeds)
    reader.emit(d.binary("mul", shape, shape[-1:], constant=True), target, None, feeds)


def multi_head_attention(reader: OperatorReader, call: Call) -> None:
    layer = call.layer
    problem = _attention_problem(reader, call)
    if problem:
        reader.unknown(call, problem)
        return
    query, value, key = attended(call).values()
    part, size, value_size = sides.part(call, "heads"), layer.key_dim, layer.value_dim
    heads, rows, others = layer.num_heads, reader.shape(query)[0], reader.shape(key)[0]
    queries = _heads(reader, query, (heads, size), (1, 0, 2), part)
    keys = _heads(reader, key, (heads, size), (1, 2, 0), part)
    scores = reader.new((heads, rows, others))
    first, second = reader.need(queries), reader.need(keys)
    reader.emit(d.matmul(first, second, False, False), scores, channels={"batch": part})
    scaled = reader.new(reader.shape(scores))
    reader.with_constant("mul", scores, scaled).channels = {"height": part}
    if _argument(call, "use_causal_mask"):
        shape = reader.shape(scaled)
        reader.emit(d.select(shape, shape, ()), channels={"height": part})
    weights = reader.new(reader.shape(scores))
    softmax = Described("softmax", d.rows_of(reader.shape(scaled)))
    reader.emit(softmax, weights, channels={"rows": part})
    held = _heads(reader, value, (heads, value_size), (1, 0, 2), part)
    mixed = reader.new((heads, rows, value_size), part, 0)
    product = d.matmul(reader.need(weights), reader.need(held), False, False)
    reader.emit(product, mixed, channels={"batch": part})
    back = reader.new((rows, heads, value_size), part, 1)
    move(reader, mixed, back, (1, 0, 2))
    flat = reader.new((rows, heads * value_size), part)
    reader.view(back, flat)
    reader.need(flat)
    made = call.outputs[0]
    project(reader, flat, made, {"in_channels": part, "out_channels": made})


def _heads(
    reader: OperatorReader, source: int, sizes: tuple[int, int], order: tuple[int, ...], part: Carrier
) -> int:
    """A projection of a sequence, cut into heads of some size: axes steps, heads and size in some order."""
    steps = reader.shape(source)[0]
    projected = reader.new((steps, sizes[0] * sizes[1]), part)
    project(reader, source, projected, {"in_channels": source, "out_channels": part})
    reader.need(projected)
    apart = reader.new((steps, *sizes), part, 1)
    reader.view(projected, apart)
    made = reader.new([(steps, *sizes)[axis] for axis in order])
    move(reader, apart, made, order)
    return made


def _attention_problem(reader: OperatorReader, call: Call) -> str | None:
    if len(call.outputs) > 1 or _argument(call, "attention_mask") is not None:
        return "attention with a mask, or that returns its scores, is not known"
    if len(attended(call)) < len(sides.ATTENDED):
        return "attention to an array is not known"
    if any(len(reader.shape(value)) != 2 for value in call.inputs):
        return "attention over more than one axis is not known"
    if getattr(call.layer, "_flash_attention", None):
        return "flash attention is not known"
    return None


def attention(reader: OperatorReader, call: Call) -> None:
    layer = call.layer
    values = [call.value_of[id(t)] for t in _tensors(call)]
    if layer.score_mode != "dot" or len(call.outputs) > 1 or _argument(call, "use_causal_mask"):
        reader.unknown(call, "attention with a mask, or of another kind than products, is not known")
        return
    query, value = values[:2]
    key = values[2] if len(values) > 2 else value
    first, second = reader.need(query), reader.need(key)
    scores = reader.new((*first[:-1], second[-2]))
    reader.emit(d.matmul(first, second, False, True), scores)
    if layer.use_scale:
        scaled = reader.new(reader.shape(scores))
        reader.with_constant("mul", scores, scaled)
    reader.emit(Described("softmax", d.rows_of(reader.shape(scores))))
    reader.emit(d.matmul(reader.shape(scores), reader.need(value), False, False), call.outputs[0])


def _tensors(call: Call) -> list[Any]:
    args, kwargs = call.arguments
    named = [kwargs[name] for name in ("query", "value", "key") if kwargs.get(name) is not None]
    return [t for t in keras.tree.flatten((args, named)) if isinstance(t, keras.KerasTensor)]


def _argument(call: Call, name: str) -> Any:
    return call.arguments[1].get(name)


def recurrent(reader: OperatorReader, call: Call) -> None:
    target = call.outputs[0]
    for value in call.inputs:
        if not (reader.tensor(value).squeezed and reader.single(value)):
            reader.need(value)
    parts = recurrent_parts(reader.graph, call)
    for number, part in enumerate(parts, start=1):
        kind, dims, channels, problem = part
        if kind in KINDS:
            number_only = {"broadcast": ONE_NUMBER} if dims.get("constant") else {}
            dims = KINDS[kind].complete({**dims, **number_only})
        made = target if number == len(parts) else None
        operator = reader.emit(Described(kind, dims, problem), made, None, channels)
    if getattr(call.layer, "merge_mode", None) == "ave":
        reader.prepared[target] = [operator]  # the half melts into a dense layer's weights


def embedding(reader: OperatorReader, call: Call) -> None:
    layer, source, target = call.layer, call.inputs[0], call.outputs[0]
    shape = reader.need(source)
    if layer.mask_zero:
        reader.unknown(call, "a mask becomes operators that are not known")
        return
    if not str(_dtype(call)).startswith("int"):
        reader.emit(d.elementwise("cast", shape))
    # A negative number counts from the end of the table.
    reader.emit(d.binary("compare", shape, ()))
    reader.emit(d.binary("add", shape, (), constant=True))
    reader.emit(d.select(shape, shape, shape))
    rows = int(np.prod(shape))
    reader.emit(d.gather(layer.input_dim, layer.output_dim, rows), target)


def _dtype(call: Call) -> str:
    (tensor,) = (t for t in keras.tree.flatten(call.arguments) if isinstance(t, keras.KerasTensor))
    return str(tensor.dtype)


RULES: dict[type, Rule] = {
    L.Dense: dense,
    L.BatchNormalization: batch_normalization,
    L.Rescaling: rescaling,
    L.Normalization: normalization,
    L.LayerNormalization: layer_normalization,
    L.RMSNormalization: rms_normalization,
    L.MultiHeadAttention: multi_head_attention,
    L.Attention: attention,
    L.Embedding: embedding,
    **dict.fromkeys((L.LSTM, L.GRU, L.Bidirectional), recurrent),
}

#: Layers inside keras.applications that keras has no public name for.
OPERATIONS: dict[str, Rule] = {"LayerScale": layer_scale, "CustomScaleLayer": scaled_addition}
