"""Extending a profile: more measurements of the same device, learned together with those that it holds.

The design of a campaign is a sequence, so what a profile holds has places in it, and the
new campaign goes on behind them. It begins with some that the profile has: a device that
is not as fast any more must not be mixed with what it was.
"""

from __future__ import annotations

import itertools

import msgspec

from fdi_keras.devices import DeviceInfo, Runtime
from fdi_keras.errors import CampaignError
from fdi_keras.operators import KINDS
from fdi_keras.profile.profile import DeviceProfile
from fdi_keras.profiling import Measurement, Plan, Records, configurations
from fdi_keras.profiling.agreement import compare

#: So many configurations that the profile has are timed again (our choice).
TIMED_AGAIN = 24

#: Groups of measurements that have no place in the design: apart from all that the design numbers.
FOREIGN_GROUPS = 1_000_000

_Key = tuple[str, tuple[int, ...]]


class Extension:
    """What a profile holds, as measurements of a campaign that goes on.

    Args:
        profile: with its measurements.
        plan: of the campaign.
        device, runtime: that the campaign will measure.

    Attributes:
        times: places of the plan's design that need not be timed, with their times in ms.
        again: places that are timed again.

    Raises:
        CampaignError: the profile is of another device or runtime, or holds no measurements.
    """

    def __init__(self, profile: DeviceProfile, plan: Plan, device: DeviceInfo, runtime: Runtime):
        _check_same(profile, device, runtime)
        self._profile = profile
        self._measurements = _measurements_of(profile, plan)
        self._active = plan.active
        places = sorted(index for index in self._measurements if index >= 0)
        self.again = places[:TIMED_AGAIN]
        self._end = 1 + max(places, default=-1)
        self.times = {
            place: self._measurements[place].median_ms - profile.overhead_ms for place in places[TIMED_AGAIN:]
        }

    def limit(self, more: int) -> int:
        """What a plan calls ``measurements`` that shall make so many beside those timed again."""
        return len(self.again) + more if self._active else self._end + more

    def joined(self, records: Records) -> Records:
        """The campaign's records with the profile's own; of what both have, the campaign's.

        Raises:
            CampaignError: what was timed again takes longer or shorter now than the profile says.
        """
        assert records.overhead_ms is not None
        shift = records.overhead_ms - self._profile.overhead_ms
        own = {
            index: msgspec.structs.replace(m, median_ms=m.median_ms + shift, min_ms=m.min_ms + shift)
            for index, m in self._measurements.items()
        }
        before = msgspec.structs.replace(self._profile.device, id=f"profile {self._profile.name}")
        agreement = compare(
            Records(records.path, before, records.runtime, records.plan, own),
            records,
            common=self._end,
        )
        if not agreement.agree:
            raise CampaignError(
                f"profile {self._profile.name!r} was not extended, it does not agree with this device as it is now: "
                f"{agreement.text}. What was measured is in {records.path}: 'fdi campaigns learn' makes a "
                "profile of it alone."
            )
        failures = {i: f for i, f in records.failures.items() if i not in own}
        warnings = [*self._profile.warnings, *records.warnings, f"extended: {agreement.text}."]
        return Records(
            records.path,
            records.device,
            records.runtime,
            records.plan,
            {**own, **records.measurements},
            failures,
            overhead_ms=records.overhead_ms,
            overhead_mj=records.overhead_mj,
            baseline_ms=records.baseline_ms,
            cold_weights=records.cold_weights or self._profile.cold_weights,
            seconds=records.seconds,
            finished=records.finished,
            warnings=warnings,
        )


def _check_same(profile: DeviceProfile, device: DeviceInfo, runtime: Runtime) -> None:
    pairs = {"device": (profile.device.name, device.name)}
    pairs |= {n: (getattr(profile.runtime, n), getattr(runtime, n)) for n in Runtime.__struct_fields__}
    differences = [f"{name}: {old} there, {new} now" for name, (old, new) in pairs.items() if old != new]
    if differences:
        raise CampaignError(
            f"profile {profile.name!r} cannot be extended, it is of another device or runtime "
            f"({'; '.join(differences)}). Measure with the same, or learn a profile of its own without --extend."
        )
    if not profile.measurements:
        raise CampaignError(
            f"profile {profile.name!r} cannot be extended, it was saved without its measurements. "
            "Learn a new one without --extend."
        )


def _measurements_of(profile: DeviceProfile, plan: Plan) -> dict[int, Measurement]:
    """The rows of a profile by their place in the design; below zero where they have none."""
    energies = _energies(profile)
    rows: dict[_Key, Measurement] = {}
    for kind, table in profile.measurements.items():
        names = KINDS[kind].dimensions
        for row in table.rows:
            values = dict(zip(table.columns, row, strict=True))
            dims = {name: int(values[name]) for name in names}
            key = kind, tuple(dims.values())
            rows[key] = Measurement(
                0,
                kind,
                dims,
                int(values["group"]),
                values["median_ms"],
                values["iqr_ms"],
                values["min_ms"],
                int(values["runs"]),
                energy_mj=energies.get(key),
            )
    found: dict[int, Measurement] = {}
    # Failures and what ran on when others ended lie between; what is much further on is from elsewhere.
    reach = 2 * (len(rows) + len(profile.failures)) + 200
    for index, configuration in enumerate(
        itertools.islice(configurations(plan.kinds, plan.seed), reach if rows else 0)
    ):
        key = configuration.kind, tuple(configuration.dims.values())
        if key in rows:
            found[index] = msgspec.structs.replace(rows.pop(key), index=index, group=configuration.group)
    for index, measurement in enumerate(rows.values(), 1):
        group = FOREIGN_GROUPS + measurement.group % FOREIGN_GROUPS
        found[-index] = msgspec.structs.replace(measurement, index=-index, group=group)
    return found


def _energies(profile: DeviceProfile) -> dict[_Key, float]:
    if profile.energy is None:
        return {}
    found: dict[_Key, float] = {}
    for kind, table in profile.energy.measurements.items():
        names = KINDS[kind].dimensions
        for row in table.rows:
            values = dict(zip(table.columns, row, strict=True))
            found[kind, tuple(int(values[name]) for name in names)] = values["energy_mj"]
    return found
