"""Part 2: random networks of every layer that can be cut, gated against pruned."""

from __future__ import annotations

import re
import subprocess
import sys

from benchmarks.any_network.settings import Settings
from benchmarks.report import Row

#: How many networks, and in how many runs of the test, each with another seed.
LEAST, RUNS = 500, 4


def run(settings: Settings) -> list[Row]:
    networks = failed = 0
    last = ""
    for number in range(RUNS):
        command = [
            *(sys.executable, "-m", "pytest", "-q", "-n", "0", "--no-cov", "-p", "no:cacheprovider"),
            *("--hypothesis-profile=search", f"--hypothesis-seed={RUNS * settings.seed + number}"),
            *("--hypothesis-show-statistics", "tests/compression/test_gated_equals_pruned.py"),
            *("-k", "test_pruning_a_random_network_is_exact"),
        ]
        done = subprocess.run(command, capture_output=True, text=True)
        networks += sum(int(count) for count in re.findall(r"(\d+) passing", done.stdout))
        if done.returncode:
            failed += 1
            last = "; ".join(line for line in done.stdout.splitlines() if line.startswith("E "))[:400]
    return [
        Row(
            "2",
            "random networks without one inexact result",
            f"{LEAST}, equal within 1e-5",
            f"{networks} networks, {failed} of {RUNS} runs with an inexact one{last and ': ' + last}",
            networks >= LEAST and not failed,
        )
    ]
