"""The same under the other backends: a process has one, so each has a process of its own.

All tests of networks and compression run under another backend with
``KERAS_BACKEND=jax pytest --no-cov tests/compression tests/networks tests/backends/test_any_backend.py``.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import test_any_backend
from test_any_backend import images, sequences

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

# jax compiles each small operation of a network that is built: optimising them takes longer than running them.
UNOPTIMISED = "--xla_backend_optimization_level=0"
OTHERS = ("jax", "torch")


def run(backend, command, **environment):
    """Run python under a backend and return what it printed; a failure shows all of it."""
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    # One thread: torch's wait for each other by spinning, which stops everything where cores are shared.
    environment = {"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1", "XLA_FLAGS": UNOPTIMISED, **environment}
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    return tmp_path_factory.mktemp("exchange")


@pytest.mark.parametrize("backend", OTHERS)
def test_the_whole_way(backend, exchange):
    """Files that the backend before wrote are read by the next one."""
    path = HERE / "test_any_backend.py"
    options = ("-q", "-n", "0", "--no-cov", "-p", "no:cacheprovider")
    run(backend, ["-m", "pytest", *options, str(path)], FDI_TEST_EXCHANGE=str(exchange))
    assert len(list(exchange.glob(f"*-{backend}.keras"))) == 2


@pytest.mark.parametrize("build", [images, sequences])
def test_files_of_other_backends_are_read_here(build, exchange, monkeypatch):
    if not list(exchange.glob("*.keras")):
        pytest.skip("no other backend is installed")
    monkeypatch.setenv("FDI_TEST_EXCHANGE", str(exchange))
    others = set(exchange.glob(f"{build.__name__}-*.keras"))
    assert others, "the backends before wrote none of these"
    test_any_backend.test_gated_files_of_other_backends_compute_the_same(build, exchange)
    assert set(exchange.glob(f"{build.__name__}-*.keras")) - others, "ours is not beside them"


@pytest.mark.parametrize("backend", OTHERS)
def test_our_classes_need_no_tensorflow(backend):
    code = "import fdi_keras, sys; fdi_keras.prunable, fdi_keras.export_litert; print(*sys.modules)"
    assert "tensorflow" not in run(backend, ["-c", code]).split()


def test_two_devices_of_jax_train_as_one_does():
    """Data parallel training of ``keras.distribution``: losses, gates and strength."""
    script = [str(HERE / "train_on_devices.py")]
    one, two = (
        run(
            "jax",
            [*script, str(devices)],
            XLA_FLAGS=f"{UNOPTIMISED} --xla_force_host_platform_device_count={devices}",
        )
        for devices in (1, 2)
    )
    first, second = ([list(map(float, line.split())) for line in text.splitlines()] for text in (one, two))
    assert len(first) == len(second) == 5 + 2 + 1
    assert first == [pytest.approx(line, rel=1e-3, abs=1e-4) for line in second]
