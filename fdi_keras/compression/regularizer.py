"""The penalty on predicted latency, written into ``model.compile``."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras

from fdi_keras.errors import UsageError
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
        self.priced = profile.of_energy() if self.objective == "energy" else profile

    @property
    def target(self) -> float | None:
        """The target in the objective's unit; None with a fixed strength."""
        return self.target_mj if self.objective == "energy" else self.target_ms

    @property
    def metric(self) -> str:
        """Name of the metric during training: ``"latency_ms"`` or ``"energy_mj"``."""
        return f"{self.objective}_{OBJECTIVES[self.objective].lower()}"

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
