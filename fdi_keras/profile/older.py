"""Profiles of earlier versions: from before a kind got a further dimension, or weights a rate by kind.

Such a dimension has a default that stands for what was measured without it, so old
measurements and ranges are filled up with it when a profile is read. An operator for
which the new dimension has another value is then outside the range that was measured,
and its prediction says so.

What fetching weights costs was once learned from dense layers alone, and joined to an operator's time by
a root. Such a cost is left out, and the profile says what to do.
"""

from __future__ import annotations

from typing import Any

from fdi_keras.operators import KINDS


def with_new_dimensions(data: dict[str, Any]) -> dict[str, Any]:
    """The content of a profile, or of its part ``energy``, with the dimensions that it does not know yet."""
    measurements, models = data.get("measurements"), data.get("models")
    if isinstance(measurements, dict):
        data = {**data, "measurements": {kind: _table(kind, part) for kind, part in measurements.items()}}
    if isinstance(models, dict):
        data = {**data, "models": {kind: _model(kind, part) for kind, part in models.items()}}
    return data


def without_old_fetch(data: dict[str, Any]) -> dict[str, Any]:
    """The content of a profile without a cost of weights that has one rate for all kinds."""
    fetch = data.get("weight_fetch")
    if not isinstance(fetch, dict) or not isinstance(fetch.get("ms_per_byte"), (int, float)):
        return data
    warnings = data.get("warnings", [])
    return {**data, "weight_fetch": None, "warnings": [*warnings, OLD_FETCH]}


def _table(kind: str, table: Any) -> Any:
    """A table of measurements; what is no table is left for the check to complain about."""
    missing = _missing(kind, table, "columns")
    if not missing or not isinstance(table.get("rows"), list):
        return table
    columns, rows = table["columns"], table["rows"]
    known = [name for name in KINDS[kind].dimensions if name not in missing]
    if columns[: len(known)] != known or any(not _numbers(row, len(columns)) for row in rows):
        return table
    filled = []
    for row in rows:
        dims = KINDS[kind].complete(dict(zip(known, row, strict=False)))
        filled.append([*dims.values(), *row[len(known) :]])
    return {**table, "columns": [*KINDS[kind].dimensions, *columns[len(known) :]], "rows": filled}


def _model(kind: str, model: Any) -> Any:
    missing = _missing(kind, model, "ranges")
    if not missing:
        return model
    ranges = dict(model["ranges"])
    for name in missing:
        value = float(KINDS[kind].defaults[name])
        # A constant was a vector over the channels, see Kind.complete().
        ranges[name] = ranges.get("constant", [0.0, 0.0]) if name == "broadcast" else [value, value]
    return {**model, "ranges": ranges}


def _missing(kind: str, part: Any, names: str) -> list[str]:
    """Dimensions with a default that a part of a profile does not name, if it names any others."""
    if kind not in KINDS or not isinstance(part, dict) or not isinstance(part.get(names), (list, dict)):
        return []
    spec = KINDS[kind]
    missing = [name for name in spec.dimensions if name not in part[names]]
    return missing if all(name in LATER.get(kind, ()) for name in missing) else []


def _numbers(row: Any, length: int) -> bool:
    return isinstance(row, list) and len(row) == length and all(type(v) in (int, float) for v in row)


OLD_FETCH = (
    "it was learned by an earlier version, whose cost of weights that leave the caches is left out: networks "
    "with many weights are predicted too fast. Measure it with 'fdi profile --extend'."
)

_BY_SIDE = ("kernel_width", "stride_width")

#: Dimensions that kinds did not have at first.
LATER: dict[str, tuple[str, ...]] = {
    "conv2d": (*_BY_SIDE, "dilation"),
    "depthwise_conv2d": (*_BY_SIDE, "dilation", "multiplier"),
    "max_pool2d": _BY_SIDE,
    "average_pool2d": _BY_SIDE,
    "mean": ("over",),
    "add": ("broadcast",),
    "mul": ("broadcast",),
}
