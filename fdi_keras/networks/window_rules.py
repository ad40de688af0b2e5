"""Layers with a sliding window, and layers that change the pixels of an image, as operators.

LiteRT knows images only: a layer for sequences works on an image of one row, and as long
as such layers follow each other nothing is reshaped between them.
"""

from __future__ import annotations

from typing import Any

import keras

from fdi_keras.networks import described as d
from fdi_keras.networks.activation_rules import activate
from fdi_keras.networks.channels import activation_name
from fdi_keras.networks.described import Described, Shape
from fdi_keras.networks.graph import Call
from fdi_keras.networks.operator_reader import NetworkOperator, OperatorReader
from fdi_keras.operators.formulas import ONE_NUMBER
from fdi_keras.operators.windows import same_padding

L = keras.layers


def convolution(reader: OperatorReader, call: Call) -> None:
    layer = call.layer
    source, shape, (dims, problem) = _window(reader, call, layer.kernel_size, layer.strides, layer.padding)
    channels, made = shape[-1], call.outputs[0]
    out = reader.shape(made)[-1]
    ends = {"in_channels": channels, "out_channels": out, "activation": 0}
    described = Described("conv2d", dims | ends, problem)
    if layer.groups > 1:
        described = Described("grouped_conv2d", dims | ends | {"groups": layer.groups}, problem)
    _emit(reader, described, made, {"in_channels": source, "out_channels": made})
    activate(reader, call, activation_name(layer.activation), made)


def depthwise(reader: OperatorReader, call: Call) -> None:
    layer, made = call.layer, call.outputs[0]
    source, shape, (dims, problem) = _window(reader, call, layer.kernel_size, layer.strides, layer.padding)
    dims |= {"channels": shape[-1], "multiplier": layer.depth_multiplier, "activation": 0}
    _emit(reader, Described("depthwise_conv2d", dims, problem), made, {"channels": source})
    activate(reader, call, activation_name(layer.activation), made)


def separable(reader: OperatorReader, call: Call) -> None:
    layer, made = call.layer, call.outputs[0]
    source, shape, (dims, problem) = _window(reader, call, layer.kernel_size, layer.strides, layer.padding)
    dims |= {"channels": shape[-1], "multiplier": layer.depth_multiplier, "activation": 0}
    out = reader.shape(made)
    between = reader.new((*out[:-1], shape[-1] * layer.depth_multiplier))
    _emit(reader, Described("depthwise_conv2d", dims, problem), between, {"channels": source})
    image = _image_shape(reader.shape(between))
    pointwise, _ = d.window(image, (1, 1), (1, 1), same=False)
    pointwise |= {"in_channels": image[-1], "out_channels": out[-1], "activation": 0}
    feeds = {"in_channels": source} if layer.depth_multiplier == 1 else {}
    _emit(reader, Described("conv2d", pointwise), made, {**feeds, "out_channels": made})
    activate(reader, call, activation_name(layer.activation), made)


def transposed(reader: OperatorReader, call: Call) -> None:
    layer, source, made = call.layer, call.inputs[0], call.outputs[0]
    shape = _image(reader, source)
    kernel, strides, dilation = (
        _of_image(sizes) for sizes in (layer.kernel_size, layer.strides, layer.dilation_rate)
    )
    dims, problem = d.window(shape, kernel, strides, layer.padding == "same", dilation)
    if dims["dilation"] > 1:
        problem = "a transposed convolution with dilation becomes several operators"
    out = _image_shape(reader.shape(made))
    dims |= {"in_channels": shape[-1], "out_channels": out[-1], "activation": 0}
    described = d.transposed(dims, out, problem)
    _emit(reader, described, made, {"in_channels": source, "out_channels": made})
    activate(reader, call, activation_name(layer.activation), made)


