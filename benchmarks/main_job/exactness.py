"""Part 5: gated against pruned on random architectures, more of them than the tests draw."""

from __future__ import annotations

import re
import subprocess
import sys

from benchmarks.main_job.settings import Settings
from benchmarks.report import Row

LEAST = 150


def run(settings: Settings) -> list[Row]:
    command = [
        *(sys.executable, "-m", "pytest", "-q", "-n", "0", "--no-cov", "-p", "no:cacheprovider"),
        *(
            "--hypothesis-profile=search",
            f"--hypothesis-seed={settings.seed}",
            "--hypothesis-show-statistics",
        ),
        "tests/compression/test_gated_equals_pruned.py",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    # The first property draws most: pruned, not grown again.
    tried = [int(count) for count in re.findall(r"(\d+) passing", done.stdout)]
    networks = max(tried, default=0)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
    return [
        Row(
            "5",
            f"gated = pruned on {networks} random networks",
            "equal within 1e-5",
            last,
            done.returncode == 0 and networks >= LEAST,
        )
    ]
