"""The table of operator kinds.

For every kind: its dimensions (the configuration of Yao et al., SenSys 2018), which of
them count channels, and the formula of what explains its time. A dimension that came
later than the first profiles has a default, so that what was measured without it still
says the same.

Kinds are what a time model is learned for: operators whose cost has one shape. They bear
the names of the runtime's own operators, or of the Keras layer where that is better known.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.operators import formulas as f
from fdi_keras.operators.formulas import BYTES, EXPLANATORY, Columns, Formula
from fdi_keras.operators.recurrent import GATES, RECURRENT, cell_of, reverse
from fdi_keras.operators.windows import canonical_window, output_sizes


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
        gates: of a recurrent cell: so many outputs for each of its units are made by one product.
    """

    name: str
    dimensions: tuple[str, ...]
    channels: tuple[str, ...]
    formula: Formula
    defaults: Mapping[str, int] = field(default_factory=dict)
    windowed: bool = False
    linear_dimensions: tuple[str, ...] = ()
    gates: int = 0

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
        columns = self._filled(dims)
        if self.windowed:
            columns["out_height"], columns["out_width"] = output_sizes(columns)
        return columns

    def explain(self, dims: Columns) -> np.ndarray:
        """Explanatory variables of n operators: array of shape ``(n, 5)``."""
        columns = self.derive({name: np.atleast_1d(np.asarray(v, float)) for name, v in dims.items()})
        lengths = {np.size(c) for c in columns.values()}
        length = (
            max(lengths) if 0 not in lengths else 0
        )  # defaults are single numbers, beside no operators too
        values = [np.broadcast_to(np.asarray(v, float), (length,)) for v in self.formula(columns)]
        return np.stack(values, axis=1)

    def weight_bytes(self, dims: Columns) -> np.ndarray:
        """Bytes of the weights of n operators, ``(n,)``."""
        return BYTES * self.explain(dims)[:, EXPLANATORY.index("parameters")]

    def matrix(self, dims: Columns) -> np.ndarray:
        """Feature matrix of n operators, columns as in :attr:`features`."""
        explained, full = self.explain(dims), self._filled(dims)
        given = [np.broadcast_to(np.asarray(full[d], float), (len(explained),)) for d in self.dimensions]
        return np.column_stack([*given, explained])

    def canonical(self, dims: Mapping[str, int]) -> dict[str, int]:
        """``dims`` in the one way to write them, where several mean the same operator.

        >>> dims = {"height": 1, "width": 1, "channels": 8, "constant": 1, "broadcast": 1}
        >>> KINDS["maximum"].canonical(dims)["broadcast"]
        0
        """
        if "kernel_width" in self.dimensions:
            found = canonical_window(self._filled(dims), transposed=not self.windowed)
            return {name: found[name] for name in self.dimensions if name in found}
        found = dict(dims)
        if found.get("broadcast"):
            found["broadcast"] = _canonical_broadcast(found)
        return _canonical_reduction(found) if "over" in found else found

    def complete(self, dims: Mapping[str, int]) -> dict[str, int]:
        """``dims`` with defaults filled in, in table order; UsageError names what is wrong."""
        unknown = sorted(set(dims) - set(self.dimensions))
        if unknown:
            raise UsageError(
                f"{self.name} has no dimension {', '.join(unknown)}; it has {', '.join(self.dimensions)}."
            )
        full = self._filled(dims)
        missing = [d for d in self.dimensions if d not in full]
        if missing:
            raise UsageError(
                f"{self.name} needs {', '.join(missing)}; given were {', '.join(dims) or 'no dimensions'}."
            )
        return {d: int(full[d]) for d in self.dimensions}

    def _filled(self, dims: Columns) -> dict[str, Any]:
        full = {**self.defaults, **dims}
        if "broadcast" in self.dimensions and "broadcast" not in dims and "constant" in full:
            # What a constant is added to or multiplied with is mostly an image, by channel.
            full["broadcast"] = f.OVER_PIXELS * np.asarray(full["constant"])
        return full


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


