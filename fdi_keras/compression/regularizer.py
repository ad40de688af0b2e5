"""The penalty on predicted latency, written into ``model.compile``."""

from __future__ import annotations

import math
from typing import Any

import keras

from fdi_keras.errors import UsageError
from fdi_keras.profile import DeviceProfile, load_profile

#: Strength that a controlled penalty begins with (our choice: a hundredth of a typical loss).
FIRST_STRENGTH = 0.01


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

    Raises:
        UsageError: neither or both of target and strength, or one that is not positive.

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
    ):
        if (target_ms is None) == (strength is None):
            raise UsageError(
                "LatencyRegularizer takes either target_ms (the strength is then adapted) or strength; "
                f"received target_ms={target_ms}, strength={strength}."
            )
        for name, value in (("target_ms", target_ms), ("strength", strength)):
            least_ok = value is None or (
                math.isfinite(value) and (value > 0 or (name == "strength" and value == 0))
            )
            if not least_ok:
                raise UsageError(f"LatencyRegularizer({name}={value}): expected a positive number.")
        if isinstance(profile, dict):
            profile = DeviceProfile.from_dict(profile)
        elif not isinstance(profile, DeviceProfile):
            profile = load_profile(profile)
        self.profile = profile
        self.target_ms = target_ms
        self.strength = strength

    def get_config(self) -> dict[str, Any]:
        return {
            "profile": self.profile.to_dict(measurements=False),
            "target_ms": self.target_ms,
            "strength": self.strength,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LatencyRegularizer:
        return cls(**config)
