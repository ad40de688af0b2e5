"""What importing promises, and which rooms may import what."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import fdi_keras

ROOT = Path(fdi_keras.__file__).parent


def loaded_after(code):
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in done.stdout.split()}


@pytest.mark.parametrize(
    "code",
    ["import fdi_keras", "import fdi_keras.journal, fdi_keras.devices, fdi_keras.errors", "import fdi_tui"],
)
def test_importing_is_light(code):
    assert not loaded_after(code) & {
        "keras",
        "tensorflow",
        "sklearn",
        "textual",
        "scipy",
        "ai_edge_litert",
        "adbutils",
    }


def test_reading_a_profile_and_a_tflite_file_needs_no_keras():
    code = "import fdi_keras as f; f.load_profile, f.predict_latency, f.measure_latency"
    assert not loaded_after(code) & {"keras", "tensorflow", "sklearn"}


def test_every_public_name_is_there_and_no_other_is_promised():
    for name in fdi_keras.__all__:
        assert getattr(fdi_keras, name) is not None
    assert set(fdi_keras.__all__) - {"__version__"} == set(fdi_keras._HOMES)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        fdi_keras.nonsense  # noqa: B018


#: Rooms from the ground up; each may import those before it.
ROOMS = (
    "errors",
    "text",
    "operators",
    "journal",
    "devices",
    "profiling",
    "execution_time",
    "profile",
    "networks",
    "compression",
    "study",
    "cli",
)


def imports_of(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("room", ROOMS)
def test_data_flows_one_way(room):
    files = [ROOT / f"{room}.py"] if (ROOT / f"{room}.py").exists() else sorted((ROOT / room).rglob("*.py"))
    assert files
    above = set(ROOMS[ROOMS.index(room) + 1 :])
    for path in files:
        for name in imports_of(path):
            parts = name.split(".")
            if parts[0] == "fdi_keras" and len(parts) > 1:
                assert parts[1] not in above, f"{path.name} of {room} imports {name}"
            if parts[0] == "fdi_tui":
                assert room == "cli", f"{path} imports {name}"
            if parts[0] in ("keras", "tensorflow"):
                assert room in ("networks", "compression", "study", "cli"), f"{path} imports {name}"


def test_the_dashboard_imports_nothing_that_learns_or_trains():
    import fdi_tui

    allowed = (
        "errors",
        "text",
        "journal",
        "operators",
        "devices",
        "profiling",
        "execution_time",
        "profile",
        "cli",
    )
    for path in Path(fdi_tui.__file__).parent.rglob("*.py"):
        for name in imports_of(path):
            parts = name.split(".")
            assert parts[0] not in ("keras", "tensorflow", "sklearn", "scipy", "adbutils"), (
                f"{path} imports {name}"
            )
            if parts[0] == "fdi_keras" and len(parts) > 1:
                assert parts[1] in allowed, f"{path} imports {name}"
            if path.parent.name == "data":
                assert parts[0] != "textual", f"{path} imports {name}"
