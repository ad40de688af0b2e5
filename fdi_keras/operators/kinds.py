"""The table of operator kinds.

For every kind: its dimensions (the configuration of Yao et al., SenSys 2018) and
its explanatory variables FLOPs, memory and parameters. The paper names the
variables; the exact formulas are our choice and stand here, one function a kind.

Formulas are plain arithmetic (``+ - *``) on the columns they are given, so that
the same line serves numpy arrays when a model is fitted and backend tensors when
a gradient flows through it. Sizes that need rounding (the output height of a
strided convolution) are therefore derived beforehand by :meth:`Kind.derive`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.operators.recurrent import RECURRENT, reverse

#: What a leaf of the time model is linear in, with its unit.
#: flops: 2 x multiply-accumulates. memory: bytes of float32. parameters: a count.
EXPLANATORY = ("flops", "memory_in", "memory_out", "memory_internal", "parameters")

BYTES = 4  # float32

Columns = Mapping[str, Any]
Formula = Callable[[Columns], tuple[Any, Any, Any, Any, Any]]


@dataclass(frozen=True)
class Kind:
    """One kind of operator.

    Attributes:
        name: as in profiles, rules and the command line (``"conv2d"``).
        dimensions: names of the numbers that fix the operator, in order.
        channels: which dimensions are channel counts (steps and dips live there).
        formula: columns of dimensions (derived ones included) to the five
            explanatory variables, in the order of :data:`EXPLANATORY`.
        defaults: values of dimensions that a user may leave out.
        windowed: a kernel slides over height and width.
        linear_dimensions: dimensions that leaves may be linear in as well: each step of a loop
            costs something by itself, whatever is computed in it.
    """

    name: str
    dimensions: tuple[str, ...]
    channels: tuple[str, ...]
    formula: Formula
    defaults: Mapping[str, int] = field(default_factory=dict)
    windowed: bool = False
    linear_dimensions: tuple[str, ...] = ()

    @property
    def linear(self) -> tuple[str, ...]:
        """Names of what a leaf of the time model is linear in."""
        return (*EXPLANATORY, *self.linear_dimensions)

    @property
    def features(self) -> tuple[str, ...]:
        """Names of everything a condition of the time model may test."""
        return (*self.dimensions, *EXPLANATORY)

    def derive(self, dims: Columns) -> dict[str, Any]:
        """The dimensions, with ``out_height`` and ``out_width`` where a window slides."""
        columns = dict(dims)
        if self.windowed:
            for side in ("height", "width"):
                columns[f"out_{side}"] = output_size(
                    dims[side], dims["kernel"], dims["stride"], dims["padding"]
                )
        return columns

    def explain(self, dims: Columns) -> np.ndarray:
        """Explanatory variables of n operators: array of shape ``(n, 5)``."""
        columns = self.derive({name: np.atleast_1d(np.asarray(v, float)) for name, v in dims.items()})
        length = max(len(c) for c in columns.values())
        values = [np.broadcast_to(np.asarray(v, float), (length,)) for v in self.formula(columns)]
        return np.stack(values, axis=1)

    def weight_bytes(self, dims: Columns) -> np.ndarray:
        """Bytes of the weights of n operators, ``(n,)``."""
        return BYTES * self.explain(dims)[:, EXPLANATORY.index("parameters")]

    def matrix(self, dims: Columns) -> np.ndarray:
        """Feature matrix of n operators, columns as in :attr:`features`."""
        explained = self.explain(dims)
        given = [np.broadcast_to(np.asarray(dims[d], float), (len(explained),)) for d in self.dimensions]
        return np.column_stack([*given, explained])

    def canonical(self, dims: Mapping[str, int]) -> dict[str, int]:
        """``dims`` with padding 0 (VALID) where SAME would pad nothing: the two are one operator."""
        found = dict(dims)
        if self.windowed and found.get("padding"):
            kernel, stride = found["kernel"], found["stride"]
            sides = (same_padding(found[side], kernel, stride) for side in ("height", "width"))
            if all(total == (0, 0) for total in sides):
                found["padding"] = 0
        return found

    def complete(self, dims: Mapping[str, int]) -> dict[str, int]:
        """``dims`` with defaults filled in, in table order; UsageError names what is wrong."""
        unknown = sorted(set(dims) - set(self.dimensions))
        if unknown:
            raise UsageError(
                f"{self.name} has no dimension {', '.join(unknown)}; it has {', '.join(self.dimensions)}."
            )
        full = {**self.defaults, **dims}
        missing = [d for d in self.dimensions if d not in full]
        if missing:
            raise UsageError(
                f"{self.name} needs {', '.join(missing)}; given were {', '.join(dims) or 'no dimensions'}."
            )
        return {d: int(full[d]) for d in self.dimensions}


@dataclass(frozen=True)
class Operator:
    """One operator of a network: its kind, its dimensions, and the layer it came from.

    ``kind`` need not be in the table: an operator that nobody can price still
    has a name, and ``problem`` says why it cannot be priced. ``elements_in`` and
    ``elements_out`` count what it reads and writes, for kinds without a formula.
    """

    kind: str
    dims: Mapping[str, int]
    name: str = ""
    problem: str | None = None
    elements_in: int = 0
    elements_out: int = 0

    @property
    def explained(self) -> dict[str, float]:
        """Explanatory variables by name; outside the table one FLOP an element written."""
        if self.kind in KINDS and self.dims:
            values = KINDS[self.kind].explain(self.dims)[0].tolist()
        else:
            values = [self.elements_out, BYTES * self.elements_in, BYTES * self.elements_out, 0, 0]
        return dict(zip(EXPLANATORY, map(float, values), strict=True))


def output_size(size: Any, kernel: Any, stride: Any, same: Any) -> Any:
    """Output side of a sliding window; ``same`` is 1 for SAME and 0 for VALID padding.

    >>> int(output_size(28, 3, 2, 1)), int(output_size(28, 3, 2, 0))
    (14, 13)
    """
    return np.where(np.asarray(same) > 0, -(-size // stride), (size - kernel) // stride + 1)


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Pixels that SAME padding adds before and after one side.

    >>> same_padding(224, 3, 2), same_padding(28, 1, 1)
    ((0, 1), (0, 0))
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def get_kind(name: str) -> Kind:
    """The kind of this name; UsageError lists the known ones."""
    try:
        return KINDS[name]
    except KeyError:
        raise UsageError(f"unknown operator kind {name!r}; known are {', '.join(KINDS)}.") from None


def _conv2d(c: Columns) -> tuple[Any, ...]:
    out_pixels = c["out_height"] * c["out_width"]
    window = c["kernel"] * c["kernel"]
    macs = out_pixels * window * c["in_channels"] * c["out_channels"]
    weights = window * c["in_channels"] * c["out_channels"] + c["out_channels"]
    return (
        2 * macs,
        BYTES * c["height"] * c["width"] * c["in_channels"],
        BYTES * out_pixels * c["out_channels"],
        BYTES * out_pixels * window * c["in_channels"],  # the unfolded input patches
        weights,
    )


def _depthwise_conv2d(c: Columns) -> tuple[Any, ...]:
    out_pixels = c["out_height"] * c["out_width"]
    window = c["kernel"] * c["kernel"]
    return (
        2 * out_pixels * window * c["channels"],
        BYTES * c["height"] * c["width"] * c["channels"],
        BYTES * out_pixels * c["channels"],
        BYTES * out_pixels * window,  # one address a patch element, whatever the channels
        (window + 1) * c["channels"],
    )


def _dense(c: Columns) -> tuple[Any, ...]:
    macs = c["rows"] * c["in_channels"] * c["out_channels"]
    return (
        2 * macs,
        BYTES * c["rows"] * c["in_channels"],
        BYTES * c["rows"] * c["out_channels"],
        0 * macs,
        (c["in_channels"] + 1) * c["out_channels"],
    )


def _pool2d(c: Columns) -> tuple[Any, ...]:
    out_pixels = c["out_height"] * c["out_width"]
    window = c["kernel"] * c["kernel"]
    return (
        out_pixels * window * c["channels"],
        BYTES * c["height"] * c["width"] * c["channels"],
        BYTES * out_pixels * c["channels"],
        BYTES * out_pixels * window,
        0 * out_pixels,
    )


def _mean(c: Columns) -> tuple[Any, ...]:
    elements = c["height"] * c["width"] * c["channels"]
    return (elements, BYTES * elements, BYTES * c["channels"], 0 * elements, 0 * elements)


def _binary(c: Columns) -> tuple[Any, ...]:
    elements = c["height"] * c["width"] * c["channels"]
    # A constant second operand is one vector over the channels.
    second = elements * (1 - c["constant"]) + c["channels"] * c["constant"]
    return (
        elements,
        BYTES * (elements + second),
        BYTES * elements,
        0 * elements,
        c["channels"] * c["constant"],
    )


def _concat(c: Columns) -> tuple[Any, ...]:
    elements = c["height"] * c["width"] * c["channels"]
    return (0 * elements, BYTES * elements, BYTES * elements, 0 * elements, 0 * elements)


def _pad(c: Columns) -> tuple[Any, ...]:
    inner = c["height"] * c["width"] * c["channels"]
    outer = (c["height"] + c["pad_height"]) * (c["width"] + c["pad_width"]) * c["channels"]
    return (0 * inner, BYTES * inner, BYTES * outer, 0 * inner, 0 * inner)


def _softmax(c: Columns) -> tuple[Any, ...]:
    elements = c["rows"] * c["channels"]
    return (5 * elements, BYTES * elements, BYTES * elements, 0 * elements, 0 * elements)


def _elementwise(c: Columns) -> tuple[Any, ...]:
    elements = c["height"] * c["width"] * c["channels"]
    return (elements, BYTES * elements, BYTES * elements, 0 * elements, 0 * elements)


_IMAGE = ("height", "width", "channels")
_WINDOW = (*_IMAGE, "kernel", "stride", "padding")
_ONE_PIXEL = {"height": 1, "width": 1}


def _kinds() -> tuple[Kind, ...]:
    conv = ("height", "width", "in_channels", "out_channels", "kernel", "stride", "padding", "activation")
    same = {"stride": 1, "padding": 1}
    return (
        Kind("conv2d", conv, ("in_channels", "out_channels"), _conv2d, {**same, "activation": 1}, True),
        Kind(
            "depthwise_conv2d",
            (*_WINDOW, "activation"),
            ("channels",),
            _depthwise_conv2d,
            {**same, "activation": 1},
            True,
        ),
        Kind(
            "dense",
            ("rows", "in_channels", "out_channels", "activation"),
            ("in_channels", "out_channels"),
            _dense,
            {"rows": 1, "activation": 0},
        ),
        Kind("max_pool2d", _WINDOW, ("channels",), _pool2d, {"padding": 0}, True),
        Kind("average_pool2d", _WINDOW, ("channels",), _pool2d, {"padding": 0}, True),
        Kind("mean", _IMAGE, ("channels",), _mean),
        *(
            Kind(
                name,
                (*_IMAGE, "constant", "activation"),
                ("channels",),
                _binary,
                {**_ONE_PIXEL, "constant": 0, "activation": 0},
            )
            for name in ("add", "mul")
        ),
        Kind("concat", (*_IMAGE, "inputs"), ("channels",), _concat, {**_ONE_PIXEL, "inputs": 2}),
        Kind(
            "pad",
            (*_IMAGE, "pad_height", "pad_width"),
            ("channels",),
            _pad,
            {"pad_height": 2, "pad_width": 2},
        ),
        Kind("softmax", ("rows", "channels"), ("channels",), _softmax, {"rows": 1}),
        *(Kind(name, _IMAGE, ("channels",), _elementwise, _ONE_PIXEL) for name in ELEMENTWISE),
        *(
            Kind(
                name,
                dimensions,
                ("in_channels", "units"),
                formula,
                {"outputs": 1} if "outputs" in dimensions else {},
                linear_dimensions=tuple(name for name in ("steps", "outputs") if name in dimensions),
            )
            for name, (dimensions, formula) in RECURRENT.items()
        ),
        Kind("reverse", ("steps", "channels"), ("channels",), reverse),
    )


#: Activations that LiteRT runs as operators of their own when nothing precedes them to fuse with.
ELEMENTWISE = ("relu", "relu6", "logistic", "tanh", "hard_swish", "elu", "gelu", "leaky_relu")

KINDS: dict[str, Kind] = {kind.name: kind for kind in _kinds()}
