"""The penalty on predicted latency, or on several budgets at once, written into ``model.compile``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import keras

from fdi_keras.errors import UsageError
from fdi_keras.networks.budgets import Budget, checked_budgets, profiles_of
from fdi_keras.profile import DeviceProfile, load_profile

#: Strength that a controlled penalty begins with (our choice: a hundredth of a typical loss).
FIRST_STRENGTH = 0.01

#: What may be steered, and the unit of its target.
OBJECTIVES = {"latency": "ms", "energy": "mJ"}


@keras.saving.register_keras_serializable(package="fdi_keras")
class LatencyRegularizer:
    """Penalises the latency that a profile predicts for the expected widths of a network.

    The penalty is ``strength x predicted latency / predicted latency at the start``. The
    expected widths come from the gates; the time model's leaf is chosen at the rounded
    widths and the gradient flows through its linear formula (after Yao et al., SenSys
    2018, section 5, where predicted time joins the compression objective).

    Args:
        profile: a :class:`~fdi_keras.DeviceProfile`, its path, or the name of a bundled one.
        target_ms: steer to this latency: :class:`~fdi_keras.LatencyCallback` adapts the strength
            during training until the prediction meets it.
        strength: a fixed strength instead.
        target_mj: steer to this energy of an inference above idle, in mJ.
        objective: ``"latency"``, or ``"energy"`` for a fixed strength on the predicted energy;
            a target tells it already.

    Raises:
        UsageError: not exactly one of the targets and the strength, or one that is not positive.
        EnergyUnknownError: energy is the objective, and the profile was made without measuring any.

    It is saved with the model, the profile's trees included (its measurements are not).

    Example::

        model.compile("adam", loss=..., regularizer=LatencyRegularizer("phone.json", target_ms=3.0))
    """

    first_strength = FIRST_STRENGTH

    def __init__(
        self,
        profile: DeviceProfile | str | dict[str, Any],
        target_ms: float | None = None,
        strength: float | None = None,
        target_mj: float | None = None,
        objective: Literal["latency", "energy"] | None = None,
    ):
        if sum(value is not None for value in (target_ms, target_mj, strength)) != 1:
            raise UsageError(
                "LatencyRegularizer takes either target_ms or target_mj (the strength is then adapted) or "
                f"strength; received target_ms={target_ms}, target_mj={target_mj}, strength={strength}."
            )
        for name, value in (("target_ms", target_ms), ("target_mj", target_mj), ("strength", strength)):
            least_ok = value is None or (
                math.isfinite(value) and (value > 0 or (name == "strength" and value == 0))
            )
            if not least_ok:
                raise UsageError(f"LatencyRegularizer({name}={value}): expected a positive number.")
        implied = "energy" if target_mj is not None else "latency" if target_ms is not None else None
        if objective is not None and (objective not in OBJECTIVES or implied not in (None, objective)):
            raise UsageError(
                f"LatencyRegularizer(objective={objective!r}): expected {' or '.join(map(repr, OBJECTIVES))}, "
                "with target_ms for the one and target_mj for the other."
            )
        if isinstance(profile, dict):
            profile = DeviceProfile.from_dict(profile)
        elif not isinstance(profile, DeviceProfile):
            profile = load_profile(profile)
        self.profile = profile
        self.target_ms = target_ms
        self.strength = strength
        self.target_mj = target_mj
        self.objective = implied or objective or "latency"
        #: What prices widths: the profile, or its energies in the place of times.
        self.prices = profile.of_energy() if self.objective == "energy" else profile

    @property
    def target(self) -> float | None:
        """The target in the objective's unit; None with a fixed strength."""
        return self.target_mj if self.objective == "energy" else self.target_ms

    @property
    def unit(self) -> str:
        """Of what is steered, ``"ms"`` or ``"mJ"``."""
        return OBJECTIVES[self.objective]

    @property
    def metric(self) -> str:
        """Name of the metric during training: ``"latency_ms"`` or ``"energy_mj"``."""
        return f"{self.objective}_{self.unit.lower()}"

    @property
    def profiles(self) -> list[DeviceProfile]:
        """Those that it goes by."""
        return [self.profile]

    def get_config(self) -> dict[str, Any]:
        return {
            "profile": self.profile.to_dict(measurements=False),
            "target_ms": self.target_ms,
            "strength": self.strength,
            "target_mj": self.target_mj,
            "objective": self.objective,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LatencyRegularizer:
        return cls(**config)


@keras.saving.register_keras_serializable(package="fdi_keras")
class BudgetRegularizer:
    """Penalises what exceeds several budgets: latencies on more than one device, energy, memory, file size.

    The penalty is ``strength x largest share of a budget / largest share at the start``, and :class:`LatencyCallback`
    adapts the strength until the largest share is 1. The gradient is that of the budget that is exceeded most
    (our choice; FastDeepIoT has one device and one limit).

    Args:
        budgets: :class:`~fdi_keras.Budget` objects, each of something else.

    Raises:
        UsageError: something else than budgets, none, or two of the same thing.

    Example::

        budgets = [fdi.Budget("phone-a.json", ms=3), fdi.Budget("phone-b.json", ms=5)]
        model.compile("adam", loss=..., regularizer=fdi.BudgetRegularizer(budgets))
        model.fit(x, y, epochs=10)
        small = fdi.prune(model, budgets=budgets)
    """

    first_strength = FIRST_STRENGTH
    metric = "budget_share"
    objective = "budgets"
    unit = "of the tightest budget"
    strength = None

    #: The largest share to come to.
    target = 1.0

    def __init__(self, budgets: Budget | Sequence[Budget | dict[str, Any]]):
        listed = [budgets] if isinstance(budgets, Budget) else budgets
        self.budgets = checked_budgets([Budget.from_dict(b) if isinstance(b, dict) else b for b in listed])

    @property
    def prices(self) -> list[Budget]:
        """What prices widths."""
        return self.budgets

    @property
    def profiles(self) -> list[DeviceProfile]:
        """Those that the budgets name."""
        return profiles_of(self.budgets)

    def get_config(self) -> dict[str, Any]:
        return {"budgets": [budget.to_dict() for budget in self.budgets]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> BudgetRegularizer:
        return cls(**config)


#: What ``model.compile`` of a gated network takes.
Regularizer = LatencyRegularizer | BudgetRegularizer
