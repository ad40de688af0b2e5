"""Kinds of operators that take as long as each other lend each other their measurements.

A maximum costs what a minimum costs, and a ReLU what an absolute value: both are read, compared and
written. A campaign has few measurements for each of such kinds, but many for all of them. Whether
two kinds are alike is not assumed, it is seen in configurations that both were timed in: every design
begins with the same corners for kinds of one formula. The whole procedure is our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from fdi_keras.operators.kinds import KINDS, Kind

#: Kinds are alike when their times, in configurations of both, are in one proportion up to this mean deviation ...
ALIKE = 0.10

#: ... and up to this share of the error that a kind has when it is learned from itself alone.
WORTH = 0.75

#: Fewest configurations of both to see it in.
FEWEST_SHARED = 4

#: What a kind has, with what it borrows, is enough from this number on; the most alike kinds lend first.
ENOUGH = 600


class KindRows(NamedTuple):
    """Measurements of one kind.

    Attributes:
        dims: column ``(n,)`` by dimension, all dimensions of the kind.
        times: ``(n,)`` in ms, positive.
        groups: ``(n,)`` labels of rows that must not be torn apart.
    """

    dims: Mapping[str, np.ndarray]
    times: np.ndarray
    groups: np.ndarray


class Loan(NamedTuple):
    """Measurements of other kinds as if they were of the one that borrows them.

    Attributes:
        lenders: how many rows come from each kind.
        rows: in the dimensions of the borrower, times in its proportion.
    """

    lenders: dict[str, int]
    rows: KindRows


def loan_for(
    kind: str, measured: Mapping[str, KindRows], alone: Callable[[], float] = lambda: np.inf
) -> Loan | None:
    """What a kind with few measurements can borrow; None: it has enough, or nobody is alike.

    Args:
        kind: that borrows.
        measured: by kind; its own measurements are among them.
        alone: the held-out error of the kind when it borrows nothing; asked only where somebody would lend.
    """
    own = measured[kind]
    if len(own.times) >= ENOUGH:
        return None
    alike = []
    for name, rows in measured.items():
        if name != kind and KINDS[name].formula is KINDS[kind].formula:
            found = _proportion(kind, own, name, rows)
            if found is not None and found[1] <= ALIKE:
                alike.append((found[1], name, found[0]))
    limit = WORTH * alone() if alike else 0.0
    lenders: dict[str, int] = {}
    parts: list[KindRows] = []
    label = 1 + float(np.max(own.groups, initial=0))
    for deviation, name, proportion in sorted(alike):
        if deviation > limit or len(own.times) + sum(lenders.values()) >= ENOUGH:
            break
        part = _translated(KINDS[name], measured[name], KINDS[kind])
        if len(part.times):
            lenders[name] = len(part.times)
            parts.append(part._replace(times=part.times * proportion, groups=part.groups + label))
            label = 1 + float(np.max(parts[-1].groups))
    return Loan(lenders, _joined(parts)) if parts else None


def with_loan(own: KindRows, loan: Loan) -> tuple[KindRows, np.ndarray]:
    """All rows, and which of them are the borrower's own, ``(n,)`` bool."""
    joined = _joined([own, loan.rows])
    return joined, np.arange(len(joined.times)) < len(own.times)


def _joined(parts: list[KindRows]) -> KindRows:
    dims = {name: np.concatenate([part.dims[name] for part in parts]) for name in parts[0].dims}
    times, groups = (np.concatenate([getattr(part, name) for part in parts]) for name in ("times", "groups"))
    return KindRows(dims, times, groups)


def _proportion(first: str, one: KindRows, second: str, other: KindRows) -> tuple[float, float] | None:
    """How many times as long the first kind takes, and the mean deviation from that; None: too little shared."""
    kinds = KINDS[first], KINDS[second]
    common = [name for name in kinds[0].dimensions if name in kinds[1].dimensions]
    tables = []
    for kind, rows in zip(kinds, (one, other), strict=True):
        plain = _plain(kind, rows, common)
        keys = zip(*(np.asarray(rows.dims[name])[plain].tolist() for name in common), strict=True)
        tables.append(dict(zip(keys, np.log(rows.times[plain]).tolist(), strict=True)))
    shared = sorted(set(tables[0]) & set(tables[1]))
    if len(shared) < FEWEST_SHARED:
        return None
    ratios = np.array([tables[0][key] - tables[1][key] for key in shared])
    usual = float(np.median(ratios))
    return float(np.exp(usual)), float(np.mean(np.abs(ratios - usual)))


def _plain(kind: Kind, rows: KindRows, common: list[str]) -> np.ndarray:
    """Rows that a kind with only the common dimensions could have as well, ``(n,)`` bool."""
    plain = np.ones(len(rows.times), bool)
    for name in kind.dimensions:
        if name not in common:
            plain &= np.asarray(rows.dims[name]) == kind.defaults[name]
    return plain


def _translated(lender: Kind, rows: KindRows, borrower: Kind) -> KindRows:
    """Rows in the dimensions of another kind, without those that it cannot have."""
    plain = _plain(lender, rows, [name for name in lender.dimensions if name in borrower.dimensions])
    count = int(plain.sum())
    dims = {
        name: np.asarray(rows.dims[name], float)[plain]
        if name in rows.dims
        else np.full(count, float(borrower.defaults[name]))
        for name in borrower.dimensions
    }
    return KindRows(dims, rows.times[plain], np.asarray(rows.groups, float)[plain])
