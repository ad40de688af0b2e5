"""Claims about phones measured on stand-ins: ``python -m benchmarks.phones``.

Takes about 22 minutes on two cores; writes results as they come and resumes. Run it on an otherwise idle
computer. Needs an adb program (the one in the package adbutils will do). Parts: 1 profile over adb,
2 overhead, 3 faults, 4 several phones, 5 hostile text, 6 damaged outputs.
"""

from __future__ import annotations

import argparse
import os
import sys

from benchmarks.command import RESULTS, Benchmark
from benchmarks.phones.rig import PARTS, Settings


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=5.0, help="of each of the two campaigns of part 1")
    parser.add_argument("--faults", type=int, default=200, help="of part 3, at least")
    parser.add_argument("--workers", type=int, default=3, help="campaigns of part 3 at once")
    parser.add_argument("--outputs", type=int, default=100_000, help="of part 6")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")


def _settings(options: argparse.Namespace) -> Settings:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
    return Settings(
        options.work,
        options.minutes,
        options.faults,
        options.workers,
        options.outputs,
        options.seed,
        options.again,
    )


BENCHMARK = Benchmark("phones", __doc__, PARTS, _settings, _options, RESULTS / "phones-work")

if __name__ == "__main__":
    sys.exit(BENCHMARK.run())