def pool(reader: OperatorReader, call: Call) -> None:
    layer, source = call.layer, call.inputs[0]
    kind = "max_pool2d" if isinstance(layer, (L.MaxPooling1D, L.MaxPooling2D)) else "average_pool2d"
    shape = _image(reader, source)
    kernel, strides = _of_image(layer.pool_size), _of_image(layer.strides)
    dims, problem = d.window(shape, kernel, strides, layer.padding == "same")
    described = Described(kind, dims | {"channels": shape[-1]}, problem)
    _emit(reader, described, call.outputs[0], {"channels": source})


def global_pool(reader: OperatorReader, call: Call) -> None:
    source = call.inputs[0]
    kind = "reduce_max" if type(call.layer).__name__.startswith("GlobalMax") else "mean"
    shape = reader.need(source)
    described = d.reduction(kind, shape, range(len(shape) - 1))
    kept = (*(1,) * (len(shape) - 1), shape[-1])
    reader.emit(described, call.outputs[0], None, {"channels": source}, kept=kept)


def pad(reader: OperatorReader, call: Call) -> None:
    source, target = call.inputs[0], call.outputs[0]
    amounts = (*_pairs(call.layer.padding), (0, 0))
    described = d.pad(reader.need(source), amounts)
    reader.emit(described, target, None, {"channels": source})
    reader.padded[target] = (source, amounts)


def crop(reader: OperatorReader, call: Call) -> None:
    reader.need(call.inputs[0])
    described = d.cut(reader.shape(call.outputs[0]))
    reader.emit(described, call.outputs[0], None, {"channels": call.inputs[0]})


def upsample(reader: OperatorReader, call: Call) -> None:
    layer, source, target = call.layer, call.inputs[0], call.outputs[0]
    mode = getattr(layer, "interpolation", "nearest")
    if mode == "bilinear":
        described = d.resize("resize_bilinear", reader.need(source), reader.shape(target))
        reader.emit(described, target, None, {"channels": source})
    elif mode == "nearest":
        factors = layer.size if isinstance(layer.size, tuple) else (layer.size,)
        repeat(reader, source, target, factors)
    else:
        reader.unknown(call, f"LiteRT has no {mode} interpolation")


def repeat(reader: OperatorReader, source: int, target: int, factors: tuple[int, ...]) -> None:
    """Every element along each axis several times: a reshape and a tile an axis."""
    shape, value = reader.shape(source), source
    for axis, factor in enumerate(factors):
        if factor == 1:
            continue
        apart = (*shape[: axis + 1], 1, *shape[axis + 1 :])
        tiled = (*shape[: axis + 1], factor, *shape[axis + 1 :])
        shape = (*shape[:axis], factor * shape[axis], *shape[axis + 1 :])
        reader.need(value, apart)
        value = reader.new(shape)
        multiples = [factor if i == axis + 1 else 1 for i in range(len(apart))]
        reader.emit(d.tile(apart, multiples), value, tiled, {"channels": source})
    reader.view(value, target)


def resize(reader: OperatorReader, call: Call) -> None:
    source, target = call.inputs[0], call.outputs[0]
    kinds = {"bilinear": "resize_bilinear", "nearest": "resize_nearest"}
    layer = call.layer
    plain = not (layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio or layer.antialias)
    if layer.interpolation in kinds and plain:
        described = d.resize(kinds[layer.interpolation], reader.need(source), reader.shape(target))
        reader.emit(described, target, None, {"channels": source})
    else:
        reader.unknown(call, f"resizing with {layer.interpolation} or a kept aspect ratio is not known")


