"""Forms: what the leaves of a time model are linear in.

The form ``paper`` is that of Yao et al. (SenSys 2018, section 4): leaves are linear in
FLOPs, memory and parameters.

The form ``tiles`` (our choice, and the default) adds what a library that works in blocks
does: FLOPs and parameters with the output channels rounded up to a tile, and the rounded
channels as a feature to split on. The tile is not given: it is the one that predicts
held-out configurations best, and there is none where none helps. Only one tile a kind, on
the output channels, is looked for so far; other dimensions and several tiles belong here.

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
from fdi_keras.operators.kinds import EXPLANATORY, Kind

Dims = Mapping[str, Any]


def _no_column(kind: Kind, dims: Dims, name: str) -> np.ndarray:
    raise UsageError(f"{kind.name} has no column {name!r}; it has {', '.join(kind.features)}.")


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
        column: kind, dims and name, to that column ``(n,)``.
    """

    name: str
    linear: Callable[[Kind, Dims, np.ndarray, np.ndarray], tuple[str, ...]]
    tested: Callable[[Kind, Sequence[str]], tuple[str, ...]] = _no_more
    knows: Callable[[Kind, str], bool] = _never
    column: Callable[[Kind, Dims, str], np.ndarray] = _no_column

    def features(self, kind: Kind, linear: Sequence[str]) -> tuple[str, ...]:
        """All columns of a model: those of the kind, then those that only this form has."""
        own = (*linear, *self.tested(kind, linear))
        return (*kind.features, *(name for name in own if name not in kind.features))

    def matrix(self, kind: Kind, dims: Dims, features: Sequence[str]) -> np.ndarray:
        """Feature matrix ``(n, len(features))``; dimensions left out take the kind's defaults.

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
        known = kind.matrix(full)
        position = {name: i for i, name in enumerate(kind.features)}
        return np.column_stack(
            [known[:, position[n]] if n in position else self.column(kind, full, n) for n in features]
        )


def get_form(name: str) -> Form:
    """The form of this name; UsageError lists the known ones."""
    try:
        return FORMS[name]
    except KeyError:
        raise UsageError(f"unknown form {name!r} of a time model; known are {', '.join(FORMS)}.") from None


#: Tiles that are tried, beside none.
TILES = (4, 8, 16, 32, 64)

#: A tile must lower the held-out error by this share, or none is taken.
WORTH = 0.02

#: The explanatory variables that work in blocks: memory is read and written as it is.
BLOCKED = ("flops", "parameters")

#: And by more than repeated measurements differ: smaller differences of errors count as none.
NOISE = 0.002

#: Fewest rows to look for a tile in.
FEWEST_ROWS = 60

#: So many tell tiles apart; more only take time.
ENOUGH_ROWS = 1500


def split_name(name: str) -> tuple[str, int]:
    """A column's base name and tile; tile 1 where there is none.

    >>> split_name("flops@16"), split_name("flops")
    (('flops', 16), ('flops', 1))
    """
    base, _, tile = name.partition("@")
    return base, int(tile) if tile.isdigit() and int(tile) > 0 else 1


def tiled_dimension(kind: Kind) -> str:
    """The dimension that tiles are looked for in: the channels an operator makes."""
    return kind.channels[-1]


def _tiled(kind: Kind, tile: int) -> tuple[str, ...]:
    return (*kind.linear, *(f"{name}@{tile}" for name in BLOCKED if tile > 1))


def _tested(kind: Kind, linear: Sequence[str]) -> tuple[str, ...]:
    tiles = sorted({split_name(name)[1] for name in linear} - {1})
    return tuple(f"{tiled_dimension(kind)}@{tile}" for tile in tiles)


def _knows(kind: Kind, name: str) -> bool:
    base, tile = split_name(name)
    return tile > 1 and name == f"{base}@{tile}" and base in (*BLOCKED, tiled_dimension(kind))


def _tile_column(kind: Kind, dims: Dims, name: str) -> np.ndarray:
    if not _knows(kind, name):
        return _no_column(kind, dims, name)
    base, tile = split_name(name)
    dimension = tiled_dimension(kind)
    rounded = np.ceil(np.asarray(dims[dimension], float) / tile) * tile
    length = len(kind.explain(dims))
    if base == dimension:
        return np.broadcast_to(rounded, (length,))
    return kind.explain({**dims, dimension: rounded})[:, EXPLANATORY.index(base)]


def _discover(kind: Kind, dims: Dims, times: np.ndarray, groups: np.ndarray) -> tuple[str, ...]:
    """The linear columns with the tile that predicts held-out configurations best."""
    from fdi_keras.execution_time.folds import group_folds
    from fdi_keras.execution_time.regressor import ExecutionTimeRegressor

    if len(times) < FEWEST_ROWS:
        return kind.linear
    rng = np.random.default_rng(0)
    if len(times) > ENOUGH_ROWS:
        groups = np.unique(groups, return_inverse=True)[1].reshape(-1)
        chosen = rng.permutation(int(groups.max()) + 1)[groups] < ENOUGH_ROWS * (groups.max() + 1) / len(
            times
        )
        dims = {name: np.asarray(column)[chosen] for name, column in dims.items()}
        times, groups = times[chosen], groups[chosen]
    fold = group_folds(groups, 3, rng)
    errors = {}
    for tile in (1, *TILES):
        linear = _tiled(kind, tile)
        features = FORMS["tiles"].features(kind, linear)
        matrix = FORMS["tiles"].matrix(kind, dims, features)
        regressor = ExecutionTimeRegressor(
            linear=[features.index(name) for name in linear],
            multiple_features=multiple_columns(kind, features),
            max_leaves=2,  # larger trees imitate tiles by conditions, and then any tile will do
            cv=None,
            robust_steps=0,
        )
        off = []
        for part in np.unique(fold):
            out = fold == part
            fitted = regressor.fit(matrix[~out], times[~out])
            off.append(np.abs(fitted.predict(matrix[out]) - times[out]) / times[out])
        # Capped: a few configurations that no tile explains must not decide.
        errors[tile] = float(np.minimum(np.concatenate(off), 1.0).mean())
    # A tile's divisors nearly explain it too, with conditions: of those that are as good the largest.
    lowest = min(errors.values())
    best = max(tile for tile, error in errors.items() if error <= lowest + NOISE)
    return _tiled(kind, best if errors[1] - errors[best] > max(WORTH * errors[1], NOISE) else 1)


def multiple_columns(kind: Kind, features: Sequence[str]) -> list[int]:
    """Columns on which multiples are tried: dimensions, rounded ones included.

    A multiple of 16 bytes says nothing that a multiple of 4 channels does not say in words.
    """
    return [i for i, name in enumerate(features) if split_name(name)[0] in kind.dimensions]


FORMS: dict[str, Form] = {
    form.name: form
    for form in (
        Form("paper", lambda kind, dims, times, groups: kind.linear),
        Form("tiles", _discover, _tested, _knows, _tile_column),
    )
}

#: The form that profiles are learned in unless another is asked for.
DEFAULT_FORM = "tiles"
