"""Fixtures of tests that need the stand-in for the tool; ``tests/conftest.py`` imports them."""

from __future__ import annotations

import json

import pytest

from .server import ToolServer


@pytest.fixture(scope="session")
def tools():
    """A server of tools that all tests share."""
    with ToolServer() as server:
        yield server


@pytest.fixture
def tool_control(tmp_path):
    """Sets what befalls the tool: ``tool_control(fault="crash")``; nothing: all is well again."""
    return lambda **what: (tmp_path / "control.json").write_text(json.dumps(what))


@pytest.fixture
def tool(tools, tmp_path):
    """Path of an executable that stands in for benchmark_model."""
    return tools.install(tmp_path / "benchmark_model", tmp_path / "control.json")
