"""When more measurements of a kind no longer help.

While a campaign goes on, the model of each kind is learned anew whenever there are half as many measurements
more, from all but those that are set aside for the error. All models are asked about all that is set
aside by now. A kind has enough when two steps, that is, 2.25 times as many measurements, lowered the error by
less than a twentieth, or when it was as small before as times differ that are measured again. What the kind
would have got goes to the others; when all have enough, the campaign ends. The procedure and its numbers
are our choice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from fdi_keras.execution_time import TimeModel, configuration_groups, fit_time_model
from fdi_keras.operators import KINDS
from fdi_keras.profiling.active import is_held_out
from fdi_keras.profiling.design import Configuration

#: A kind is looked at from so many measurements on, and again when there are so many times as many.
FIRST, STEP = 120, 1.5

#: Fewest measurements that are set aside to tell errors apart.
FEWEST_ASIDE = 24

#: The error must fall by this share within two steps.
GAIN = 0.05

#: About what two timings of one operator differ by at different times: smaller errors are no errors of a model.
REPEATS = 0.02

#: A single configuration that nothing explains must not decide.
MOST_OFF = 0.5


class Learn(Protocol):
    """Learns a model of a kind from columns and times in ms."""

    def __call__(self, kind: str, dims: dict[str, np.ndarray], times: np.ndarray) -> TimeModel: ...


def learn(kind: str, dims: dict[str, np.ndarray], times: np.ndarray) -> TimeModel:
    """As a profile would, but for the outer folds: what is set aside tells the error."""
    return fit_time_model(kind, dims, times, groups=configuration_groups(dims), folds=2)


@dataclass
class _Curve:
    """The models of one kind so far, with the numbers of measurements they were learned from."""

    next_at: float = FIRST
    models: list[tuple[int, TimeModel]] = field(default_factory=list)
    learning: _Learning | None = None


class Enough:
    """Asked again and again during a campaign; see the module.

    Args:
        seed: of the campaign's design, which says what is set aside.
        beside: learn in a thread while the device is timing; else the campaign waits for it. A computer
            that times with all its cores has none left.
        learn: how models are learned.
    """

    def __init__(self, seed: int, beside: bool = True, learn: Learn = learn):
        self._seed, self._beside, self._learn = seed, beside, learn
        self._curves: dict[str, _Curve] = {}

    def __call__(self, kind: str, configurations: Sequence[Configuration], times: np.ndarray) -> str | None:
        """Why a kind has enough measurements, in words; None while it has not.

        Args:
            kind: that is asked about.
            configurations: all of it that were timed, ``n``.
            times: ``(n,)`` in ms.
        """
        curve = self._curves.setdefault(kind, _Curve())
        aside = np.array([is_held_out(kind, c.group, self._seed) for c in configurations], bool)
        if curve.learning is None and len(times) >= curve.next_at and aside.sum() >= FEWEST_ASIDE:
            curve.next_at = STEP * len(times)
            known = _columns(kind, configurations, ~aside)
            curve.learning = _Learning(
                len(times), lambda: self._learn(kind, known, times[~aside]), self._beside
            )
        if curve.learning is None or not curve.learning.ended:
            return None
        if curve.learning.model is not None:
            curve.models.append((curve.learning.count, curve.learning.model))
        curve.learning = None
        if len(curve.models) < 3:
            return None
        asked = _columns(kind, configurations, aside)
        (fewer, before), (more, now) = (
            (count, _off(model, asked, times[aside])) for count, model in (curve.models[-3], curve.models[-1])
        )
        if before > REPEATS and now <= (1 - GAIN) * before:
            return None
        return f"{fewer} measurements were off by {before:.1%}, {more} by {now:.1%}"


class _Learning:
    """One model being learned."""

    def __init__(self, count: int, do: Callable[[], TimeModel], beside: bool):
        self.count = count
        self.model: TimeModel | None = None
        self._do = do
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        if not beside:
            self._thread.join()

    @property
    def ended(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        self.model = self._do()


def _columns(kind: str, configurations: Sequence[Configuration], chosen: np.ndarray) -> dict[str, np.ndarray]:
    rows = [KINDS[kind].complete(c.dims) for c, wanted in zip(configurations, chosen, strict=True) if wanted]
    return {name: np.array([row[name] for row in rows], float) for name in KINDS[kind].dimensions}


def _off(model: TimeModel, dims: dict[str, np.ndarray], times: np.ndarray) -> float:
    return float(np.minimum(np.abs(model.predict_ms(dims) / times - 1), MOST_OFF).mean())
