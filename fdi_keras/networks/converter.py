"""Conversion to LiteRT where this process runs another backend than tensorflow.

The converter needs the tensorflow backend, and a process has one backend. So the model goes as a
``.keras`` file to a child with ``KERAS_BACKEND=tensorflow``, which stays for the next model, because
loading tensorflow takes longer than most conversions. It ends with this process.
"""

from __future__ import annotations

import atexit
import sys
import tempfile
import threading
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import keras

from fdi_keras.devices.child import Child
from fdi_keras.errors import ExportError, MeasurementError

WORKER = "fdi_keras.networks.converter_worker"

#: An unrolled recurrent layer of many steps takes minutes; longer than this is taken for hung.
TIMEOUT_S = 1800.0

#: The child converts on the processor, beside a backend that may hold the graphics card, and in silence.
ENVIRONMENT = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"}

_lock = threading.Lock()
_child: Child | None = None


def convert_elsewhere(model: Any, *, signature: bool = True) -> bytes:
    """Convert a Keras model in a child process that runs tensorflow.

    Args:
        model: a built Keras model; classes of the user's own must stand in modules that can be imported.
        signature: whether inputs and outputs shall be found by name.

    Returns:
        The content of the ``.tflite`` file, not yet checked.

    Raises:
        ExportError: tensorflow is not installed, the model cannot be saved, or cannot be loaded or
            converted by tensorflow; or the child died.
    """
    if find_spec("tensorflow") is None:
        raise ExportError(
            f"LiteRT export of {model.name!r} needs tensorflow, beside the backend {keras.config.backend()!r} of this "
            "process: it converts in a process of its own. Install it with 'pip install tensorflow'."
        )
    request = {"modules": _own_modules(model), "path": sys.path, "name": model.name, "signature": signature}
    content = _saved(model)
    with _lock:
        try:
            answer, chunks = _running().ask(request, [content], TIMEOUT_S)
        except MeasurementError as error:
            raise ExportError(f"LiteRT conversion of {model.name!r} failed: {error}") from error
    if "error" in answer:
        raise ExportError(answer["error"])
    return chunks[0]


def _saved(model: Any) -> bytes:
    with tempfile.TemporaryDirectory(prefix="fdi-export-") as folder:
        path = Path(folder) / "model.keras"
        try:
            model.save(path)
        except Exception as error:
            reason = " ".join(str(error).split())[:400]
            raise ExportError(
                f"{model.name!r} cannot be saved, so it cannot be converted: {reason}"
            ) from error
        return path.read_bytes()


def _own_modules(model: Any) -> list[str]:
    """Where the classes of the user's own layers stand: the child has to import them too."""
    modules = {type(layer).__module__ for layer in model._flatten_layers()}
    return sorted(name for name in modules if name.split(".")[0] not in ("keras", "fdi_keras", "__main__"))


def _running() -> Child:
    """The child, started anew where it died."""
    global _child
    if _child is None or not _child.alive:
        close()
        _child = Child(WORKER, task="converting", environment=ENVIRONMENT)
    return _child


def close() -> None:
    """End the child; the next conversion starts another."""
    global _child
    child, _child = _child, None
    if child is not None:
        child.close()


atexit.register(close)
