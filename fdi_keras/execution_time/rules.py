"""Leaf rules as words, with units, for tables, reports and JSON.

Numbers have three significant digits. KB and MB are 1000 and 1,000,000 bytes.
"""

from __future__ import annotations

from math import floor
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from fdi_keras.execution_time.columns import Column, parse
from fdi_keras.execution_time.tree import Condition, Leaf, Tree

if TYPE_CHECKING:
    from fdi_keras.execution_time.time_model import TimeModel


class _Unit(NamedTuple):
    """How one explanatory variable is spoken of."""

    sizes: tuple[tuple[float, str], ...]  # largest first
    per: float  # the amount that a weight is given for
    per_text: str


_UNITS = {
    "flops": _Unit(((1e9, "GFLOP"), (1e6, "MFLOP"), (1e3, "kFLOP"), (1, "FLOP")), 1e6, "MFLOP"),
    "memory_in": _Unit(((1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1, "B")), 1e3, "KB read"),
    "memory_out": _Unit(((1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1, "B")), 1e3, "KB written"),
    "memory_internal": _Unit(((1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1, "B")), 1e3, "KB internal"),
    "memory_seen": _Unit(((1e9, "GB"), (1e6, "MB"), (1e3, "KB"), (1, "B")), 1e3, "KB under windows"),
    "parameters": _Unit(((1e6, "million"), (1e3, "thousand"), (1, "")), 1e3, "thousand parameters"),
}


class RuleText(msgspec.Struct, frozen=True):
    """One leaf in words.

    Attributes:
        conditions: what must hold, merged: one text a range, one a divisor; none for "always".
        formula: the time, with units.
        text: conditions and formula in one line.
        samples: measurements that the leaf was fitted on.
        mape: their mean absolute percentage error, as a fraction.
        intercept_ms: constant part.
        weights: ms per FLOP, byte or parameter, by variable.
    """

    conditions: list[str]
    formula: str
    text: str
    samples: int
    mape: float
    intercept_ms: float
    weights: dict[str, float]


def describe_rules(model: TimeModel) -> list[RuleText]:
    """The rule of every leaf, in the order of ``model.tree.leaves``."""
    return [rule_text(model.tree, leaf) for leaf in range(len(model.tree.leaves))]


def rule_text(tree: Tree, leaf: int) -> RuleText:
    """The rule of one leaf, a position in ``tree.leaves``.

    >>> from fdi_keras.execution_time.tree import Split
    >>> fast, slow = (Leaf(0.001, {"flops": w}, samples=20, mape=0.02) for w in (8.7e-9, 2e-8))
    >>> root = Split(Condition("out_channels", "multiple", 4), yes=fast, no=slow)
    >>> rule_text(Tree(["out_channels", "flops"], ["flops"], root), 0).text
    'out_channels multiple of 4: 1 us + 8.7 us a MFLOP'
    """
    rule = tree.leaves[leaf]
    conditions = conditions_text(rule.path, tree.features)
    formula = formula_text(rule.leaf)
    return RuleText(
        conditions=conditions,
        formula=formula,
        text=f"{' and '.join(conditions) or 'always'}: {formula}",
        samples=rule.leaf.samples,
        mape=rule.leaf.mape,
        intercept_ms=rule.leaf.intercept,
        weights=dict(rule.leaf.weights),
    )


def conditions_text(path: tuple[tuple[Condition, bool], ...], features: list[str]) -> list[str]:
    """A path of conditions in words, merged, by feature in the order of ``features``.

    >>> wide, wider, narrow = (Condition("kernel", "above", t) for t in (1.5, 2.5, 5.5))
    >>> conditions_text(((wide, True), (wider, True), (narrow, False)), ["kernel"])
    ['2 < kernel <= 5']
    """
    texts = []
    for feature in sorted({c.feature for c, _ in path}, key=features.index):
        own = [(c, holds) for c, holds in path if c.feature == feature]
        above = [c.value for c, holds in own if c.test == "above" and holds]
        upto = [c.value for c, holds in own if c.test == "above" and not holds]
        texts += _range_text(feature, max(above, default=None), min(upto, default=None))
        divisors = {c.value for c, holds in own if c.test == "multiple" and holds}
        others = {c.value for c, holds in own if c.test == "multiple" and not holds}
        # A multiple of 16 is one of 4; what is no multiple of 4 is none of 16.
        feature = feature_text(feature)
        texts += [
            f"{feature} multiple of {d:g}"
            for d in sorted(divisors)
            if not any(e != d and e % d == 0 for e in divisors)
        ]
        texts += [
            f"{feature} not a multiple of {d:g}"
            for d in sorted(others)
            if not any(e != d and d % e == 0 for e in others)
        ]
    return texts


