"""The whole way from devices to their profiles: open, time, learn, save."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path

from fdi_keras.devices import RuntimeChoice
from fdi_keras.errors import FdiError, UsageError
from fdi_keras.profile.files import check_not_bundled, find_profile, load_profile
from fdi_keras.profile.profile import DeviceProfile
from fdi_keras.profile.several import groups_of, results_of, run_all, share_out
from fdi_keras.profile.station import (
    Progress,
    Station,
    Wish,
    default_profile_path,
    open_station,
    with_threads,
)
from fdi_keras.profiling import CampaignProgress
from fdi_keras.writing import check_writable


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
    extend: str | PathLike[str] | None = None,
    active: bool | None = None,
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
        extend: a profile of this device: what it holds is not timed again, and learned from together with
            what is. ``measurements`` counts from its end; kinds, seed and threads are its own when left out;
            without ``out`` it is written over.
        active: choose what is timed next by what was timed so far (see ``profiling/active.py``), or, when
            False, go through the design as it stands; True when left out.

    Raises:
        DeviceNotFoundError: there is no such device.
        DeviceBusyError: another campaign holds it.
        CampaignError: nothing to resume, the device stayed away, nothing could be learned, or the profile to
            extend is of another device, or of this one when it was faster or slower.
        EnergyUnavailableError: energies are asked for, of a device that cannot measure them now.
        StorageError: journal or profile cannot be written. What was measured is in the
            journal and can be resumed.
        UsageError: an unknown kind or an impossible limit or runtime.
    """
    result = profile_devices(
        [device],
        minutes,
        measurements,
        kinds,
        threads,
        out,
        resume,
        seed,
        None if progress is None else lambda _, state: progress(state),
        runtime,
        energy_minutes,
        counters,
        extend,
        active,
    )[device]
    if isinstance(result, FdiError):
        raise result
    return result


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
    extend: str | PathLike[str] | None = None,
    active: bool | None = None,
) -> dict[str, DeviceProfile | FdiError]:
    """The same for several devices at once. One that fails does not stop the others.

    Devices of one model and runtime share the design out between them, and give one profile
    if the first probes, which each of them times, take equally long on all.

    Args:
        devices: ids.
        out: as for :func:`profile_device`, for devices that give one profile.
        extend: as there, with one device.
        progress: called with the id of the device.

    Returns:
        By id the profile, or the error that ended its campaign.

    Raises:
        UsageError: no device, one twice, or ``out`` for several profiles.
        StorageError: a profile cannot be written.
    """
    if not devices or len(set(devices)) < len(devices):
        raise UsageError(f"expected at least one device, each once; received {', '.join(devices) or 'none'}.")
    base = None
    if extend is not None:
        if len(devices) > 1:
            raise UsageError(f"a profile is extended on one device; received {', '.join(devices)}.")
        base = load_profile(extend)
        out = find_profile(extend) if out is None else out
        check_not_bundled(Path(out))
    wish = Wish(minutes, measurements, kinds, seed, resume, energy_minutes, counters, base, active)
    choice = with_threads(runtime, threads)
    results: dict[str, DeviceProfile | FdiError] = {}
    stations: list[Station] = []
    for device in devices:
        try:
            stations.append(open_station(device, choice, wish))
        except FdiError as error:
            results[device] = error
    groups = groups_of(stations)
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
            share_out(group)

    def tell(device: str) -> Progress | None:
        return None if progress is None else lambda state: progress(device, state)

    errors = run_all(stations, tell)
    for group in groups:
        results |= results_of(group, errors, paths[group[0].name], tell)
    return {device: results[device] for device in devices}
