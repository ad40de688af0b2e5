"""The child process that converts models: ``KERAS_BACKEND=tensorflow python -m fdi_keras.networks.converter_worker``.

It reads requests from standard input, each with a ``.keras`` file as its chunk, and answers on standard
output, in frames (see ``fdi_keras/devices/frames.py``). It ends when its input ends, that is, when its
parent does.
"""

from __future__ import annotations

import gc
import os
import signal
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from fdi_keras.devices.frames import die_when_stuck, read_frame, take_standard_streams, write_frame
from fdi_keras.errors import ExportError


def main() -> None:
    requests, answers = take_standard_streams()
    if hasattr(signal, "SIGINT"):
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    import fdi_keras.networks.export  # noqa: F401 - keras and tensorflow, before the parent is told that we are ready

    write_frame(answers, {"ready": os.getpid()})
    while True:
        try:
            header, chunks = read_frame(requests)
        except EOFError:
            return
        die_when_stuck(header.get("timeout_s"))
        answer: dict[str, Any] = {}
        converted: list[bytes] = []
        try:
            converted = [_convert(header, chunks[0])]
        except ExportError as error:
            answer = {"error": str(error)}
        try:
            write_frame(answers, answer, converted)
        except BrokenPipeError:
            return


def _convert(header: dict[str, Any], content: bytes) -> bytes:
    import keras

    from fdi_keras.networks.export import convert

    try:
        return convert(_load(header, content), signature=header["signature"])
    finally:
        keras.backend.clear_session()  # or graphs of all models so far would stay in memory
        gc.collect()


def _load(header: dict[str, Any], content: bytes) -> Any:
    import keras

    sys.path.extend(folder for folder in header["path"] if folder not in sys.path)
    try:
        for module in ("fdi_keras.compression", *header["modules"]):
            import_module(module)
        with tempfile.TemporaryDirectory(prefix="fdi-export-") as folder:
            path = Path(folder) / "model.keras"
            path.write_bytes(content)
            # The parent wrote it this moment from a model that it holds: its Lambdas have run there already.
            return keras.models.load_model(path, compile=False, safe_mode=False)
    except Exception as error:
        # Keras puts the configuration of the whole model first, and the cause last.
        reason = " ".join(str(error).split()).rpartition("Exception encountered: ")[2][:400]
        raise ExportError(
            f"{header['name']!r} cannot be loaded by the process that converts it with tensorflow: {reason} "
            "Layers of your own must be written with keras.ops, registered with "
            "keras.saving.register_keras_serializable(), and stand in a module that can be imported."
        ) from error


if __name__ == "__main__":
    main()