def formula_text(leaf: Leaf) -> str:
    """The linear formula of a leaf in words.

    >>> formula_text(Leaf(0.0009, {"flops": 8.7e-9, "memory_in": 1.1e-7}, samples=30, mape=0.02))
    '0.9 us + 8.7 us a MFLOP + 0.11 us a KB read'
    """
    terms = [_time_text(leaf.intercept)] if leaf.intercept > 0 else []
    for name, weight in leaf.weights.items():
        if weight > 0:
            column = parse(name)
            unit = _UNITS.get(column.base)
            per, text = (unit.per, unit.per_text) if unit else (1.0, column.base.removesuffix("s"))
            if column.per:
                text += f" per {column.per}"
            if column.tiles:
                text += f" {_blocks_text(column, 'channels')}"
            terms.append(f"{_time_text(weight * per)} a {text}")
    return " + ".join(terms) or "0 us"


def feature_text(feature: str) -> str:
    """A feature in words.

    >>> feature_text("out_channels@16"), feature_text("kernel")
    ('out_channels in blocks of 16', 'kernel')
    """
    column = parse(feature)
    blocks = f" {_blocks_text(column, '')}" if column.tiles else ""
    return f"{column.base}{f' per {column.per}' if column.per else ''}{blocks}"


def _blocks_text(column: Column, channels: str) -> str:
    """Tiles in words; the channels that an operator makes are called ``channels``."""
    own = {"": channels, column.base: ""}
    tiles = (f"{tile} {own.get(dimension, dimension)}".rstrip() for dimension, tile in column.tiles)
    return f"in blocks of {' and '.join(tiles)}"


def _base(feature: str) -> str:
    return parse(feature).base


def _range_text(feature: str, low: float | None, high: float | None) -> list[str]:
    if _base(feature) not in _UNITS:
        # Dimensions are whole numbers: above 16.5 is above 16, and not above it is at most 16.
        low, high = (None if v is None else floor(v) for v in (low, high))
        if low is not None and high is not None and high - low == 1:
            return [f"{feature_text(feature)} = {high:g}"]
    if low is not None and high is not None:
        return [f"{_amount(feature, low)} < {feature_text(feature)} <= {_amount(feature, high)}"]
    if low is not None:
        return [f"{feature_text(feature)} > {_amount(feature, low)}"]
    if high is not None:
        return [f"{feature_text(feature)} <= {_amount(feature, high)}"]
    return []


def _amount(feature: str, value: float) -> str:
    if _base(feature) not in _UNITS:
        return f"{value:.0f}"
    sizes = _UNITS[_base(feature)].sizes
    size, name = next((s for s in sizes if value >= s[0]), sizes[-1])
    return f"{_digits(value / size)} {name}".rstrip()


def _time_text(ms: float) -> str:
    """A time with a fitting unit: ms from 1 ms on, ns below a thousandth of a us."""
    us = ms * 1e3
    if us >= 999.5:
        return f"{_digits(ms)} ms"
    return f"{_digits(us)} us" if us >= 0.001 else f"{_digits(us * 1e3)} ns"


def _digits(value: float) -> str:
    """Three significant digits, never in powers of ten.

    >>> _digits(1234.5), _digits(0.98765), _digits(3.0), _digits(0.00001234)
    ('1230', '0.988', '3', '0.0000123')
    """
    text = f"{value:.3g}"
    if "e" in text:
        text = f"{float(text):.12f}".rstrip("0").rstrip(".")
    return text
