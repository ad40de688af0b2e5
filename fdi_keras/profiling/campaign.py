"""A campaign: times the configurations of a design, one after another, into a journal.

The journal is the campaign. Every measurement is in it before the next one starts;
a campaign that was killed reads it and goes on with what is missing. Nothing in it
is ever removed: a measurement that has to be repeated is first named in a
``superseded`` event.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from os import PathLike

import msgspec

from fdi_keras.devices import DeviceInfo, Runner, Timing
from fdi_keras.errors import (
    CampaignError,
    DeviceError,
    DeviceGoneError,
    MeasurementError,
    OutputDamagedError,
    ToolHungError,
)
from fdi_keras.journal import Journal, set_aside
from fdi_keras.profiling.active import work_of
from fdi_keras.profiling.cold_weights import seconds_for
from fdi_keras.profiling.cold_weights_campaign import measure_cold_weights
from fdi_keras.profiling.copies import alone, copies_of
from fdi_keras.profiling.design import Configuration
from fdi_keras.profiling.energy_campaign import measure_energies
from fdi_keras.profiling.lock import DeviceLock
from fdi_keras.profiling.patient_runner import Patience, PatientRunner
from fdi_keras.profiling.plan import Plan
from fdi_keras.profiling.probes import build_overhead_probe, build_probe
from fdi_keras.profiling.records import Measurement, Records, read_records
from fdi_keras.profiling.reference import Reference
from fdi_keras.profiling.tally import Progress, Tally
from fdi_keras.profiling.work import Item, Work

#: A reading whose quartiles lie further apart is taken again at once, and the steadier one counts.
RESTLESS = 0.10

#: A probe during which the device went away so often is a failure: it may be what makes it go.
MAX_LOSSES = 3

#: How long a campaign waits.
PATIENCE = Patience()

#: So many failures in a row are not about single probes any more.
MAX_FAILURES = 20


def run_campaign(
    runner: Runner,
    plan: Plan,
    journal_path: str | PathLike[str],
    *,
    device: DeviceInfo,
    resume: bool = False,
    progress: Progress | None = None,
    patience: Patience = PATIENCE,
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
        patience: for how long to wait for a device that got slower, hot, or went away.
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
            _Campaign(runner, plan, journal, device, progress, records, work, patience).run()
    return read_records(journal_path)


class _Campaign:
    """One run of a campaign, from its lock to its last event."""

    def __init__(
        self,
        runner: Runner,
        plan: Plan,
        journal: Journal,
        device: DeviceInfo,
        progress: Progress | None,
        records: Records | None,
        work: Work | None,
        patience: Patience,
    ):
        self._runner, self._plan, self._journal = runner, plan, journal
        self._reference_every_s = patience.reference_every_s
        self._work = work or work_of(plan, records)
        self._tally = Tally(plan, self._work, journal, records, progress)
        self._device = PatientRunner(runner, journal, self._tally, patience)
        self._reference = Reference(
            self._device,
            journal,
            self._tally,
            patience,
            records.baseline_ms if records else None,
            self._measure_overhead,
        )
        self._overhead_ms = records.overhead_ms if records else None
        self._cold_weights = records.cold_weights if records else []
        self._losses: dict[int, int] = {}
        self._under_way = -1
        self._counters_missing = False
        if records:
            counts = self._tally.counts()
            journal.resume(plan=plan, measurements=counts["measurements"], failures=counts["failures"])
        else:
            journal.start("campaign", name=device.id, device=device, runtime=runner.runtime, plan=plan)

    def run(self) -> None:
        try:
            self._tally.tell("preparing")
            if self._overhead_ms is None:
                self._measure_overhead()
            self._reference.check()
            measure_cold_weights(
                self._device,
                self._journal,
                self._tally,
                self._plan.kinds or (),
                self._cold_weights,
                seconds_for(self._plan),
            )
            self._measure_all()
            if self._plan.energy_minutes is not None:
                measure_energies(self._device, self._journal, self._tally, 60 * self._plan.energy_minutes)
        except KeyboardInterrupt:
            self._journal.write("interrupted", reason="by the user", **self._tally.counts())
            raise
        except (CampaignError, DeviceError) as error:
            self._journal.write("failed", reason=str(error), **self._tally.counts())
            raise
        self._journal.write("finished", **self._tally.counts())
        self._tally.tell("finished")

    def _measure_all(self) -> None:
        checked = time.monotonic()
        while True:
            batch = [] if self._tally.time_is_up else self._work.take(self._runner.batch)
            self._tally.note_settled()
            if not batch:
                self._reference.check(last=True)
                if not self._tally.has_to_repeat or self._tally.time_is_up:
                    return
                continue
            self._measure(batch)
            if self._tally.failures_in_a_row >= MAX_FAILURES:
                raise CampaignError(
                    f"the last {self._tally.failures_in_a_row} probes failed on this device, so something else is "
                    f"wrong. The journal {self._journal.path} has the reason of each."
                )
            self._device.cool_down()
            if time.monotonic() - checked >= self._reference_every_s:
                self._reference.check()
                checked = time.monotonic()

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
            self._device.await_device(error)
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
                self._tally.timed_s += result.timed_s
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
        if isinstance(result, MeasurementError):
            self._work.finish(index)
            self._tally.add_failure(index, kind, dims, str(result))
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
            self._tally.add(measurement)
        self._tally.tell("measuring", kind)

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

    def _measure_overhead(self) -> None:
        self._overhead_ms = self._device.time_often(build_overhead_probe(), times=3)
        self._journal.write("overhead", overhead_ms=self._overhead_ms)


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
