"""Part 1: FLOPs and memory access of layers against the formulas, by the test of cases calculated by hand."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.memory_study.settings import Settings
from benchmarks.report import Row


def run(settings: Settings) -> list[Row]:
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-n", "0", "--no-cov", "-p", "no:cacheprovider"),
        *("tests/study/test_study.py", "-k", "formulas or shortcut"),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    said = (done.stdout.strip().splitlines() or ["it printed nothing"])[-1]
    return [Row("1", "counts of layers equal the formulas", "tests pass", said, done.returncode == 0)]
