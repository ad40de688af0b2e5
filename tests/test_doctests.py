"""The examples in docstrings do what they say."""

import doctest
import importlib
import pkgutil

import pytest

import fdi_keras

#: The child process takes over the standard streams; it is no module to import.
MODULES = [
    name
    for _, name, _ in pkgutil.walk_packages(fdi_keras.__path__, "fdi_keras.")
    if not name.endswith("litert_worker")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
