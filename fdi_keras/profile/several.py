"""Several devices at once: who shares the work with whom, and which profiles that gives."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from fdi_keras.devices import DeviceInfo
from fdi_keras.errors import CampaignError, FdiError
from fdi_keras.profile.learn import learn_profile
from fdi_keras.profile.profile import DeviceProfile
from fdi_keras.profile.station import Progress, Station, default_profile_path, enough_on
from fdi_keras.profiling import CampaignProgress, Records, read_records
from fdi_keras.profiling.active import ActiveWork, times_of
from fdi_keras.profiling.agreement import COMMON, compare, together
from fdi_keras.profiling.work import Share, Work


def groups_of(stations: Sequence[Station]) -> list[list[Station]]:
    """Devices of one model and runtime together, computers each alone."""
    groups: dict[object, list[Station]] = {}
    for station in stations:
        info = station.info
        model = (info.name, info.details.get("soc")) if info.kind == "phone" else info.id
        key = (model, station.runner.runtime, msgspec.json.encode(station.plan))
        groups.setdefault(key, []).append(station)
    return list(groups.values())


def share_out(group: Sequence[Station]) -> None:
    """Give each its share of the common work."""
    timed = [
        {*station.before.measurements, *station.before.failures} if station.before else set[int]()
        for station in group
    ]
    plan, all_done = group[0].plan, set(range(COMMON)).union(*timed)
    times = {i: ms for station in group if station.before for i, ms in times_of(station.before).items()}
    common = (
        ActiveWork(plan, all_done, times, enough=enough_on(group[0]), beside=True)
        if plan.active
        else Work(plan, all_done)
    )
    for station, done in zip(group, timed, strict=True):
        station.work = Share(station.plan, common, COMMON, done)


def run_all(stations: Sequence[Station], tell: Callable[[str], Progress | None]) -> dict[str, FdiError]:
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


def results_of(
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
            measured = together([records[s.name] for s in members])
            if members[0].extension is not None:
                measured = members[0].extension.joined(measured)
            profile: DeviceProfile | FdiError = _learned(measured, place, tell(own), notes)
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


def _learned(records: Records, path: Path, progress: Progress | None, notes: Sequence[str]) -> DeviceProfile:
    def tell(kind: str, done: int, total: int) -> None:
        if progress:
            progress(CampaignProgress("learning", done, total, kind=kind))

    profile = learn_profile(records, name=path.stem, progress=tell)
    profile.device = shareable(profile.device)
    profile.warnings += [note for note in notes if note not in profile.warnings]
    profile.save(path)
    return profile
