"""Any Keras network cut exactly: ``python -m benchmarks.any_network``.

Writes results as they come and resumes. Parts: 1 the networks of keras.applications, 2 random networks,
3 what gates and penalty cost in a training step, 4 networks trained on real data to half their time, 5 how
long and how much memory rebuilding takes. Parts 1, 3 and 4 run on tensorflow, jax and torch; a backend that is
not installed has a row that says so. Parts 3 and 5 need an otherwise idle computer. On two cores parts 1, 2 and
5 take about half an hour, part 4 one to two hours.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.any_network.settings import PARTS, Settings
from benchmarks.command import RESULTS, Benchmark


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--seed", type=int, default=0, help="of widths, weights and networks")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with cifar10_20k.npz and har.npz"
    )
    parser.add_argument(
        "--examples", type=int, default=20_000, metavar="N", help="part 4: of each data set at most so many"
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=12,
        metavar="N",
        help="part 4: of training, steering and fine-tuning each",
    )


def _settings(options: argparse.Namespace) -> Settings:
    for part, kept in (("1", "network-*.json"), ("4", "trained-*.json")):
        for path in options.work.glob(kept) if options.again and part in options.parts else ():
            path.unlink()
    return Settings(options.work, options.seed, options.data.resolve(), options.examples, options.epochs)


BENCHMARK = Benchmark("any_network", __doc__, PARTS, _settings, _options, RESULTS / "work" / "any-network")

if __name__ == "__main__":
    sys.exit(BENCHMARK.run())
