"""What the parts share: the measurements, divided into those to learn from and fresh ones."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from fdi_keras.execution_time import WeightFetch, fit_weight_fetch
from fdi_keras.execution_time.weight_fetch import SOURCE
from fdi_keras.profile import DeviceProfile, load_profile
from fdi_keras.profiling import read_records
from fdi_keras.profiling.design import planned

#: Modules of the parts, by number.
PARTS = {"1": "accuracy", "2": "others", "3": "phones", "6": "speed"}

#: Kinds that the goals name one by one, and their largest error.
MAIN = ("conv2d", "depthwise_conv2d", "dense", "gru", "lstm")
MAIN_LIMIT, OTHER_LIMIT = 0.04, 0.06


@dataclass(frozen=True)
class Rows:
    """Measurements of one kind.

    Attributes:
        dims: column ``(n,)`` by dimension.
        times: ``(n,)`` in ms, without the cost of an invocation.
        groups: ``(n,)`` rows that differ in little share one.
    """

    dims: dict[str, np.ndarray]
    times: np.ndarray
    groups: np.ndarray

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, chosen: np.ndarray) -> Rows:
        dims = {name: column[chosen] for name, column in self.dims.items()}
        return Rows(dims, self.times[chosen], self.groups[chosen])

    @property
    def configurations(self) -> list[tuple[float, ...]]:
        return list(zip(*(column.tolist() for column in self.dims.values()), strict=True))


def rows_of(profile: DeviceProfile, kind: str) -> Rows:
    table = profile.measurements[kind]
    return Rows(table.dims, table.times_ms(profile.overhead_ms), table.column("group"))


@dataclass(frozen=True)
class Settings:
    """The command line's choices; see ``__main__.py``."""

    profile_path: Path
    fresh_path: Path | None
    repeated_path: Path | None
    budget: int
    seed: int
    data: Path

    @cached_property
    def profile(self) -> DeviceProfile:
        return load_profile(self.profile_path)

    @cached_property
    def kinds(self) -> list[str]:
        return list(self.profile.measurements)

    @cached_property
    def _taken(self) -> dict[str, int]:
        wanted = planned(list(self.profile.plan.kinds or self.kinds), self.budget)
        return {kind: min(wanted[kind], len(self.profile.measurements[kind])) for kind in self.kinds}

    def known(self, kind: str) -> Rows:
        """What is learned from: the first measurements of the design."""
        rows = rows_of(self.profile, kind)
        return rows[np.arange(len(rows)) < self._taken[kind]]

    def fresh(self, kind: str) -> Rows:
        """What is tested on: groups and configurations that are not among :meth:`known`."""
        known = self.known(kind)
        if self.fresh_path is None:
            rows = rows_of(self.profile, kind)
            return rows[~np.isin(rows.groups, known.groups)]
        rows = rows_of(load_profile(self.fresh_path), kind)
        seen = set(known.configurations)
        return rows[np.array([each not in seen for each in rows.configurations], bool)]

    @cached_property
    def fetch(self) -> WeightFetch | None:
        if SOURCE not in self.kinds:
            return None
        known = self.known(SOURCE)
        return fit_weight_fetch(known.dims, known.times)

    @cached_property
    def _repeated(self) -> dict[tuple[str, tuple[float, ...]], float]:
        if self.repeated_path is None:
            return {}
        found: dict[tuple[str, tuple[float, ...]], float] = {}
        if self.repeated_path.suffix == ".jsonl":
            records = read_records(self.repeated_path)
            for m in records.measurements.values():
                key = m.kind, tuple(float(m.dims[d]) for d in self.known(m.kind).dims)
                found[key] = m.median_ms - (records.overhead_ms or 0.0)
            return found
        again = load_profile(self.repeated_path)
        for kind in again.measurements:
            rows = rows_of(again, kind)
            found |= {(kind, c): t for c, t in zip(rows.configurations, rows.times.tolist(), strict=True)}
        return found

    def repeatability(self, kind: str, rows: Rows) -> float | None:
        """Mean relative difference of two measurements of these configurations; None: not measured twice."""
        again = np.array([self._repeated.get((kind, c), np.nan) for c in rows.configurations])
        both = again > 0
        return float(np.abs(again[both] / rows.times[both] - 1).mean()) if both.sum() > 5 else None
