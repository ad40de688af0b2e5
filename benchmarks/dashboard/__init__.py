"""Measured claims about the dashboard; its phone is the stand-in of the tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
