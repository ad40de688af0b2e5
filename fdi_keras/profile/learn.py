"""From measurements to a profile: learning, refitting, and the whole way from the device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from os import PathLike
from pathlib import Path

import msgspec

from fdi_keras.devices import open_device
from fdi_keras.errors import CampaignError
from fdi_keras.execution_time import DEFAULT_FORM, TimeModel, fit_time_model, fit_weight_fetch
from fdi_keras.execution_time.weight_fetch import SOURCE
from fdi_keras.journal import journal_path
from fdi_keras.operators import KINDS
from fdi_keras.profile.files import check_writable, profile_folder
from fdi_keras.profile.profile import (
    ENERGY_RESULTS,
    DeviceProfile,
    EnergyPart,
    FailedProbe,
    MeasurementTable,
    now,
    table_columns,
)
from fdi_keras.profiling import (
    CampaignProgress,
    Measurement,
    Plan,
    Records,
    campaign_name,
    read_records,
    run_campaign,
)

#: Fewest measurements of a kind to learn its model from (our choice: enough that two
#: folds can be held out, too few for more than one leaf).
FEWEST = 5

#: Called with the kind that is being learned, how many are done, and how many there are.
LearnProgress = Callable[[str, int, int], None]


def profile_device(
    device: str = "local",
    minutes: float | None = None,
    measurements: int | None = None,
    kinds: Sequence[str] | None = None,
    threads: int | None = None,
    out: str | PathLike[str] | None = None,
    resume: bool = False,
    seed: int | None = None,
    progress: Callable[[CampaignProgress], None] | None = None,
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

    Raises:
        DeviceNotFoundError: there is no such device.
        DeviceBusyError: another campaign holds it.
        CampaignError: nothing to resume, or nothing could be learned.
        StorageError: journal or profile cannot be written. What was measured is in the
            journal and can be resumed.
        UsageError: an unknown kind or an impossible limit.
    """
    opened = open_device(device)
    runner = opened.open(1 if threads is None else threads)
    journal = campaign_journal(device)
    if resume:
        before = read_records(journal)
        if threads is None and before.runtime.threads != runner.runtime.threads:
            runner = opened.open(before.runtime.threads)
        kinds = before.plan.kinds if kinds is None else kinds
        seed = before.plan.seed if seed is None else seed
        if minutes is None and measurements is None:
            minutes, measurements = before.plan.minutes, before.plan.measurements
    plan = Plan(list(kinds) if kinds is not None else None, seed or 0, measurements, minutes).checked()
    path = Path(out) if out is not None else default_profile_path(device, runner.runtime.threads)
    check_writable(path)
    with runner:
        records = run_campaign(runner, plan, journal, device=opened.info, resume=resume, progress=progress)

    def tell(kind: str, done: int, total: int) -> None:
        if progress:
            progress(CampaignProgress("learning", done, total, kind=kind))

    profile = learn_profile(records, name=path.stem, progress=tell)
    profile.save(path)
    return profile


def campaign_journal(device: str = "local") -> Path:
    """The journal of the latest campaign on a device.

    Raises:
        DeviceNotFoundError: there is no such device.
    """
    runner = open_device(device).open()
    return journal_path("campaigns", campaign_name(device, runner.runtime))


def default_profile_path(device: str = "local", threads: int = 1) -> Path:
    """Where :func:`profile_device` saves, when not told otherwise: the user's profile folder."""
    return profile_folder() / (f"{device}.json" if threads == 1 else f"{device}-{threads}-threads.json")


