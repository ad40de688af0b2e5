"""The execution-time model measured: ``python -m benchmarks.execution_time``.

Writes results as they come and resumes. Parts: 1 error and intervals on fresh configurations,
2 other regressors on the same rows, 3 phones measured by others, 6 speed of learning and
predicting. (4 and 5, whole networks and time minima, need measurements of their own.)

Parts 1, 2 and 6 learn from the first measurements of a profile's design and are tested on those
behind them, or on another profile's (``--fresh``): configurations that took no part in
learning or in any choice. ``--repeated`` names a profile or journal in which the same
configurations were timed again.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.command import RESULTS, Benchmark
from benchmarks.execution_time.settings import PARTS, Settings


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", type=Path, default=RESULTS / "work" / "this-computer.json", help="with measurements"
    )
    parser.add_argument("--fresh", type=Path, help="another profile, to be tested on")
    parser.add_argument("--repeated", type=Path, help="profile or journal with the same configurations again")
    parser.add_argument("--budget", type=int, default=2500, help="measurements to learn from")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with phone_gpu_operators.csv.gz"
    )


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(
        options.profile, options.fresh, options.repeated, options.budget, options.seed, options.data
    )


BENCHMARK = Benchmark("execution_time", __doc__, PARTS, _settings, _options)

if __name__ == "__main__":
    sys.exit(BENCHMARK.run())
