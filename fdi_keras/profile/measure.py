"""The whole way from devices to their profiles: open, time, learn, save."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import msgspec

from fdi_keras.devices import DeviceInfo, Runner, Runtime, RuntimeChoice, open_device, open_runner
from fdi_keras.errors import CampaignError, FdiError, UsageError
from fdi_keras.journal import journal_path
from fdi_keras.profile.files import check_writable, profile_folder
from fdi_keras.profile.learn import learn_profile
from fdi_keras.profile.profile import DeviceProfile
from fdi_keras.profiling import CampaignProgress, Plan, Records, campaign_name, read_records, run_campaign
from fdi_keras.profiling.agreement import COMMON, compare, together
from fdi_keras.profiling.work import Share, Work

Progress = Callable[[CampaignProgress], None]


def profile_device(
    device: str = "local",
    minutes: float | None = None,
    measurements: int | None = None,
    kinds: Sequence[str] | None = None,
    threads: int | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    seed: int | None = None,
    progress: Progress | None = None,
    runtime: RuntimeChoice | None = None,
    energy_minutes: float | None = None,
    counters: bool = False,
) -> DeviceProfile:
    """Time operators on a device, learn its execution-time models, save the profile.

    Args:
        device: id of the device, see ``fdi devices``.
        minutes: time the campaign may take; 10 when ``measurements`` is not given either.
        measurements: how many configurations to time.
        kinds: of operators; all when left out.
        threads: of the runtime; 1 when left out.
        out: the profile's file; :func:`default_profile_path` when left out.
        resume: go on with the campaign that was broken off. What is left out above is
            then as it was; ``minutes`` and ``measurements`` count from its beginning,
            so that larger ones extend a campaign that has ended.
        seed: of the design; 0 when left out.
        progress: called after every measurement.
        runtime: how a phone shall execute models.
        energy_minutes: then measure energies for so long, on an unplugged phone.
        counters: count cache accesses of each probe, on a phone with simpleperf.

    Raises:
        DeviceNotFoundError: there is no such device.
        DeviceBusyError: another campaign holds it.
        CampaignError: nothing to resume, the device stayed away, or nothing could be learned.
        EnergyUnavailableError: energies are asked for, of a device that cannot measure them now.
        StorageError: journal or profile cannot be written. What was measured is in the
            journal and can be resumed.
        UsageError: an unknown kind or an impossible limit or runtime.
    """
    wish = Wish(minutes, measurements, kinds, seed, resume, energy_minutes, counters)
    station = _open(device, _with_threads(runtime, threads), wish)
    path = Path(out) if out is not None else default_profile_path(station.info.id, station.runner.runtime)
    check_writable(path)
    records = station.run(progress)
    return _learned([records], path, progress, [*station.runner.notes])


def profile_devices(
    devices: Sequence[str],
    minutes: float | None = None,
    measurements: int | None = None,
    kinds: Sequence[str] | None = None,
    threads: int | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    seed: int | None = None,
    progress: Callable[[str, CampaignProgress], None] | None = None,
    runtime: RuntimeChoice | None = None,
    energy_minutes: float | None = None,
    counters: bool = False,
) -> dict[str, DeviceProfile | FdiError]:
    """The same for several devices at once. One that fails does not stop the others.

    Devices of one model and runtime share the design out between them, and give one profile
    if the first probes, which each of them times, take equally long on all.

    Args:
        devices: ids.
        out: as for :func:`profile_device`, for devices that give one profile.
        progress: called with the id of the device.

    Returns:
        By id the profile, or the error that ended its campaign.

    Raises:
        UsageError: no device, one twice, or ``out`` for several profiles.
        StorageError: a profile cannot be written.
    """
    if not devices or len(set(devices)) < len(devices):
        raise UsageError(f"expected at least one device, each once; received {', '.join(devices) or 'none'}.")
    wish = Wish(minutes, measurements, kinds, seed, resume, energy_minutes, counters)
    choice = _with_threads(runtime, threads)
    results: dict[str, DeviceProfile | FdiError] = {}
    stations: list[Station] = []
    for device in devices:
        try:
            stations.append(_open(device, choice, wish))
        except FdiError as error:
            results[device] = error
    groups = _groups(stations)
    if out is not None and len(groups) > 1:
        raise UsageError(
            f"--out names one file, but these devices give {len(groups)} profiles: they are of different models."
        )
    paths = {}
    for group in groups:
        first = group[0]
        path = Path(out) if out is not None else default_profile_path(first.info.id, first.runner.runtime)
        check_writable(path)
        paths[first.name] = path
        if len(group) > 1:
            _share(group)

    def tell(device: str) -> Progress | None:
        return None if progress is None else lambda state: progress(device, state)

    errors = _run_all(stations, tell)
    for group in groups:
        results |= _results(group, errors, paths[group[0].name], tell)
    return {device: results[device] for device in devices}


@dataclass(frozen=True)
class Wish:
    """What a campaign was asked for; what is left out is as it was in the one that is resumed."""

    minutes: float | None
    measurements: int | None
    kinds: Sequence[str] | None
    seed: int | None
    resume: bool
    energy_minutes: float | None
    counters: bool

    def plan(self, before: Plan | None) -> Plan:
        kinds, seed = self.kinds, self.seed
        energy_minutes, counters = self.energy_minutes, self.counters
        minutes, measurements = self.minutes, self.measurements
        if before is not None:
            kinds = before.kinds if kinds is None else kinds
            seed = before.seed if seed is None else seed
            if minutes is None and measurements is None:
                minutes, measurements = before.minutes, before.measurements
            energy_minutes = before.energy_minutes if energy_minutes is None else energy_minutes
            counters = counters or before.counters
        return Plan(
            None if kinds is None else list(kinds),
            seed or 0,
            measurements,
            minutes,
            energy_minutes=energy_minutes,
            counters=counters,
        ).checked()


@dataclass
class Station:
    """A device with its campaign.

    Attributes:
        name: what the user called the device.
        before: what its journal has, when it is resumed.
        work: its share of what several devices time; None: all of it.
    """

    name: str
    info: DeviceInfo
    runner: Runner
    journal: Path
    plan: Plan
    before: Records | None
    work: Work | None = None

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


def _with_threads(runtime: RuntimeChoice | None, threads: int | None) -> RuntimeChoice:
    choice = runtime or RuntimeChoice()
    return choice if threads is None else msgspec.structs.replace(choice, threads=threads)


def _open(name: str, choice: RuntimeChoice, wish: Wish) -> Station:
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
            runner = open_runner(name, _with_threads(choice, before.runtime.threads))
    return Station(name, device.info, runner, journal, wish.plan(before.plan if before else None), before)


def _groups(stations: Sequence[Station]) -> list[list[Station]]:
    """Devices of one model and runtime together, computers each alone."""
    groups: dict[object, list[Station]] = {}
    for station in stations:
        info = station.info
        model = (info.name, info.details.get("soc")) if info.kind == "phone" else info.id
        key = (model, station.runner.runtime, msgspec.json.encode(station.plan))
        groups.setdefault(key, []).append(station)
    return list(groups.values())


def _share(group: Sequence[Station]) -> None:
    """Give each its share of the common work."""
    timed = [
        {*station.before.measurements, *station.before.failures} if station.before else set[int]()
        for station in group
    ]
    common = Work(group[0].plan, set(range(COMMON)).union(*timed))
    for station, done in zip(group, timed, strict=True):
        station.work = Share(station.plan, common, COMMON, done)


def _run_all(stations: Sequence[Station], tell: Callable[[str], Progress | None]) -> dict[str, FdiError]:
    """Run all campaigns at once; the errors of those that failed.

    Ctrl-C is for the main thread: each campaign is told to stop, and says so in its journal.
    """
    errors: dict[str, FdiError] = {}
    surprises: list[BaseException] = []
    stop = threading.Event()

    def campaign(station: Station, ended: threading.Event) -> None:
        told = tell(station.name)

        def report(state: CampaignProgress) -> None:
            if stop.is_set():
                raise KeyboardInterrupt
            if told is not None:
                told(state)

        try:
            station.run(report)
        except FdiError as error:
            errors[station.name] = error
        except BaseException as error:
            surprises.append(error)
        finally:
            ended.set()

    # Not Thread.join(): one that Ctrl-C interrupts takes the thread for ended (Python before 3.13).
    endings = [threading.Event() for _ in stations]
    for station, ended in zip(stations, endings, strict=True):
        threading.Thread(target=campaign, args=[station, ended], daemon=True).start()
    try:
        for ended in endings:
            while not ended.wait(0.2):
                pass
    except KeyboardInterrupt:
        stop.set()
        for ended in endings:
            ended.wait()
        raise
    if surprises:
        raise surprises[0]
    return errors


def _results(
    group: Sequence[Station],
    errors: dict[str, FdiError],
    path: Path,
    tell: Callable[[str], Progress | None],
) -> dict[str, DeviceProfile | FdiError]:
    """Profiles of one group: one of all that agree with the first, each other its own."""
    results: dict[str, DeviceProfile | FdiError] = {s.name: errors[s.name] for s in group if s.name in errors}
    ended = [station for station in group if station.name not in errors]
    if not ended:
        return results
    records = {station.name: read_records(station.journal) for station in ended}
    first = ended[0]
    agreeing, texts = [first], []
    for station in ended[1:]:
        found = compare(records[first.name], records[station.name])
        texts.append(found.text)
        if found.agree:
            agreeing.append(station)
    for members in [agreeing, *([s] for s in ended if s not in agreeing)]:
        own = members[0].name
        place = (
            path if own == first.name else default_profile_path(members[0].info.id, members[0].runner.runtime)
        )
        notes = [note for station in members for note in station.runner.notes]
        if len(members) > 1:
            counts = ", ".join(f"{s.name} ({len(records[s.name].measurements)} probes)" for s in members)
            notes.append(f"measured on several devices of one model: {counts}; {'; '.join(texts)}.")
        elif texts:
            notes.append(f"measured alone, as the devices do not agree: {'; '.join(texts)}.")
        try:
            profile: DeviceProfile | FdiError = _learned(
                [records[s.name] for s in members], place, tell(own), notes
            )
        except CampaignError as error:
            profile = error
        results |= {station.name: profile for station in members}
    return results


#: What of a device's details belongs to the one that was measured and to nobody else, or to that day.
PRIVATE = (
    "serial_number",
    "fingerprint",
    "adb_state",
    "adb_server",
    "battery",
    "free_bytes",
    "thermal_status",
)


def shareable(device: DeviceInfo) -> DeviceInfo:
    """The device without what would tell a phone from others of its model: profiles are shared."""
    if device.kind != "phone":
        return device
    details = {name: value for name, value in device.details.items() if name not in PRIVATE}
    return msgspec.structs.replace(device, id="phone", details=details)


def _learned(
    records: Sequence[Records], path: Path, progress: Progress | None, notes: Sequence[str]
) -> DeviceProfile:
    def tell(kind: str, done: int, total: int) -> None:
        if progress:
            progress(CampaignProgress("learning", done, total, kind=kind))

    profile = learn_profile(together(records), name=path.stem, progress=tell)
    profile.device = shareable(profile.device)
    profile.warnings += [note for note in notes if note not in profile.warnings]
    profile.save(path)
    return profile
