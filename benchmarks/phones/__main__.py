"""Claims about phones measured on stand-ins: ``python -m benchmarks.phones``.

Takes about 22 minutes on two cores; writes results as they come and resumes. Run it on an otherwise idle
computer. Needs an adb program (the one in the package adbutils will do). Parts: 1 profile over adb,
2 overhead, 3 faults, 4 several phones, 5 hostile text, 6 damaged outputs.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

HERE = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default="1,2,3,4,5,6", help="which parts to run")
    parser.add_argument("--again", action="store_true", help="run parts again that have results")
    parser.add_argument("--minutes", type=float, default=5.0, help="of each of the two campaigns of part 1")
    parser.add_argument("--faults", type=int, default=200, help="of part 3, at least")
    parser.add_argument("--workers", type=int, default=3, help="campaigns of part 3 at once")
    parser.add_argument("--outputs", type=int, default=100_000, help="of part 6")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--results", type=Path, default=HERE / "results" / "phones.json")
    parser.add_argument(
        "--work", type=Path, default=HERE / "results" / "phones-work", help="phones, profiles, journals"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)

    from benchmarks.phones.rig import PARTS, Settings
    from benchmarks.report import Report

    report = Report(args.results)
    settings = Settings(
        args.work.resolve(), args.minutes, args.faults, args.workers, args.outputs, args.seed, args.again
    )
    for number in args.parts.split(","):
        if number not in PARTS:
            parser.error(f"no part {number!r}; parts are {', '.join(PARTS)}")
        part = import_module(f"benchmarks.phones.{PARTS[number]}")
        report.part(number, lambda part=part: part.run(settings), args.again)
    report.print()
    return int(any(row.passed is False for row in report.rows))


if __name__ == "__main__":
    sys.exit(main())
