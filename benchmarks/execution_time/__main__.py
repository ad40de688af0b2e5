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
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    work = HERE / "results" / "work"
    parser.add_argument("--parts", default="1,2,3,6", help="which parts to run")
    parser.add_argument("--again", action="store_true", help="run parts again that have results")
    parser.add_argument("--profile", type=Path, default=work / "this-computer.json", help="with measurements")
    parser.add_argument("--fresh", type=Path, help="another profile, to be tested on")
    parser.add_argument("--repeated", type=Path, help="profile or journal with the same configurations again")
    parser.add_argument("--budget", type=int, default=2500, help="measurements to learn from")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with phone_gpu_operators.csv.gz"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results" / "execution_time.json")
    args = parser.parse_args()

    from benchmarks.execution_time.settings import PARTS, Settings
    from benchmarks.report import Report

    report = Report(args.results)
    settings = Settings(args.profile, args.fresh, args.repeated, args.budget, args.seed, args.data)
    for number in args.parts.split(","):
        if number not in PARTS:
            parser.error(f"no part {number!r}; parts are {', '.join(PARTS)}")
        part = import_module(f"benchmarks.execution_time.{PARTS[number]}")
        report.part(number, lambda part=part: part.run(settings), args.again)
    report.print()
    return int(any(row.passed is False for row in report.rows))


if __name__ == "__main__":
    sys.exit(main())
