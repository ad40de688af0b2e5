"""A Keras network as the operators that LiteRT executes after conversion.

Reading the layers directly (milliseconds) must give what converting the model and
reading the file gives (seconds): batch normalization folded into the convolution
before it, activations fused, explicit padding absorbed where it equals SAME,
dropout gone, views free. The rules here are what the converter was seen to do; a
test holds the two ways of reading equal.

What cannot be priced is still listed, with a problem in words: nothing is priced
at zero in silence.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras

from fdi_keras.errors import UnsupportedModelError
from fdi_keras.networks.channel_spaces import activation_name
from fdi_keras.networks.graph import Call, Graph
from fdi_keras.networks.recurrent import recurrent_parts
from fdi_keras.operators import KINDS, Operator
from fdi_keras.operators.kinds import same_padding

L = keras.layers


@dataclass
class NetworkOperator:
    """One operator of a network.

    Attributes:
        kind, dims, name, problem, elements_in, elements_out: as in
            :class:`fdi_keras.operators.Operator`; ``name`` is the layer's.
        channels: for each channel dimension the value of the graph whose last axis it is.
    """

    kind: str
    dims: dict[str, int]
    name: str
    channels: dict[str, int] = field(default_factory=dict)
    problem: str | None = None
    elements_in: int = 0
    elements_out: int = 0

    @property
    def operator(self) -> Operator:
        return Operator(self.kind, self.dims, self.name, self.problem, self.elements_in, self.elements_out)


def read_layer_operators(graph: Graph) -> list[NetworkOperator]:
    """The operators of a network, in order of execution.

    Raises:
        UnsupportedModelError: an input has an unknown size.
    """
    return _OperatorReader(graph).read()


#: Layers that cost nothing at inference: gone after conversion, or another view of the same memory.
VIEWS = (
    *(L.Flatten, L.Reshape, L.Dropout, L.SpatialDropout2D, L.SpatialDropout1D, L.GaussianNoise),
    *(L.GaussianDropout, L.AlphaDropout, L.Identity, L.ActivityRegularization),
)

#: Keras activation -> operators of its own when nothing can fuse it.
ACTIVATION_KINDS: dict[str, tuple[str, ...]] = {
    "relu": ("relu",),
    "relu6": ("relu6",),
    "sigmoid": ("logistic",),
    "tanh": ("tanh",),
    "silu": ("logistic", "mul"),
    "swish": ("logistic", "mul"),
    "hard_silu": ("hard_swish",),
    "hard_swish": ("hard_swish",),
    "elu": ("elu",),
    "gelu": ("gelu",),
    "leaky_relu": ("leaky_relu",),
    "softmax": ("softmax",),
}

#: Operators that take a fused ReLU or ReLU6.
FUSING = frozenset(
    ("conv2d", "depthwise_conv2d", "dense", "add", "mul", "max_pool2d", "average_pool2d", "sub")
)

#: Operators that a following batch normalization folds into.
FOLDING = frozenset(("conv2d", "depthwise_conv2d", "dense"))


class _OperatorReader:
    def __init__(self, graph: Graph):
        self.graph = graph
        self.operators: list[NetworkOperator] = []
        #: The operator that made a value, while something that follows may still melt into it.
        self.open: dict[int, NetworkOperator] = {}
        #: For the value a padding layer makes: the value it pads, and ((top, bottom), (left, right)).
        self.padded: dict[int, tuple[int, tuple[tuple[int, int], tuple[int, int]]]] = {}
        #: For a value that was multiplied with one number: the operator that did it.
        self.scaled: dict[int, NetworkOperator] = {}

    def read(self) -> list[NetworkOperator]:
        for value in self.graph.inputs:
            if None in self.graph.shapes[value][1:]:
                raise UnsupportedModelError(
                    f"an input of {self.graph.name!r} has shape {self.graph.shapes[value]}: its execution time "
                    "depends on sizes that are not known. Build the model with a fixed input shape."
                )
        for call in self.graph.calls:
            reader = _READERS.get(type(call.layer)) or _OPERATIONS.get(type(call.layer).__name__)
            if reader is None:
                self._unknown(call)
            else:
                reader(self, call)
        return self.operators

    # Sizes

    def _image(self, value: int) -> dict[str, int]:
        """Height, width and channels of a value; a vector is an image of one pixel."""
        *pixels, channels = (n or 1 for n in self.graph.shapes[value][1:] or (1,))
        height, width = (1, 1, *pixels)[-2:] if len(pixels) < 3 else (pixels[0], _product(pixels[1:]))
        return {"height": int(height), "width": int(width), "channels": int(channels)}

    def _elements(self, value: int) -> int:
        return _product(n or 1 for n in self.graph.shapes[value][1:])

    def _single(self, value: int) -> bool:
        """Whether exactly one call reads a value and it is no output."""
        return len(self.graph.consumers.get(value, ())) == 1 and value not in self.graph.outputs

    def _add(
        self,
        call: Call,
        kind: str,
        dims: dict[str, int],
        channels: dict[str, int],
        problem: str | None = None,
    ) -> NetworkOperator:
        elements_in = sum(self._elements(v) for v in call.inputs)
        elements_out = sum(self._elements(v) for v in call.outputs)
        operator = NetworkOperator(kind, dims, call.name, channels, problem, elements_in, elements_out)
        if kind in KINDS:
            operator.dims = KINDS[kind].canonical(dims)
        self.operators.append(operator)
        self.open[call.outputs[0]] = operator
        return operator

    def _unknown(self, call: Call, problem: str | None = None) -> None:
        layer = type(call.layer).__name__
        self._add(call, layer, {}, {}, problem or f"no time model knows what {layer} costs")

    # Melting into what went before

    def _pass_on(self, call: Call) -> None:
        """A call that executes nothing: its output is still the open operator's."""
        source, target = call.inputs[0], call.outputs[0]
        if self._single(source) and source in self.open:
            self.open[target] = self.open[source]

    def _fusable(self, value: int, kinds: frozenset[str], own: bool = False) -> NetworkOperator | None:
        operator = self.open.get(value)
        if operator is None or not (own or self._single(value)):
            return None
        return operator if operator.kind in kinds and not operator.dims.get("activation") else None

    def _activate(self, call: Call, name: str, source: int) -> None:
        """Apply an activation to ``source``: fused where possible, else operators of its own."""
        if name == "linear":
            if source != call.outputs[0]:
                self._pass_on(call)
            return
        own = source == call.outputs[0]  # the layer's own activation: nobody else sees what it reads
        before = self._fusable(source, FUSING, own)
        if name in ("relu", "relu6") and before is not None:
            if "activation" in before.dims:  # pools take it too, at no cost worth a dimension
                before.dims["activation"] = 1
            self.open[call.outputs[0]] = before
            return
        if name == "hard_sigmoid":  # relu6(x + 3) / 6: the addition melts into the bias
            if self._fusable(source, FOLDING, own) is None:
                self._binary(call, "add", source, constant=1)
            self.operators[-1].dims["activation"] = 1
            self._binary(call, "mul", source, constant=1)
            return
        if name not in ACTIVATION_KINDS:
            layer = "a function of its own" if name == "?" else name
            self._add(call, name, {}, {}, f"no time model knows what activation {layer} costs")
            return
        for kind in ACTIVATION_KINDS[name]:
            if kind == "mul":
                self._binary(call, "mul", source, constant=0)
            elif kind == "softmax":
                image = self._image(source)
                dims = {"rows": image["height"] * image["width"], "channels": image["channels"]}
                self._add(call, kind, dims, {"channels": source})
            else:
                self._add(call, kind, self._image(source), {"channels": source})

    def _binary(self, call: Call, kind: str, value: int, constant: int) -> None:
        dims = {**self._image(value), "constant": constant, "activation": 0}
        self._add(call, kind, dims, {"channels": value})

    # Layers

    def convolution(self, call: Call) -> None:
        layer = call.layer
        problem = _window_problem(layer.kernel_size, layer.strides, layer)
        source, dims = self._window(call, layer.kernel_size, layer.strides, layer.padding)
        if getattr(layer, "groups", 1) != 1:
            problem = f"grouped convolution ({layer.groups} groups)"
        image = self._image(source)
        made = self._image(call.outputs[0])["channels"]
        if type(layer) is L.DepthwiseConv2D:
            if layer.depth_multiplier != 1:
                problem = f"depth_multiplier {layer.depth_multiplier}"
            kind, ends = "depthwise_conv2d", {"channels": image["channels"]}
            channels = {"channels": source}
        else:
            kind, ends = "conv2d", {"in_channels": image["channels"], "out_channels": made}
            channels = {"in_channels": source, "out_channels": call.outputs[0]}
        self._add(call, kind, {**dims, **ends, "activation": 0}, channels, problem)
        self._activate(call, activation_name(layer.activation), call.outputs[0])

    def separable(self, call: Call) -> None:
        layer = call.layer
        problem = _window_problem(layer.kernel_size, layer.strides, layer)
        if layer.depth_multiplier != 1:
            problem = f"depth_multiplier {layer.depth_multiplier}"
        source, dims = self._window(call, layer.kernel_size, layer.strides, layer.padding)
        inner, out = self._image(source)["channels"], self._image(call.outputs[0])
        dims = {**dims, "channels": inner, "activation": 0}
        self._add(call, "depthwise_conv2d", dims, {"channels": source}, problem)
        pointwise = {
            **{"height": out["height"], "width": out["width"], "in_channels": inner},
            **{"out_channels": out["channels"], "kernel": 1, "stride": 1, "padding": 1, "activation": 0},
        }
        self._add(call, "conv2d", pointwise, {"in_channels": source, "out_channels": call.outputs[0]})
        self._activate(call, activation_name(layer.activation), call.outputs[0])

    def dense(self, call: Call) -> None:
        source, made = call.inputs[0], call.outputs[0]
        if source in self.scaled and self._single(source):  # the number melts into the weights
            self.operators.remove(self.scaled[source])
        image = self._image(source)
        dims = {
            "rows": image["height"] * image["width"],
            "in_channels": image["channels"],
            "out_channels": self._image(made)["channels"],
            "activation": 0,
        }
        self._add(call, "dense", dims, {"in_channels": source, "out_channels": made})
        self._activate(call, activation_name(call.layer.activation), made)

    def batch_normalization(self, call: Call) -> None:
        if self._fusable(call.inputs[0], FOLDING) is not None:
            self._pass_on(call)
            return
        self._binary(call, "mul", call.inputs[0], constant=1)
        self._binary(call, "add", call.inputs[0], constant=1)

    def rescaling(self, call: Call) -> None:
        self._binary(call, "mul", call.inputs[0], constant=1)
        if call.layer.offset:
            self._binary(call, "add", call.inputs[0], constant=1)

    def activation(self, call: Call) -> None:
        layer = call.layer
        name = activation_name(layer.activation) if isinstance(layer, L.Activation) else "softmax"
        self._activate(call, name, call.inputs[0])

    def relu(self, call: Call) -> None:
        layer = call.layer
        plain = not layer.threshold and layer.max_value in (None, 6, 6.0)
        if layer.negative_slope and plain and layer.max_value is None:
            name = "leaky_relu"
        else:
            name = "relu" if layer.max_value is None else "relu6"
        if plain:
            self._activate(call, name, call.inputs[0])
        else:
            self._unknown(call, "a ReLU with a threshold or a limit other than 6 becomes several operators")

    def leaky_relu(self, call: Call) -> None:
        self._activate(call, "leaky_relu", call.inputs[0])

    def elu(self, call: Call) -> None:
        self._activate(call, "elu", call.inputs[0])

    def pool(self, call: Call) -> None:
        layer = call.layer
        kind = "max_pool2d" if isinstance(layer, L.MaxPooling2D) else "average_pool2d"
        problem = _window_problem(layer.pool_size, layer.strides, layer)
        image = self._image(call.inputs[0])
        dims = {
            **image,
            "kernel": layer.pool_size[0],
            "stride": layer.strides[0],
            "padding": int(layer.padding == "same"),
        }
        self._add(call, kind, dims, {"channels": call.inputs[0]}, problem)

    def global_average(self, call: Call) -> None:
        self._add(call, "mean", self._image(call.inputs[0]), {"channels": call.inputs[0]})

    def add(self, call: Call) -> None:
        self._merge(call, "add")

    def multiply(self, call: Call) -> None:
        self._merge(call, "mul")

    def average(self, call: Call) -> None:
        self._merge(call, "add")
        self._binary(call, "mul", call.outputs[0], constant=1)

    def _merge(self, call: Call, kind: str) -> None:
        shapes = {self.graph.shapes[v] for v in call.inputs}
        if len(call.inputs) < 2 or len(shapes) > 1:
            self._unknown(call, "combines tensors of different shapes")
            return
        for _ in call.inputs[1:]:
            self._binary(call, kind, call.inputs[0], constant=0)

    def concatenate(self, call: Call) -> None:
        rank = len(self.graph.shapes[call.inputs[0]])
        problem = None if call.layer.axis in (-1, rank - 1) else "concatenates along an axis of pixels"
        dims = {**self._image(call.outputs[0]), "inputs": len(call.inputs)}
        self._add(call, "concat", dims, {"channels": call.outputs[0]}, problem)

    def pad(self, call: Call) -> None:
        source = call.inputs[0]
        (top, bottom), (left, right) = call.layer.padding
        dims = {**self._image(source), "pad_height": top + bottom, "pad_width": left + right}
        self._add(call, "pad", dims, {"channels": source})
        self.padded[call.outputs[0]] = (source, ((top, bottom), (left, right)))

    def recurrent(self, call: Call) -> None:
        for part in recurrent_parts(self.graph, call):
            made = self._add(call, *part)
        if getattr(call.layer, "merge_mode", None) == "ave":
            self.scaled[call.outputs[0]] = made

    def view(self, call: Call) -> None:
        self._pass_on(call)

    def _window(self, call: Call, kernel: Any, strides: Any, padding: str) -> tuple[int, dict[str, int]]:
        """The value a convolution reads and its sizes; padding before it melts in where it equals SAME."""
        source, same = call.inputs[0], padding == "same"
        if source in self.padded and self._single(source) and not same:
            inner, sides = self.padded[source]
            image = self._image(inner)
            wanted = tuple(same_padding(image[side], kernel[0], strides[0]) for side in ("height", "width"))
            if sides == wanted:
                self.operators.remove(self.open[source])
                source, same = inner, True
        image = self._image(source)
        sizes = {"height": image["height"], "width": image["width"]}
        return source, {**sizes, "kernel": kernel[0], "stride": strides[0], "padding": int(same)}


