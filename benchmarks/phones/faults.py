"""Part 3: random faults in the middle of campaigns through the real adb server.

Several campaigns run at once, each on a sleeping phone and an adb server of its own, and are hurt about
five times each by what :mod:`.fault_kinds` draws. Afterwards each is examined by what the phone's
tool wrote down of its own runs:

lost        a measurement that was in the journal before a fault and is not in it at the end; a
            configuration of the plan with neither a measurement nor a failure
duplicated  more measurements of a configuration than it was superseded, and one
wrong       a measurement whose numbers no run of that very model has, or that share a run with another; a
            failure that no fault of the tool explains
unclean     settings, processes, files, or the record of them
endless     a campaign that does not end by itself, or not with 'finished' as its last word
"""

from __future__ import annotations

import collections
import json
import os
import random
import shutil
import subprocess
import sys
import threading
import time
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

from hurt_campaign import KINDS
from stand_in_phone import StandInPhone, quiet_environment

from benchmarks.phones.fault_kinds import FAULTS, Victim
from benchmarks.phones.rig import ROOT, Rig, Settings, environment, rig, tool_records
from benchmarks.report import Row
from fdi_keras.devices.adb.phone import PhoneLink
from fdi_keras.devices.adb.steady import restore_left_over
from fdi_keras.errors import DeviceError
from fdi_keras.journal import read_journal
from fdi_keras.profiling import read_records
from fdi_keras.profiling.design import configurations
from fdi_keras.profiling.probes import build_probe

#: The campaign, in a process of its own.
SCRIPT = ROOT / "tests" / "profiling" / "hurt_campaign.py"

#: Configurations of a campaign, and faults in it at most.
COUNT, FAULTS_EACH = 40, 6
#: A campaign of seconds that has not ended after so many of them is stuck.
LONGEST_S = 150.0
#: A failure with these words says that the phone went away in the middle of that probe thrice; every
#: other one must be explained by a fault of the tool, one each.
AWAY = "went away 3 times"


