"""What the parts share: what was learned, and the measurements that it is tested on."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import msgspec
import numpy as np

from fdi_keras.execution_time import DEFAULT_FORM, fit_time_model
from fdi_keras.journal import read_journal
from fdi_keras.operators import KINDS
from fdi_keras.operators.kinds import BINARY, ELEMENTWISE, REDUCTIONS
from fdi_keras.profile import DeviceProfile, learn_profile, load_profile
from fdi_keras.profile.profile import LEAST_SHARE
from fdi_keras.profiling import Measurement, Records, read_records

#: Modules of the parts, by number; the first makes what most of the others need.
PARTS = {
    "0": "campaigns",
    "1": "accuracy",
    "2": "others",
    "3": "phones",
    "4": "networks",
    "5": "sweeps",
    "6": "speed",
    "7": "learning_curve",
}

#: Kinds that the goals name one by one, pooling, element-wise and normalisation kinds, and their largest error.
MAIN = ("conv2d", "depthwise_conv2d", "dense", "lstm_while", "gru_while", "lstm_unrolled", "gru_unrolled")
FURTHER = ("max_pool2d", "average_pool2d", *REDUCTIONS, *BINARY, "prelu", *ELEMENTWISE, "softmax")
MAIN_LIMIT, FURTHER_LIMIT = 0.04, 0.06

#: Campaigns of configurations that are tested on: of the main kinds, and of the further ones.
TESTS = ("test", "test-further")

#: Measurements that should be enough.
PROBES = 2500

#: Measurements of the campaign that are given to all models when the forest of nn-Meter has ten times as many.
TENTH = 2000


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


def _without(rows: Rows, others: Rows) -> Rows:
    """Rows of configurations that the others do not have."""
    seen = set(others.configurations)
    return rows[np.array([each not in seen for each in rows.configurations], bool)]


def rows_of(kind: str, measurements: list[Measurement], overhead_ms: float) -> Rows:
    """Measurements of one kind as columns."""
    full = [KINDS[kind].complete(m.dims) for m in measurements]
    dims = {name: np.array([each[name] for each in full], float) for name in KINDS[kind].dimensions}
    whole = np.array([m.median_ms for m in measurements])
    groups = np.array([m.group for m in measurements], float)
    return Rows(dims, np.maximum(whole - overhead_ms, LEAST_SHARE * whole), groups)


@dataclass(frozen=True)
class Settings:
    """The command line's choices; see ``__main__.py``."""

    work: Path
    seed: int
    data: Path

    def profile_path(self, name: str) -> Path:
        return self.work / f"{name}.json"

    def journal(self, name: str) -> Path:
        """Of a campaign of part 0: ``"whole"``, ``"named"``, ``"fresh"`` or one of :data:`TESTS`."""
        return self.work / f"{name}.jsonl"

    @cached_property
    def whole(self) -> DeviceProfile:
        """Learned from all kinds."""
        return load_profile(self.profile_path("whole"))

    @cached_property
    def named(self) -> DeviceProfile:
        """Learned from the kinds that the goals name."""
        return load_profile(self.profile_path("named"))

    @cached_property
    def short(self) -> DeviceProfile:
        """Learned from the first :data:`PROBES` measurements of that campaign."""
        return load_profile(self.profile_path("short"))

    @cached_property
    def tenth(self) -> DeviceProfile:
        """Learned from the first :data:`TENTH`."""
        return learn_profile(self.beginning(TENTH))

    def beginning(self, count: int) -> Records:
        """What the campaign of the named kinds had after so many measurements."""
        path = self.journal("named")
        records = read_records(path)
        order = [e["index"] for e in read_journal(path) if e["event"] == "measurement"]
        last = {index: place for place, index in enumerate(order)}
        first = sorted(records.measurements, key=lambda index: last[index])[:count]
        return replace(records, measurements={i: records.measurements[i] for i in first})

    @property
    def networks_timed(self) -> Path:
        """Of each round of part 0 the times of the networks."""
        return self.work / "networks.json"

    def test(self, kind: str) -> Rows:
        """What is tested on: configurations of another design that the profiles do not hold."""
        rows = self._measured(TESTS[0] if kind in MAIN else TESTS[1], kind)
        return _without(rows, known(self.named, kind))

    def fresh(self, kind: str) -> Rows:
        """Of a main kind many more, none of them tested on."""
        return _without(self._measured("fresh", kind), self.test(kind))

    def _measured(self, journal: str, kind: str) -> Rows:
        records = self._records(journal)
        mine = [m for _, m in sorted(records.measurements.items()) if m.kind == kind]
        return rows_of(kind, mine, records.overhead_ms or 0.0)

    @cache  # noqa: B019 - settings live as long as the process
    def _records(self, journal: str) -> Records:
        return read_records(self.journal(journal))

    @cached_property
    def repeatability(self) -> dict[str, float]:
        """By kind the mean relative difference of two measurements of one configuration."""
        return json.loads((self.work / "repeated.json").read_text())


def learned_anew(
    profile: DeviceProfile, kind: str, rows: Rows, seed: int, form: str = DEFAULT_FORM
) -> DeviceProfile:
    """The profile with the model of one kind learned from these rows alone; it has no other."""
    model = fit_time_model(
        kind,
        rows.dims,
        rows.times,
        groups=rows.groups,
        seed=seed,
        folds=2,
        form=form,
        fetch=profile.weight_fetch,
    )
    return msgspec.structs.replace(profile, models={kind: model})


def known(profile: DeviceProfile, kind: str) -> Rows:
    """What a profile was learned from."""
    table = profile.measurements[kind]
    return Rows(table.dims, table.times_ms(profile.overhead_ms), table.column("group"))


def predict(profile: DeviceProfile, kind: str, rows: Rows) -> np.ndarray:
    """Times ``(n,)`` in ms that a profile predicts for probes."""
    predicted = profile.models[kind].predict_ms(rows.dims)
    if profile.weight_fetch is None:
        return predicted
    return profile.weight_fetch.probe_ms(kind, rows.dims, predicted)