def learn_profile(
    records: Records | str | PathLike[str],
    name: str = "",
    progress: LearnProgress | None = None,
    form: str = DEFAULT_FORM,
) -> DeviceProfile:
    """Learn a profile from what a campaign measured so far.

    Args:
        records: of the campaign, or the path of its journal.
        name: of the profile; the device's id when left out.
        progress: called before each kind.
        form: what leaves are linear in, see ``fdi_keras.execution_time.forms``.

    Raises:
        CampaignError: no kind has enough measurements.
    """
    if not isinstance(records, Records):
        records = read_records(records)
    if records.overhead_ms is None:
        raise CampaignError(f"{records.path} has no measurement yet: the campaign stopped at its start.")
    tables = _tables(records.measurements.values())
    profile = DeviceProfile(
        name=name or records.device.id,
        created=now(),
        device=records.device,
        runtime=records.runtime,
        overhead_ms=records.overhead_ms,
        plan=records.plan,
        models={},
        measurements=tables,
        failures=[FailedProbe(f.kind, f.dims, f.reason) for f in records.failures.values()],
        warnings=list(dict.fromkeys(records.warnings)),
    )
    energies = _energy_tables(records.measurements.values())
    if energies:
        if records.overhead_mj is None:
            profile.warnings.append(
                "the energy of an invocation was not measured: each operator's energy contains it."
            )
        profile.energy = EnergyPart(records.overhead_mj or 0.0, {}, energies)
    _learn(profile, form, progress)
    wanted = records.plan.kinds or list(KINDS)
    for kind in [kind for kind in wanted if kind not in profile.models]:
        profile.warnings.append(
            f"{kind}: {len(tables.get(kind, ()))} measurements are too few to learn from, "
            f"{FEWEST} are needed; the profile cannot price it."
        )
    if not profile.models:
        raise CampaignError(
            f"{records.path} holds {len(records.measurements)} measurements, too few of any kind to learn "
            f"from ({FEWEST} are needed). Resume the campaign with more time, or with fewer kinds."
        )
    return profile


def refit(
    profile: DeviceProfile, form: str = DEFAULT_FORM, progress: LearnProgress | None = None
) -> DeviceProfile:
    """The same profile with models learned anew from the measurements that it holds.

    Raises:
        CampaignError: it holds none.
    """
    if not profile.measurements:
        raise CampaignError(
            f"profile {profile.name!r} was saved without measurements and cannot be refitted."
        )
    new = msgspec.structs.replace(profile, created=now())
    _learn(new, form, progress)
    return new


def _learn(profile: DeviceProfile, form: str, progress: LearnProgress | None) -> None:
    """Learn the profile's models, and before them what fetching weights costs, from its measurements."""
    source = profile.measurements.get(SOURCE)
    profile.weight_fetch = (
        None if source is None else fit_weight_fetch(source.dims, source.times_ms(profile.overhead_ms))
    )
    kinds = [kind for kind, table in profile.measurements.items() if len(table) >= FEWEST]
    models: dict[str, TimeModel] = {}
    for done, kind in enumerate(kinds):
        if progress:
            progress(kind, done, len(kinds))
        table = profile.measurements[kind]
        models[kind] = fit_time_model(
            kind,
            table.dims,
            table.times_ms(profile.overhead_ms),
            groups=table.column("group"),
            seed=profile.plan.seed,
            form=form,
            fetch=profile.weight_fetch,
        )
    profile.models = models
    profile.energy = _learn_energy(profile, form)


def _learn_energy(profile: DeviceProfile, form: str) -> EnergyPart | None:
    """The same trees for the energies that were measured; None where no kind has enough."""
    part = profile.energy
    if part is None or not part.measurements:
        return None
    models = {
        kind: fit_time_model(
            kind,
            table.dims,
            table.energies_mj(part.overhead_mj),
            groups=table.column("group"),
            seed=profile.plan.seed,
            form=form,
        )
        for kind, table in part.measurements.items()
        if len(table) >= FEWEST
    }
    return msgspec.structs.replace(part, models=models) if models else None


def _tables(measurements: Iterable[Measurement]) -> dict[str, MeasurementTable]:
    """Measurements by kind, in the order of the design."""
    tables = {kind: MeasurementTable(table_columns(kind), []) for kind in KINDS}
    for m in sorted(measurements, key=lambda m: m.index):
        times = [float(f"{value:.7g}") for value in (m.median_ms, m.iqr_ms, m.min_ms)]
        dims = [m.dims[name] for name in KINDS[m.kind].dimensions]
        tables[m.kind].rows.append([*dims, m.group, *times, m.runs])
    return {kind: table for kind, table in tables.items() if len(table)}


def _energy_tables(measurements: Iterable[Measurement]) -> dict[str, MeasurementTable]:
    """Energies by kind, in the order of the design, of kinds with enough of them to learn from."""
    tables = {kind: MeasurementTable(table_columns(kind, ENERGY_RESULTS), []) for kind in KINDS}
    for m in sorted(measurements, key=lambda m: m.index):
        if m.energy_mj is not None:
            dims = [m.dims[name] for name in KINDS[m.kind].dimensions]
            tables[m.kind].rows.append([*dims, m.group, float(f"{m.energy_mj:.7g}")])
    return {kind: table for kind, table in tables.items() if len(table) >= FEWEST}
