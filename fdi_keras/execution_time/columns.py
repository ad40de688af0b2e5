"""Columns: the numbers of an operator that leaves are linear in and that conditions test.

Beside dimensions and explanatory variables there are such with dimensions rounded up to
a tile, for libraries that work in blocks. A column's name says how to compute it; the
names stand in profiles, and whoever reads one needs nothing else:

- ``flops``: an explanatory variable, ``out_channels``: a dimension,
- ``pixels``: positions of the feature map that is written (read, where none is written),
- ``memory_seen``: bytes of the image that windows look at, as often as they do; padding is not read,
- ``window``: places of a kernel, its height times its width,
- ``skipped``: rows and columns between two windows that neither looks at,
- ``flops@16``: with the channels an operator makes rounded up to a multiple of 16,
- ``flops@16,pixels:7``: with the pixels rounded up to a multiple of 7 as well,
- ``flops@gates:32``: of a recurrent layer, with units for which its gates together are a multiple of 32,
- ``flops/in_channels``: what there would be of a single input channel.

All of them are our choice; the paper's leaves are linear in FLOPs, memory and parameters.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fdi_keras.operators.kinds import BYTES, EXPLANATORY, Kind
from fdi_keras.operators.windows import looks_inside, sides

#: The pseudo-dimension of kinds with an image: rows times columns of the output.
PIXELS = "pixels"

#: Bytes that sliding windows look at inside the image: in small images most of a window may be padding.
SEEN = "memory_seen"

#: Pseudo-dimensions of kinds with a sliding window: its places, and what lies between two windows. Libraries have
#: kernels for so many places at most, and their fast ones for windows that touch or overlap.
WINDOW, SKIPPED = "window", "skipped"

#: The pseudo-dimension of recurrent kinds: outputs of a product, gates times units.
GATES = "gates"

#: Tiles of channels that are looked for: libraries work in vectors, and these have powers of two.
CHANNEL_TILES = (4, 8, 16, 32, 64)


#: A tile of gates may be a third of a channel: what is a rounding error above a whole number of blocks fills these.
LITTLE = 1e-3


class Column(NamedTuple):
    """A column's name taken apart.

    Attributes:
        base: a dimension, an explanatory variable, or :data:`PIXELS`.
        per: the dimension of which a single one is counted; empty for none.
        tiles: tile by dimension; the dimension is empty for the channels that an operator makes.
    """

    base: str
    per: str = ""
    tiles: tuple[tuple[str, int], ...] = ()

    @property
    def name(self) -> str:
        """The name that :func:`parse` takes apart."""
        name = f"{self.base}/{self.per}" if self.per else self.base
        tiles = ",".join(f"{dimension}:{tile}" if dimension else str(tile) for dimension, tile in self.tiles)
        return f"{name}@{tiles}" if tiles else name

    def without(self, dimensions: Iterable[str]) -> Column:
        """The same column with these dimensions as they are."""
        return self._replace(tiles=tuple(part for part in self.tiles if part[0] not in dimensions))


@lru_cache(maxsize=4096)
def parse(name: str) -> Column:
    """A name taken apart; one that follows no rule is a base that no kind knows.

    >>> parse("flops@16,pixels:7")
    Column(base='flops', per='', tiles=(('', 16), ('pixels', 7)))
    >>> parse("flops/in_channels").per, parse("flops@16,pixels:7").name
    ('in_channels', 'flops@16,pixels:7')
    """
    whole, at, listed = name.partition("@")
    base, slash, per = whole.partition("/")
    tiles: list[tuple[str, int]] = []
    for part in listed.split(",") if at else []:
        dimension, colon, number = part.rpartition(":")
        if not number.isdigit() or int(number) < 2 or (colon and not dimension):
            return Column(name)
        tiles.append((dimension, int(number)))
    if (slash and not per) or len({dimension for dimension, _ in tiles}) < len(tiles):
        return Column(name)
    return Column(base, per, tuple(tiles))


def pixel_sides(kind: Kind) -> tuple[str, str] | None:
    """The two (derived) dimensions whose product is the pixels; None for kinds without an image."""
    if kind.windowed:
        return "out_height", "out_width"
    if "height" in kind.dimensions and "width" in kind.dimensions:
        return "height", "width"
    return None


def made_channels(kind: Kind) -> str:
    """The dimension that a tile without a name rounds: the channels an operator makes."""
    return kind.channels[-1]


def rounded_dimensions(kind: Kind) -> tuple[str, ...]:
    """What tiles may round: channels, and pixels or rows."""
    pixels = (PIXELS,) if pixel_sides(kind) else ()
    rows = ("rows",) if "rows" in kind.dimensions else ()
    gates = (GATES,) if kind.gates else ()
    return (*kind.channels, *gates, *pixels, *rows)


def tile_in_channels(kind: Kind, dimension: str, tile: int) -> tuple[str, float]:
    """Which channels a tile rounds, and to a multiple of what.

    >>> from fdi_keras.operators import KINDS
    >>> tile_in_channels(KINDS["gru_while"], "gates", 48), tile_in_channels(KINDS["dense"], "", 16)
    (('units', 16.0), ('out_channels', 16))
    """
    if dimension == GATES:
        return made_channels(kind), tile / kind.gates
    return dimension or made_channels(kind), tile


def knows(kind: Kind, name: str) -> bool:
    """Whether a kind has a column of this name."""
    column = parse(name)
    if name in kind.features or (name in (SEEN, WINDOW, SKIPPED) and kind.windowed):
        return True
    if column.base == GATES:
        return (
            bool(kind.gates) and not column.per and all(dimension == GATES for dimension, _ in column.tiles)
        )
    possible = rounded_dimensions(kind)
    tiled = [dimension or made_channels(kind) for dimension, _ in column.tiles]
    if GATES in tiled and made_channels(kind) in tiled:
        return False
    if column.per and (column.base not in EXPLANATORY or column.per not in possible):
        return False
    if any(dimension not in possible or dimension == column.per for dimension in tiled):
        return False
    if len(set(tiled)) < len(tiled):
        return False
    if column.base in EXPLANATORY:
        return True
    # A dimension has no use for the tile of another.
    return column.base in possible and all(dimension == column.base for dimension in tiled)


def compute(kind: Kind, dims: Mapping[str, Any], names: Iterable[str]) -> dict[str, np.ndarray]:
    """Columns of n operators by name, each ``(n,)`` or ``(1,)`` where all dimensions are single numbers.

    Args:
        kind: of the operators.
        dims: number or array ``(n,)`` by dimension, complete.
        names: of columns that the kind knows.
    """
    found: dict[str, np.ndarray] = {}
    given = {name: np.atleast_1d(np.asarray(value, float)) for name, value in dims.items()}
    derived: dict[str, Any] | None = None
    explained: dict[tuple[str, tuple[tuple[str, int], ...]], tuple[Any, ...]] = {}
    for name in names:
        column = parse(name)
        if name in kind.dimensions:
            found[name] = given[name]
            continue
        if derived is None:
            derived = kind.derive(given)
        if name == SKIPPED:
            value = sum(np.maximum(side.stride - side.kernel, 0) for side in sides(derived))
        elif name == WINDOW:
            along_height, along_width = sides(derived)
            value = np.asarray(along_height.kernel * along_width.kernel)
        elif column.base == GATES:
            value = np.round(kind.gates * _changed(kind, derived, column)[made_channels(kind)], 6)
        elif name == SEEN:
            value = BYTES * looks_inside(derived) * derived[kind.channels[0]]
        elif column.base in EXPLANATORY:
            key = column.per, column.tiles
            if key not in explained:
                explained[key] = kind.formula(_changed(kind, derived, column))
            value = explained[key][EXPLANATORY.index(column.base)]
        else:
            value = _changed(kind, derived, column)[column.base]
        found[name] = np.atleast_1d(np.asarray(value, float))
    return found


def _changed(kind: Kind, derived: Mapping[str, Any], column: Column) -> dict[str, Any]:
    """The dimensions that a column is computed from, with pixels as a dimension of their own."""
    columns = dict(derived)
    sides = pixel_sides(kind)
    if sides and (PIXELS in (column.base, column.per) or any(d == PIXELS for d, _ in column.tiles)):
        columns[PIXELS] = columns[sides[0]] * columns[sides[1]]
    for dimension, count in column.tiles:
        name, tile = tile_in_channels(kind, dimension, count)
        columns[name] = np.ceil(columns[name] / tile - LITTLE) * tile
    if column.per:
        columns[column.per] = np.ones(1)
    if sides and PIXELS in columns:
        # Formulas see the sides: the rounded number in one row of pixels has the same product.
        columns[sides[0]], columns[sides[1]] = columns[PIXELS], np.ones(1)
    return columns
