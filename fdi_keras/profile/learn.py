"""From measurements to a profile: learning and refitting."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from os import PathLike

import msgspec
import numpy as np

from fdi_keras.errors import CampaignError
from fdi_keras.execution_time import (
    DEFAULT_FORM,
    KindRows,
    TimeModel,
    WeightFetch,
    fit_time_model,
    fit_weight_fetch,
    loan_for,
)
from fdi_keras.operators import KINDS
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
    Measurement,
    Plan,
    Records,
    read_records,
)
from fdi_keras.profiling.active import FEWEST as FEWEST_TO_CHOOSE
from fdi_keras.profiling.active import is_held_out

#: Fewest measurements of a kind to learn its model from (our choice: enough that two
#: folds can be held out, too few for more than one leaf).
FEWEST = 5

#: Fewest rows to report an error of (our choice).
FEWEST_REPORTED = 10

#: Called with the kind that is being learned, how many are done, and how many there are.
LearnProgress = Callable[[str, int, int], None]


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
        cold_weights=list(records.cold_weights),
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
    profile.weight_fetch = _learn_weight_fetch(profile)
    kinds = [kind for kind, table in profile.measurements.items() if len(table) >= FEWEST]
    measured = {
        kind: KindRows(table.dims, table.times_ms(profile.overhead_ms), table.column("group"))
        for kind, table in profile.measurements.items()
    }
    models: dict[str, TimeModel] = {}
    for done, kind in enumerate(kinds):
        if progress:
            progress(kind, done, len(kinds))
        own = measured[kind]
        learn = partial(
            fit_time_model,
            kind,
            own.dims,
            own.times,
            groups=own.groups,
            reported=_reported(kind, own.groups, profile.plan),
            seed=profile.plan.seed,
            form=form,
            fetch=profile.weight_fetch,
        )
        # The form of the paper is for comparison: it learns a kind from itself.
        models[kind] = learn() if form == "paper" else _with_loan(kind, measured, learn)
    profile.models = models
    profile.energy = _learn_energy(profile, form)


def _learn_weight_fetch(profile: DeviceProfile) -> WeightFetch | None:
    cold = profile.cold_weights
    layers = np.array([probe.layers for probe in cold], float)
    whole = np.array([probe.median_ms for probe in cold])
    return fit_weight_fetch(
        [(probe.kind, probe.dims) for probe in cold],
        layers,
        (whole - profile.overhead_ms) / np.maximum(layers, 1),
    )


def _with_loan(kind: str, measured: Mapping[str, KindRows], learn: Callable[..., TimeModel]) -> TimeModel:
    """Learned with what other kinds lend, where that is worth it."""
    alone = cache(learn)

    def error_alone() -> float:
        return alone().error.mape

    loan = loan_for(kind, measured, error_alone)
    return learn(loan=loan) if loan else alone()


def _reported(kind: str, groups: np.ndarray, plan: Plan) -> np.ndarray | None:
    """Which rows had no part in the choice of what was timed; None: all of them."""
    if not plan.active or len(groups) < FEWEST_TO_CHOOSE:
        return None
    aside = np.array([is_held_out(kind, int(group), plan.seed) for group in groups])
    return aside if aside.sum() >= FEWEST_REPORTED else None


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
        dims = KINDS[m.kind].complete(m.dims).values()
        tables[m.kind].rows.append([*dims, m.group, *times, m.runs])
    return {kind: table for kind, table in tables.items() if len(table)}


def _energy_tables(measurements: Iterable[Measurement]) -> dict[str, MeasurementTable]:
    """Energies by kind, in the order of the design, of kinds with enough of them to learn from."""
    tables = {kind: MeasurementTable(table_columns(kind, ENERGY_RESULTS), []) for kind in KINDS}
    for m in sorted(measurements, key=lambda m: m.index):
        if m.energy_mj is not None:
            dims = KINDS[m.kind].complete(m.dims).values()
            tables[m.kind].rows.append([*dims, m.group, float(f"{m.energy_mj:.7g}")])
    return {kind: table for kind, table in tables.items() if len(table) >= FEWEST}
