"""The dashboard measured in real terminals: ``python -m benchmarks.dashboard``.

Takes some five minutes on two cores; writes results as they come. Run it on an otherwise idle
computer. Needs tmux for part 5. Parts: 1 start and quit, 2 long journals, 3 keys, 4 deaths and
hostile journals, 5 screens, 6 other hosts.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

HERE = Path(__file__).parents[1]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parts", default="1,2,3,4,5,6", help="which parts to run")
    parser.add_argument("--resume", action="store_true", help="keep the parts that have results")
    parser.add_argument("--results", type=Path, default=HERE / "results" / "dashboard.json")
    args = parser.parse_args()

    from importlib import import_module

    from benchmarks.dashboard.settings import PARTS, Settings
    from benchmarks.report import Report

    report = Report(args.results)
    with tempfile.TemporaryDirectory(prefix="fdi-dashboard-") as folder:
        settings = Settings(Path(folder))
        for number in args.parts.split(","):
            if number not in PARTS:
                parser.error(f"no part {number!r}; parts are {', '.join(PARTS)}")
            part = import_module(f"benchmarks.dashboard.{PARTS[number]}")
            report.part(number, lambda part=part: part.run(settings), not args.resume)
    report.print()
    return int(any(row.passed is False for row in report.rows))


if __name__ == "__main__":
    sys.exit(main())
