"""The tasks: a network, its data, and for how long it trains."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

Arrays = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Task:
    """Attributes:
    build: makes the network, compiled.
    load: from a folder, what to learn from and what to test on.
    train, compress: epochs of the uncompressed network, and of every method after that.
    batch: examples of a step.
    shares: measured times that may be tried, of the uncompressed network's, the largest first.
    """

    build: Callable[[], Any]
    load: Callable[[Path], tuple[Arrays, Arrays]]
    train: int
    compress: int
    batch: int = 64
    shares: tuple[float, ...] = (0.7, 0.5, 0.25, 0.125, 0.08, 0.05)


def _compiled(inputs: Any, outputs: Any, name: str, rate: float) -> Any:
    import keras

    model = keras.Model(inputs, outputs, name=name)
    model.compile(keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _vgg() -> Any:
    import keras
    from keras import layers

    x = image = keras.Input((32, 32, 3))
    for filters in (32, 64, 128):
        for _ in range(2):
            x = layers.ReLU()(
                layers.BatchNormalization()(layers.Conv2D(filters, 3, padding="same", use_bias=False)(x))
            )
        x = layers.MaxPooling2D()(x)
    x = layers.Dropout(0.4)(layers.Dense(128, "relu")(layers.Flatten()(x)))
    return _compiled(image, layers.Dense(10, "softmax")(x), "vgg_like", 1e-3)


def _mobilenet() -> Any:
    import keras
    from keras import layers

    def normal(x: Any, relu: bool = True) -> Any:
        x = layers.BatchNormalization()(x)
        return layers.ReLU(6.0)(x) if relu else x

    x = image = keras.Input((32, 32, 3))
    x = normal(layers.Conv2D(32, 3, 2, padding="same", use_bias=False)(x))
    width = 32
    for filters, repeats, stride in ((24, 2, 1), (40, 2, 2), (64, 3, 1), (112, 2, 2)):
        for i in range(repeats):
            y = normal(layers.Conv2D(4 * width, 1, use_bias=False)(x))
            y = normal(layers.DepthwiseConv2D(3, stride if i == 0 else 1, "same", use_bias=False)(y))
            y = normal(layers.Conv2D(filters, 1, use_bias=False)(y), relu=False)
            x = layers.Add()([x, y]) if i else y
            width = filters
    x = normal(layers.Conv2D(256, 1, use_bias=False)(x))
    x = layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(x))
    return _compiled(image, layers.Dense(10, "softmax")(x), "mobilenet_like", 2e-3)


def _resnet() -> Any:
    from fdi_keras.cli.demo_network import residual_network

    network = residual_network((28, 28, 1), 10, name="resnet_small")
    return _compiled(network.input, network.output, "resnet_small", 2e-3)


def _deepsense() -> Any:
    import keras
    from keras import layers

    x = signal = keras.Input((128, 6))
    # However narrow it is, a step of a loop takes some time: there are few of them, and wide ones.
    for _ in range(4):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(128, 5, 2, "same", use_bias=False)(x)))
    x = layers.GRU(320, return_sequences=True)(x)
    x = layers.Dropout(0.3)(layers.GRU(320)(x))
    return _compiled(signal, layers.Dense(6, "softmax")(x), "deepsense_like", 1e-3)


def _speech() -> Any:
    import keras
    from keras import layers

    x = sound = keras.Input((49, 40))
    for _ in range(2):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv1D(192, 3, 2, "same", use_bias=False)(x)))
    x = layers.LSTM(320, return_sequences=True)(x)
    x = layers.Dropout(0.3)(layers.LSTM(256)(x))
    return _compiled(sound, layers.Dense(10, "softmax")(x), "speech_lstm", 1e-3)


def _tiny() -> Any:
    import keras
    from keras import layers

    x = image = keras.Input((12, 12, 1))
    for filters in (24, 32):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.8)(x))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(x))
    return _compiled(image, layers.Dense(3, "softmax")(x), "tiny", 5e-3)


def _stripes(folder: Path) -> tuple[Arrays, Arrays]:
    """Noise with stripes across, along, or none: made here, no folder is needed."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 700).astype("int32")
    x = rng.normal(0, 0.7, (700, 12, 12, 1)).astype("float32")
    x[y == 1, ::3] += 1
    x[y == 2, :, ::3] += 1
    return (x[:500], y[:500]), (x[500:], y[500:])


def _from_npz(name: str, folder: Path) -> tuple[Arrays, Arrays]:
    path = folder / name
    if not path.exists():
        sys.exit(f"{name} is not in {folder}. Name its folder with --data.")
    with np.load(path) as file:
        x, y, xt, yt = (file[key] for key in ("x_train", "y_train", "x_test", "y_test"))
    if x.dtype == np.uint8:
        x, xt = (images.astype("float32") / 255 for images in (x, xt))
    else:
        mean, spread = x.mean(axis=(0, 1)), x.std(axis=(0, 1))
        x, xt = (((part - mean) / spread).astype("float32") for part in (x, xt))
    return (x, y.astype("int32").ravel()), (xt, yt.astype("int32").ravel())


def _fashion(folder: Path) -> tuple[Arrays, Arrays]:
    from benchmarks.main_job.steering import fashion_mnist

    x, y, xt, yt = fashion_mnist(folder)
    return (x, y), (xt, yt)


#: Of tasks that narrow networks do as well; one channel in every space takes some 0.015 of the time on an EPYC, less
#: on a Xeon, whose second-level cache the whole networks leave. What cannot be built counts as lost.
FAR = (0.25, 0.125, 0.06, 0.03, 0.02, 0.014, 0.01, 0.007, 0.005)

TASKS = {
    "images-vgg": Task(_vgg, partial(_from_npz, "cifar10_20k.npz"), 15, 20),
    "images-mobilenet": Task(_mobilenet, partial(_from_npz, "cifar10_20k.npz"), 15, 20),
    "images-resnet": Task(_resnet, _fashion, 8, 12, 128),
    "activity": Task(_deepsense, partial(_from_npz, "har.npz"), 15, 20, shares=FAR),
    "speech": Task(_speech, partial(_from_npz, "spoken_digits.npz"), 20, 30, 32, FAR),
}

#: What ``--quick`` tries everything on.
QUICK_TASKS = {"stripes": Task(_tiny, _stripes, 4, 5, 50)}
