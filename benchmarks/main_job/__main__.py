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

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HERE = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default="1,2,3,4,5,6,7", help="which parts to run")
    parser.add_argument("--again", action="store_true", help="run parts again that have results")
    parser.add_argument("--minutes", type=float, default=12.5, help="of the campaign (at most 15)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with fashion-mnist/"
    )
    parser.add_argument("--results", type=Path, default=HERE / "results" / "main_job.json")
    parser.add_argument(
        "--work", type=Path, default=HERE / "results" / "work", help="profile, journals, models"
    )
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    os.environ["FDI_STATE"] = str(args.work.resolve() / "state")

    if args.again and "1" in args.parts.split(","):
        (args.work / "campaign.json").unlink(missing_ok=True)

    from importlib import import_module

    from benchmarks.main_job.settings import PARTS, Settings
    from benchmarks.report import Report

    report = Report(args.results)
    settings = Settings(args.work, args.data, args.minutes, args.seed)
    for number in args.parts.split(","):
        if number not in PARTS:
            parser.error(f"no part {number!r}; parts are {', '.join(PARTS)}")
        part = import_module(f"benchmarks.main_job.{PARTS[number]}")
        report.part(number, lambda part=part: part.run(settings), args.again)
    report.print()
    return int(any(row.passed is False for row in report.rows))


if __name__ == "__main__":
    sys.exit(main())