def memory_access(operator: Operator) -> float:
    """Bytes that one operator reads and writes, its weights included."""
    found = operator.explained
    return found["memory_in"] + found["memory_out"] + BYTES * found["parameters"]


def get_kind(name: str) -> Kind:
    """The kind of this name; UsageError lists the known ones."""
    try:
        return KINDS[name]
    except KeyError:
        raise UsageError(f"unknown operator kind {name!r}; known are {', '.join(KINDS)}.") from None


def choices_text(name: str) -> str:
    """The numbers that a dimension of :data:`CHOICES` takes.

    >>> choices_text("padding"), choices_text("over")
    ('0 or 1', '0 to 2')
    """
    last = CHOICES[name] - 1
    return "0 or 1" if last == 1 else f"0 to {last}"


def _canonical_broadcast(dims: Mapping[str, int]) -> int:
    """A vector over the channels of one pixel, or one number a pixel of one channel, is no broadcast."""
    pixels, channels = dims["height"] * dims["width"], dims["channels"]
    if dims["broadcast"] == f.BOTH_SPREAD and 1 in (pixels, channels):
        return f.NO_BROADCAST if pixels == channels else f.ONE_NUMBER
    sizes = {f.OVER_PIXELS: channels, f.OVER_CHANNELS: pixels, f.ONE_NUMBER: 1}
    size = sizes.get(dims["broadcast"])
    if size is None:
        return dims["broadcast"]
    if size == pixels * channels:
        return f.NO_BROADCAST
    return f.ONE_NUMBER if size == 1 else dims["broadcast"]


def _canonical_reduction(dims: dict[str, int]) -> dict[str, int]:
    """Over the width of one row is over its pixels; what has one channel has pixels for channels."""
    height, width, channels = (dims[name] for name in _IMAGE)
    if dims["over"] == f.WIDTH and height == 1:
        dims["over"] = f.PIXELS
    if channels == 1 and dims["over"] == f.PIXELS:
        return {**dims, "height": 1, "width": 1, "channels": height * width, "over": f.CHANNELS}
    if channels == 1 and dims["over"] == f.WIDTH:
        return {**dims, "height": 1, "width": height, "channels": width, "over": f.CHANNELS}
    return dims


#: Dimensions that say which of a few ways, counted from 0, and how many there are.
CHOICES = {
    **dict.fromkeys(("padding", "activation", "constant", "shared", "transposed"), 2),
    **{"over": 3, "order": 3, "broadcast": 5},
}

#: Dimensions of which 0 is a value; everything else is counted from 1.
MAY_BE_ZERO = (*CHOICES, "pad_height", "pad_width", "kernel_width", "stride_width")

#: Functions of one element that LiteRT runs as operators of their own when nothing precedes them to
#: fuse with.
ELEMENTWISE = (
    *("relu", "relu6", "logistic", "tanh", "hard_swish", "elu", "gelu", "leaky_relu", "relu_n1_to_1"),
    *("exp", "log", "sqrt", "rsqrt", "square", "abs", "neg"),
)

#: Operators that combine two tensors element by element; the first of them fuse a following ReLU.
BINARY_FUSING = ("add", "sub", "mul", "div")
BINARY = (*BINARY_FUSING, "maximum", "minimum", "squared_difference")

#: Operators that turn many numbers into one, over some axes.
REDUCTIONS = ("mean", "sum", "reduce_max")

_IMAGE = ("height", "width", "channels")
_ONE_PIXEL = {"height": 1, "width": 1}
_ENDS = ("in_channels", "out_channels")
_SLIDING = ("kernel", "stride", "padding")
_BY_SIDE = {"kernel_width": 0, "stride_width": 0}
_DILATED = {**_BY_SIDE, "dilation": 1}