def _window_problem(kernel: Any, strides: Any, layer: Any) -> str | None:
    if len(set(kernel)) > 1:
        return f"kernel {'x'.join(map(str, kernel))} is not square"
    if len(set(strides)) > 1:
        return f"stride {'x'.join(map(str, strides))} differs by side"
    if set(getattr(layer, "dilation_rate", (1,))) != {1}:
        return f"dilation {'x'.join(map(str, layer.dilation_rate))}"
    return None


def _product(numbers: Any) -> int:
    result = 1
    for n in numbers:
        result *= int(n)
    return result


_Reader = Callable[[_OperatorReader, Call], None]

_READERS: dict[type, _Reader] = {
    L.Conv2D: _OperatorReader.convolution,
    L.DepthwiseConv2D: _OperatorReader.convolution,
    L.SeparableConv2D: _OperatorReader.separable,
    L.Dense: _OperatorReader.dense,
    L.BatchNormalization: _OperatorReader.batch_normalization,
    L.Rescaling: _OperatorReader.rescaling,
    L.Activation: _OperatorReader.activation,
    L.Softmax: _OperatorReader.activation,
    L.ReLU: _OperatorReader.relu,
    L.LeakyReLU: _OperatorReader.leaky_relu,
    L.ELU: _OperatorReader.elu,
    L.MaxPooling2D: _OperatorReader.pool,
    L.AveragePooling2D: _OperatorReader.pool,
    L.GlobalAveragePooling2D: _OperatorReader.global_average,
    L.Add: _OperatorReader.add,
    L.Multiply: _OperatorReader.multiply,
    L.Average: _OperatorReader.average,
    L.Concatenate: _OperatorReader.concatenate,
    L.ZeroPadding2D: _OperatorReader.pad,
    **dict.fromkeys((L.LSTM, L.GRU, L.Bidirectional), _OperatorReader.recurrent),
    **dict.fromkeys(VIEWS, _OperatorReader.view),
}

#: Raw operations on symbolic tensors, by class name (keras has no public classes for them).
_OPERATIONS: dict[str, _Reader] = {"Add": _OperatorReader.add, "Multiply": _OperatorReader.multiply}
