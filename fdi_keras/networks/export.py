"""Keras models as LiteRT files with batch size 1 and nothing that LiteRT cannot run."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras

from fdi_keras.errors import ExportError, ModelFileError, StorageError, UnsupportedModelError
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.history import has_history, history_of


def export_litert(model: Any, path: str | os.PathLike[str] | None = None) -> bytes:
    """Convert a Keras model to a LiteRT (``.tflite``) model with batch size 1.

    Args:
        model: a built Keras model; gates, if any, are exported as they stand.
        path: where to write the file as well; ``None``: only return its content.

    Returns:
        The content of the file.

    Raises:
        ExportError: the backend is not tensorflow, or the converter refuses the model.
        StorageError: the file cannot be written.
    """
    if keras.config.backend() != "tensorflow":
        raise ExportError(
            f"LiteRT export needs the tensorflow backend; this process runs {keras.config.backend()}. "
            "Save the model with model.save('net.keras') and export it with KERAS_BACKEND=tensorflow."
        )
    # The first argument of a model holds all its inputs, as a list or dictionary where there are several.
    structure = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    signature = [
        keras.tree.map_structure(
            lambda tensor: keras.InputSpec(shape=(1, *tensor.shape[1:]), dtype=tensor.dtype), structure
        )
    ]
    with tempfile.TemporaryDirectory(prefix="fdi-export-") as folder:
        target = Path(folder) / "model.tflite"
        try:
            with _quietly():
                model.export(str(target), format="litert", input_signature=signature, verbose=False)
            content = target.read_bytes()
        except Exception as error:
            reason = " ".join(str(error).split())[:400]
            raise ExportError(f"LiteRT conversion of {model.name!r} failed: {reason}") from error
    if path is not None:
        try:
            Path(path).write_bytes(content)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}.") from error
        if has_history(model):
            history_of(model).write("export", path=path, bytes=len(content), widths=_widths(model))
    return content


def _widths(model: Any) -> dict[str, int]:
    return {space.name: space.width for space in find_channel_spaces(read_graph(model))}


def load_model(path: str | os.PathLike[str]) -> keras.Model:
    """Load a ``.keras`` file, gated models included.

    ``keras.models.load_model`` does the same once ``fdi_keras`` was imported after keras.

    Raises:
        ModelFileError: the file is missing or no Keras model.
    """
    _register_gated_classes()

    import zipfile

    path = Path(path)
    if not path.exists():
        raise ModelFileError(f"there is no file {path}.")
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ModelFileError(
            f"{path} is no Keras model: expected a file written by model.save('name.keras')."
        )
    try:
        return keras.models.load_model(path)
    except (UnsupportedModelError, MemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelFileError(
            f"{path} is no Keras model that can be loaded: {reason} "
            "Expected a file written by model.save('name.keras')."
        ) from error


def _register_gated_classes() -> None:
    """Let Keras find the classes of gated models. The room above registers them when it loads."""
    import importlib

    importlib.import_module("fdi_keras.compression")


@contextlib.contextmanager
def _quietly() -> Any:
    """Silence the converter, which prints and warns whatever happens; its errors still raise."""
    level = logging.getLogger("tensorflow").level
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.getLogger("tensorflow").setLevel(level)
