"""The whole networks of part 4, made one at a time in a process of its own as ``.tflite`` files.

``python -m benchmarks.execution_time.network_zoo NAME FILE`` writes one. Weights are random: times do not
depend on them. Families with a width multiplier are built here where Keras has none of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

SIDE = 224
CLASSES = 1000

#: Filters and blocks of the stages of ResNet-50, and filters and convolutions of those of VGG-16.
RESNET = ((64, 3), (128, 4), (256, 6), (512, 3))
VGG = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
VGG_DENSE = 4096


def makers() -> dict[str, Callable[[], Any]]:
    """Functions that build a network, by its name."""
    known = ("DenseNet121", "EfficientNetV2B0", "MobileNetV3Small", "Xception", "NASNetMobile")
    return {
        **{f"MobileNetV1 {m:g}": partial(_mobilenet, m) for m in _multipliers(0.25, 12)},
        **{f"ResNet-50 {m:g}": partial(_resnet, m) for m in _multipliers(0.125, 12)},
        **{f"VGG-16 {m:g}": partial(_vgg, m) for m in _multipliers(0.125, 8)},
        **{name: partial(_application, name) for name in known},
        "LSTM classifier": partial(_recurrent, "LSTM"),
        "GRU classifier": partial(_recurrent, "GRU"),
    }


def file_of(name: str, folder: Path) -> Path:
    """The network's file, made where it is not there yet.

    Raises:
        RuntimeError: it cannot be made, with the last line of why.
    """
    path = folder / f"{name.replace(' ', '-')}.tflite"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", __name__, name, str(path)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return path


def _multipliers(step: float, count: int) -> list[float]:
    return [step * (i + 1) for i in range(count)]


def _mobilenet(multiplier: float) -> Any:
    import keras

    return keras.applications.MobileNet((SIDE, SIDE, 3), alpha=multiplier, weights=None)


def _application(name: str) -> Any:
    import keras

    return getattr(keras.applications, name)(input_shape=(SIDE, SIDE, 3), weights=None)


def _resnet(multiplier: float) -> Any:
    """ResNet-50 (He et al. 2016) with all widths scaled."""
    import keras
    from keras import layers

    def width(filters: int) -> int:
        return max(1, round(multiplier * filters))

    def convolution(x: Any, filters: int, kernel: int, stride: int = 1, relu: bool = True) -> Any:
        x = layers.Conv2D(width(filters), kernel, stride, "same", use_bias=False)(x)
        x = layers.BatchNormalization()(x)
        return layers.ReLU()(x) if relu else x

    x = image = keras.Input((SIDE, SIDE, 3))
    x = layers.MaxPooling2D(3, 2, "same")(convolution(x, RESNET[0][0], 7, 2))
    for stage, (filters, blocks) in enumerate(RESNET):
        for block in range(blocks):
            stride = 2 if stage and not block else 1
            shortcut = x if block else convolution(x, 4 * filters, 1, stride, relu=False)
            y = convolution(convolution(x, filters, 1, stride), filters, 3)
            x = layers.ReLU()(layers.Add()([shortcut, convolution(y, 4 * filters, 1, relu=False)]))
    return keras.Model(image, layers.Dense(CLASSES, "softmax")(layers.GlobalAveragePooling2D()(x)))


def _vgg(multiplier: float) -> Any:
    """VGG-16 (Simonyan and Zisserman 2015) with all widths scaled."""
    import keras
    from keras import layers

    x = image = keras.Input((SIDE, SIDE, 3))
    for filters, convolutions in VGG:
        for _ in range(convolutions):
            x = layers.Conv2D(round(multiplier * filters), 3, padding="same", activation="relu")(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(round(multiplier * VGG_DENSE), "relu")(x)
    return keras.Model(image, layers.Dense(CLASSES, "softmax")(x))


def _recurrent(cell: str) -> Any:
    """Two layers over 49 frames of 40 numbers, as for spoken words."""
    import keras
    from keras import layers

    layer = getattr(layers, cell)
    x = frames = keras.Input((49, 40))
    x = layer(96)(layer(128, return_sequences=True)(x))
    x = layers.Dense(64, "relu")(x)
    return keras.Model(frames, layers.Dense(10, "softmax")(x))


def main(name: str, path: str) -> None:
    from benchmarks.main_job.network_error import randomize_statistics
    from fdi_keras.networks import export_litert

    model = makers()[name]()
    randomize_statistics(model)
    part = Path(path).with_suffix(".part")
    part.write_bytes(export_litert(model))
    part.replace(path)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"
    main(*sys.argv[1:])
