"""Which columns the leaves of a kind need: blocks that the library works in, found in the data.

A library that computes 16 output channels at once takes as long for 17 of them as for 32,
and one that computes 7 pixels at once as long for 8 as for 14. FLOPs with a dimension rounded
up to the right tile explain such steps; with a wrong tile they explain less than FLOPs as
they are. So each rounding is tried, and kept where it lowers the error on held-out
configurations by more than chance, one after the other.

The error is that of a few linear leaves, whose conditions come from a small tree over the
columns found so far: larger trees imitate a tile by conditions, and any tile would do then.
The whole procedure is our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from fdi_keras.execution_time.columns import (
    CHANNEL_TILES,
    GATES,
    PIXELS,
    SEEN,
    Column,
    compute,
    knows,
    made_channels,
    parse,
    rounded_dimensions,
)
from fdi_keras.execution_time.folds import group_folds
from fdi_keras.execution_time.nonnegative import fit_leaf
from fdi_keras.operators.kinds import Kind

#: Tiles of pixels and rows: as many as there are registers for.
PIXEL_TILES = tuple(range(2, 17))

#: The explanatory variables that work in blocks: memory is read and written as it is.
BLOCKED = ("flops", "parameters")

#: A change must lower the held-out error by this share ...
WORTH = 0.015

#: ... and by more than repeated measurements differ: smaller differences of errors count as none.
NOISE = 0.0005

#: Standard errors by which a change must lower the error.
SURE = 1.5

#: Fewest rows to look for columns in.
FEWEST_ROWS = 24

#: So many tell tiles apart; more only take time.
ENOUGH_ROWS = 700

#: Tiles of one dimension: a library may have kernels of two widths.
MOST_TILES = 2

#: So many pixels or rows are few.
FEW_PIXELS = 64

#: Leaves of the small tree, and the folds. Over a narrow range six leaves imitate a tile, two do not.
LEAVES, FOLDS = (6, 2), 4

#: A single configuration that nothing explains must not decide.
MOST_OFF = 0.5


def discover(kind: Kind, dims: Mapping[str, Any], times: np.ndarray, groups: np.ndarray) -> tuple[str, ...]:
    """The linear columns that predict held-out configurations best.

    Args:
        kind: of the operators.
        dims: column ``(n,)`` by dimension.
        times: ``(n,)`` in ms.
        groups: ``(n,)`` labels of rows that are held out together.
    """
    # An image is often gone through pixel by pixel, at a cost for each however few channels it has.
    start = (*kind.linear, *(name for name in (PIXELS, SEEN) if knows(kind, name)))
    if len(times) < FEWEST_ROWS:
        return start
    rng = np.random.default_rng(0)
    if len(times) > ENOUGH_ROWS:
        label = np.unique(groups, return_inverse=True)[1].reshape(-1)
        count = int(label.max()) + 1
        chosen = rng.permutation(count)[label] < ENOUGH_ROWS * count / len(times)
        dims = {name: np.asarray(column)[chosen] for name, column in dims.items()}
        times, groups = times[chosen], groups[chosen]
    fold = group_folds(groups, FOLDS, rng)
    tiled = False
    for leaves in LEAVES:
        linear = _search(kind, dims, times, groups, fold, start, _changes, leaves)
        tiled = any(parse(name).tiles for name in linear)
        if tiled:
            break
    for dimension in rounded_dimensions(kind):
        # Where no channel is computed in blocks, nothing is.
        if dimension in (*kind.channels, GATES) or not tiled:
            continue
        number = np.broadcast_to(compute(kind, dims, [dimension])[dimension], times.shape)
        # Of many pixels the last block is a small part: whether there are blocks is seen where they are few.
        few = (number > 1) & (number <= FEW_PIXELS)
        if few.sum() >= FEWEST_ROWS:
            part = {name: np.asarray(column)[few] for name, column in dims.items()}
            linear = _search(
                kind,
                part,
                times[few],
                groups[few],
                fold[few],
                linear,
                partial(_in_blocks, dimension=dimension),
            )
    return linear


def _search(
    kind: Kind,
    dims: Mapping[str, np.ndarray],
    times: np.ndarray,
    groups: np.ndarray,
    fold: np.ndarray,
    linear: tuple[str, ...],
    changes: Callable[[Kind, Sequence[str]], Iterator[tuple[str, ...]]],
    leaves: int = LEAVES[0],
) -> tuple[str, ...]:
    """The columns after all changes, one after the other, that lower the error."""
    trial = _Trial(kind, dims, times, fold)
    divided = 0
    while True:
        # Once with no tile and once with the first: later ones change the small tree little.
        if divided < 2:
            trial.divide(linear, leaves)
            divided += 1
        off = trial.off(linear)
        tried = {changed: trial.off(changed) for changed in dict.fromkeys(changes(kind, linear))}
        best = _best({changed: float(value.mean()) for changed, value in tried.items()})
        if best is None or not _better(off, tried[best], groups):
            return linear
        linear = best


def _better(before: np.ndarray, after: np.ndarray, groups: np.ndarray) -> bool:
    """Whether errors are lower by more than chance: by so many standard errors over the groups."""
    label = np.unique(groups, return_inverse=True)[1].reshape(-1)
    gain = np.bincount(label, before - after)
    spread = float(np.sqrt(np.sum((gain - gain.mean()) ** 2)))
    return float(gain.sum()) > max(SURE * spread, WORTH * float(before.sum()), NOISE * len(before))


def _best(errors: Mapping[tuple[str, ...], float]) -> tuple[str, ...] | None:
    """The lowest error; a tile's divisors nearly explain it too: of those as good the largest tiles."""
    if not errors:
        return None
    lowest = min(errors.values())
    return max(
        (linear for linear, error in errors.items() if error <= lowest + NOISE),
        key=lambda linear: (sum(t for name in linear for _, t in parse(name).tiles), -errors[linear]),
    )


