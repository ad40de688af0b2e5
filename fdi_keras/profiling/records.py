"""What the journal of a campaign says, read back."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import msgspec

from fdi_keras.devices import DeviceInfo, Runtime
from fdi_keras.errors import CampaignError, JournalError
from fdi_keras.journal import read_journal
from fdi_keras.profiling.cold_weights import ColdWeights
from fdi_keras.profiling.plan import Plan


class Measurement(msgspec.Struct, frozen=True):
    """One timed configuration.

    Attributes:
        index: its place in the design.
        kind, dims, group: see :class:`fdi_keras.profiling.design.Configuration`.
        median_ms, iqr_ms, min_ms, runs: see :class:`fdi_keras.devices.Timing`. The
            cost of an invocation is still in them.
        copies: of the operator that the probe held; the times are those of one.
        energy_mj: of one inference, that of an invocation in it; None where it was not measured.
        cache_references, cache_misses: of one inference, where they were counted.
    """

    index: int
    kind: str
    dims: dict[str, int]
    group: int
    median_ms: float
    iqr_ms: float
    min_ms: float
    runs: int
    copies: int = 1
    energy_mj: float | None = None
    cache_references: float | None = None
    cache_misses: float | None = None


class Failure(msgspec.Struct, frozen=True):
    """One configuration that could not be timed, and why."""

    index: int
    kind: str
    dims: dict[str, int]
    reason: str


class _Started(msgspec.Struct):
    device: DeviceInfo
    runtime: Runtime
    plan: Plan
    kind: str = "campaign"


@dataclass
class Records:
    """The state of a campaign after all events of its journal.

    Attributes:
        path: the journal.
        device, runtime: what was measured.
        plan: of the latest run.
        measurements: by index; superseded ones are not among them.
        failures: by index.
        cold_weights: probes whose weights do not stay in the caches.
        repeats: how often an index was superseded.
        verified: index to the reference in ms that was measured after it.
        overhead_ms: of an invocation; None when the campaign did not get so far.
        overhead_mj: energy of an invocation; None when it was not measured.
        baseline_ms: the reference at its best.
        seconds: all runs together, without the time that the device was away.
        finished: the latest run came to its end.
        warnings: texts of warning events.
    """

    path: Path
    device: DeviceInfo
    runtime: Runtime
    plan: Plan
    measurements: dict[int, Measurement] = field(default_factory=dict)
    failures: dict[int, Failure] = field(default_factory=dict)
    cold_weights: list[ColdWeights] = field(default_factory=list)
    repeats: dict[int, int] = field(default_factory=dict)
    verified: dict[int, float] = field(default_factory=dict)
    overhead_ms: float | None = None
    overhead_mj: float | None = None
    baseline_ms: float | None = None
    seconds: float = 0.0
    finished: bool = False
    warnings: list[str] = field(default_factory=list)

    def check_same(self, device: DeviceInfo, runtime: Runtime, plan: Plan) -> None:
        """CampaignError unless a campaign with these can go on with this journal."""
        pairs: dict[str, tuple[Any, Any]] = {
            "device": (self.device.id, device.id),
            "processor": (self.device.name, device.name),
            "seed": (self.plan.seed, plan.seed),
            "design version": (self.plan.design_version, plan.design_version),
            "active design": (self.plan.active, plan.active),
            "kinds": (_listed(self.plan.kinds), _listed(plan.kinds)),
        }
        for name in Runtime.__struct_fields__:
            label = name if name == "threads" else f"runtime {name}"
            pairs[label] = (getattr(self.runtime, name), getattr(runtime, name))
        differences = [f"{name}: {old} there, {new} now" for name, (old, new) in pairs.items() if old != new]
        if differences:
            raise CampaignError(
                f"cannot resume {self.path}, it belongs to another campaign ({'; '.join(differences)}). "
                "Ask for the same, or start anew without resuming: the old journal is kept."
            )

    def take(self, event: dict[str, Any]) -> None:
        """Account for one event after the first."""
        match event["event"]:
            case "measurement":
                measurement = msgspec.convert(event, Measurement)
                self.measurements[measurement.index] = measurement
            case "failure":
                failure = msgspec.convert(event, Failure)
                self.failures[failure.index] = failure
            case "cold_weights":
                names = ColdWeights.__struct_fields__
                self.cold_weights.append(msgspec.convert({n: event[n] for n in names}, ColdWeights))
            case "superseded":
                for index in event["indices"]:
                    self.measurements.pop(index, None)
                    self.verified.pop(index, None)
                    self.repeats[index] = self.repeats.get(index, 0) + 1
            case "reference":
                self.baseline_ms = event["baseline_ms"]
                for index in self.measurements:
                    self.verified.setdefault(index, event["median_ms"])
            case "energy":
                if event["index"] in self.measurements:
                    self.measurements[event["index"]] = msgspec.structs.replace(
                        self.measurements[event["index"]], energy_mj=event["energy_mj"]
                    )
            case "overhead":
                self.overhead_ms = event["overhead_ms"]
            case "energy_overhead":
                self.overhead_mj = event["overhead_mj"]
            case "resumed":
                self.plan = msgspec.convert(event["plan"], Plan)
                self.finished = False
            case "back":
                self.seconds -= event["away_s"]
            case "warning":
                self.warnings.append(event["message"])
            case "finished":
                self.finished = True


def read_records(path: str | PathLike[str]) -> Records:
    """Read the journal of a campaign.

    Raises:
        CampaignError: there is none.
        JournalError: it is damaged or no campaign's.
    """
    path = Path(path)
    if not path.exists():
        raise CampaignError(f"there is no campaign to resume: {path} does not exist. Start one first.")
    events = read_journal(path)
    first = next(events, None)
    if first is None:
        raise CampaignError(f"there is no campaign to resume: {path} is empty. Start one anew.")
    if first.get("kind") != "campaign":
        raise JournalError(f"{path} is the journal of a {first.get('kind')}, not of a campaign.")
    number, begin, last = 1, first["time"], first["time"]
    try:
        started = msgspec.convert(first, _Started)
        records = Records(path, started.device, started.runtime, started.plan)
        for number, event in enumerate(events, 2):  # noqa: B007 - the error below names it
            if event["event"] == "resumed":
                records.seconds += last - begin
                begin = event["time"]
            last = event["time"]
            records.take(event)
    except (msgspec.ValidationError, KeyError, TypeError) as error:
        raise JournalError(
            f"journal {path} is damaged at line {number}: {error}. Remove that line, or start anew: "
            "the old journal is kept."
        ) from error
    records.seconds += last - begin
    return records


def _listed(kinds: list[str] | None) -> str:
    return ", ".join(kinds or ["all"])
