"""Several limits at once: the latency on more than one device, energy, memory, the size of the file."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from fdi_keras.errors import UsageError
from fdi_keras.profile import DeviceProfile, load_profile

#: What is limited: by argument its unit, and what comes behind it in a text.
LIMITS = {"ms": ("ms", "on"), "mj": ("mJ", "on"), "file_mb": ("MB", "file"), "peak_mb": ("MB", "memory")}

_TEXT = re.compile(
    r"\s*(?P<number>[\d.eE+-]+)\s*(?P<unit>ms|mj|mb)\s+(?P<what>file|memory|on\s+(?P<profile>.+?))\s*", re.I
)


@dataclass(frozen=True)
class Budget:
    """What a network may take of one thing.

    Args:
        profile: of the device, its path, or the name of a bundled one; for ``ms`` and ``mj``.
        ms: latency on the device, in milliseconds.
        mj: energy of an inference above idle, in millijoule.
        file_mb: size of the float32 ``.tflite`` file, in 10^6 bytes.
        peak_mb: feature maps that are in memory at once, in 10^6 bytes; see
            :mod:`fdi_keras.networks.peak_memory`.
        device: where :func:`~fdi_keras.compress` times a latency, as ``fdi devices`` lists it; predicted unless given.

    Raises:
        UsageError: not exactly one limit, no positive one, or a profile too much or missing.
        EnergyUnknownError: energy is limited, and the profile was made without measuring any.

    Example::

        budgets = [fdi.Budget("phone-a.json", ms=3), fdi.Budget("phone-b.json", ms=5), fdi.Budget(file_mb=2)]
        small = fdi.prune(model, budgets=budgets)
    """

    profile: DeviceProfile | str | None = None
    ms: float | None = None
    mj: float | None = None
    file_mb: float | None = None
    peak_mb: float | None = None
    device: str | None = None

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None}
        if len(given) != 1:
            raise UsageError(f"Budget takes exactly one of {', '.join(LIMITS)}; received {given or 'none'}.")
        [(name, limit)] = given.items()
        if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not 0 < limit < math.inf:
            raise UsageError(f"Budget({name}={limit!r}): expected a positive number.")
        needs = LIMITS[name][1] == "on"
        if needs and self.profile is None:
            raise UsageError(
                f"Budget({name}={limit:g}) needs a profile: its device decides what a network takes."
            )
        if not needs and self.profile is not None:
            raise UsageError(f"Budget({name}={limit:g}) takes no profile: it is the same on every device.")
        if self.device is not None and name != "ms":
            raise UsageError(f"Budget({name}={limit:g}) takes no device: only a latency is timed.")
        if isinstance(self.profile, str):
            object.__setattr__(self, "profile", load_profile(self.profile))
        elif needs and not isinstance(self.profile, DeviceProfile):
            raise UsageError(f"Budget(profile=...) takes a profile, received {type(self.profile).__name__}.")
        if name == "mj":
            self.prices()

    @classmethod
    def parse(cls, text: str, device: str | None = None) -> Budget:
        """From words: ``5 ms on phone-b.json``, ``12 mJ on phone-a.json``, ``2 MB file``, ``1.5 MB memory``.

        Raises:
            UsageError: these are other words.
        """
        match = _TEXT.fullmatch(text)
        number = None
        if match is not None:
            try:
                number = float(match["number"])
            except ValueError:
                match = None
        unit = match["unit"].lower() if match is not None else ""
        profile = match["profile"] if match is not None else None
        if match is None or (unit == "mb") != (profile is None):
            raise UsageError(
                f"{text!r} is no budget: expected '5 ms on PROFILE', '12 mJ on PROFILE', '2 MB file' or "
                "'1.5 MB memory'."
            )
        name = unit if profile else "file_mb" if match["what"].lower() == "file" else "peak_mb"
        return cls(profile, device=device if name == "ms" else None, **{name: number})

    @property
    def what(self) -> str:
        """Which limit it is: ``"ms"``, ``"mj"``, ``"file_mb"`` or ``"peak_mb"``."""
        return next(name for name in LIMITS if getattr(self, name) is not None)

    @property
    def limit(self) -> float:
        """The limit in its unit."""
        return float(getattr(self, self.what))

    @property
    def unit(self) -> str:
        return LIMITS[self.what][0]

    @property
    def subject(self) -> str:
        """What is limited, in words: ``on phone-a``, ``file`` or ``memory``."""
        word = LIMITS[self.what][1]
        return f"on {self.profile.name}" if isinstance(self.profile, DeviceProfile) else word

    def __str__(self) -> str:
        return f"{self.limit:.4g} {self.unit} {self.subject}"

    def text(self, value: float) -> str:
        """A value beside the limit.

        >>> Budget(file_mb=2).text(1.234)
        '1.234 of 2 MB file'
        """
        return f"{value:.4g} of {self}"

    def scaled(self, factor: float) -> Budget:
        """The same with so many times the limit."""
        limits: dict[str, Any] = {self.what: factor * self.limit}
        return replace(self, **limits)

    def prices(self) -> DeviceProfile:
        """The profile whose milliseconds are the budget's unit."""
        assert isinstance(self.profile, DeviceProfile)
        return self.profile.of_energy() if self.what == "mj" else self.profile

    def to_dict(self) -> dict[str, Any]:
        """As plain data, the profile without its measurements."""
        profile = (
            self.profile.to_dict(measurements=False) if isinstance(self.profile, DeviceProfile) else None
        )
        return {"profile": profile, self.what: self.limit, "device": self.device}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Budget:
        profile = values.get("profile")
        if isinstance(profile, Mapping):
            profile = DeviceProfile.from_dict(dict(profile))
        return cls(**{**values, "profile": profile})


def checked_budgets(budgets: Any) -> list[Budget]:
    """Budgets as a user gave them; one alone is a list of one.

    Raises:
        UsageError: something else, none, or the same thing twice.
    """
    listed = [budgets] if isinstance(budgets, Budget) else list(budgets)
    wrong = next((each for each in listed if not isinstance(each, Budget)), None)
    if wrong is not None or not listed:
        received = "an empty list" if wrong is None else type(wrong).__name__
        raise UsageError(f"budgets= takes fdi_keras.Budget objects, received {received}.")
    subjects = [(each.what, each.subject) for each in listed]
    twice = next((each for each in listed if subjects.count((each.what, each.subject)) > 1), None)
    if twice is not None:
        raise UsageError(
            f"budgets= limits {twice.unit} {twice.subject} more than once; keep the tightest limit."
        )
    return listed


def profiles_of(budgets: Iterable[Budget]) -> list[DeviceProfile]:
    """The profiles that budgets name."""
    return [budget.profile for budget in budgets if isinstance(budget.profile, DeviceProfile)]
