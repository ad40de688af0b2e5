"""What a campaign sets out to do."""

from __future__ import annotations

import math

import msgspec

from fdi_keras.errors import UsageError
from fdi_keras.profiling.design import DESIGN_VERSION, check_kinds

#: How long a campaign takes when nobody says otherwise, in minutes (our choice).
DEFAULT_MINUTES = 10.0


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which configurations a campaign times, and when it ends.

    Attributes:
        kinds: of operators; None for all.
        seed: of the design.
        measurements: end after so many configurations of the design; None: no such limit.
        minutes: end after so much time, waiting and earlier runs included, but not the time that the device
            was away; None: no such limit.
        design_version: of the sequence of configurations.
        energy_minutes: measure energies for so long after the times; None: none.
        counters: count cache references and misses of every probe, which takes about twice the time.
        active: what is timed next is chosen by what was timed so far, see ``active.py``; ``measurements``
            is then how many in all.
    """

    kinds: list[str] | None = None
    seed: int = 0
    measurements: int | None = None
    minutes: float | None = None
    design_version: int = DESIGN_VERSION
    energy_minutes: float | None = None
    counters: bool = False
    active: bool = False

    def checked(self) -> Plan:
        """The plan with its kinds spelt out, and :data:`DEFAULT_MINUTES` when it has no limit.

        Raises:
            UsageError: an unknown kind, or a limit that allows nothing.
        """
        minutes = self.minutes
        for name, value in (("minutes", minutes), ("minutes of energy", self.energy_minutes)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UsageError(f"{name} must be more than 0; received {value!r}.")
        if self.measurements is not None and self.measurements < 1:
            raise UsageError(f"the number of measurements must be at least 1; received {self.measurements}.")
        if minutes is None and self.measurements is None:
            minutes = DEFAULT_MINUTES
        return msgspec.structs.replace(self, kinds=check_kinds(self.kinds), minutes=minutes)
