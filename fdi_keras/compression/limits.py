"""What a user allows: layers that stay as they are, and bounds on the widths of the others."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.networks.channel_spaces import ChannelSpace, ChannelSpaces

#: One number for all channel spaces, or numbers by name or pattern of the layers that make their channels.
Bound = int | Mapping[str, int]


@dataclass(frozen=True)
class Limits:
    """Which widths each space may have.

    Attributes:
        lower: ``(spaces,)`` smallest width.
        multiple: ``(spaces,)`` widths are multiples of this, or the width that the space has.
        full: ``(spaces,)`` that width.
    """

    lower: np.ndarray
    multiple: np.ndarray
    full: np.ndarray

    @classmethod
    def of(cls, spaces: ChannelSpaces, min_channels: Bound = 1, multiple_of: Bound = 1) -> Limits:
        """Limits from what a user gave.

        Raises:
            UsageError: a number below 1, or a pattern that matches no layer.
        """
        full = np.array([space.width for space in spaces], int)
        least, multiple = (
            _by_space(spaces, name, bound)
            for name, bound in (("min_channels", min_channels), ("multiple_of", multiple_of))
        )
        whole = np.array([space.kept is not None for space in spaces], bool)
        lower = np.minimum(-(-least // multiple) * multiple, full)
        return cls(np.where(whole, full, lower), multiple, full)

    def allowed(self, space: int, widths: np.ndarray) -> np.ndarray:
        """Those of some widths, ascending, that a space may have."""
        fits = (widths % self.multiple[space] == 0) | (widths == self.full[space])
        return widths[fits & (widths >= self.lower[space])]

    def at_least(self, widths: np.ndarray) -> np.ndarray:
        """The next widths that are allowed, none smaller, ``(spaces,)``."""
        rounded = -(-np.asarray(widths, int) // self.multiple) * self.multiple
        return np.minimum(np.maximum(rounded, self.lower), self.full)


def exclude_layers(spaces: ChannelSpaces, patterns: str | Iterable[str]) -> list[str]:
    """Keep the channels of some layers, named or by pattern (``block1_*``); the names of their spaces.

    Raises:
        UsageError: a pattern that matches no layer with channels.
    """
    found: list[str] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        for space in _matching(spaces, pattern, "exclude"):
            space.kept = space.kept or f"excluded by {pattern!r}"
            found.append(space.name)
    return found


def _by_space(spaces: ChannelSpaces, name: str, bound: Bound) -> np.ndarray:
    values = np.ones(len(spaces), int)
    position = {space.name: i for i, space in enumerate(spaces)}
    for pattern, number in bound.items() if isinstance(bound, Mapping) else [("*", bound)]:
        if isinstance(number, bool) or not isinstance(number, (int, np.integer)) or number < 1:
            raise UsageError(f"{name} must be a whole number, at least 1; received {number!r}.")
        for space in spaces if pattern == "*" else _matching(spaces, pattern, name):
            at = position[space.name]
            values[at] = np.lcm(values[at], number) if name == "multiple_of" else max(values[at], number)
    return values


def _matching(spaces: ChannelSpaces, pattern: str, argument: str) -> Sequence[ChannelSpace]:
    """Spaces whose name, or a layer that makes their channels, matches."""
    found = [
        space
        for space in spaces
        if any(fnmatchcase(name, pattern) for name in (space.name, *space.producers))
    ]
    if not found:
        known = list(dict.fromkeys(name for space in spaces for name in space.producers))
        near = difflib.get_close_matches(pattern, known, 3, 0.4) or known[:3]
        raise UsageError(
            f"{argument}: {pattern!r} matches no layer that makes channels. There are {len(known)}, such as "
            f"{', '.join(near)}; 'print(fdi_keras.prunable(model).channel_spaces)' lists them."
        )
    return found
