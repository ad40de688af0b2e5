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
from functools import partial
from os import PathLike
from typing import Any, Literal, TypeVar

import msgspec

from fdi_keras.devices import DeviceInfo, Runner, Timing
from fdi_keras.errors import (
    CampaignError,
    DeviceError,
    DeviceGoneError,
    EnergyUnavailableError,
    MeasurementError,
    OutputDamagedError,
    ToolHungError,
)
from fdi_keras.journal import Journal, set_aside
from fdi_keras.profiling.active import work_of
from fdi_keras.profiling.cold_weights import ColdWeights, Layers, cold_probes, seconds_for
from fdi_keras.profiling.copies import alone, copies_of
from fdi_keras.profiling.design import Configuration
from fdi_keras.profiling.energy import Energy, energy_of
from fdi_keras.profiling.lock import DeviceLock
from fdi_keras.profiling.plan import Plan
from fdi_keras.profiling.probes import build_overhead_probe, build_probe
from fdi_keras.profiling.records import Measurement, Records, read_records
from fdi_keras.profiling.work import Item, Work

T = TypeVar("T")

#: The reference may take so many times its best before the campaign waits.
SLOWER = 1.10

#: Seconds between two looks at the reference (our choice: what a slow-down costs at most).
REFERENCE_EVERY_S = 20.0

#: How long to wait for a computer that got slower before taking that for its normal speed.
PATIENCE_S = 60.0
LEAST_PATIENCE_S = 5.0
PAUSE_S = 2.0

#: A measurement is repeated for a slow reference at most so often, or a restless computer never ends it.
MAX_REPEATS = 2

#: A reading whose quartiles lie further apart is taken again at once, and the steadier one counts.
RESTLESS = 0.10

#: How long to wait for a phone that went away: it may be charged elsewhere, or somebody borrowed the cable.
GONE_PATIENCE_S = 1800.0

#: How long to wait for a phone that is too hot.
HEAT_PATIENCE_S = 1800.0

#: A probe during which the device went away so often is a failure: it may be what makes it go.
MAX_LOSSES = 3

#: Seconds of execution for an energy, and of rest before and after (our choice): a battery tells a new
#: value once or twice a second.
ENERGY_BUSY_S = 10.0
ENERGY_IDLE_S = 4.0

