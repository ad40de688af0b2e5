import subprocess
import sys

import pytest

import fdi_keras.execution_time as package


def test_all_is_sorted_and_there():
    assert len(set(package.__all__)) == len(package.__all__)
    for name in package.__all__:
        assert getattr(package, name).__doc__ or name == "FORMS"
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        package.nothing  # noqa: B018


def test_importing_and_predicting_loads_no_heavy_library():
    script = """
import sys
import fdi_keras.execution_time as et
leaf = et.Leaf(1.0, {"flops": 2.0}, samples=3, mape=0.1)
et.Tree(["flops"], ["flops"], leaf).predict([[1.0]])
heavy = {"sklearn", "scipy", "keras", "tensorflow", "textual"} & set(sys.modules)
sys.exit(f"loaded: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