def _windows() -> tuple[Kind, ...]:
    conv = ("height", "width", *_ENDS, *_SLIDING, "activation")
    image = (*_IMAGE, *_SLIDING)
    same = {"stride": 1, "padding": 1, "activation": 1}
    return (
        Kind("conv2d", (*conv, *_DILATED), _ENDS, f.conv2d, {**same, **_DILATED}, True),
        Kind(
            "depthwise_conv2d",
            (*image, "activation", *_DILATED, "multiplier"),
            ("channels",),
            f.depthwise_conv2d,
            {**same, **_DILATED, "multiplier": 1},
            True,
        ),
        Kind(
            "grouped_conv2d",
            (*conv, "groups", *_DILATED),
            _ENDS,
            f.grouped_conv2d,
            {**same, "groups": 2, **_DILATED},
            True,
        ),
        Kind(
            "transposed_conv2d",
            (*conv, *_BY_SIDE),
            _ENDS,
            f.transposed_conv2d,
            {**same, "stride": 2, "activation": 0, **_BY_SIDE},
        ),
        *(
            Kind(name, (*image, *_BY_SIDE), ("channels",), f.pool2d, {"padding": 0, **_BY_SIDE}, True)
            for name in ("max_pool2d", "average_pool2d")
        ),
    )


def _images() -> tuple[Kind, ...]:
    def kind(name: str, formula: Formula, **further: int) -> Kind:
        return Kind(name, (*_IMAGE, *further), ("channels",), formula, {**_ONE_PIXEL, **further})

    return (
        *(kind(name, f.reduction, over=f.PIXELS) for name in REDUCTIONS),
        *(kind(name, f.binary, constant=0, activation=0, broadcast=0) for name in BINARY_FUSING),
        *(kind(name, f.binary, constant=0, broadcast=0) for name in BINARY[len(BINARY_FUSING) :]),
        kind("prelu", f.prelu, shared=1),
        kind("compare", f.compare, broadcast=0),
        kind("select", f.select, broadcast=0),
        kind("cast", f.elementwise),
        kind("concat", f.concat, inputs=2),
        kind("split", f.split, outputs=2),
        kind("slice", f.cut, stride=1),
        kind("pad", f.pad, pad_height=2, pad_width=2),
        kind("transpose", f.transpose, order=0),
        kind("tile", f.tile, times=2),
        kind("resize_bilinear", f.resize_bilinear, out_height=2, out_width=2),
        kind("resize_nearest", f.resize_nearest, out_height=2, out_width=2),
        *(kind(name, f.elementwise) for name in ELEMENTWISE),
    )


def _matrices() -> tuple[Kind, ...]:
    return (
        Kind("dense", ("rows", *_ENDS, "activation"), _ENDS, f.dense, {"rows": 1, "activation": 0}),
        Kind(
            "batch_matmul",
            ("batch", "rows", *_ENDS, "transposed"),
            _ENDS,
            f.batch_matmul,
            {"batch": 1, "transposed": 0},
        ),
        Kind("softmax", ("rows", "channels"), ("channels",), f.softmax, {"rows": 1}),
        Kind("reshape", ("channels",), ("channels",), f.copy),
        Kind("gather", ("rows", "channels", "entries"), ("channels",), f.gather, {"rows": 1}),
    )


def _recurrent() -> tuple[Kind, ...]:
    return (
        *(
            Kind(
                name,
                dimensions,
                ("in_channels", "units"),
                formula,
                {"outputs": 1} if "outputs" in dimensions else {},
                linear_dimensions=tuple(name for name in ("steps", "outputs") if name in dimensions),
                gates=GATES[cell_of(name)],
            )
            for name, (dimensions, formula) in RECURRENT.items()
        ),
        Kind("reverse", ("steps", "channels"), ("channels",), reverse),
    )


KINDS: dict[str, Kind] = {kind.name: kind for kind in (*_windows(), *_matrices(), *_images(), *_recurrent())}
