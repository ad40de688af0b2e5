"""A ``.tflite`` file as the operators that LiteRT executes. Needs no keras."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fdi_keras.errors import ModelFileError
from fdi_keras.networks import described as d
from fdi_keras.networks.described import Described, Shape
from fdi_keras.networks.recurrent_tflite import Recurrent
from fdi_keras.operators import KINDS, Operator
from fdi_keras.operators.kinds import BINARY, ELEMENTWISE, REDUCTIONS


def read_tflite_operators(model: bytes | str | Path) -> list[Operator]:
    """The operators of a TFLite model, in order of execution.

    Args:
        model: path of a file, or its content.

    Raises:
        ModelFileError: the file is missing, empty, or no TFLite model.
    """
    name = "the model" if isinstance(model, bytes) else str(model)
    content = model if isinstance(model, bytes) else _read(Path(model))
    if content[4:8] != b"TFL3":
        raise ModelFileError(
            f"{name} is no TFLite model: it does not carry the identifier TFL3. Export a Keras model with "
            'model.export("net.tflite", format="litert"), or pass the .keras file itself.'
        )
    from ai_edge_litert import schema_py_generated as schema

    try:
        parsed = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
        return _Reader(parsed, schema).operators()
    except (struct.error, IndexError, AttributeError, TypeError, ValueError, OverflowError) as error:
        raise ModelFileError(f"{name} is a damaged TFLite model ({error}). Export it again.") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"cannot read {path}: {error.strerror}.") from error


class _Node(NamedTuple):
    """One operator of the file.

    Attributes:
        code: its name in the schema.
        options: its options as the schema has them.
        shapes: of its inputs, without the batch.
        full_shapes: with it.
        constant: whether each input is held by the model.
        values: of integer inputs that are constant, else None.
        out_shape: of its first output, without the batch.
        outputs: how many it has.
        steps_first: its output is a sequence as loops read it, with the steps before the batch.
    """

    code: str
    options: Any
    shapes: list[Shape]
    full_shapes: list[Shape]
    constant: list[bool]
    values: list[np.ndarray | None]
    out_shape: Shape
    outputs: int
    steps_first: bool

    @property
    def fused(self) -> int:
        return int(getattr(self.options, "fusedActivationFunction", 0) in (1, 3))

    def numbers(self, at: int) -> list[int]:
        """Of an integer input that is constant."""
        value = self.values[at]
        if value is None:
            raise _Unpriced("is told by another operator what to do")
        return [int(n) for n in value.reshape(-1)]

    def axes(self, at: int) -> list[int]:
        """Axes without the batch, named by an input; the batch axis itself is no problem, being 1."""
        rank = len(self.full_shapes[0])
        return [axis % rank - 1 for axis in self.numbers(at) if axis % rank > 0]


class _Unpriced(Exception):  # noqa: N818 - says what an operator is, not that something failed
    """Why an operator of a known kind cannot be priced."""


class _Reader:
    def __init__(self, model: Any, schema: Any):
        codes = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        self.codes = [
            codes.get(max(c.builtinCode, c.deprecatedBuiltinCode), "CUSTOM") for c in model.operatorCodes
        ]
        self.same = schema.Padding.SAME
        self.integers = {schema.TensorType.INT32: np.int32, schema.TensorType.INT64: np.int64}
        self.buffers, self.graph = model.buffers, model.subgraphs[0]
        self.recurrent = Recurrent(model, self.codes).at

    def operators(self) -> list[Operator]:
        found = []
        for position, raw in enumerate(self.graph.operators):
            if position in self.recurrent:
                found += self.recurrent[position]
                continue
            node = self._node(raw)
            # What writes a variable makes no tensor.
            name = _text(self.graph.tensors[raw.outputs[0]].name) if len(raw.outputs) else node.code.lower()
            described = self._describe(node)
            if described is None:
                continue
            kind, dims, problem = described
            if problem is None and kind not in KINDS:
                problem = f"no time model knows what {node.code} costs"
            sizes = [sum(math.prod(s) for s in shapes) for shapes in (node.shapes, [node.out_shape])]
            found.append(Operator(kind, d.canonical(kind, dims), name, problem, *sizes))
        return found

    def _node(self, raw: Any) -> _Node:
        tensors = [self.graph.tensors[i] for i in _sequence(raw.inputs) if i >= 0]
        full = [_batch_first(tuple(int(n) for n in _sequence(t.shape))) for t in tensors]
        made = self.graph.tensors[raw.outputs[0]].shape if len(raw.outputs) else ()
        out = _batch_first(tuple(int(n) for n in _sequence(made)))
        data = [self.buffers[t.buffer].data for t in tensors]
        constant = [content is not None and len(content) > 0 for content in data]
        values = [
            np.frombuffer(bytes(content), self.integers[t.type])
            if known and t.type in self.integers
            else None
            for t, content, known in zip(tensors, data, constant, strict=True)
        ]
        shapes = [_without_batch(s, known) for s, known in zip(full, constant, strict=True)]
        return _Node(
            self.codes[raw.opcodeIndex],
            raw.builtinOptions,
            shapes,
            full,
            constant,
            values,
            _without_batch(out, constant=False),
            len(_sequence(raw.outputs)),
            tuple(_sequence(made)) != _batch_first(tuple(int(n) for n in _sequence(made))),
        )

    def _describe(self, node: _Node) -> Described | None:
        handler = _HANDLERS.get(node.code)
        if handler is None:
            return Described(node.code.lower(), {}, f"no time model knows what {node.code} costs")
        try:
            return handler(self, node)
        except _Unpriced as reason:
            return Described(KIND_OF_CODE.get(node.code, node.code.lower()), {}, str(reason))

    # One method a family of operators

    def conv2d(self, node: _Node) -> Described:
        out, kernel_h, kernel_w, kernel_in = node.full_shapes[1]
        dims, problem = self._window(node, kernel_h, kernel_w)
        channels = node.shapes[0][-1]
        dims |= {"in_channels": channels, "out_channels": out, "activation": node.fused}
        if kernel_in == channels:
            return Described("conv2d", dims, problem)
        return Described("grouped_conv2d", dims | {"groups": channels // kernel_in}, problem)

    def depthwise(self, node: _Node) -> Described:
        dims, problem = self._window(node, *node.full_shapes[1][1:3])
        channels = node.shapes[0][-1]
        dims |= {"channels": channels, "activation": node.fused}
        dims["multiplier"] = node.full_shapes[1][3] // channels
        return Described("depthwise_conv2d", dims, problem)

    def transposed(self, node: _Node) -> Described:
        out, kernel_h, kernel_w, channels = node.full_shapes[1]
        dims, problem = self._window(node, kernel_h, kernel_w, at=2)
        dims |= {"in_channels": channels, "out_channels": out, "activation": node.fused}
        return d.transposed(dims, node.out_shape, problem)

    def pool(self, node: _Node) -> Described:
        dims, problem = self._window(node, node.options.filterHeight, node.options.filterWidth)
        kind = "max_pool2d" if node.code == "MAX_POOL_2D" else "average_pool2d"
        return Described(kind, dims | {"channels": node.shapes[0][-1]}, problem)

    def _window(
        self, node: _Node, kernel_h: int, kernel_w: int, at: int = 0
    ) -> tuple[dict[str, int], str | None]:
        options = node.options
        dilation = (getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1))
        strides, same = (options.strideH, options.strideW), options.padding == self.same
        return d.window(node.shapes[at], (kernel_h, kernel_w), strides, same, dilation)

    def dense(self, node: _Node) -> Described:
        out_channels, in_channels = node.full_shapes[1]
        if not node.constant[1]:
            raise _Unpriced("multiplies with a matrix that is computed")
        rows = math.prod(node.full_shapes[0]) // in_channels
        sizes = {"rows": rows, "in_channels": in_channels, "out_channels": out_channels}
        return Described("dense", {**sizes, "activation": node.fused})

    def binary(self, node: _Node) -> Described:
        kind = KIND_OF_CODE.get(node.code, node.code.lower())
        return d.binary(kind, node.shapes[0], node.shapes[1], any(node.constant), node.fused)

    def compare(self, node: _Node) -> Described:
        return d.binary("compare", node.shapes[0], node.shapes[1])

    def select(self, node: _Node) -> Described:
        return d.select(*node.shapes[:3])

    def prelu(self, node: _Node) -> Described:
        return d.prelu(*node.shapes[:2])

    def concat(self, node: _Node) -> Described:
        return d.concat(node.shapes, _axis(node.options.axis, node.full_shapes[0]))

    def pack(self, node: _Node) -> Described:
        axis = _axis(node.options.axis, (*node.full_shapes[0], 1))
        return d.concat([(*s[:axis], 1, *s[axis:]) for s in node.shapes], axis)

    def split(self, node: _Node) -> Described:
        data, axis = (1, 0) if node.code == "SPLIT" else (0, 2)
        return d.split(node.shapes[data], _axis(node.numbers(axis)[0], node.full_shapes[data]), node.outputs)

    def cut(self, node: _Node) -> Described:
        if node.code == "SLICE":
            return d.cut(node.out_shape)
        if node.options.ellipsisMask or node.options.newAxisMask:
            raise _Unpriced("a slice with new axes")
        begin, end, steps = (node.numbers(at) for at in (1, 2, 3))
        kept = []
        for axis, size in enumerate(node.full_shapes[0]):
            bit = 1 << axis
            if node.options.shrinkAxisMask & bit:
                kept.append(1)
                continue
            first = None if node.options.beginMask & bit else begin[axis]
            last = None if node.options.endMask & bit else end[axis]
            kept.append(len(range(size)[slice(first, last, steps[axis])]))
        return d.cut(tuple(kept[1:]), steps)

    def pad(self, node: _Node) -> Described:
        amounts = node.numbers(1)
        if any(amounts[:2]):
            raise _Unpriced("pads the batch")
        return d.pad(node.shapes[0], list(zip(amounts[2::2], amounts[3::2], strict=True)))

    def transpose(self, node: _Node) -> Described | None:
        order = node.numbers(1)
        if order[0] != 0:
            raise _Unpriced("moves the batch")
        return d.transpose(node.shapes[0], [axis - 1 for axis in order[1:]])

    def tile(self, node: _Node) -> Described:
        return d.tile(node.shapes[0], node.numbers(1)[1:])

    def resize(self, node: _Node) -> Described:
        return d.resize(KIND_OF_CODE.get(node.code, node.code.lower()), node.shapes[0], node.out_shape)

    def reduction(self, node: _Node) -> Described:
        return d.reduction(node.code.lower(), node.shapes[0], node.axes(1))

    def softmax(self, node: _Node) -> Described:
        return Described("softmax", d.rows_of(node.full_shapes[0]))

    def batch_matmul(self, node: _Node) -> Described:
        first, second = node.full_shapes[:2]
        return d.matmul(first, second, node.options.adjX, node.options.adjY)

    def gather(self, node: _Node) -> Described:
        if node.options.axis != 0 or len(node.full_shapes[0]) != 2 or not node.constant[0]:
            raise _Unpriced("looks up something else than rows of a table")
        return d.gather(*node.full_shapes[0], math.prod(node.full_shapes[1]))

    def reverse(self, node: _Node) -> Described:
        if len(node.shapes[0]) != 2:
            raise _Unpriced("reverses something else than steps")
        return Described("reverse", {"steps": node.shapes[0][0], "channels": node.shapes[0][1]})

    def elementwise(self, node: _Node) -> Described:
        return d.elementwise(node.code.lower(), node.shapes[0])

    def reshape(self, node: _Node) -> Described | None:
        # To and from the order of loops: counts as a part of the recurrent layers around it.
        if node.steps_first or node.shapes[0] == node.out_shape:
            return None
        return d.reshape(node.out_shape)


#: Operators whose kind has another name than theirs.
KIND_OF_CODE = {
    "RESIZE_NEAREST_NEIGHBOR": "resize_nearest",
    "STRIDED_SLICE": "slice",
    "REVERSE_V2": "reverse",
    "SPLIT_V": "split",
}

_Handler = Callable[[_Reader, _Node], Described | None]

_HANDLERS: dict[str, _Handler] = {
    "CONV_2D": _Reader.conv2d,
    "DEPTHWISE_CONV_2D": _Reader.depthwise,
    "TRANSPOSE_CONV": _Reader.transposed,
    "MAX_POOL_2D": _Reader.pool,
    "AVERAGE_POOL_2D": _Reader.pool,
    "FULLY_CONNECTED": _Reader.dense,
    "BATCH_MATMUL": _Reader.batch_matmul,
    "CONCATENATION": _Reader.concat,
    "PACK": _Reader.pack,
    "SPLIT": _Reader.split,
    "SPLIT_V": _Reader.split,
    "SLICE": _Reader.cut,
    "STRIDED_SLICE": _Reader.cut,
    "PAD": _Reader.pad,
    "PADV2": _Reader.pad,
    "TRANSPOSE": _Reader.transpose,
    "TILE": _Reader.tile,
    "RESIZE_BILINEAR": _Reader.resize,
    "RESIZE_NEAREST_NEIGHBOR": _Reader.resize,
    "SOFTMAX": _Reader.softmax,
    "GATHER": _Reader.gather,
    "PRELU": _Reader.prelu,
    "REVERSE_V2": _Reader.reverse,
    "SELECT": _Reader.select,
    "SELECT_V2": _Reader.select,
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _Reader.reshape),
    **dict.fromkeys(
        ("LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL", "EQUAL", "NOT_EQUAL"), _Reader.compare
    ),
    **{kind.upper(): _Reader.binary for kind in BINARY},
    **{kind.upper(): _Reader.reduction for kind in REDUCTIONS},
    **{kind.upper(): _Reader.elementwise for kind in (*ELEMENTWISE, "cast")},
}


def _without_batch(shape: Shape, constant: bool) -> Shape:
    """A shape without its batch axis, which constants have only where they have all axes of an image."""
    if len(shape) < 2 or (constant and not (len(shape) > 3 and shape[0] == 1)):
        return shape
    return shape[1:]


def _batch_first(shape: Shape) -> Shape:
    """Around loops sequences have their steps first and the batch of one second; what is read is the same."""
    return (1, shape[0], *shape[2:]) if len(shape) == 3 and shape[0] != 1 and shape[1] == 1 else shape


def _axis(axis: int, full_shape: Sequence[int]) -> int:
    """An axis of a shape with the batch, counted without it."""
    return axis % len(full_shape) - 1


def _sequence(shape: Any) -> Any:
    return () if shape is None else shape


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
