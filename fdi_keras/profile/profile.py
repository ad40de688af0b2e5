"""The profile of a device: what was learned, what it was learned from, and where.

A profile is data. It says on which device and runtime it was made, holds the
measurements beside the models, and can be refitted from them.
"""

from __future__ import annotations

import datetime
from os import PathLike
from typing import Any, Literal

import msgspec
import numpy as np

from fdi_keras.devices import DeviceInfo, Runtime
from fdi_keras.errors import EnergyUnknownError
from fdi_keras.execution_time import TimeModel, WeightFetch
from fdi_keras.operators import KINDS
from fdi_keras.profile.unmeasured import caution
from fdi_keras.profiling import ColdWeights, Plan
from fdi_keras.writing import write_atomically

FORMAT: Literal["fdi-profile"] = "fdi-profile"
SCHEMA_VERSION = 1

#: Columns of a table of measurements behind the dimensions of its kind.
RESULTS = ("group", "median_ms", "iqr_ms", "min_ms", "runs")

#: The same of a table of energies.
ENERGY_RESULTS = ("group", "energy_mj")

#: What is left of a measurement when the cost of an invocation is taken off, at least (our choice).
LEAST_SHARE = 0.002


class MeasurementTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Measurements of one kind, a row each.

    Attributes:
        columns: the kind's dimensions, then :data:`RESULTS` or :data:`ENERGY_RESULTS`.
        rows: numbers in the order of the columns. They still contain the invocation.
    """

    columns: list[str]
    rows: list[list[int | float]]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> np.ndarray:
        """One column, ``(n,)``."""
        at = self.columns.index(name)
        return np.array([row[at] for row in self.rows], float)

    @property
    def dims(self) -> dict[str, np.ndarray]:
        """Columns ``(n,)`` of the dimensions."""
        results = {*RESULTS, *ENERGY_RESULTS}
        return {name: self.column(name) for name in self.columns if name not in results}

    def times_ms(self, overhead_ms: float) -> np.ndarray:
        """Times of the operators alone, ``(n,)`` in ms: without the cost of an invocation."""
        return self._alone("median_ms", overhead_ms)

    def energies_mj(self, overhead_mj: float) -> np.ndarray:
        """Energies of the operators alone, ``(n,)`` in mJ: without that of an invocation."""
        return self._alone("energy_mj", overhead_mj)

    def _alone(self, name: str, overhead: float) -> np.ndarray:
        whole = self.column(name)
        return np.maximum(whole - overhead, LEAST_SHARE * whole)


class FailedProbe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A configuration that could not be timed, and why."""

    kind: str
    dims: dict[str, int]
    reason: str


class EnergyPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a profile knows about energy, learned as the times are.

    Attributes:
        overhead_mj: of one invocation, in mJ.
        models: the model of each kind of operator: a time model whose milliseconds are millijoule.
        measurements: what each was learned from; empty in a profile that was saved without.
    """

    overhead_mj: float
    models: dict[str, TimeModel]
    measurements: dict[str, MeasurementTable] = {}


class DeviceProfile(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What is known about the speed of one device with one runtime.

    Attributes:
        name: of the profile.
        created: when it was learned, ISO 8601 with time zone.
        device: where it was made.
        runtime: what executed the probes, with version and threads.
        overhead_ms: of one invocation, in ms. Models predict operators without it; a
            network's time contains it once.
        plan: the design of the campaign.
        models: the time model of each kind of operator, its weights in the caches.
        weight_fetch: the cost of weights that do not fit there; None where none was seen.
        measurements: what each was learned from; empty in a profile that was saved without.
        cold_weights: what the cost of weights was learned from, likewise.
        energy: the second quantity, where it was measured.
        failures: probes that could not be timed.
        warnings: what a user should know about its quality.
        format, schema_version: of the file.
    """

    format: Literal["fdi-profile"] = FORMAT
    schema_version: int = SCHEMA_VERSION
    name: str
    created: str
    device: DeviceInfo
    runtime: Runtime
    overhead_ms: float
    plan: Plan
    models: dict[str, TimeModel]
    weight_fetch: WeightFetch | None = None
    measurements: dict[str, MeasurementTable] = {}
    cold_weights: list[ColdWeights] = []
    energy: EnergyPart | None = None
    failures: list[FailedProbe] = []
    warnings: list[str] = []

    @property
    def mape(self) -> dict[str, float]:
        """Held-out mean absolute percentage error of each kind, as a fraction."""
        return {kind: model.error.mape for kind, model in self.models.items()}

    @property
    def caution(self) -> str:
        """What to know of its numbers where no device was measured; empty where one was."""
        text = caution(self.runtime.name, self.device.name)
        return f"profile {self.name!r} was {text}" if text else ""

    def to_dict(self, measurements: bool = True) -> dict[str, Any]:
        """Plain data for JSON; without ``measurements`` small enough to live in a saved network."""
        data = msgspec.to_builtins(self)
        if not measurements:
            data["measurements"] = {}
            data["cold_weights"] = []
            if data["energy"] is not None:
                data["energy"]["measurements"] = {}
            data["failures"] = []
        return data

    def of_energy(self) -> DeviceProfile:
        """This profile with energy in the place of time: whatever it prices, its ms are mJ.

        Raises:
            EnergyUnknownError: no energy was measured.
        """
        if self.energy is None:
            raise EnergyUnknownError(
                f"profile {self.name!r} has no energy: it was made without measuring any. Profile a phone that "
                "lets its battery be read, unplugged, see 'Energy' in docs/phones.md."
            )
        return msgspec.structs.replace(
            self,
            overhead_ms=self.energy.overhead_mj,
            models=self.energy.models,
            weight_fetch=None,
            measurements={},
            cold_weights=[],
            energy=None,
        )

    @classmethod
    def from_dict(cls, data: Any, source: str = "given as a dictionary") -> DeviceProfile:
        """The profile from what :meth:`to_dict` returned.

        Args:
            data: plain data.
            source: what to call it in errors, for a file its path.

        Raises:
            ProfileInvalidError: it is no profile, or contradicts itself.
            ProfileVersionError: it was written by a newer version.
        """
        from fdi_keras.profile.validation import decode_profile

        return decode_profile(data, source)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the profile to a file, which is replaced as a whole or not at all.

        Raises:
            StorageError: it cannot be written.
        """
        write_atomically(path, msgspec.json.encode(self) + b"\n")


def table_columns(kind: str, results: tuple[str, ...] = RESULTS) -> list[str]:
    """Columns of a table of measurements of this kind."""
    return [*KINDS[kind].dimensions, *results]


def now() -> str:
    """The time in the form of :attr:`DeviceProfile.created`."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
