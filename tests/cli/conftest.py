"""A small real profile and small models, made once; and the command line, run in two ways."""

import os
import subprocess
import sys
from typing import NamedTuple

import pytest

from fdi_keras.cli import main
from fdi_keras.profile import profile_device
from fdi_keras.profiling.probes import build_probe

CONV = {"height": 14, "width": 14, "in_channels": 16, "out_channels": 24, "kernel": 3}

MAKE_KERAS = """
import sys, keras
layers = keras.layers
x = inputs = keras.Input((16, 16, 3), name="image")
x = layers.Conv2D(8, 3, padding="same", activation="relu", name="stem")(x)
x = layers.GlobalAveragePooling2D(name="pool")(x)
x = layers.Dense(10, name="head")(x)
keras.Model(inputs, x).save(sys.argv[1])
"""


class Answer(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def places(tmp_path_factory):
    """Folders for state and data, for the whole session."""
    root = tmp_path_factory.mktemp("fdi")
    return {"FDI_STATE": str(root / "state"), "FDI_DATA": str(root / "data")}


@pytest.fixture(autouse=True)
def own_folders(places, monkeypatch):
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    for name in ("FDI_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture(scope="session")
def small_profile(places, tmp_path_factory):
    """Path of a profile of this computer that knows conv2d and dense, from a short campaign."""
    path = tmp_path_factory.mktemp("profiles") / "small.json"
    with pytest.MonkeyPatch.context() as patch:
        for name, value in places.items():
            patch.setenv(name, value)
        profile_device(measurements=60, kinds=["conv2d", "dense"], out=path)
    return path


@pytest.fixture(scope="session")
def conv_model(tmp_path_factory):
    """Path of a ``.tflite`` file with one convolution."""
    path = tmp_path_factory.mktemp("models") / "conv.tflite"
    path.write_bytes(build_probe("conv2d", CONV))
    return path


@pytest.fixture(scope="session")
def relu_model(tmp_path_factory):
    """Path of a ``.tflite`` file with one operator that the profile does not know."""
    path = tmp_path_factory.mktemp("models") / "relu.tflite"
    path.write_bytes(build_probe("relu", {"height": 8, "width": 8, "channels": 8}))
    return path


@pytest.fixture(scope="session")
def keras_model(tmp_path_factory):
    """Path of a ``.keras`` file, made by another process as a user's would be."""
    path = tmp_path_factory.mktemp("models") / "net.keras"
    subprocess.run([sys.executable, "-c", MAKE_KERAS, str(path)], check=True, capture_output=True)
    return path


@pytest.fixture
def fdi(capsys):
    """The command line in this process: ``fdi("rules", path)`` gives status, out and err."""

    def run(*args):
        status = main([str(arg) for arg in args])
        return Answer(status, *capsys.readouterr())

    return run


def command(*args):
    """The command line as a list for ``subprocess``."""
    return [
        sys.executable,
        "-c",
        "import sys; from fdi_keras.cli import main; sys.exit(main())",
        *map(str, args),
    ]


@pytest.fixture
def fdi_process():
    """The command line in a process of its own, with whatever C++ writes in its output."""

    def run(*args, **env):
        done = subprocess.run(
            command(*args), capture_output=True, text=True, timeout=120, env={**os.environ, **env}
        )
        return Answer(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def fdi_command():
    return command
