"""Part 0: the measurements that the other parts need, about 70 minutes in all, on a computer with nothing else to do.

One campaign of usual length times all kinds; its profile prices networks and layers. One times the kinds
that the goals name; from it and from its beginning profiles are learned whose errors are looked at, on
configurations of another seed, which two other campaigns time in the order of the design. A computer is
not as fast at every hour, so these four, and the networks of part 4, take turns: each profile is tested on
what was measured while it was. Before them many more of the main kinds are timed, since opponents get ten times
the measurements, and after them some configurations once more: nothing can be more exact than that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.execution_time.network_zoo import file_of, makers
from benchmarks.execution_time.settings import FURTHER, MAIN, PROBES, TESTS, Settings
from benchmarks.report import Row
from fdi_keras.devices import Runner, RuntimeChoice, open_device, open_runner
from fdi_keras.errors import MeasurementError
from fdi_keras.journal import read_journal
from fdi_keras.networks.latency import time_networks
from fdi_keras.profile import learn_profile
from fdi_keras.profiling import Plan, build_probe, read_records, run_campaign
from fdi_keras.profiling.active import work_of
from fdi_keras.profiling.copies import alone, copies_of
from fdi_keras.profiling.design import Configuration

#: Minutes of measuring of the two campaigns that are learned from, and the limit with learning.
WHOLE_MINUTES, NAMED_MINUTES, LIMIT_MINUTES = 10.0, 13.0, 15.0

#: How many configurations are tested on: of the main kinds, and of the further ones.
TEST, TEST_FURTHER = 2400, 1200

#: How many of the main kinds opponents may have.
FRESH = 16_500

#: Campaigns and networks take turns so often.
ROUNDS = 4

#: Each network is timed for so long in all, in s.
NETWORK_SECONDS = 4.0

#: So many of a kind are timed again.
AGAIN = 25

#: Share of a campaign's wall clock that should be inside timed executions.
TIMED = 0.8


def run(settings: Settings) -> list[Row]:
    fresh = Plan(list(MAIN), seed=settings.seed + 1, measurements=FRESH)
    _campaign(settings, "fresh", fresh)
    plans = {
        "whole": Plan(seed=settings.seed + 2, minutes=WHOLE_MINUTES, active=True),
        "named": Plan([*MAIN, *FURTHER], seed=settings.seed, minutes=NAMED_MINUTES, active=True),
        TESTS[0]: Plan(list(MAIN), seed=settings.seed + 3, measurements=TEST),
        TESTS[1]: Plan(list(FURTHER), seed=settings.seed + 3, measurements=TEST_FURTHER),
    }
    _in_turns(settings, plans)
    rows = []
    for name, plan in {"fresh": fresh, **plans}.items():
        seconds, timed = _clock(settings.journal(name))
        count = len(read_records(settings.journal(name)).measurements)
        if not plan.active:
            rows.append(
                Row("0", f"configurations of {name}", "reported", f"{count} in {seconds / 60:.1f} min", None)
            )
            continue
        learning_s = _learned(settings, name)
        minutes = (seconds + learning_s) / 60
        rows += [
            Row("0", f"campaign {name}, learning included", f"<= {LIMIT_MINUTES:g} minutes",
                f"{minutes:.1f} minutes, {count} probes, learned in {learning_s:.0f} s", minutes <= LIMIT_MINUTES),
            Row("0", f"wall clock of {name} inside timed executions", f"aim {TIMED:.0%}",
                f"{timed / seconds:.0%}", None),
        ]  # fmt: skip
    if not (settings.work / "repeated.json").exists():
        (settings.work / "repeated.json").write_text(json.dumps(_repeated(settings)))
    _learned(settings, "short")
    return rows


def _in_turns(settings: Settings, plans: dict[str, Plan]) -> None:
    """All campaigns and the networks, each a part of its way in every round; rounds that are done stay done."""
    files = [file_of(name, settings.work / "networks") for name in makers()]
    path = settings.networks_timed
    rounds: list[dict[str, float]] = json.loads(path.read_text()) if path.exists() else []
    while len(rounds) < ROUNDS:
        share = (len(rounds) + 1) / ROUNDS
        for name, plan in plans.items():
            _campaign(settings, name, _part_of(plan, share))
        rounds.append(_network_times(files))
        path.write_text(json.dumps(rounds))
        print(f"  round {len(rounds)} of {ROUNDS} is done", flush=True)


def _part_of(plan: Plan, share: float) -> Plan:
    return msgspec.structs.replace(
        plan,
        minutes=None if plan.minutes is None else share * plan.minutes,
        measurements=None if plan.measurements is None else round(share * plan.measurements),
    )


def _network_times(files: Sequence[Path]) -> dict[str, float]:
    """Medians in ms by the name of the file."""
    with open_runner("local", RuntimeChoice()) as runner:
        return {
            path.stem: time_networks(runner, [path.read_bytes()], "local", NETWORK_SECONDS / ROUNDS)[
                0
            ].median_ms
            for path in files
        }


def _learned(settings: Settings, name: str) -> float:
    """Learn a profile unless it is there; how long that took, in s."""
    took = settings.work / f"learning-{name}.json"
    if not (settings.profile_path(name).exists() and took.exists()):
        began = time.time()
        records = settings.beginning(PROBES) if name == "short" else read_records(settings.journal(name))
        learn_profile(records).save(settings.profile_path(name))
        took.write_text(json.dumps(time.time() - began))
    return json.loads(took.read_text())


def _campaign(settings: Settings, name: str, plan: Plan) -> None:
    """Run or go on with a campaign until the limits of the plan."""
    plan, journal = plan.checked(), settings.journal(name)
    earlier = read_records(journal) if journal.exists() else None
    limits = (plan.minutes, plan.measurements)
    if (
        earlier is not None
        and earlier.finished
        and (earlier.plan.minutes, earlier.plan.measurements) == limits
    ):
        return
    device = open_device("local")
    with device.open() as runner:
        work = work_of(plan, earlier, beside=True)
        run_campaign(runner, plan, journal, device=device.info, resume=earlier is not None, work=work)


def _clock(journal: Path) -> tuple[float, float]:
    """The seconds of a campaign in all its runs, and those of them inside timed executions."""
    seconds = timed = before = 0.0
    for event in read_journal(journal):
        if event["event"] == "resumed":
            before = timed
        if event["event"] == "progress":
            timed = before + event["timed_seconds"]
        seconds = event.get("seconds", seconds)
    return seconds, timed


def _repeated(settings: Settings) -> dict[str, float]:
    rng = np.random.default_rng(settings.seed)
    with open_device("local").open() as runner:
        return {
            kind: _mean_difference(runner, settings.journal(name), kind, rng)
            for name, kinds in zip(TESTS, (MAIN, FURTHER), strict=True)
            for kind in kinds
        }


def _mean_difference(runner: Runner, journal: Path, kind: str, rng: np.random.Generator) -> float:
    """The mean relative difference of two measurements of some configurations of a kind."""
    records = read_records(journal)
    overhead_ms = records.overhead_ms or 0.0
    mine = [m for m in records.measurements.values() if m.kind == kind]
    off = []
    for at in rng.permutation(len(mine))[:AGAIN]:
        first = mine[at]
        copies = copies_of(Configuration(kind, first.dims, first.group))
        try:
            whole = runner.time(build_probe(kind, first.dims, copies=copies))
        except MeasurementError:
            continue
        again = alone(whole, copies, overhead_ms).median_ms - overhead_ms
        off.append(abs(again / (first.median_ms - overhead_ms) - 1))
    return float(np.mean(off))
