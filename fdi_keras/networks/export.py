"""Keras models as LiteRT files with batch size 1 and nothing that LiteRT cannot run."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import keras

from fdi_keras.errors import ExportError, ModelFileError, StorageError, UnsupportedModelError
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.converter import convert_elsewhere
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.history import has_history, history_of
from fdi_keras.networks.recurrent_export import check_operators, prepared
from fdi_keras.profile import DeviceProfile, load_profile


def export_litert(
    model: Any,
    path: str | os.PathLike[str] | None = None,
    *,
    unroll: bool | None = None,
    profile: DeviceProfile | str | os.PathLike[str] | None = None,
) -> bytes:
    """Convert a Keras model to a LiteRT (``.tflite``) model with batch size 1.

    LiteRT executes a recurrent layer as a loop, or unrolled, with the operators of a step
    once for every step: ``unroll`` or ``profile`` choose the form, else it is that of the layer.
    The converter is tensorflow's: under another backend it runs in a child process, which stays for
    the next model.

    Args:
        model: a built Keras model; gates, if any, are exported as they stand.
        path: where to write the file as well; ``None``: only return its content.
        unroll: True or False: all recurrent layers as loops or unrolled.
        profile: of a device, or its path or name: each LSTM and GRU as what it predicts to be faster.

    Returns:
        The content of the file.

    Raises:
        ExportError: the converter refuses the model, a recurrent layer reads an unknown number of
            steps, or the model needs operators that LiteRT lacks; or, under another backend, tensorflow
            is not installed or cannot load the model.
        UsageError: both ``unroll`` and ``profile`` were given.
        UnknownOperatorsError: the profile knows no times of recurrent layers.
        UnsupportedModelError: recurrent layers change, and the model cannot be built again.
        StorageError: the file cannot be written.

    Example::

        fdi.export_litert(model, "net.tflite", profile="this-computer.json")
    """
    if profile is not None and not isinstance(profile, DeviceProfile):
        profile = load_profile(os.fspath(profile))
    content = _converted(prepared(model, unroll, profile), signature=True)
    if path is not None:
        try:
            Path(path).write_bytes(content)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}.") from error
        if has_history(model):
            history_of(model).write("export", path=path, bytes=len(content), widths=_widths(model))
    return content


def litert_to_time(model: Any) -> bytes:
    """What :func:`export_litert` returns, without names of inputs and outputs: made two to seven times as fast.

    It has the same operators and computes the same: enough for a file that is only timed.

    Raises:
        ExportError: as there.
    """
    return _converted(prepared(model, None, None), signature=False)


def _converted(model: Any, *, signature: bool) -> bytes:
    elsewhere = keras.config.backend() != "tensorflow"
    content = (convert_elsewhere if elsewhere else convert)(model, signature=signature)
    check_operators(content, model.name)
    return content


def convert(model: Any, *, signature: bool = True) -> bytes:
    """The content of the ``.tflite`` file of a model, by the converter in this process, not yet checked.

    Args:
        model: a built Keras model.
        signature: whether inputs and outputs shall be found by name.

    Raises:
        ExportError: the converter refuses the model.
    """
    if not signature:
        # What keeps a state cannot be made of constants alone; where nothing can be made of it, the other way says why.
        with contextlib.suppress(Exception), _quietly():
            return _constant(model)
    specs = [_inputs(model, keras.InputSpec)]
    with tempfile.TemporaryDirectory(prefix="fdi-export-") as folder:
        target = Path(folder) / "model.tflite"
        try:
            with _quietly():
                model.export(str(target), format="litert", input_signature=specs, verbose=False)
            return target.read_bytes()
        except Exception as error:
            reason = " ".join(str(error).split())[:400]
            raise ExportError(f"LiteRT conversion of {model.name!r} failed: {reason}") from error


def _constant(model: Any) -> bytes:
    """The same from one graph in memory whose weights are constants, where Keras writes, loads and writes another."""
    import tensorflow as tf

    called = tf.function(partial(model.__call__, training=False))
    function = called.get_concrete_function(_inputs(model, tf.TensorSpec))
    converter = tf.lite.TFLiteConverter.from_concrete_functions([function], model)
    converter.experimental_lower_to_saved_model = False
    # Keras allows the same ones, so that the operators that LiteRT lacks can be named.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS, tf.lite.OpsSet.SELECT_TF_OPS]
    content: bytes = converter.convert()
    return content


def _inputs(model: Any, spec: Callable[..., Any]) -> Any:
    """Of one example, in the structure in which the model was built: several inputs are one argument of it."""
    inputs = model.inputs[0] if isinstance(model, keras.Sequential) else model.input
    return keras.tree.map_structure(
        lambda tensor: spec(shape=(1, *tensor.shape[1:]), dtype=tensor.dtype), inputs
    )


def _widths(model: Any) -> dict[str, int]:
    return {space.name: space.width for space in find_channel_spaces(read_graph(model))}


def load_model(path: str | os.PathLike[str], compile: bool = True) -> keras.Model:
    """Load a ``.keras`` file, gated models included.

    ``keras.models.load_model`` does the same once ``fdi_keras`` was imported after keras.

    Args:
        path: of the file.
        compile: as it was when it was saved, optimizer included.

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
        return keras.models.load_model(path, compile=compile)
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
