"""Steering against everybody else: ``python -m benchmarks.steering``.

Many hours on two cores: every method on every task, for three seeds, at the targets between which it begins to lose
accuracy; an opponent that loses where it is far slower than ours is followed no further. Results are kept as they
come, and a run that was stopped goes on. What the results tell of is not run again, even after a fresh checkout,
unless ``--again`` says so; those of another processor are not gone on with. ``--known`` tells what there is so far.
``--together`` (with ``--known`` alone) times all networks of a training anew in one run: for a computer that is quiet
then, and was not while they were trained.
``--quick`` tries everything on a small task of its own in some minutes: enough to see that it works, not to learn
anything. Parts: 1 the runs, 2 what follows from them, 3 growth.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

from benchmarks.command import RESULTS, Benchmark
from benchmarks.prompt_epochs import without_pipeline_tuning
from benchmarks.report import Report
from benchmarks.steering.records import processors, take_up
from benchmarks.steering.settings import PARTS, Settings

#: What the quick form tries.
QUICK = {"tasks": ("stripes",), "seeds": (0,), "shares": (0.5,), "timing_s": 0.5, "judged": False}


def _options(parser: argparse.ArgumentParser) -> None:
    from benchmarks.steering.tasks import TASKS

    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the data sets")
    parser.add_argument("--profile", default="x86-avx512-litert", help="of this computer, a file or a name")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="each a training of its own")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS), help="which to run")
    parser.add_argument(
        "--shares",
        type=float,
        nargs="+",
        default=[],
        help="of the time that may be tried; each task's own when left out",
    )
    parser.add_argument("--methods", nargs="+", default=None, help="which to run; all when left out")
    parser.add_argument("--known", action="store_true", help="tell what was run so far, and run nothing")
    parser.add_argument(
        "--together",
        action="store_true",
        help="at the end time all networks of a training in turns in one run",
    )
    parser.add_argument("--quick", action="store_true", help="try everything on next to nothing")


def _settings(options: argparse.Namespace) -> Settings:
    from benchmarks.steering.methods import METHODS
    from fdi_keras.devices import open_device
    from fdi_keras.profile import load_profile
    from fdi_keras.profile.timed_on import check_device

    if not options.known:
        without_pipeline_tuning()
    methods = tuple(options.methods or METHODS)
    unknown = [method for method in methods if method not in METHODS]
    if unknown:
        sys.exit(f"no method {', '.join(unknown)}; there are {', '.join(METHODS)}.")
    chosen = {"seeds": tuple(options.seeds), "tasks": tuple(options.tasks), "shares": tuple(options.shares)}
    work = options.work
    if options.quick:
        chosen |= QUICK
        work = work / "quick"
        work.mkdir(exist_ok=True)
    else:
        take_up(Report(options.results).rows, work)
    processor = open_device("local").info.name
    others = set() if options.known else processors(work) - {processor}
    if others:
        sys.exit(
            f"{work} and {options.results} are of {', '.join(sorted(others))}; this computer is {processor}, of whose "
            "time shares are others: name other --results, another --work, and its own --profile."
        )
    if options.again and not options.known:
        for folder in work.glob("*-stages"):
            shutil.rmtree(folder)
        for path in work.glob("*.json"):
            path.unlink()
    caution = "" if options.known else check_device(load_profile(options.profile), "local")
    if caution:
        print(f"caution: {caution}")
    options.again |= options.known  # rows are made anew of what there is
    return Settings(
        work,
        options.data,
        options.profile,
        methods=methods,
        known=options.known,
        together=options.together,
        processor=processor,
        **chosen,
    )


BENCHMARK = Benchmark("steering", __doc__, PARTS, _settings, _options, RESULTS / "work" / "steering")

if __name__ == "__main__":
    sys.exit(BENCHMARK.run())
