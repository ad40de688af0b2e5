"""The whole networks of part 4, made one at a time in a process of its own as ``.tflite`` files.

``python -m benchmarks.execution_time.network_zoo NAME FILE`` writes one. Weights are random: times do not
depend on them.
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


def makers() -> dict[str, Callable[[], Any]]:
    """Functions that build a network, by its name."""
    known = ("DenseNet121", "EfficientNetV2B0", "MobileNetV3Small", "Xception", "NASNetMobile")
    return {
        **{f"MobileNetV1 {m:g}": partial(_of_family, "mobilenet", m) for m in _multipliers(0.25, 12)},
        **{f"ResNet-50 {m:g}": partial(_of_family, "resnet50", m) for m in _multipliers(0.125, 12)},
        **{f"VGG-16 {m:g}": partial(_of_family, "vgg16", m) for m in _multipliers(0.125, 8)},
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


def _application(name: str) -> Any:
    import keras

    return getattr(keras.applications, name)(input_shape=(SIDE, SIDE, 3), weights=None)


def _of_family(name: str, multiplier: float) -> Any:
    from fdi_keras.study.families import family

    return family(name).build(multiplier)


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
