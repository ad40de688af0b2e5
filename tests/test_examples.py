"""The examples run, on a device whose profile is made up and quickly made."""

import runpy
import sys
from pathlib import Path

import pytest
from synthetic_devices import linear_device

from fdi_keras.profile import default_profile_path

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def run_example(monkeypatch, capsys):
    """Runs an example as a script, with a profile under the name 'local'; returns what it printed."""
    linear_device().save(default_profile_path())

    def run(name, *args):
        monkeypatch.setattr(sys, "argv", [name, *args])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out

    return run


@pytest.mark.untraced
def test_compress_digits(run_example):
    out = run_example("compress_digits.py", "--epochs", "1")
    before, after = (line.split() for line in out.splitlines()[-2:])
    assert (before[0], after[0]) == ("before", "after")
    assert int(after[1].replace(",", "")) < int(before[1].replace(",", ""))


@pytest.mark.untraced
def test_profile_and_predict(run_example):
    last = run_example("profile_and_predict.py", "--side", "32").splitlines()[-1]
    assert "predicted" in last
    assert "100% covered" in last
