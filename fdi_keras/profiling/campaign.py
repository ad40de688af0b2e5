"""A campaign: times the configurations of a design, one after another, into a journal.

The journal is the campaign. Every measurement is in it before the next one starts;
a campaign that was killed reads it and goes on with what is missing. Nothing in it
is ever removed: a measurement that has to be repeated is first named in a
``superseded`` event.

A computer gets slower while it works: it warms up, or somebody else computes. A
reference probe is therefore re-timed through the campaign. When it takes more than
:data:`SLOWER` times its best, the campaign waits until it does not, and repeats what
it measured since the reference was last found good.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from os import PathLike
from typing import Any, Literal

import msgspec

from fdi_keras.devices import DeviceInfo, Runner, Timing
from fdi_keras.errors import CampaignError, MeasurementError
from fdi_keras.journal import Journal, set_aside
from fdi_keras.profiling.design import Configuration, configurations
from fdi_keras.profiling.lock import DeviceLock
from fdi_keras.profiling.plan import Plan
from fdi_keras.profiling.probes import build_overhead_probe, build_probe
from fdi_keras.profiling.records import Measurement, Records, read_records

#: The reference may take so many times its best before the campaign waits.
SLOWER = 1.10

#: Seconds between two looks at the reference (our choice: what a slow-down costs at most).
REFERENCE_EVERY_S = 20.0

#: How long to wait for a computer that got slower before taking that for its normal speed.
PATIENCE_S = 60.0
PAUSE_S = 2.0

#: A measurement is repeated for a slow reference at most so often, or a restless computer never ends it.
MAX_REPEATS = 2

#: A reading whose quartiles lie further apart is taken again at once, and the steadier one counts.
RESTLESS = 0.10

#: So many failures in a row are not about single probes any more.
MAX_FAILURES = 20

REFERENCE = ("conv2d", {"height": 28, "width": 28, "in_channels": 32, "out_channels": 32, "kernel": 3})


@dataclass(frozen=True)
class CampaignProgress:
    """Where a campaign stands, as given to its progress callback.

    Attributes:
        stage: what is being done now.
        done: configurations measured or failed, those of earlier runs included.
        total: how many there will be; an estimate when the campaign is limited by time.
        failures: how many of ``done`` failed.
        kind: of the last configuration.
        seconds: this run has taken.
        rate_per_minute: configurations of this run per minute.
        eta_s: seconds that are left, None while unknown.
        waiting: why the campaign waits, None while it does not.
        last: the last measurement, None at first.
    """

    stage: Literal["preparing", "measuring", "waiting", "learning", "finished"]
    done: int = 0
    total: int | None = None
    failures: int = 0
    kind: str = ""
    seconds: float = 0.0
    rate_per_minute: float = 0.0
    eta_s: float | None = None
    waiting: str | None = None
    last: Measurement | None = None


Progress = Callable[[CampaignProgress], None]


def run_campaign(
    runner: Runner,
    plan: Plan,
    journal_path: str | PathLike[str],
    *,
    device: DeviceInfo,
    resume: bool = False,
    progress: Progress | None = None,
    patience_s: float = PATIENCE_S,
    pause_s: float = PAUSE_S,
    reference_every_s: float = REFERENCE_EVERY_S,
) -> Records:
    """Carry out a plan, or what is left of it.

    Args:
        runner: what times the probes; it stays open.
        plan: which configurations, and how many or how long.
        journal_path: the campaign's journal. Without ``resume``, a journal that is
            there already is kept under a name with its date.
        device: whom the runner belongs to; locked while the campaign runs.
        resume: go on with the journal, with the limits of ``plan``.
        progress: called after every measurement and while waiting.
        patience_s: wait so long for a computer that got slower.
        pause_s: between two looks at the reference while waiting.
        reference_every_s: between two looks at the reference otherwise.

    Returns:
        What the journal now holds.

    Raises:
        DeviceBusyError: another campaign holds this device and runtime.
        CampaignError: nothing to resume, a journal of another plan, or every probe fails.
        StorageError: the journal cannot be written; what it holds stays.
        JournalError: the journal to resume is damaged.
    """
    plan = plan.checked()
    with DeviceLock(device.id, runner.runtime, journal_path):
        records = None
        if resume:
            records = read_records(journal_path)
            records.check_same(device, runner.runtime, plan)
        else:
            set_aside(journal_path)
        with Journal(journal_path, sync=True) as journal:
            campaign = _Campaign(runner, plan, journal, device, progress, records)
            campaign.pause_s, campaign.patience_s = pause_s, patience_s
            campaign.reference_every_s = reference_every_s
            campaign.run()
    return read_records(journal_path)


class _Campaign:
    """One run of a campaign, from its lock to its last event."""

    pause_s = PAUSE_S
    patience_s = PATIENCE_S
    reference_every_s = REFERENCE_EVERY_S

    def __init__(
        self,
        runner: Runner,
        plan: Plan,
        journal: Journal,
        device: DeviceInfo,
        progress: Progress | None,
        records: Records | None,
    ):
        self._runner = runner
        self._plan = plan
        self._journal = journal
        self._progress = progress
        self._begin = time.monotonic()
        self._earlier_s = records.seconds if records else 0.0
        self._reference = build_probe(*REFERENCE)
        self._baseline = records.baseline_ms if records else None
        self._overhead_ms = records.overhead_ms if records else None
        #: Index in the design -> closing reference of its block, None while the block is open.
        self._done: dict[int, float | None] = {}
        self._failed: set[int] = set(records.failures) if records else set()
        self._repeats: dict[int, int] = dict(records.repeats) if records else {}
        self._redo: set[int] = set()
        self._ran = 0
        self._last: Measurement | None = None
        if records:
            self._done = dict.fromkeys(records.measurements)
            self._done.update(records.verified)
            # Superseded before the kill and not yet measured again.
            self._redo = set(records.repeats) - set(self._done) - self._failed
            journal.write("resumed", plan=plan, measurements=len(self._done), failures=len(self._failed))
        else:
            journal.start("campaign", name=device.id, device=device, runtime=runner.runtime, plan=plan)

    def run(self) -> None:
        try:
            self._tell("preparing")
            self._measure_overhead()
            self._check_reference()
            self._measure_all()
        except KeyboardInterrupt:
            self._journal.write("interrupted", reason="by the user", **self._counts())
            raise
        except CampaignError as error:
            self._journal.write("failed", reason=str(error), **self._counts())
            raise
        self._journal.write("finished", **self._counts())
        self._tell("finished")

    def _measure_all(self) -> None:
        in_a_row = 0
        checked = time.monotonic()
        while True:
            for index, configuration in self._missing():
                if self._measure(index, configuration):
                    in_a_row = 0
                else:
                    in_a_row += 1
                    if in_a_row >= MAX_FAILURES:
                        raise CampaignError(
                            f"the last {in_a_row} probes failed on this device, so something else is wrong. "
                            f"The journal {self._journal.path} has the reason of each."
                        )
                if time.monotonic() - checked >= self.reference_every_s:
                    self._check_reference()
                    checked = time.monotonic()
                    if self._redo:
                        break
            else:
                self._check_reference(last=True)
                if not self._redo or self._time_is_up():
                    return

    def _missing(self) -> Iterator[tuple[int, Configuration]]:
        """What is to be measured, in the order of the design, until a limit is met."""
        plan = self._plan
        for index, configuration in enumerate(configurations(plan.kinds, plan.seed)):
            if plan.measurements is not None and index >= plan.measurements:
                return
            if self._time_is_up():
                return
            if index not in self._done and index not in self._failed:
                yield index, configuration

    def _time_is_up(self) -> bool:
        limit = self._plan.minutes
        return limit is not None and self._earlier_s + self._seconds() >= 60 * limit

    def _measure(self, index: int, configuration: Configuration) -> bool:
        kind, dims, group = configuration
        try:
            timing = self._time_steadily(build_probe(kind, dims))
        except MeasurementError as error:
            self._journal.write("failure", index=index, kind=kind, dims=dims, reason=str(error))
            self._failed.add(index)
            self._redo.discard(index)
            self._tell("measuring", kind)
            return False
        measurement = Measurement(
            index, kind, dims, group, timing.median_ms, timing.iqr_ms, timing.min_ms, timing.runs
        )
        self._journal.write("measurement", **msgspec.structs.asdict(measurement))
        self._done[index] = None
        self._redo.discard(index)
        self._ran += 1
        self._last = measurement
        self._tell("measuring", kind)
        return True

    def _time_steadily(self, model: bytes) -> Timing:
        timing = self._runner.time(model)
        if timing.iqr_ms > RESTLESS * timing.median_ms:
            timing = min(timing, self._runner.time(model), key=lambda t: t.iqr_ms / t.median_ms)
        return timing

    def _measure_overhead(self) -> None:
        if self._overhead_ms is None:
            self._overhead_ms = self._time_often(build_overhead_probe(), times=3)
            self._journal.write("overhead", overhead_ms=self._overhead_ms)

    def _check_reference(self, last: bool = False) -> None:
        """Close the block of measurements since the last check, or have it repeated.

        ``last``: the campaign is over when nothing has to be repeated; when its time
        is up nothing can be, and it does not wait.
        """
        took_ms = self._time_reference()
        if self._baseline is not None and took_ms > SLOWER * self._baseline:
            if last and self._time_is_up():
                self._warn("the reference was slow at the end: the last measurements may be too", took_ms)
                return
            self._supersede([i for i, closed in self._done.items() if closed is None], took_ms)
            took_ms = self._wait(took_ms)
        elif self._baseline is not None and took_ms * SLOWER < self._baseline:
            # The baseline itself was made while the computer was slow, and so was what it approved
            # and what was measured since.
            slow = [i for i, closed in self._done.items() if closed is None or closed > SLOWER * took_ms]
            self._warn("the computer got faster", took_ms)
            self._supersede(slow, took_ms)
        self._baseline = took_ms if self._baseline is None else min(self._baseline, took_ms)
        for index, closed in self._done.items():
            if closed is None:
                self._done[index] = took_ms
        self._journal.write("reference", median_ms=took_ms, baseline_ms=self._baseline, good=True)
        self._journal.write("progress", **self._counts())

    def _wait(self, took_ms: float) -> float:
        """Wait until the reference is as fast as it was; returns its time then.

        After ``patience_s`` the slower speed is taken for the normal one: a hot laptop
        never gets as fast again as it was at the start.
        """
        assert self._baseline is not None
        begin = time.monotonic()
        while took_ms > SLOWER * self._baseline:
            ratio = took_ms / self._baseline
            waited = time.monotonic() - begin
            self._journal.write("waiting", median_ms=took_ms, baseline_ms=self._baseline, waited_s=waited)
            if waited >= self.patience_s:
                self._warn(f"the computer stayed {ratio:.2f} x slower; that is the new baseline", took_ms)
                self._baseline = took_ms
                break
            self._tell("waiting", waiting=f"the computer is {ratio:.2f} x slower than it was")
            time.sleep(self.pause_s)
            took_ms = self._time_reference()
        return took_ms

    def _time_reference(self) -> float:
        """Median of the reference in ms; of three readings when the first is suspicious."""
        took_ms = self._time_often(self._reference, times=1)
        if self._baseline is None or took_ms > SLOWER * self._baseline:
            took_ms = min(took_ms, self._time_often(self._reference, times=2))
        return took_ms

    def _time_often(self, model: bytes, times: int) -> float:
        """The fastest of several medians; a crash costs one of them."""
        medians, reason = [], ""
        for _ in itertools.repeat(None, times + 2):
            try:
                medians.append(self._runner.time(model).median_ms)
            except MeasurementError as error:
                reason = str(error)
            if len(medians) == times:
                break
        if not medians:
            raise CampaignError(f"the device cannot execute even the reference probe: {reason}")
        return min(medians)

    def _supersede(self, indices: list[int], took_ms: float) -> None:
        """Have measurements repeated, unless they were repeated often enough."""
        again = [i for i in indices if self._repeats.get(i, 0) < MAX_REPEATS]
        if not again:
            return
        reason = f"the reference took {took_ms:.4g} ms, its baseline was {self._baseline:.4g} ms"
        self._journal.write("superseded", indices=again, reason=reason)
        for index in again:
            del self._done[index]
            self._repeats[index] = self._repeats.get(index, 0) + 1
        self._redo.update(again)

    def _warn(self, message: str, took_ms: float) -> None:
        self._journal.write("warning", message=message, median_ms=took_ms, baseline_ms=self._baseline)

    def _seconds(self) -> float:
        return time.monotonic() - self._begin

    def _counts(self) -> dict[str, Any]:
        return {
            "measurements": len(self._done),
            "failures": len(self._failed),
            "total": self._total(),
            "seconds": round(self._earlier_s + self._seconds(), 3),
        }

    def _total(self) -> int | None:
        done, rate = len(self._done) + len(self._failed), self._rate()
        limits = []
        if self._plan.measurements is not None:
            limits.append(self._plan.measurements)
        if self._plan.minutes is not None and rate:
            left_s = max(0.0, 60 * self._plan.minutes - self._earlier_s - self._seconds())
            limits.append(done + round(rate * left_s))
        return min(limits) if limits else None

    def _rate(self) -> float:
        """Measurements of this run per second; 0 while too few to tell."""
        return self._ran / self._seconds() if self._ran >= 5 else 0.0

    def _tell(self, stage: Any, kind: str = "", waiting: str | None = None) -> None:
        if self._progress is None:
            return
        done, total, rate = len(self._done) + len(self._failed), self._total(), self._rate()
        self._progress(
            CampaignProgress(
                stage=stage,
                done=done,
                total=total,
                failures=len(self._failed),
                kind=kind,
                seconds=self._seconds(),
                rate_per_minute=60 * rate,
                eta_s=max(0, total - done) / rate if rate and total is not None else None,
                waiting=waiting,
                last=self._last,
            )
        )
