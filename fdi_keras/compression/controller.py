"""The controller of the penalty's strength: from predicted latencies to strengths, with a state that can be kept."""

from __future__ import annotations

import math

REACH = 0.7  # share of the training in which the schedule descends to the target
WARM_UP = 0.05  # share before it begins
PROPORTIONAL = 20.0  # gains of the controller on the log of the ratio (our choice, tuned on digits)
INTEGRAL = 150.0  # per whole training
TOLERANCE = 0.02  # how far below the schedule the latency may stay
REWARD = 0.3  # of the strongest penalty so far, when the latency is far below the schedule
WINDING = 3.0  # how far the integral may fall below its highest value
SMOOTHING = 0.02  # share of the training over which the fall of the latency is averaged
LARGEST_ERROR = 0.1  # larger errors count as this: gates need time to follow


class StrengthController:
    """PI control of the strength on ``log(predicted / scheduled latency)``.

    The scheduled latency descends geometrically from the start to the target (our
    choice: each step asks for the same relative saving), then holds.

    Args:
        start_ms, target_ms: predicted latency at the start, and to be reached.
        first: strength at the beginning.

    >>> c = StrengthController(start_ms=2.0, target_ms=1.0, first=0.01)
    >>> round(c.scheduled(0.0), 3), round(c.scheduled(0.7), 3), round(c.scheduled(1.0), 3)
    (2.0, 1.0, 1.0)
    >>> c.update(2.0, progress=0.5) > 0.01
    True
    >>> again = StrengthController(2.0, 1.0, 0.01)
    >>> again.state = c.state
    >>> again.update(1.5, progress=0.6) == c.update(1.5, progress=0.6)
    True
    """

    #: What changes in the course of a training.
    KEPT = ("start_ms", "first", "progress", "integral", "highest", "strongest", "smooth", "falling")

    def __init__(self, start_ms: float, target_ms: float, first: float):
        self.start_ms, self.target_ms, self.first = start_ms, target_ms, first
        self.integral = 0.0
        self.highest = 0.0
        self.strongest = first
        self.progress = 0.0
        self.smooth = math.log(start_ms)  # of the predicted latency, to see how fast it falls
        self.falling = 0.0

    @property
    def state(self) -> list[float]:
        """Numbers with which another controller of the same target goes on, in the order of :attr:`KEPT`."""
        return [getattr(self, name) for name in self.KEPT]

    @state.setter
    def state(self, values: list[float]) -> None:
        for name, value in zip(self.KEPT, values, strict=True):
            setattr(self, name, value)

    def scheduled(self, progress: float) -> float:
        """Latency to be met when ``progress`` (0 to 1) of the training is done, in ms."""
        share = min(max((progress - WARM_UP) / (REACH - WARM_UP), 0.0), 1.0)
        return self.start_ms * (self.target_ms / self.start_ms) ** share

    def update(self, latency_ms: float, progress: float) -> float:
        """The strength for the next step; negative when gates must open again to come up to the target."""
        error = math.log(max(latency_ms, 1e-9) / self.scheduled(progress))
        error = min(max(error, -LARGEST_ERROR), LARGEST_ERROR)
        step = max(progress - self.progress, 0.0)
        self.progress = progress
        if not (error > 0 and self._catching_up(latency_ms, step)):
            self.integral = min(max(self.integral + INTEGRAL * error * step, self.highest - WINDING), 12.0)
            self.highest = max(self.highest, self.integral)
        if error < -TOLERANCE:
            # Faster than scheduled: nothing else would open a gate again, so the penalty becomes a reward,
            # of a size that counts beside the penalties that the optimizer remembers.
            return REWARD * self.strongest * error / LARGEST_ERROR
        strength = self.first * math.exp(min(self.integral + PROPORTIONAL * error, 12.0))
        self.strongest = max(self.strongest, strength)
        return strength

    def _catching_up(self, latency_ms: float, step: float) -> bool:
        """Whether the latency falls faster than the schedule: more strength would only overshoot."""
        if step <= 0:
            return False
        share = min(step / SMOOTHING, 1.0)
        before = self.smooth
        self.smooth += share * (math.log(max(latency_ms, 1e-9)) - before)
        self.falling += share * ((before - self.smooth) / step - self.falling)
        wanted = math.log(self.start_ms / self.target_ms) / (REACH - WARM_UP)
        return self.falling > wanted
