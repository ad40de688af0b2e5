"""The main job measured: ``python -m benchmarks.main_job``.

Takes about an hour on two cores; writes results as they come and resumes. Run it on an
otherwise idle computer. Parts: 1 campaign, 2 networks, 3 steering, 4 growth, 5 exactness,
6 step, 7 kills.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks.command import RESULTS, Benchmark
from benchmarks.main_job.settings import PARTS, Settings


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--minutes", type=float, default=12.5, help="of the campaign (at most 15)")
    parser.add_argument("--seed", type=int, default=0, help="of everything random")
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with fashion-mnist/"
    )


def _settings(options: argparse.Namespace) -> Settings:
    os.environ["FDI_STATE"] = str(options.work / "state")
    if options.again and "1" in options.parts:
        (options.work / "campaign.json").unlink(missing_ok=True)
    return Settings(options.work, options.data, options.minutes, options.seed)


BENCHMARK = Benchmark("main_job", __doc__, PARTS, _settings, _options, RESULTS / "work")

if __name__ == "__main__":
    sys.exit(BENCHMARK.run())
