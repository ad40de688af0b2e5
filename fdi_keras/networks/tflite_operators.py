"""A ``.tflite`` file as the operators that LiteRT executes. Needs no keras."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fdi_keras.errors import ModelFileError
from fdi_keras.networks.recurrent_tflite import Recurrent
from fdi_keras.operators import KINDS, Operator


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
    """One operator of the file: shapes of its tensors without the batch, and whether they are constant."""

    code: str
    options: Any
    shapes: list[tuple[int, ...]]
    constant: list[bool]
    out_shape: tuple[int, ...]
    full_shapes: list[tuple[int, ...]]
    paddings: np.ndarray | None

    @property
    def image(self) -> dict[str, int]:
        return _image(self.shapes[0])

    @property
    def fused(self) -> int:
        return int(getattr(self.options, "fusedActivationFunction", 0) in (1, 3))


class _Reader:
    def __init__(self, model: Any, schema: Any):
        codes = {v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)}
        self.codes = [
            codes.get(max(c.builtinCode, c.deprecatedBuiltinCode), "CUSTOM") for c in model.operatorCodes
        ]
        self.same = schema.Padding.SAME
        self.buffers, self.graph = model.buffers, model.subgraphs[0]
        self.recurrent = Recurrent(model, self.codes).at

    def operators(self) -> list[Operator]:
        found = []
        for position, raw in enumerate(self.graph.operators):
            if position in self.recurrent:
                found += self.recurrent[position]
                continue
            node = self._node(raw)
            if node.code in VIEW_CODES:
                continue
            # What writes a variable makes no tensor.
            name = _text(self.graph.tensors[raw.outputs[0]].name) if len(raw.outputs) else node.code.lower()
            kind, dims, problem = self._describe(node)
            if problem is None and kind not in KINDS:
                problem = f"no time model knows what {kind} costs"
            if kind in KINDS:
                dims = KINDS[kind].canonical(dims)
            sizes = [sum(int(np.prod(s)) for s in shapes) for shapes in (node.shapes, [node.out_shape])]
            found.append(Operator(kind, dims, name, problem, *sizes))
        return found

    def _node(self, raw: Any) -> _Node:
        tensors = [self.graph.tensors[i] for i in _sequence(raw.inputs) if i >= 0]
        full = [_batch_first(tuple(int(n) for n in _sequence(t.shape))) for t in tensors]
        made = self.graph.tensors[raw.outputs[0]].shape if len(raw.outputs) else ()
        out = _batch_first(tuple(int(n) for n in _sequence(made)))
        data = [self.buffers[t.buffer].data for t in tensors]
        paddings = None
        code = self.codes[raw.opcodeIndex]
        if code in ("PAD", "PADV2") and data[1] is not None:
            paddings = np.frombuffer(bytes(data[1]), np.int32).reshape(-1, 2)
        return _Node(
            code,
            raw.builtinOptions,
            [s[1:] for s in full],
            [d is not None and len(d) > 0 for d in data],
            out[1:],
            full,
            paddings,
        )

    def _describe(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        handler = _HANDLERS.get(node.code)
        if handler is None:
            kind = node.code.lower()
            return kind, {}, None if kind in KINDS else f"no time model knows what {node.code} costs"
        return handler(self, node)

    # One method a family of operators: (kind, dimensions, problem)

    def conv2d(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        out, kernel_h, kernel_w, kernel_in = node.full_shapes[1]
        dims, problem = self._window(node, kernel_h, kernel_w)
        channels = node.shapes[0][-1]
        if kernel_in != channels:
            problem = f"grouped convolution ({channels // kernel_in} groups)"
        dims |= {"in_channels": channels, "out_channels": out, "activation": node.fused}
        return "conv2d", dims, problem

    def depthwise(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        dims, problem = self._window(node, *node.full_shapes[1][1:3])
        if node.options.depthMultiplier > 1:
            problem = f"depth_multiplier {node.options.depthMultiplier}"
        return (
            "depthwise_conv2d",
            dims | {"channels": node.shapes[0][-1], "activation": node.fused},
            problem,
        )

    def pool(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        dims, problem = self._window(node, node.options.filterHeight, node.options.filterWidth)
        kind = "max_pool2d" if node.code == "MAX_POOL_2D" else "average_pool2d"
        return kind, dims | {"channels": node.shapes[0][-1]}, problem

    def _window(self, node: _Node, kernel_h: int, kernel_w: int) -> tuple[dict[str, int], str | None]:
        options, image = node.options, node.image
        problem = None
        if kernel_h != kernel_w:
            problem = f"kernel {kernel_h}x{kernel_w} is not square"
        elif options.strideH != options.strideW:
            problem = f"stride {options.strideH}x{options.strideW} differs by side"
        elif (getattr(options, "dilationHFactor", 1), getattr(options, "dilationWFactor", 1)) != (1, 1):
            problem = f"dilation {options.dilationHFactor}x{options.dilationWFactor}"
        return {
            "height": image["height"],
            "width": image["width"],
            "kernel": int(kernel_h),
            "stride": int(options.strideH),
            "padding": int(options.padding == self.same),
        }, problem

    def dense(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        out_channels, in_channels = node.full_shapes[1]
        rows = int(np.prod(node.full_shapes[0])) // in_channels
        return (
            "dense",
            {
                "rows": rows,
                "in_channels": in_channels,
                "out_channels": out_channels,
                "activation": node.fused,
            },
            None,
        )

    def binary(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        kind = node.code.lower()
        dims = {**_image(node.out_shape), "constant": 0, "activation": node.fused}
        if len(node.shapes) == 2 and any(node.constant):
            dims["constant"] = 1
        elif node.shapes[0] != node.shapes[1]:
            return kind, dims, "combines tensors of different shapes"
        return kind, dims, None

    def concat(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        rank = len(node.out_shape) + 1
        problem = None if node.options.axis in (-1, rank - 1) else "concatenates along an axis of pixels"
        return "concat", {**_image(node.out_shape), "inputs": len(node.shapes)}, problem

    def pad(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        if node.paddings is None or len(node.paddings) != 4 or node.paddings[[0, 3]].any():
            return "pad", {}, "pads something else than height and width by constant amounts"
        height, width = node.paddings[1:3].sum(axis=1)
        return "pad", {**node.image, "pad_height": int(height), "pad_width": int(width)}, None

    def mean(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        pooled = len(node.shapes[0]) == 3 and node.out_shape[-1:] == node.shapes[0][-1:]
        whole = pooled and int(np.prod(node.out_shape)) == node.shapes[0][-1]
        return "mean", node.image, None if whole else "a mean over other axes than height and width"

    def softmax(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        image = node.image
        return "softmax", {"rows": image["height"] * image["width"], "channels": image["channels"]}, None

    def reverse(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        # Steps and channels; whatever else is turned around is no sequence.
        problem = None if len(node.shapes[0]) == 2 else "reverses something else than steps"
        image = node.image
        return "reverse", {"steps": image["width"], "channels": image["channels"]}, problem

    def elementwise(self, node: _Node) -> tuple[str, dict[str, int], str | None]:
        return node.code.lower(), node.image, None


#: Operators that move no data: another view of the same memory.
VIEW_CODES = frozenset(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"))

_Handler = Callable[[_Reader, _Node], tuple[str, dict[str, int], "str | None"]]

_HANDLERS: dict[str, _Handler] = {
    "CONV_2D": _Reader.conv2d,
    "DEPTHWISE_CONV_2D": _Reader.depthwise,
    "MAX_POOL_2D": _Reader.pool,
    "AVERAGE_POOL_2D": _Reader.pool,
    "FULLY_CONNECTED": _Reader.dense,
    "ADD": _Reader.binary,
    "MUL": _Reader.binary,
    "SUB": _Reader.binary,
    "CONCATENATION": _Reader.concat,
    "PAD": _Reader.pad,
    "MEAN": _Reader.mean,
    "SOFTMAX": _Reader.softmax,
    "REVERSE_V2": _Reader.reverse,
    **dict.fromkeys(
        ("RELU", "RELU6", "LOGISTIC", "TANH", "HARD_SWISH", "ELU", "GELU", "LEAKY_RELU"), _Reader.elementwise
    ),
}


def _image(shape: tuple[int, ...]) -> dict[str, int]:
    *pixels, channels = shape or (1,)
    height, width = (1, 1, *pixels)[-2:] if len(pixels) < 3 else (pixels[0], int(np.prod(pixels[1:])))
    return {"height": int(height), "width": int(width), "channels": int(channels)}


def _batch_first(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Around loops sequences have their steps first and the batch of one second; what is read is the same."""
    return (1, shape[0], *shape[2:]) if len(shape) == 3 and shape[0] != 1 and shape[1] == 1 else shape


def _sequence(shape: Any) -> Any:
    return () if shape is None else shape


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
