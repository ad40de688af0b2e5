"""Measured claims about phones, on the stand-in phones of the tests."""

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[2] / "tests"
sys.path[:0] = [str(_TESTS), str(_TESTS / "profiling"), str(_TESTS / "devices" / "benchmark_model")]
