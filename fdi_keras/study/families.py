"""The networks of the study by Jo, Hong and Shin, at any width: VGG-16, ResNet-50, MobileNet.

Where Keras has a width multiplier of its own it is that one. A multiplier scales the channels of all
layers, those of fully connected ones too, but not the classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import keras

from fdi_keras.errors import UsageError

L = keras.layers

SIDE, CLASSES = 224, 1000

#: Filters and blocks of the stages of ResNet-50, filters and convolutions of those of VGG-16.
RESNET = ((64, 3), (128, 4), (256, 6), (512, 3))
VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
VGG_DENSE = 4096


class Family(NamedTuple):
    """A network by its width multiplier, and the multipliers of the study: first, last, step."""

    build: Callable[[float], keras.Model]
    widths: tuple[float, float, float]


def vgg16(multiplier: float) -> keras.Model:
    """VGG-16 (Simonyan and Zisserman, 2015)."""
    x = image = keras.Input((SIDE, SIDE, 3))
    for filters, convolutions in VGG:
        for _ in range(convolutions):
            x = L.Conv2D(_scaled(filters, multiplier), 3, padding="same", activation="relu")(x)
        x = L.MaxPooling2D()(x)
    x = L.Flatten()(x)
    for _ in range(2):
        x = L.Dense(_scaled(VGG_DENSE, multiplier), "relu")(x)
    return keras.Model(image, L.Dense(CLASSES, "softmax")(x), name=f"vgg16_{multiplier:g}".replace(".", "p"))


def resnet50(multiplier: float) -> keras.Model:
    """ResNet-50 (He et al., 2016), the stride in the first convolution of a block."""

    def convolution(x: keras.KerasTensor, filters: int, kernel: int, stride: int = 1, relu: bool = True):
        x = L.Conv2D(_scaled(filters, multiplier), kernel, stride, "same", use_bias=False)(x)
        x = L.BatchNormalization()(x)
        return L.ReLU()(x) if relu else x

    x = image = keras.Input((SIDE, SIDE, 3))
    x = L.MaxPooling2D(3, 2, "same")(convolution(x, RESNET[0][0], 7, 2))
    for stage, (filters, blocks) in enumerate(RESNET):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            shortcut = x if block else convolution(x, 4 * filters, 1, stride, relu=False)
            y = convolution(convolution(x, filters, 1, stride), filters, 3)
            x = L.ReLU()(L.Add()([shortcut, convolution(y, 4 * filters, 1, relu=False)]))
    x = L.Dense(CLASSES, "softmax")(L.GlobalAveragePooling2D()(x))
    return keras.Model(image, x, name=f"resnet50_{multiplier:g}".replace(".", "p"))


def mobilenet(multiplier: float) -> keras.Model:
    """MobileNet (Howard et al., 2017), as Keras has it."""
    return keras.applications.MobileNet((SIDE, SIDE, 3), alpha=multiplier, weights=None)


FAMILIES = {
    "vgg16": Family(vgg16, (0.125, 1.0, 0.125)),
    "resnet50": Family(resnet50, (0.125, 1.5, 0.125)),
    "mobilenet": Family(mobilenet, (0.25, 3.0, 0.25)),
}


def family(name: str) -> Family:
    """The family of this name; UsageError lists the known ones."""
    try:
        return FAMILIES[name]
    except KeyError:
        raise UsageError(f"no family {name!r} of networks; known are {', '.join(FAMILIES)}.") from None


def _scaled(filters: int, multiplier: float) -> int:
    return max(1, round(multiplier * filters))
