"""Activation functions as operators: melted into the operator before them, or pieces of their own."""

from __future__ import annotations

import keras

from fdi_keras.networks import described as d
from fdi_keras.networks.channels import activation_name
from fdi_keras.networks.graph import Call
from fdi_keras.networks.operator_reader import FOLDING, FUSING, OperatorReader

L = keras.layers

#: A piece with one number (``#``), with the value that the activation reads (``x``) or with an earlier
#: piece; without a mark, a function of the piece before it.
PIECES: dict[str, tuple[str, ...]] = {
    "relu": ("relu",),
    "relu6": ("relu6",),
    "sigmoid": ("logistic",),
    "tanh": ("tanh",),
    "silu": ("logistic", "mul x"),
    "hard_silu": ("hard_swish",),
    "hard_sigmoid": ("add #", "mul #"),
    "hard_tanh": ("relu_n1_to_1",),
    "elu": ("elu",),
    "gelu": ("gelu",),
    "leaky_relu": ("leaky_relu",),
    "softmax": ("softmax",),
    "exponential": ("exp",),
    "softplus": ("exp", "add #", "log"),
    "softsign": ("abs", "add #", "div x"),
    "mish": ("exp", "add #", "log", "tanh", "mul x"),
    "log_sigmoid": ("neg", "exp", "add #", "log", "neg"),
    "selu": ("compare # of x", "mul # of x", "exp of x", "sub #", "mul #", "select x"),
    "celu": ("relu of x", "minimum # of x", "exp", "sub #", "add x"),
    "tanh_shrink": ("tanh", "sub x"),
    "hard_shrink": ("abs", "compare #", "select #"),
    "squareplus": ("square", "add #", "sqrt", "add x", "mul #"),
}
PIECES["swish"] = PIECES["silu"]
PIECES["hard_swish"] = PIECES["hard_silu"]

#: Fused forms of an activation that its operator applies itself.
FUSED = ("relu", "relu6", "relu_n1_to_1")


def activate(reader: OperatorReader, call: Call, name: str, source: int) -> None:
    """Apply an activation to ``source``, the call's input or what its layer computes before it."""
    target = call.outputs[0]
    own = source == target  # the layer's own activation: nobody else sees what it reads
    if name == "linear":
        if not own:
            reader.view(source, target)
        return
    if name not in PIECES:
        layer = "a function of its own" if name == "?" else name
        reader.need(source)
        reader.emit(d.Described(name, {}, f"no time model knows what activation {layer} costs"), target)
        return
    pieces(reader, PIECES[name], source, target, own)


def pieces(
    reader: OperatorReader, steps: tuple[str, ...], source: int, target: int, own: bool = False
) -> None:
    """The operators of an activation one after another."""
    shape = reader.shape(source)
    again = any(step.endswith("x") for step in steps)
    if own:  # the value before the activation is one within the layer
        inner = reader.new(shape)
        reader.view(source, inner)
        if source in reader.open:
            reader.open[inner] = reader.open[source]
        source = inner
    value = source
    for number, step in enumerate(steps):
        kind, _, operand = step.partition(" ")
        read = source if operand.endswith("of x") else value
        last = number == len(steps) - 1
        made = target if last else reader.new(shape)
        fusable = not again or read != source
        if kind in FUSED and fusable and _fused(reader, read, made):
            pass
        elif operand.startswith("#"):
            _with_number(reader, kind, read, made, fusable, steps)
        elif operand == "x":
            _with_tensor(reader, kind, read, source, made)
        elif kind == "softmax":
            reader.emit(d.Described(kind, d.rows_of(reader.need(read))), made, None, {"channels": read})
        else:
            reader.elementwise(kind, read, made)
        value = made


def _fused(reader: OperatorReader, source: int, target: int) -> bool:
    before = reader.fusable(source, FUSING)
    if before is None:
        return False
    if "activation" in before.dims:  # pools take it too, at no cost worth a dimension
        before.dims["activation"] = 1
    reader.view(source, target)
    reader.open[target] = before
    reader.prepared.pop(target, None)
    return True


def _with_number(
    reader: OperatorReader, kind: str, source: int, target: int, fusable: bool, steps: tuple[str, ...]
) -> None:
    if kind in ("compare", "select"):
        shape = reader.settle(source)
        described = d.binary(kind, shape, ()) if kind == "compare" else d.select(shape, shape, ())
        reader.emit(described, target, shape, {"channels": source})
        return
    if steps == PIECES["hard_sigmoid"] and kind == "add":
        # relu6(x + 3) / 6: the addition melts into the bias, the relu6 into either.
        melted = reader.fusable(source, FOLDING) if fusable else None
        if melted is None:
            melted = reader.with_constant(kind, source, target)
        else:
            reader.view(source, target)
        melted.dims["activation"] = 1
        reader.open.pop(target, None)
        reader.prepared.pop(target, None)
        return
    reader.with_constant(kind, source, target)
    reader.prepared.pop(target, None)


def _with_tensor(reader: OperatorReader, kind: str, value: int, source: int, target: int) -> None:
    shape = reader.tensor(value).shape
    described = d.select(shape, shape, shape) if kind == "select" else d.binary(kind, shape, shape)
    reader.emit(described, target, shape, {"channels": source}, reader.tensor(source).squeezed)


# Layers


def activation(reader: OperatorReader, call: Call) -> None:
    activate(reader, call, activation_name(call.layer.activation), call.inputs[0])


def softmax(reader: OperatorReader, call: Call) -> None:
    rank = len(reader.shape(call.inputs[0]))
    if getattr(call.layer, "axis", -1) in (-1, rank):
        activate(reader, call, "softmax", call.inputs[0])
    else:
        reader.unknown(call, "a softmax over another axis than the last becomes several operators")


def relu(reader: OperatorReader, call: Call) -> None:
    layer, source, target = call.layer, call.inputs[0], call.outputs[0]
    limit, slope = layer.max_value, layer.negative_slope
    steps: tuple[str, ...] = ("relu",)
    if layer.threshold:
        if limit is not None or slope:
            reader.unknown(call, "a ReLU with a threshold and a limit or slope becomes several operators")
            return
        steps = ("compare # of x", "select #")
    elif slope:
        if limit is not None:
            reader.unknown(call, "a ReLU with a slope and a limit becomes several operators")
            return
        steps = ("leaky_relu",)
    elif limit is not None:
        steps = ("relu6",) if limit == 6 else ("relu", "minimum #", "relu")
    pieces(reader, steps, source, target)


def leaky_relu(reader: OperatorReader, call: Call) -> None:
    activate(reader, call, "leaky_relu", call.inputs[0])


def elu(reader: OperatorReader, call: Call) -> None:
    if call.layer.alpha == 1:
        activate(reader, call, "elu", call.inputs[0])
    else:
        steps = ("compare # of x", "elu of x", "mul #", "select x")
        pieces(reader, steps, call.inputs[0], call.outputs[0])


def prelu(reader: OperatorReader, call: Call) -> None:
    source = call.inputs[0]
    slopes = tuple(int(n) for n in call.layer.alpha.shape)
    reader.emit(d.prelu(reader.need(source), slopes), call.outputs[0], None, {"channels": source})


RULES = {
    L.Activation: activation,
    L.Softmax: softmax,
    L.ReLU: relu,
    L.LeakyReLU: leaky_relu,
    L.ELU: elu,
    L.PReLU: prelu,
}
