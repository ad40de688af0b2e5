"""The network and the images of the demo: small, real, and nothing to download."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

L = keras.layers

BATCH = 64

#: Whole batches, and no rest of 53: TensorFlow 2.21 with oneDNN damages the heap in the gradient of a
#: convolution of 1x1 with stride 2 and less than 16 channels, which pruning makes, when a batch is odd.
TRAINING_IMAGES = 21 * BATCH


def residual_network(
    shape: tuple[int, int, int], classes: int, widths: tuple[int, int, int] = (32, 64, 128), name: str = "net"
) -> keras.Model:
    """A small residual CNN of ordinary and depthwise convolutions.

    Args:
        shape: of an image, ``(height, width, channels)``.
        classes: how many there are.
        widths: channels of the three stages; sides are a half, a quarter and an eighth of the image's.
    """
    image = keras.Input(shape, name="image")
    x = _convolution(image, widths[0], 3, 2)
    for stage, width in enumerate(widths):
        x = _residual_block(x, width, stride=1 if stage == 0 else 2)
        x = _separable_block(x, width)
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(image, L.Dense(classes, activation="softmax", name="classes")(x), name=name)


def _convolution(x: Any, width: int, kernel: int, stride: int = 1, relu: bool = True) -> Any:
    x = L.Conv2D(width, kernel, strides=stride, padding="same", use_bias=False)(x)
    x = L.BatchNormalization(momentum=0.9)(x)
    return L.ReLU()(x) if relu else x


def _residual_block(x: Any, width: int, stride: int) -> Any:
    y = _convolution(x, width, 3, stride)
    y = _convolution(y, width, 3, relu=False)
    if stride > 1 or x.shape[-1] != width:
        x = _convolution(x, width, 1, stride, relu=False)
    return L.ReLU()(L.Add()([x, y]))


def _separable_block(x: Any, width: int) -> Any:
    y = L.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    y = L.ReLU()(L.BatchNormalization(momentum=0.9)(y))
    y = _convolution(y, width, 1, relu=False)
    return L.ReLU()(L.Add()([x, y]))


def digits(seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """scikit-learn's handwritten digits, scaled up to 32x32.

    Returns:
        images and labels to train on, ``(1344, 32, 32, 1)`` in [0, 1], and 400 to test on.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    images = np.kron(data.images.astype("float32") / 16, np.ones((1, 4, 4), "float32"))[..., None]
    order = np.random.default_rng(seed).permutation(len(images))
    images, labels = images[order], data.target[order]
    training = slice(400, 400 + TRAINING_IMAGES)
    return images[training], labels[training], images[:400], labels[:400]
