"""Part 5: gated against pruned on random architectures, more of them than the tests draw."""

from __future__ import annotations

import os
import subprocess
import sys

from benchmarks.main_job.settings import Settings
from benchmarks.report import Row

EXAMPLES = 150


def run(settings: Settings) -> list[Row]:
    command = [
        *(sys.executable, "-m", "pytest", "-q", "--no-cov", "-p", "no:cacheprovider"),
        f"--hypothesis-seed={settings.seed}",
        "tests/compression/test_gated_equals_pruned.py",
    ]
    environment = {**os.environ, "FDI_EXAMPLES": str(EXAMPLES)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
    return [
        Row(
            "5",
            f"gated = pruned on {EXAMPLES} random networks",
            "equal within 1e-5",
            last,
            done.returncode == 0,
        )
    ]
