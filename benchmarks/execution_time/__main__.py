"""The execution-time model measured: ``python -m benchmarks.execution_time``.

Writes results as they come and resumes. Parts: 0 the measurements that the others need (about an
hour), 1 error and intervals on fresh configurations, 2 other regressors on the same rows, 3 phones measured by
others, 4 whole networks, 5 time minima, 6 speed of learning and predicting, 7 learning curves.

What is tested on took no part in learning or in any choice: it comes from the design of another seed.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.command import RESULTS, Benchmark
from benchmarks.execution_time.settings import PARTS, Settings


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with phone_gpu_operators.csv.gz"
    )


def _settings(options: argparse.Namespace) -> Settings:
    return Settings(options.work, options.seed, options.data)


BENCHMARK = Benchmark(
    "execution_time", __doc__, PARTS, _settings, _options, RESULTS / "work" / "execution-time"
)

if __name__ == "__main__":
    sys.exit(BENCHMARK.run())