#: So many energies refused in a row are not about single probes any more.
MAX_REFUSED = 3

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
        settled: of how many kinds more measurements no longer help.
    """

    stage: Literal["preparing", "weights", "measuring", "waiting", "energy", "learning", "finished"]
    done: int = 0
    total: int | None = None
    failures: int = 0
    kind: str = ""
    seconds: float = 0.0
    rate_per_minute: float = 0.0
    eta_s: float | None = None
    waiting: str | None = None
    last: Measurement | None = None
    settled: int = 0


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
    gone_patience_s: float = GONE_PATIENCE_S,
    work: Work | None = None,
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
        gone_patience_s: wait so long for a device that went away.
        work: what is left to time, shared with campaigns on other devices; by default all of the plan
            that the journal does not have.

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
            campaign = _Campaign(runner, plan, journal, device, progress, records, work)
            campaign.pause_s, campaign.patience_s = pause_s, patience_s
            campaign.reference_every_s = reference_every_s
            campaign.gone_patience_s = gone_patience_s
            campaign.run()
    return read_records(journal_path)


class _Campaign:
    """One run of a campaign, from its lock to its last event."""

    pause_s = PAUSE_S
    patience_s = PATIENCE_S
    reference_every_s = REFERENCE_EVERY_S
    gone_patience_s = GONE_PATIENCE_S
    heat_patience_s = HEAT_PATIENCE_S

    def __init__(
        self,
        runner: Runner,
        plan: Plan,
        journal: Journal,
        device: DeviceInfo,
        progress: Progress | None,
        records: Records | None,
        work: Work | None,
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
        self._cold_done = {_key(known) for known in records.cold_weights} if records else set()
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
        self._work = work or work_of(plan, records)
        self._losses: dict[int, int] = {}
        self._under_way = -1
        self._in_a_row = 0
        self._counters_missing = False
        self._away_s = 0.0
        self._timed_s = 0.0
        self._settled: set[str] = set()
        if records:
            journal.resume(plan=plan, measurements=len(self._done), failures=len(self._failed))
        else:
            journal.start("campaign", name=device.id, device=device, runtime=runner.runtime, plan=plan)

    def run(self) -> None:
        try:
            self._tell("preparing")
            self._measure_overhead()
            self._check_reference()
            self._measure_cold_weights(seconds_for(self._plan))
            self._measure_all()
            if self._plan.energy_minutes is not None:
                self._measure_energies(60 * self._plan.energy_minutes)
        except KeyboardInterrupt:
            self._journal.write("interrupted", reason="by the user", **self._counts())
            raise
        except (CampaignError, DeviceError) as error:
            self._journal.write("failed", reason=str(error), **self._counts())
            raise
        self._journal.write("finished", **self._counts())
        self._tell("finished")

    def _measure_cold_weights(self, limit_s: float) -> None:
        """Time layers whose weights do not stay in the caches, as far as the time for it goes."""
        begin = time.monotonic()
        for probes in cold_probes(self._plan.kinds or ()):
            for probe in probes:
                if time.monotonic() - begin >= limit_s:
                    return
                if _key(probe) in self._cold_done:
                    continue
                self._tell("weights", probe.kind)
                model = build_probe(probe.kind, probe.dims, layers=probe.layers)
                try:
                    timing = self._present(partial(self._runner.time, model))
                except MeasurementError as error:
                    text = f"{probe.layers} layers of {probe.kind} with weights of their own were not timed"
                    self._journal.write("warning", message=f"{text}: {error}")
                    break  # larger ones would not do better
                cold = ColdWeights(*probe, timing.median_ms, timing.iqr_ms, timing.min_ms, timing.runs)
                self._journal.write("cold_weights", **msgspec.structs.asdict(cold))

    def _measure_all(self) -> None:
        checked = time.monotonic()
        while True:
            batch = [] if self._time_is_up() else self._work.take(self._runner.batch)
            self._tell_of_settled()
            if not batch:
                self._check_reference(last=True)
                if not self._redo or self._time_is_up():
                    return
                continue
            self._measure(batch)
            if self._in_a_row >= MAX_FAILURES:
                raise CampaignError(
                    f"the last {self._in_a_row} probes failed on this device, so something else is wrong. "
                    f"The journal {self._journal.path} has the reason of each."
                )
            self._cool_down()
            if time.monotonic() - checked >= self.reference_every_s:
                self._check_reference()
                checked = time.monotonic()

    def _tell_of_settled(self) -> None:
        for kind, reason in self._work.settled.items():
            if kind not in self._settled:
                self._settled.add(kind)
                self._journal.write("settled", kind=kind, reason=reason)

    def _time_is_up(self) -> bool:
        limit = self._plan.minutes
        return limit is not None and self._earlier_s + self._seconds() - self._away_s >= 60 * limit

    def _measure(self, batch: list[Item]) -> None:
        waiting = dict(batch)
        try:
            later: dict[int, Timing | MeasurementError] = {}
            for index, result in self._timed(batch):
                if self._plan.counters or _doubtful(result):
                    later[index] = result
                else:
                    self._record(index, waiting[index], result)
                    del waiting[index]
            # Only now: before, the device may still have been timing the rest of the batch.
            again = [(index, waiting[index]) for index, result in later.items() if _doubtful(result)]
            for index, result in self._timed(again):
                later[index] = _better(later[index], result)
            for index, result in later.items():
                self._record(index, waiting[index], result)
                del waiting[index]
        except DeviceGoneError as error:
            self._lose(self._under_way, waiting, error)
            self._await_device(error)
        finally:
            self._work.give_back(waiting)

    def _timed(self, batch: list[Item]) -> Iterator[tuple[int, Timing | MeasurementError]]:
        """Time each; :attr:`_under_way` is the index of the one that the device has in hand."""
        if not batch:
            return
        results = self._runner.time_many(build_probe(c.kind, c.dims, copies=copies_of(c)) for _, c in batch)
        for self._under_way, _ in batch:
            result = next(results)
            if isinstance(result, Timing):
                self._timed_s += result.timed_s
            yield self._under_way, result
        next(results, None)  # the runner's own end of the batch

    def _lose(self, index: int, waiting: dict[int, Configuration], error: DeviceGoneError) -> None:
        """The device went away in the middle of this one."""
        self._losses[index] = self._losses.get(index, 0) + 1
        if self._losses[index] >= MAX_LOSSES:
            reason = f"the device went away {self._losses[index]} times in the middle of it: {error}"
            self._record(index, waiting.pop(index), MeasurementError(reason))

    def _record(self, index: int, configuration: Configuration, result: Timing | MeasurementError) -> None:
        kind, dims, group = configuration
        self._redo.discard(index)
        if isinstance(result, MeasurementError):
            self._work.finish(index)
            self._journal.write("failure", index=index, kind=kind, dims=dims, reason=str(result))
            self._failed.add(index)
            self._in_a_row += 1
        else:
            assert self._overhead_ms is not None
            copies = copies_of(configuration)
            one = alone(result, copies, self._overhead_ms)
            measurement = Measurement(
                index, kind, dims, group, one.median_ms, one.iqr_ms, one.min_ms, one.runs, copies
            )
            self._work.finish(index, one.median_ms - self._overhead_ms)
            if self._plan.counters:
                measurement = self._counted(measurement)
            self._journal.write("measurement", **msgspec.structs.asdict(measurement))
            self._done[index] = None
            self._ran += 1
            self._in_a_row = 0
            self._last = measurement
        self._tell("measuring", kind)

    def _counted(self, measurement: Measurement) -> Measurement:
        """With cache references and misses; a device that does not count says so once."""
        model = build_probe(measurement.kind, measurement.dims)
        try:
            references, misses = self._runner.cache_counters(model)
        except MeasurementError as error:
            if not self._counters_missing:
                self._counters_missing = True
                self._journal.write("warning", message=f"cache accesses are not counted: {error}")
            return measurement
        return msgspec.structs.replace(measurement, cache_references=references, cache_misses=misses)

    def _measure_energies(self, limit_s: float) -> None:
        """Energies of an invocation and of the probes that were timed, in the order of the design."""
        begin = time.monotonic()
        records = read_records(self._journal.path)
        if records.overhead_mj is None:
            energy = self._energy_of(build_overhead_probe())
            if isinstance(energy, EnergyUnavailableError):
                self._journal.write("warning", message=f"the energy of an invocation is unknown: {energy}")
            else:
                self._journal.write("energy_overhead", overhead_mj=energy.energy_mj)
        refused = 0
        for index, measurement in sorted(records.measurements.items()):
            if time.monotonic() - begin >= limit_s:
                return
            if measurement.energy_mj is not None:
                continue
            self._cool_down()
            self._tell("energy", measurement.kind)
            energy = self._energy_of(build_probe(measurement.kind, measurement.dims))
            if isinstance(energy, EnergyUnavailableError):
                refused += 1
                self._journal.write("energy_failure", index=index, reason=str(energy))
                if refused >= MAX_REFUSED:
                    self._journal.write("warning", message=f"energy was given up: {energy}")
                    return
            else:
                refused = 0
                self._journal.write("energy", index=index, **msgspec.structs.asdict(energy))

    def _energy_of(self, model: bytes) -> Energy | EnergyUnavailableError:
        try:
            samples, mean_ms = self._present(
                lambda: self._runner.sample_power(model, ENERGY_BUSY_S, ENERGY_IDLE_S)
            )
            return energy_of(samples, mean_ms)
        except EnergyUnavailableError as error:
            return error
        except MeasurementError as error:
            return EnergyUnavailableError(str(error))

    def _await_device(self, gone: DeviceGoneError) -> None:
        """Wait for a device that went away; CampaignError when it stays away."""
        self._journal.write("gone", reason=str(gone))
        begin = time.monotonic()
        while True:
            away_s = time.monotonic() - begin
            if away_s >= self.gone_patience_s:
                raise CampaignError(
                    f"the device has been away for {away_s / 60:.0f} minutes: {gone} What was measured is in "
                    f"{self._journal.path}. Attach it again and resume the campaign."
                )
            self._tell("waiting", waiting=f"the device is away: {gone}")
            try:
                self._runner.reconnect()
            except DeviceGoneError as error:
                gone = error
                time.sleep(self.pause_s)
            else:
                break
        away_s = time.monotonic() - begin
        self._away_s += away_s
        self._journal.write("back", away_s=away_s)

    def _present(self, ask: Callable[[], T]) -> T:
        """What the device answers, however often it goes away meanwhile."""
        while True:
            try:
                return ask()
            except DeviceGoneError as error:
                self._await_device(error)

    def _cool_down(self) -> None:
        """Wait while the device says that its times cannot be trusted, and repeat what it timed before."""
        reason = self._present(self._runner.unsteady)
        if reason is None:
            return
        self._supersede([i for i, closed in self._done.items() if closed is None], reason)
        begin = time.monotonic()
        while reason is not None:
            waited = time.monotonic() - begin
            self._journal.write("waiting", reason=reason, waited_s=waited)
            if waited >= self.heat_patience_s:
                raise CampaignError(
                    f"the device has not become steady in {waited / 60:.0f} minutes: {reason}. What was "
                    f"measured is in {self._journal.path}. Let it cool, and resume the campaign."
                )
            self._tell("waiting", waiting=reason)
            time.sleep(self.pause_s)
            reason = self._present(self._runner.unsteady)

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
            slow = [i for i, closed in self._done.items() if closed is None]
            self._supersede(slow, self._slowness(took_ms))
            took_ms = self._wait(took_ms)
        elif self._baseline is not None and took_ms * SLOWER < self._baseline:
            # The baseline itself was made while the computer was slow, and so was what it approved
            # and what was measured since.
            slow = [i for i, closed in self._done.items() if closed is None or closed > SLOWER * took_ms]
            self._warn("the computer got faster", took_ms)
            self._supersede(slow, self._slowness(took_ms))
            self._overhead_ms = None
            self._measure_overhead()
        self._baseline = took_ms if self._baseline is None else min(self._baseline, took_ms)
        for index, closed in self._done.items():
            if closed is None:
                self._done[index] = took_ms
        self._journal.write("reference", median_ms=took_ms, baseline_ms=self._baseline, good=True)
        self._journal.write("progress", **self._counts(), timed_seconds=round(self._timed_s, 3))

    def _wait(self, took_ms: float) -> float:
        """Wait until the reference is as fast as it was; returns its time then.

        After ``patience_s`` the slower speed is taken for the normal one: a hot laptop
        never gets as fast again as it was at the start. A campaign that has just begun
        has less patience, for what it would have to repeat took no longer.
        """
        assert self._baseline is not None
        begin = time.monotonic()
        patience_s = min(self.patience_s, max(LEAST_PATIENCE_S, self._earlier_s + self._seconds()))
        while took_ms > SLOWER * self._baseline:
            ratio = took_ms / self._baseline
            waited = time.monotonic() - begin
            self._journal.write(
                "waiting",
                reason=self._slowness(took_ms),
                median_ms=took_ms,
                baseline_ms=self._baseline,
                waited_s=waited,
            )
            if waited >= patience_s:
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
                medians.append(self._present(lambda: self._runner.time(model)).median_ms)
            except MeasurementError as error:
                reason = str(error)
            if len(medians) == times:
                break
        if not medians:
            raise CampaignError(f"the device cannot execute even the reference probe: {reason}")
        return min(medians)

    def _slowness(self, took_ms: float) -> str:
        return f"the reference took {took_ms:.4g} ms, its baseline was {self._baseline:.4g} ms"

    def _supersede(self, indices: list[int], reason: str) -> None:
        """Have measurements repeated, unless they were repeated often enough."""
        again = [i for i in indices if self._repeats.get(i, 0) < MAX_REPEATS]
        if not again:
            return
        self._journal.write("superseded", indices=again, reason=reason)
        for index in again:
            del self._done[index]
            self._repeats[index] = self._repeats.get(index, 0) + 1
        self._redo.update(again)
        self._work.give_back(again)

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
        if self._work.total is not None:
            limits.append(self._work.total)
        if self._plan.minutes is not None and rate:
            left_s = max(0.0, 60 * self._plan.minutes - self._earlier_s - self._seconds() + self._away_s)
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
                settled=len(self._settled),
            )
        )


def _key(probe: Layers | ColdWeights) -> tuple[str, tuple[int, ...], int]:
    return probe.kind, tuple(probe.dims.values()), probe.layers


def _doubtful(result: Timing | MeasurementError) -> bool:
    """Whether another reading may be better."""
    if isinstance(result, MeasurementError):
        return isinstance(result, (OutputDamagedError, ToolHungError))
    return result.iqr_ms > RESTLESS * result.median_ms


def _better(first: Timing | MeasurementError, second: Timing | MeasurementError) -> Timing | MeasurementError:
    """Of two timings the one whose readings agree better."""
    if isinstance(first, MeasurementError) or isinstance(second, MeasurementError):
        return second if isinstance(first, MeasurementError) else first
    return min(first, second, key=lambda t: t.iqr_ms / t.median_ms)