def run(settings: Settings) -> list[Row]:
    folder = settings.work / "faults"
    if settings.again:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    results = folder / "campaigns.jsonl"
    campaigns = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    turn = threading.Lock()

    def worker(number: int) -> None:
        with rig(folder / f"rig-{number}", own_environment=False) as made:
            while True:
                with turn:
                    if sum(len(c["struck"]) for c in campaigns) >= settings.faults:
                        return
                    seed = numbers.pop()
                try:
                    outcome = _campaign(made, seed)
                except Exception as error:  # the benchmark's own fault is no PASS either
                    outcome = {"seed": seed, "struck": [], "violations": [f"broken off: {error!r}"]}
                with turn:
                    campaigns.append(outcome)
                    with results.open("a") as out:
                        out.write(json.dumps(outcome) + "\n")
                    done = sum(len(c["struck"]) for c in campaigns)
                    print(f"    {done} faults; {outcome}", flush=True)

    taken = {c["seed"] for c in campaigns}
    numbers = [n for n in range(settings.seed + 1000, settings.seed, -1) if n not in taken]
    threads = [threading.Thread(target=worker, args=[n]) for n in range(settings.workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [_row(campaigns)]


def _row(campaigns: list[dict[str, Any]]) -> Row:
    struck = Counter(fault for c in campaigns for fault in c["struck"])
    violations = [f"campaign {c['seed']}: {text}" for c in campaigns for text in c["violations"]]
    totals: Counter[str] = collections.Counter()
    for campaign in campaigns:
        totals.update(campaign.get("counts", {}))
    measured = (
        f"{sum(struck.values())} faults in {len(campaigns)} campaigns, {totals['measurements']} measurements: "
        f"{len(violations)} violations"
    )
    details = {"faults": dict(struck.most_common()), "counts": dict(totals), "violations": violations}
    return Row(
        "3",
        "random faults: nothing lost, duplicated or wrong, phone left as it was",
        "200 faults, 0 violations",
        measured,
        not violations and sum(struck.values()) >= 200,
        details,
    )


def _campaign(made: Rig, seed: int) -> dict[str, Any]:
    """One campaign on a new phone; what befell it, and what is wrong with it."""
    rng = random.Random(seed)
    folder = made.folder / str(seed)
    control = {"sleep_ms": [1.5, 6.0], "record": str(folder / "runs.jsonl")}
    tool = made.tool(f"tool-{seed}", **control)
    before = {"stay_on_while_plugged_in": rng.choice([None, "0", "3"])}
    with StandInPhone(folder / "phone") as phone:
        _set(phone, before)
        serial = phone.attach(made.adb.port)
        ours = rng.random() < 0.5
        device = serial if ours else made.id(serial)
        journal = folder / "campaign.jsonl"
        victim: Victim

        def start() -> subprocess.Popen[bytes]:
            resumed = journal.exists() and b"\n" in journal.read_bytes()
            return _start(made, folder, device, tool, journal, seed, ours, resumed)

        if rng.random() < 0.2:  # the cable is pulled while the tool itself is put there
            phone.cut_after(rng.randrange(1500), "to_phone", "sync:")
            early = ["cable pulled in mid-push of the tool"]
        else:
            early = []
        victim = Victim(made, phone, journal, f"tool-{seed}", control, ours, start, start())
        if early:
            if victim.until(lambda: phone.is_out, 20.0):
                time.sleep(rng.uniform(0.1, 0.4))
            else:
                early = []
            phone.forget_cuts()
            phone.plug()
        struck, violations = early, []
        kept: list[bytes] = []
        for _ in range(rng.randint(3, FAULTS_EACH)):
            seen = len(victim.lines())
            victim.until(lambda seen=seen: len(victim.lines()) > seen + rng.randrange(1, 9), 20.0)
            if not victim.running():
                break
            kept = _grown(kept, victim.lines(), violations)
            name = rng.choices(list(FAULTS), [weight for _, weight in FAULTS.values()])[0]
            if FAULTS[name][0](victim, rng):
                struck.append(name)
            kept = _grown(kept, victim.lines(), violations)
        if rng.random() < 0.15 and victim.until(lambda: b'"finished"' in (victim.lines() or [b""])[-1], 60.0):
            phone.pull_cable()
            struck.append("cable pulled while the phone is restored")
            _wait(victim, violations)
            phone.plug()
        else:
            _wait(victim, violations)
        _grown(kept, victim.lines(), violations)
        tool_faults = sum(name.startswith("tool") for name in struck)
        counts = _examine(journal, seed, folder / "runs.jsonl", tool_faults, violations)
        _examine_phone(victim, serial, before, folder, violations)
    return {"seed": seed, "struck": struck, "violations": violations, "counts": counts}


def _start(
    made: Rig, folder: Path, device: str, tool: Path, journal: Path, seed: int, ours: bool, resumed: bool
) -> subprocess.Popen[bytes]:
    told = environment(folder) | quiet_environment(made.folder / "adb")
    if ours:
        del told["FDI_ADB"]
        told["ANDROID_ADB_SERVER_PORT"] = str(made.adb.port)
    command = [sys.executable, str(SCRIPT), str(journal), device, str(tool)]
    command += [str(COUNT), str(seed), *(["--resume"] if resumed else [])]
    with open(folder / "host.log", "ab") as log:
        environ = {**os.environ, **told, "PYTHONPATH": str(ROOT)}
        return subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log)


def _set(phone: StandInPhone, settings: dict[str, str | None]) -> None:
    for name, value in settings.items():
        if value is None:
            (phone.state / "settings/global" / name).unlink()
        else:
            phone.write(f"settings/global/{name}", f"{value}\n")


def _grown(before: list[bytes], now: list[bytes], violations: list[str]) -> list[bytes]:
    """The journal's lines, which begin with those of before."""
    if now[: len(before)] != before:
        violations.append("lost: lines of the journal have changed")
    return now


def _wait(victim: Victim, violations: list[str]) -> None:
    try:
        code = victim.process.wait(LONGEST_S)
    except subprocess.TimeoutExpired:
        victim.process.kill()
        victim.process.wait()
        violations.append("endless: the campaign does not end")
        return
    if code:
        log = (victim.journal.parent / "host.log").read_text(errors="replace").strip()
        violations.append(f"endless: the campaign ended with status {code}: {log[-300:]}")


def _examine(journal: Path, seed: int, runs: Path, tool_faults: int, violations: list[str]) -> dict[str, int]:
    """Compare the journal with what the phone's tool wrote down."""
    events = list(read_journal(journal)) if journal.exists() else []
    if not events or events[-1]["event"] != "finished":
        violations.append("endless: the last word is not 'finished'")
        return {}
    records = read_records(journal)
    design = configurations(KINDS, seed)
    wanted = [next(design) for _ in range(COUNT)]
    missing = set(range(COUNT)) - {*records.measurements, *records.failures}
    if missing:
        violations.append(f"lost: neither measured nor failed: {sorted(missing)}")
    superseded = Counter(i for e in events if e["event"] == "superseded" for i in e["indices"])
    measured = [e for e in events if e["event"] == "measurement"]
    times = Counter(e["index"] for e in measured)
    for index, often in times.items():
        if often > 1 + superseded[index]:
            violations.append(f"duplicated: {index} measured {often} times, superseded {superseded[index]}")
    unused = tool_records(runs)
    overheads = [e["overhead_ms"] for e in events if e["event"] == "overhead"]
    for event in measured:
        kind, dims, _ = wanted[event["index"]]
        if (event["kind"], event["dims"]) != (kind, dims):
            violations.append(f"wrong: {event['index']} is another configuration")
        model = zlib.crc32(build_probe(kind, dims, copies=event["copies"]))
        runs_of_it = [
            run
            for run in unused
            if run["model"] == model and any(_same(event, run, overhead) for overhead in overheads)
        ]
        if runs_of_it:
            unused.remove(runs_of_it[0])
        else:
            violations.append(f"wrong: {event['index']} has numbers that no run of its model gave: {event}")
    failed = [f.reason for f in records.failures.values() if AWAY not in f.reason]
    if len(failed) > tool_faults:
        violations.append(f"wrong: {len(failed)} failures after {tool_faults} faults of the tool: {failed}")
    counts = Counter(e["event"] for e in events)
    return {
        "measurements": len(measured),
        "failures": counts["failure"],
        "gone": counts["gone"],
        "back": counts["back"],
        "superseded": sum(superseded.values()),
        "resumed": counts["resumed"],
    }


def _same(event: dict[str, Any], run: dict[str, Any], overhead_ms: float) -> bool:
    """Whether these are that run's numbers; a median may be half a microsecond finer than what is printed."""
    # The journal has the time of one operator, the tool that of the probe with all its copies.
    least_us, median_us = (
        1e3 * (overhead_ms + event["copies"] * (event[name] - overhead_ms))
        for name in ("min_ms", "median_ms")
    )
    return (
        (event["runs"], round(least_us, 6)) == (run["count"], run["min_us"])
        and abs(median_us - run["median_us"]) < 0.500001
        and event["median_ms"] >= event["min_ms"]
    )


def _examine_phone(
    victim: Victim, serial: str, before: dict[str, str | None], folder: Path, violations: list[str]
) -> None:
    """What was left on it; after a cable that was out at the end, once it has been connected again."""
    phone, state = victim.phone, folder / "state" / "phones"
    if list(state.glob("*.json")):
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            try:
                restore_left_over(PhoneLink(serial, victim.adb.server), state)
                break
            except DeviceError:
                time.sleep(0.1)
    for name, value in before.items():
        if phone.setting(name) != value:
            violations.append(f"unclean: setting {name} is {phone.setting(name)}, was {value}")
    if phone.read("fixed_performance") != "false":
        violations.append("unclean: the fixed-performance mode is on")
    deadline = time.monotonic() + 1.0
    while phone.processes() and time.monotonic() < deadline:
        time.sleep(0.05)
    if phone.processes():
        violations.append(f"unclean: processes are left: {[p.cmdline() for p in phone.processes()]}")
    left = [str(path.relative_to(phone.storage)) for path in phone.storage.rglob("*")]
    if left:
        violations.append(f"unclean: files are left: {left[:5]}")
    if list(state.glob("*.json")):
        violations.append("unclean: the record of what was changed is still there")
