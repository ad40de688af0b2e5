"""Raw operations on symbolic tensors (``a + b``, ``keras.ops.mean(x)``) as operators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from fdi_keras.networks import described as d
from fdi_keras.networks.activation_rules import PIECES, activate, pieces
from fdi_keras.networks.graph import Call
from fdi_keras.networks.operator_reader import FOLDING, OperatorReader
from fdi_keras.networks.tensor_rules import Rule, axis_of, concatenate, move, view


def operation(kind: str) -> Rule:
    """``a + b`` and the like on tensors, or on a tensor and a number."""

    def rule(reader: OperatorReader, call: Call) -> None:
        source, target = call.inputs[0], call.outputs[0]
        args, kwargs = call.arguments
        operands = [*args, *kwargs.values()]
        if len(call.inputs) == 2:
            made = reader.open.get(call.inputs[1])
            if kind == "div" and made and made.kind == "sqrt" and reader.single(call.inputs[1]):
                made.kind = "rsqrt"  # a / sqrt(b) is executed as a * rsqrt(b)
                reader.combine("mul", *call.inputs, target)
            else:
                reader.combine(kind, *call.inputs, target)
        elif len(call.inputs) == 1 and _same_tensor_twice(operands):
            reader.combine(kind, source, source, target)
        elif len(call.inputs) == 1 and any(isinstance(o, (int, float)) for o in operands):
            _with_number(reader, kind, operands, source, target)
        else:
            reader.unknown(call)

    return rule


def _same_tensor_twice(operands: Sequence[Any]) -> bool:
    return len(operands) == 2 and all(isinstance(o, keras.KerasTensor) for o in operands)


def _with_number(
    reader: OperatorReader, kind: str, operands: Sequence[Any], source: int, target: int
) -> None:
    number_first = isinstance(operands[0], (int, float))
    if kind == "div" and not number_first:
        kind = "mul"
    (number,) = (o for o in operands if isinstance(o, (int, float)))
    if kind == "maximum" and number == 0:
        pieces(reader, PIECES["relu"], source, target)
    elif kind in ("add", "mul", "sub") and not number_first and reader.fusable(source, FOLDING):
        reader.view(source, target)  # part of the weights and the bias
    else:
        reader.with_constant(kind, source, target)


def function(name: str) -> Rule:
    """A raw operation that is an activation function."""

    def rule(reader: OperatorReader, call: Call) -> None:
        activate(reader, call, name, call.inputs[0])

    return rule


def elementwise(kind: str) -> Rule:
    def rule(reader: OperatorReader, call: Call) -> None:
        reader.elementwise(kind, call.inputs[0], call.outputs[0])

    return rule


def transpose(reader: OperatorReader, call: Call) -> None:
    rank = len(reader.shape(call.inputs[0])) + 1
    axes = [axis % rank for axis in (call.layer.axes or reversed(range(rank)))]
    if axes[0] == 0:
        move(reader, call.inputs[0], call.outputs[0], [axis - 1 for axis in axes[1:]])
    else:
        reader.unknown(call, "moves the batch")


def reduce(kind: str) -> Rule:
    def rule(reader: OperatorReader, call: Call) -> None:
        source = call.inputs[0]
        rank = len(reader.shape(source)) + 1
        axis = call.layer.axis
        axes = range(rank) if axis is None else [a % rank for a in _listed(axis)]
        if 0 in axes:
            reader.unknown(call, f"takes a {kind} over the batch")
            return
        shape, over = reader.need(source), [a - 1 for a in axes]
        kept = tuple(1 if axis in over else size for axis, size in enumerate(shape))
        reader.emit(d.reduction(kind, shape, over), call.outputs[0], kept=kept)

    return rule


def matmul(reader: OperatorReader, call: Call) -> None:
    if len(call.inputs) != 2:
        reader.unknown(call)
        return
    first, second = (reader.need(value) for value in call.inputs)
    if len(first) < 2 or len(first) != len(second):
        reader.unknown(call, "multiplies matrices of different batches")
        return
    rank, value = len(second), call.inputs[1]
    turned = reader.moved.get(value) == (*range(rank - 2), rank - 1, rank - 2) and reader.single(value)
    if turned:  # the product turns the matrix itself
        reader.forget([reader.open[value]])
        second = (*second[:-2], second[-1], second[-2])
    reader.emit(d.matmul(first, second, False, turned), call.outputs[0])


def softmax(reader: OperatorReader, call: Call) -> None:
    if call.layer.axis in (-1, len(reader.shape(call.inputs[0]))):
        activate(reader, call, "softmax", call.inputs[0])
    else:
        reader.unknown(call, "a softmax over another axis than the last becomes several operators")


def cut(reader: OperatorReader, call: Call) -> None:
    """A slice: ``x[:, 2:5]``."""
    source, target = call.inputs[0], call.outputs[0]
    args, kwargs = call.arguments
    key = kwargs["key"] if "key" in kwargs else args[1]
    keys = list(key) if isinstance(key, (tuple, list)) else [key]
    shape = reader.shape(source)
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (len(shape) + 2 - len(keys))
    keys += [slice(None)] * (len(shape) + 1 - len(keys))
    if not all(isinstance(k, (int, slice)) for k in keys) or keys[0] != slice(None):
        reader.unknown(call, "a slice of the batch, or with new axes, is not known")
        return
    ranges = [
        range(size)[k] if isinstance(k, slice) else range(1) for size, k in zip(shape, keys[1:], strict=True)
    ]
    reader.need(source)
    described = d.cut(tuple(len(r) for r in ranges), [r.step for r in ranges])
    reader.emit(described, target, kept=tuple(len(r) for r in ranges))


def split(reader: OperatorReader, call: Call) -> None:
    shape = reader.need(call.inputs[0])
    axis = axis_of(call.layer.axis, len(shape))
    if axis is None:
        reader.unknown(call, "splits the batch")
        return
    reader.emit(d.split(shape, axis, len(call.outputs)), call.outputs[0])


def stack(reader: OperatorReader, call: Call) -> None:
    shapes = [reader.need(value) for value in call.inputs]
    axis = axis_of(call.layer.axis, len(shapes[0]) + 1)
    if axis is None or len(shapes) < 2:
        reader.unknown(call, "stacks along the batch")
        return
    reader.emit(d.concat([(*s[:axis], 1, *s[axis:]) for s in shapes], axis), call.outputs[0])


def clip(reader: OperatorReader, call: Call) -> None:
    limits = (call.layer.x_min, call.layer.x_max)
    steps = {(0, 6): ("relu6",), (-1, 1): ("relu_n1_to_1",)}.get(limits)
    if steps is None:
        reader.unknown(call, f"limits of {limits[0]} and {limits[1]} become several operators")
    else:
        pieces(reader, steps, call.inputs[0], call.outputs[0])


def _listed(axis: Any) -> list[int]:
    return list(axis) if isinstance(axis, (list, tuple)) else [axis]


#: Raw operations on symbolic tensors, by class name (keras has no public classes for them).
OPERATIONS: dict[str, Rule] = {
    **dict.fromkeys(("Reshape", "ExpandDims", "Squeeze"), view),
    "Add": operation("add"),
    "Multiply": operation("mul"),
    "Subtract": operation("sub"),
    "Maximum": operation("maximum"),
    "Minimum": operation("minimum"),
    **dict.fromkeys(("Divide", "TrueDivide"), operation("div")),
    "Concatenate": concatenate,
    "Transpose": transpose,
    "Mean": reduce("mean"),
    "Sum": reduce("sum"),
    "Max": reduce("reduce_max"),
    "Matmul": matmul,
    "GetItem": cut,
    "Split": split,
    "Stack": stack,
    "Clip": clip,
    "Softmax": softmax,
    **{
        name: function(activation)
        for name, activation in (
            *(("Relu", "relu"), ("Relu6", "relu6"), ("Sigmoid", "sigmoid"), ("Tanh", "tanh")),
            *(("Silu", "silu"), ("HardSilu", "hard_silu"), ("Gelu", "gelu"), ("Softplus", "softplus")),
            ("HardSigmoid", "hard_sigmoid"),
        )
    },
    **{
        name: elementwise(kind)
        for name, kind in (
            *(("Exp", "exp"), ("Log", "log"), ("Sqrt", "sqrt"), ("Rsqrt", "rsqrt"), ("Square", "square")),
            *(("Absolute", "abs"), ("Abs", "abs"), ("Negative", "neg")),
        )
    },
}