def _changes(kind: Kind, linear: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """What the columns may become by one change."""
    columns = [parse(name) for name in linear]
    taken: dict[str, set[int]] = {}
    for column in columns:
        for short, tile in column.tiles:
            taken.setdefault(short, set()).add(tile)
    for dimension in kind.channels:
        if kind.gates and dimension == made_channels(kind):
            dimension = GATES
        short = _short(kind, dimension)
        if len(taken.get(short, ())) >= MOST_TILES:
            continue
        for tile in CHANNEL_TILES:
            if short not in taken:
                yield tuple(_rounded(kind, column, dimension, tile).name for column in columns)
            else:
                flops = [column for column in columns if column.base == "flops"]
                yield _with(linear, [_retiled(column, short, tile) for column in flops])
    yield from (_with(linear, [Column("memory_out", "", (("", tile),))]) for tile in taken.get("", ()))
    for column in columns:
        if column.base == "flops" and not column.per:
            yield from (
                _with(linear, [column._replace(per=d, tiles=column.without([_short(kind, d)]).tiles)])
                for d in kind.channels[:-1]
            )
    if knows(kind, "rows"):
        yield _with(linear, [Column("rows")])


def _in_blocks(kind: Kind, linear: Sequence[str], dimension: str) -> Iterator[tuple[str, ...]]:
    """Pixels or rows rounded to each of their tiles, unless they are rounded already."""
    columns = [parse(name) for name in linear]
    if not any(dimension == short for column in columns for short, _ in column.tiles):
        for tile in PIXEL_TILES:
            yield tuple(_rounded(kind, column, dimension, tile).name for column in columns)


def _with(linear: Sequence[str], more: Sequence[Column]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*linear, *(column.name for column in more)]))


def _short(kind: Kind, dimension: str) -> str:
    return "" if dimension == made_channels(kind) else dimension


def _rounded(kind: Kind, column: Column, dimension: str, tile: int) -> Column:
    """The column in blocks, unless it is in blocks of this dimension already or has none of it."""
    short = _short(kind, dimension)
    if column.base not in BLOCKED or dimension == column.per or short in dict(column.tiles):
        return column
    if column.base == "parameters" and dimension not in (*kind.channels, GATES):
        return column
    return column._replace(tiles=tuple(sorted((*column.tiles, (short, tile)))))


def _retiled(column: Column, short: str, tile: int) -> Column:
    """The column with another tile where it has one: a library may have kernels of two widths."""
    if short not in dict(column.tiles):
        return column
    return column._replace(tiles=tuple(sorted({**dict(column.tiles), short: tile}.items())))


class _Trial:
    """Held-out errors of columns, in leaves that are the same for all of them."""

    def __init__(self, kind: Kind, dims: Mapping[str, Any], times: np.ndarray, fold: np.ndarray):
        self.kind, self.dims, self.times, self.fold = kind, dims, times, fold
        self._columns: dict[str, np.ndarray] = {}
        self._leaf: list[np.ndarray] = []

    def _relative(self, names: Sequence[str]) -> np.ndarray:
        """Columns ``(n, 1 + len(names))``, the constant first, divided by the times."""
        missing = [name for name in names if name not in self._columns]
        for name, column in compute(self.kind, self.dims, missing).items():
            self._columns[name] = np.broadcast_to(column, self.times.shape) / self.times
        return np.column_stack([1 / self.times, *(self._columns[name] for name in names)])

    def divide(self, linear: Sequence[str], leaves: int) -> None:
        """Deal the rows to the leaves of small trees, one a fold, grown without the fold."""
        from fdi_keras.execution_time.forms import FORMS
        from fdi_keras.execution_time.regressor import ExecutionTimeRegressor

        form = FORMS["tiles"]
        features = form.features(self.kind, linear)
        matrix = form.matrix(self.kind, self.dims, features)
        regressor = ExecutionTimeRegressor(
            linear=[features.index(name) for name in linear],
            # The parity of blocks is a condition that no rounding imitates.
            multiple_features=[
                i
                for i, column in enumerate(map(parse, features))
                if column.base in self.kind.channels and column.tiles
            ],
            max_leaves=leaves,
            min_samples_leaf=max(12, len(self.times) // 16),
            cv=None,
            robust_steps=0,
        )
        self._leaf = []
        for part in np.unique(self.fold):
            train = self.fold != part
            self._leaf.append(regressor.fit(matrix[train], self.times[train]).apply(matrix))

    def off(self, linear: Sequence[str]) -> np.ndarray:
        """``(n,)`` absolute relative error of each row when it is held out."""
        relative = self._relative(linear)
        off = np.empty(len(relative))
        for part, leaf in zip(np.unique(self.fold), self._leaf, strict=True):
            out = self.fold == part
            for at in np.unique(leaf):
                here = leaf == at
                weights = fit_leaf(relative[here & ~out])
                off[here & out] = np.abs(relative[here & out] @ weights - 1.0)
        return np.minimum(off, MOST_OFF)
