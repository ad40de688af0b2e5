"""What all tests share: quiet tensorflow, journals and profiles in a folder of their own."""

import gc
import os
import signal
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

# A shell that starts the tests in the background has them ignore Ctrl-C, and nohup hanging up; so would
# their children, to which many tests send these.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

# What several folders' tests share they import by its own name: networks, devices, stand-in phones.
sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parent / "compression"))

import pytest
import searching  # noqa: F401 - registers the profiles of hypothesis
from hypothesis import settings
from stand_in_phone.fixtures import (  # noqa: F401 - for all tests below
    adb_program,
    adb_server,
    link,
    make_phone,
    own_adb_server,
    phone,
)
from stand_in_tool.fixtures import tool, tool_control, tools  # noqa: F401 - likewise

# Before tests are imported, whose settings are made of it. An option names another one.
settings.load_profile("fixed")


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config):
    """Each of several processes has a temporary folder as a single one would: screens show its path."""
    if hasattr(config, "workerinput"):
        config.option.basetemp = None


@pytest.hookimpl(trylast=True)
def pytest_collection_finish():
    """Garbage is looked for in what tests make: half a million objects of what they import only take time.

    It is looked for less often, too: together, both were a tenth of the time of tests of networks.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    """Coverage nearly doubles the time of a test that is mostly Python; no_cover of pytest-cov fails without it."""
    if item.get_closest_marker("untraced") is None:
        return (yield)
    trace = sys.gettrace()
    sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(trace)


@pytest.fixture(autouse=True)
def own_state_folder(tmp_path, monkeypatch):
    """No test reads or writes the user's journals and profiles."""
    monkeypatch.setenv("FDI_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("FDI_DATA", str(tmp_path / "data"))


@pytest.fixture(autouse=True)
def no_phones(monkeypatch):
    """No test starts an adb server of the user's, or talks to a real phone."""
    monkeypatch.setenv("FDI_ADB", "none")
