"""Any Keras network cut exactly: ``python -m benchmarks.any_network``.

Takes about half an hour on two cores; writes results as they come and resumes. Parts: 1 the networks of
keras.applications, 2 random networks, 5 how long and how much memory rebuilding takes.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.any_network.settings import PARTS, Settings
from benchmarks.command import RESULTS, Benchmark


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="of widths, weights and networks")


def _settings(options: argparse.Namespace) -> Settings:
    if options.again and "1" in options.parts:
        for path in options.work.glob("network-*.json"):
            path.unlink()
    return Settings(options.work, options.seed)


BENCHMARK = Benchmark("any_network", __doc__, PARTS, _settings, _options, RESULTS / "work" / "any-network")

if __name__ == "__main__":
    sys.exit(BENCHMARK.run())
