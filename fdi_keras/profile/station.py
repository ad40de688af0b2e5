"""A device with its campaign: what was asked for, made definite, and where things lie."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fdi_keras.devices import DeviceInfo, Runner, Runtime, RuntimeChoice, open_device, open_runner
from fdi_keras.journal import journal_path
from fdi_keras.profile.enough import Enough
from fdi_keras.profile.extend import Extension
from fdi_keras.profile.files import profile_folder
from fdi_keras.profile.profile import DeviceProfile
from fdi_keras.profiling import CampaignProgress, Plan, Records, campaign_name, read_records, run_campaign
from fdi_keras.profiling.active import work_of
from fdi_keras.profiling.work import Work

Progress = Callable[[CampaignProgress], None]


@dataclass(frozen=True)
class Wish:
    """What a campaign was asked for; what is left out is as it was in the one that is resumed.

    Attributes:
        extend: a profile whose measurements are to be added to; kinds and seed are then its own when left
            out, and ``measurements`` counts from its end.
        active: whether what is timed next is chosen by what was timed; it is when nobody says otherwise.
    """

    minutes: float | None
    measurements: int | None
    kinds: Sequence[str] | None
    seed: int | None
    resume: bool
    energy_minutes: float | None
    counters: bool
    extend: DeviceProfile | None = None
    active: bool | None = None

    def plan(self, before: Plan | None) -> Plan:
        kinds, seed = self.kinds, self.seed
        if self.extend is not None:
            kinds = self.extend.plan.kinds if kinds is None else kinds
            seed = self.extend.plan.seed if seed is None else seed
        energy_minutes, counters, active = self.energy_minutes, self.counters, self.active
        minutes, measurements = self.minutes, self.measurements
        if before is not None:
            kinds = before.kinds if kinds is None else kinds
            seed = before.seed if seed is None else seed
            if minutes is None and measurements is None:
                minutes, measurements = before.minutes, before.measurements
            energy_minutes = before.energy_minutes if energy_minutes is None else energy_minutes
            counters = counters or before.counters
            active = before.active if active is None else active
        active = True if active is None else active
        return Plan(
            None if kinds is None else list(kinds),
            seed or 0,
            measurements,
            minutes,
            energy_minutes=energy_minutes,
            counters=counters,
            active=active,
        ).checked()


@dataclass
class Station:
    """A device with its campaign.

    Attributes:
        name: what the user called the device.
        before: what its journal has, when it is resumed.
        work: its share of what several devices time; None: all of it.
        extension: of the profile that the campaign adds to.
    """

    name: str
    info: DeviceInfo
    runner: Runner
    journal: Path
    plan: Plan
    before: Records | None
    work: Work | None = None
    extension: Extension | None = None

    def run(self, progress: Progress | None) -> Records:
        with self.runner:
            return run_campaign(
                self.runner,
                self.plan,
                self.journal,
                device=self.info,
                resume=self.before is not None,
                progress=progress,
                work=self.work,
            )


def open_station(name: str, choice: RuntimeChoice, wish: Wish) -> Station:
    """Open a device for what was asked for.

    Raises:
        DeviceError: it is not there, or not ready.
        EnergyUnavailableError: energies are asked for, and cannot be measured now.
        CampaignError: nothing to resume, or a profile to extend that is not this device's.
        UsageError: an unknown kind or an impossible limit or runtime.
    """
    if wish.extend is not None and choice.threads is None:
        choice = with_threads(choice, wish.extend.runtime.threads)
    device = open_device(name, choice.adb)
    runner = open_runner(name, choice)
    if wish.energy_minutes is not None:
        # Now, not when the times are measured. Where only the campaign that is resumed wanted energies, its
        # times shall go on with the phone plugged in.
        runner.check_energy()
    journal = journal_path("campaigns", campaign_name(device.id, runner.runtime))
    before = None
    if wish.resume:
        before = read_records(journal)
        if choice.threads is None and before.runtime.threads != runner.runtime.threads:
            runner = open_runner(name, with_threads(choice, before.runtime.threads))
    plan = wish.plan(before.plan if before else None)
    station = Station(name, device.info, runner, journal, plan, before)
    station.work = work_of(plan, before, enough=enough_on(station), beside=has_core_left(station))
    if wish.extend is not None:
        station.extension = Extension(wish.extend, plan, station.info, runner.runtime)
        if wish.measurements is not None:
            station.plan = msgspec.structs.replace(
                plan, measurements=station.extension.limit(wish.measurements)
            )
        station.work = work_of(
            station.plan,
            before,
            station.extension.times,
            station.extension.again,
            enough_on(station),
            has_core_left(station),
        )
    return station


def enough_on(station: Station) -> Enough:
    """What says when a campaign on a device has enough."""
    return Enough(station.plan.seed, beside=has_core_left(station))


def has_core_left(station: Station) -> bool:
    """Whether this computer can calculate without disturbing what is being timed."""
    return station.info.kind == "phone" or station.runner.runtime.threads < (os.cpu_count() or 1)


def campaign_journal(device: str = "local", runtime: RuntimeChoice | None = None) -> Path:
    """The journal of the latest campaign on a device.

    Raises:
        DeviceNotFoundError: there is no such device.
    """
    choice = runtime or RuntimeChoice()
    runner = open_runner(device, choice)
    return journal_path("campaigns", campaign_name(open_device(device, choice.adb).id, runner.runtime))


def default_profile_path(device: str = "local", runtime: Runtime | None = None) -> Path:
    """Where :func:`profile_device` saves, when not told otherwise: the user's profile folder."""
    parts = [re.sub(r"[^A-Za-z0-9._-]+", "-", device)]
    if runtime is not None:
        usual = (runtime.delegate, runtime.precision, runtime.cores) == ("xnnpack", "float32", "")
        parts += [] if usual else [runtime.delegate, *filter(None, [runtime.cores])]
        parts += ["float16"] if runtime.precision == "float16" else []
        parts += [] if runtime.threads == 1 else [f"{runtime.threads}-threads"]
    return profile_folder() / f"{'-'.join(parts)}.json"


def with_threads(runtime: RuntimeChoice | None, threads: int | None) -> RuntimeChoice:
    choice = runtime or RuntimeChoice()
    return choice if threads is None else msgspec.structs.replace(choice, threads=threads)
