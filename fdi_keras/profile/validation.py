"""Turns plain data into a profile, or into one error with the place and the remedy."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from fdi_keras.errors import ProfileInvalidError, ProfileVersionError
from fdi_keras.execution_time import TimeModel
from fdi_keras.operators import KINDS
from fdi_keras.profile.older import with_new_dimensions, without_old_fetch
from fdi_keras.profile.profile import (
    ENERGY_RESULTS,
    FORMAT,
    RESULTS,
    SCHEMA_VERSION,
    DeviceProfile,
    EnergyPart,
    MeasurementTable,
    table_columns,
)
from fdi_keras.profiling import ColdWeights

T = TypeVar("T")

REMEDY = "Restore the file, or learn the profile anew with 'fdi profile'."


def decode_profile(data: Any, source: str) -> DeviceProfile:
    """See :meth:`DeviceProfile.from_dict`."""
    _check_format(data, source)
    # Part by part: msgspec does not name the keys of a dictionary in the places it reports.
    data = without_old_fetch(with_new_dimensions(dict(data)))
    energy = data.pop("energy", None)
    parts = {name: data.pop(name, {}) for name in ("models", "measurements")}
    for name, part in parts.items():
        if not isinstance(part, dict):
            raise damaged(source, f"$.{name}", f"Expected `object`, got `{type(part).__name__}`")
    profile = _convert({**data, "models": {}}, DeviceProfile, "$", source)
    for kind, model in parts["models"].items():
        profile.models[kind] = _convert(model, TimeModel, f"$.models.{kind}", source)
    profile.measurements = {
        kind: _convert(table, MeasurementTable, f"$.measurements.{kind}", source)
        for kind, table in parts["measurements"].items()
    }
    _check_header(profile, source)
    if profile.weight_fetch is not None:
        _named(profile.weight_fetch.validate, "$.weight_fetch", source)
    for number, cold in enumerate(profile.cold_weights):
        _check_cold(cold, f"$.cold_weights[{number}]", source)
    for kind, model in profile.models.items():
        _check_model(kind, model, source)
    for kind, table in profile.measurements.items():
        _check_table(kind, table, source)
        if kind in profile.models:
            _check_agreement(kind, profile.models[kind], table, source)
    if energy is not None:
        profile.energy = _decode_energy(energy, source)
    return profile


def _decode_energy(data: Any, source: str) -> EnergyPart:
    """The energies, checked as the times are."""
    if isinstance(data, dict):
        data = with_new_dimensions(data)
    part = _convert(data, EnergyPart, "$.energy", source)
    if not (math.isfinite(part.overhead_mj) and part.overhead_mj >= 0):
        raise damaged(source, "$.energy.overhead_mj", f"Expected an energy in mJ, got {part.overhead_mj}")
    if not part.models:
        raise damaged(source, "$.energy.models", "Expected the model of at least one kind, got none")
    for kind, model in part.models.items():
        _check_model(kind, model, source, "$.energy")
    for kind, table in part.measurements.items():
        _check_table(kind, table, source, "$.energy", ENERGY_RESULTS)
        if kind in part.models:
            _check_agreement(kind, part.models[kind], table, source, "$.energy")
    return part


def damaged(source: str, place: str, what: str) -> ProfileInvalidError:
    return ProfileInvalidError(f"profile {source} is damaged at {place}: {what.rstrip('.')}. {REMEDY}")


def _check_format(data: Any, source: str) -> None:
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        found = repr(data.get("format")) if isinstance(data, dict) else f"a {type(data).__name__}"
        raise ProfileInvalidError(
            f"{source} is no device profile: at $.format '{FORMAT}' was expected, found was {found[:60]}. "
            "Name a file that 'fdi profile' wrote."
        )
    version = data.get("schema_version")
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise damaged(source, "$.schema_version", f"Expected a version number, got {version!r}")
    if version > SCHEMA_VERSION:
        raise ProfileVersionError(
            f"profile {source} has schema version {version} (at $.schema_version); this fdi_keras reads "
            f"up to {SCHEMA_VERSION}. Upgrade fdi-keras, or learn the profile anew with 'fdi profile'."
        )


def _convert(data: Any, kind: type[T], place: str, source: str) -> T:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$")
        raise damaged(source, place + where.rstrip("`"), what) from error


def _check_header(profile: DeviceProfile, source: str) -> None:
    try:
        datetime.datetime.fromisoformat(profile.created)
    except ValueError:
        raise damaged(source, "$.created", f"Expected a date, got {profile.created!r}") from None
    if not (math.isfinite(profile.overhead_ms) and profile.overhead_ms >= 0):
        raise damaged(source, "$.overhead_ms", f"Expected a time in ms, got {profile.overhead_ms}")
    if profile.runtime.threads < 1:
        raise damaged(source, "$.runtime.threads", f"Expected at least 1, got {profile.runtime.threads}")
    if not profile.models:
        raise damaged(source, "$.models", "Expected the model of at least one kind, got none")


def _check_model(kind: str, model: TimeModel, source: str, root: str = "$") -> None:
    place = f"{root}.models.{kind}"
    if kind != model.kind:
        raise damaged(source, f"{place}.kind", f"Expected {kind!r}, got {model.kind!r}")
    _named(model.validate, place, source)


def _named(validate: Callable[[str], None], place: str, source: str) -> None:
    try:
        validate(place)
    except ValueError as error:
        where, _, what = str(error).partition(": ")
        raise damaged(source, where, what) from error


def _check_table(
    kind: str, table: MeasurementTable, source: str, root: str = "$", results: tuple[str, ...] = RESULTS
) -> None:
    place = f"{root}.measurements.{kind}"
    if kind not in KINDS:
        raise damaged(source, place, f"Expected one of {', '.join(KINDS)}")
    columns = table_columns(kind, results)
    if table.columns != columns:
        raise damaged(source, f"{place}.columns", f"Expected {', '.join(columns)}")
    positive = columns.index(results[1])
    for number, row in enumerate(table.rows):
        if len(row) != len(columns):
            raise damaged(
                source, f"{place}.rows[{number}]", f"Expected {len(columns)} values, got {len(row)}"
            )
        for at, value in enumerate(row):
            if not math.isfinite(value) or value < 0 or (at == positive and value == 0):
                raise damaged(source, f"{place}.rows[{number}][{at}]", f"Impossible {columns[at]}: {value}")


def _check_cold(cold: ColdWeights, place: str, source: str) -> None:
    if cold.kind not in KINDS:
        raise damaged(source, f"{place}.kind", f"Expected one of {', '.join(KINDS)}, got {cold.kind!r}")
    if list(cold.dims) != list(KINDS[cold.kind].dimensions):
        expected = ", ".join(KINDS[cold.kind].dimensions)
        raise damaged(source, f"{place}.dims", f"Expected {expected}")
    if cold.layers < 1 or any(value < 0 for value in cold.dims.values()):
        raise damaged(source, place, "Expected at least one layer, and no size below 0")
    if not (math.isfinite(cold.median_ms) and cold.median_ms > 0):
        raise damaged(source, f"{place}.median_ms", f"Impossible time: {cold.median_ms}")


def _check_agreement(
    kind: str, model: TimeModel, table: MeasurementTable, source: str, root: str = "$"
) -> None:
    """A model and the measurements beside it must be of one making."""
    if len(table) != model.error.measurements:
        count = f"Expected {len(table)}, the number of rows of {root}.measurements.{kind}"
        place = f"{root}.models.{kind}.error.measurements"
        raise damaged(source, place, f"{count}, got {model.error.measurements}")
    if not 0 < (model.error.tested or 1) <= len(table):
        place = f"{root}.models.{kind}.error.tested"
        raise damaged(source, place, f"Expected 1 to {len(table)}, got {model.error.tested}")
    for name, column in table.dims.items():
        low, high = model.ranges[name]
        if column.min() < low or column.max() > high:
            measured = f"Expected to hold what was measured, {column.min():g}..{column.max():g}"
            raise damaged(source, f"{root}.models.{kind}.ranges.{name}", f"{measured}, got {low:g}..{high:g}")