def _window(
    reader: OperatorReader, call: Call, kernel: Any, strides: Any, padding: str
) -> tuple[int, Shape, tuple[dict[str, int], str | None]]:
    """The value that a convolution reads, its shape as an image, and the window.

    Zeros around the image melt in where they are what SAME padding would add. So do numbers
    that the image is multiplied with, and numbers added to it, unless zeros come around it after that.
    """
    source = call.inputs[0]
    kernel, strides = _of_image(kernel), _of_image(strides)
    dilation = _of_image(call.layer.dilation_rate)
    same = padding == "same"
    if padding == "causal":
        source, same = _causal(reader, source, dilation[1] * (kernel[1] - 1)), False
    elif source in reader.padded and not same:
        inner, amounts = reader.padded[source]
        spans = [(k - 1) * step + 1 for k, step in zip(kernel, dilation, strict=True)]
        image = _image_shape(reader.shape(inner))
        wanted = [same_padding(image[i], spans[i], strides[i]) for i in (0, 1)]
        if len(amounts) == 3 and [tuple(pair) for pair in amounts[:2]] == wanted:
            reader.absorb(source)
            source, same = inner, True
    shape = _image(reader, source)
    described = d.window(shape, kernel, strides, same, dilation)
    _melt(reader, call, source, zeros=same and any(span > 1 for span in kernel))
    return source, shape, described


def _melt(reader: OperatorReader, call: Call, source: int, zeros: bool) -> None:
    """Numbers before a convolution become part of its weights and bias."""
    if type(call.layer) not in (L.Conv1D, L.Conv2D) or call.layer.groups > 1 or not reader.single(source):
        return
    before: list[NetworkOperator] = []
    for operator in reversed(reader.prepared.get(source, [])):
        one_number = operator.dims.get("broadcast") == ONE_NUMBER
        if not one_number or (operator.kind == "add" and zeros) or operator.kind not in ("add", "mul"):
            break
        before.append(operator)
    reader.forget(before)


def _causal(reader: OperatorReader, source: int, before: int) -> int:
    """A sequence with zeros before it."""
    shape = reader.need(source)
    if not before:
        return source
    padded = reader.new((shape[0] + before, shape[1]))
    reader.emit(d.pad(shape, ((before, 0), (0, 0))), padded, None, {"channels": source})
    return padded


def _image(reader: OperatorReader, source: int) -> Shape:
    """Have a value as an image: a sequence as one of one row."""
    return reader.need(source, _image_shape(reader.shape(source)))


def _image_shape(shape: Shape) -> Shape:
    return (1, *shape) if len(shape) == 2 else shape


def _emit(reader: OperatorReader, described: Described, target: int, channels: dict[str, int]) -> None:
    shape = reader.shape(target)
    reader.emit(described, target, _image_shape(shape), channels, squeezed=len(shape) == 2)


def _of_image(sizes: Any) -> tuple[int, int]:
    """Sizes by side; of a sequence those of an image of one row."""
    numbers = tuple(sizes) if isinstance(sizes, (tuple, list)) else (sizes,)
    return (1, int(numbers[0])) if len(numbers) == 1 else (int(numbers[0]), int(numbers[1]))


def _pairs(padding: Any) -> tuple[tuple[int, int], ...]:
    """Amounts before and after each axis, of a layer for sequences or for images."""
    if isinstance(padding[0], int):
        return ((int(padding[0]), int(padding[1])),)
    return tuple((int(before), int(after)) for before, after in padding)


RULES = {
    **dict.fromkeys((L.Conv1D, L.Conv2D), convolution),
    **dict.fromkeys((L.DepthwiseConv1D, L.DepthwiseConv2D), depthwise),
    **dict.fromkeys((L.SeparableConv1D, L.SeparableConv2D), separable),
    **dict.fromkeys((L.Conv1DTranspose, L.Conv2DTranspose), transposed),
    **dict.fromkeys((L.MaxPooling1D, L.MaxPooling2D, L.AveragePooling1D, L.AveragePooling2D), pool),
    **dict.fromkeys((L.GlobalAveragePooling1D, L.GlobalAveragePooling2D), global_pool),
    **dict.fromkeys((L.GlobalMaxPooling1D, L.GlobalMaxPooling2D), global_pool),
    **dict.fromkeys((L.ZeroPadding1D, L.ZeroPadding2D), pad),
    **dict.fromkeys((L.Cropping1D, L.Cropping2D), crop),
    **dict.fromkeys((L.UpSampling1D, L.UpSampling2D), upsample),
    L.Resizing: resize,
}
