"""Forms: what the leaves of a time model are linear in.

The form ``paper`` is that of Yao et al. (SenSys 2018, section 4): leaves are linear in
FLOPs, memory and parameters.

The form ``tiles`` (our choice, and the default) adds what a library that works in blocks
does: FLOPs and parameters with channels, pixels or rows rounded up to a tile, and the
rounded channels and the pixels as features to split on. The tiles are not given: they are
those that predict held-out configurations best, and there are none where none helps; see
``discovery.py``.

This module is the one place where another form is added. A form chooses the columns,
perhaps by looking at the training rows, and names them so that the name alone says how to
compute the column again: the names stand in the profile, and whoever reads it needs
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdi_keras.errors import UsageError
from fdi_keras.execution_time.columns import (
    CHANNEL_TILES,
    GATES,
    PIXELS,
    SKIPPED,
    WINDOW,
    Column,
    compute,
    knows,
    made_channels,
    parse,
    tile_in_channels,
)
from fdi_keras.operators.kinds import Kind

Dims = Mapping[str, Any]


def _no_columns(kind: Kind, dims: Dims, names: Sequence[str]) -> dict[str, np.ndarray]:
    raise UsageError(f"{kind.name} has no column {names[0]!r}; it has {', '.join(kind.features)}.")


def _never(kind: Kind, name: str) -> bool:
    return False


def _no_more(kind: Kind, linear: Sequence[str]) -> tuple[str, ...]:
    return ()


@dataclass(frozen=True)
class Form:
    """One way to choose the linear columns.

    Attributes:
        name: as in profiles.
        linear: kind, dims ``(n,)`` each, times ``(n,)`` in ms and groups ``(n,)`` of the
            training rows, to the names of the columns that leaves are linear in.
        tested: kind and the linear columns, to further columns that only conditions test.
        knows: kind and name, to whether the form can compute a column of that name which
            :attr:`Kind.features` lacks.
        columns: kind, dims and such names, to these columns, ``(n,)`` each.
    """

    name: str
    linear: Callable[[Kind, Dims, np.ndarray, np.ndarray], tuple[str, ...]]
    tested: Callable[[Kind, Sequence[str]], tuple[str, ...]] = _no_more
    knows: Callable[[Kind, str], bool] = _never
    columns: Callable[[Kind, Dims, Sequence[str]], dict[str, np.ndarray]] = _no_columns

    def features(self, kind: Kind, linear: Sequence[str]) -> tuple[str, ...]:
        """All columns of a model: those of the kind, then those that only this form has."""
        return tuple(dict.fromkeys([*kind.features, *linear, *self.tested(kind, linear)]))

    def compute(self, kind: Kind, dims: Dims, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns by name, ``(n,)`` each, or ``(1,)`` where they are the same for all n operators.

        Dimensions left out take the kind's defaults.

        Raises:
            UsageError: for a dimension that is missing or unknown.
        """
        unknown = sorted(set(dims) - set(kind.dimensions))
        if unknown:
            raise UsageError(
                f"{kind.name} has no dimension {', '.join(unknown)}; it has {', '.join(kind.dimensions)}."
            )
        full = {**kind.defaults, **dims}
        missing = [d for d in kind.dimensions if d not in full]
        if missing:
            given = ", ".join(dims) or "no dimensions"
            raise UsageError(f"{kind.name} needs {', '.join(missing)}; given were {given}.")
        own = [name for name in names if name not in kind.features]
        found = compute(kind, full, [name for name in names if name in kind.features])
        return found | self.columns(kind, full, own) if own else found

    def matrix(self, kind: Kind, dims: Dims, features: Sequence[str]) -> np.ndarray:
        """Feature matrix ``(n, len(features))``; dimensions left out take the kind's defaults.

        Raises:
            UsageError: for a dimension that is missing or unknown.
        """
        columns = self.compute(kind, dims, features)
        length = max((np.size(value) for value in dims.values()), default=1)
        matrix = np.empty((length, len(features)), order="F")
        for i, name in enumerate(features):
            matrix[:, i] = columns[name]
        return matrix


def get_form(name: str) -> Form:
    """The form of this name; UsageError lists the known ones."""
    try:
        return FORMS[name]
    except KeyError:
        raise UsageError(f"unknown form {name!r} of a time model; known are {', '.join(FORMS)}.") from None


def _linear(kind: Kind, dims: Dims, times: np.ndarray, groups: np.ndarray) -> tuple[str, ...]:
    from fdi_keras.execution_time.discovery import discover  # learning needs scipy and scikit-learn

    return discover(kind, dims, times, groups)


def _tested(kind: Kind, linear: Sequence[str]) -> tuple[str, ...]:
    """Channels in the blocks that were found and in half of these, for multiples, pixels, and what windows are like.

    A library may be fast where the number of its blocks is even: where what it rounded up to
    16 is a multiple of 32.
    """
    tiles = {
        (dimension, part)
        for name in linear
        for dimension, tile in parse(name).tiles
        if tile_in_channels(kind, dimension, tile)[0] in kind.channels
        for part in (tile, tile // 2)
        if part in CHANNEL_TILES
    }
    rounded = (Column(d or made_channels(kind), "", ((d, tile),)).name for d, tile in sorted(tiles))
    return (*rounded, *(name for name in (PIXELS, WINDOW, SKIPPED) if knows(kind, name)))


def _columns(kind: Kind, dims: Dims, names: Sequence[str]) -> dict[str, np.ndarray]:
    unknown = [name for name in names if not knows(kind, name)]
    return _no_columns(kind, dims, unknown) if unknown else compute(kind, dims, names)


def multiple_columns(kind: Kind, features: Sequence[str]) -> list[int]:
    """Columns on which multiples are tried: dimensions, rounded ones included.

    A multiple of 16 bytes says nothing that a multiple of 4 channels does not say in words.
    """
    return [i for i, name in enumerate(features) if parse(name).base in (*kind.dimensions, GATES)]


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form("paper", lambda kind, dims, times, groups: kind.linear),
        Form("tiles", _linear, _tested, knows, _columns),
    )
}

#: The form that profiles are learned in unless another is asked for.
DEFAULT_FORM = "tiles"
