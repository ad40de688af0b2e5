"""What FLOPs do not explain: ``python -m benchmarks.memory_study``.

Some fifteen minutes, most of it converting networks; these and their times stay in the work folder, and a run that
was stopped goes on there. Parts: 1 counts against the formulas of the study, 2 the 32 networks of the study, timed
on this computer, and what explains their times.
"""

from __future__ import annotations

import argparse
import sys

from benchmarks.command import RESULTS, Benchmark
from benchmarks.memory_study.settings import PARTS, Settings


def _options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--profile", default="x86-avx512-litert", help="predicts the networks, for explanations"
    )


def _settings(options: argparse.Namespace) -> Settings:
    if options.again and "2" in options.parts:
        (options.work / "sweep.jsonl").unlink(missing_ok=True)
    return Settings(options.work, options.profile)


BENCHMARK = Benchmark("memory_study", __doc__, PARTS, _settings, _options, RESULTS / "work" / "memory-study")

if __name__ == "__main__":
    sys.exit(BENCHMARK.run())
