"""What explains the times of networks: correlations, fits of one and of two terms, pairs that FLOPs call equal.

The question is that of Jo, Hong and Shin; correlations, the form of the fits and the choice of pairs are
our choice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy import stats

from fdi_keras.errors import UsageError
from fdi_keras.execution_time.nonnegative import fit_leaf

if TYPE_CHECKING:
    from fdi_keras.study.network import Swept

#: What may explain a time, as attributes of a network.
QUANTITIES = ("flops", "memory_bytes", "parameters")

#: The same of what caches did, where that is known.
CACHES = ("cache_references", "cache_misses", "l2_misses")

#: Fewer accesses than this in every network are what is left of a process' start.
FEW_ACCESSES = 1000

#: Fits that are compared.
TERMS = (("flops",), ("memory_bytes",), ("parameters",), ("flops", "memory_bytes"))

#: Networks whose FLOPs differ by less than this share are called equal.
EQUAL = 0.10

#: Fewest networks of which anything is said.
FEWEST = 4


class Correlation(NamedTuple):
    """Between a quantity and the time, over all networks.

    Attributes:
        linear: Pearson's coefficient.
        rank: Spearman's.
    """

    linear: float
    rank: float


@dataclass(frozen=True)
class Fit:
    """Time as a constant and non-negative multiples of some quantities, fitted on relative error.

    Attributes:
        terms: names of the quantities.
        constant_ms: time without any of them.
        ms_per_unit: a multiple for each term.
        mape: mean absolute relative error of networks that were left out one by one.
    """

    terms: tuple[str, ...]
    constant_ms: float
    ms_per_unit: tuple[float, ...]
    mape: float


@dataclass(frozen=True)
class EqualPair:
    """Two networks of nearly the same FLOPs, the first of which is slower.

    Attributes:
        slower, faster: the networks.
        times_as_long: the ratio of their measured times.
        memory_ratio: of their memory access.
    """

    slower: Swept
    faster: Swept
    times_as_long: float
    memory_ratio: float


def measured(networks: Sequence[Swept]) -> list[Swept]:
    """Those that have a measured time; UsageError when these are too few to say anything."""
    known = [network for network in networks if network.measured_ms]
    if len(known) < FEWEST:
        raise UsageError(
            f"{len(known)} networks with a measured time say nothing about what explains it; "
            f"at least {FEWEST} are needed."
        )
    return known


def correlations(networks: Sequence[Swept]) -> dict[str, Correlation]:
    """Of each quantity with measured time.

    Raises:
        UsageError: too few networks were measured.
    """
    known = measured(networks)
    times = [network.measured_ms for network in known]
    found = {}
    for name in (*QUANTITIES, *CACHES):
        values = [getattr(network, name) for network in known]
        if None in values or np.ptp(values) == 0 or (name in CACHES and max(values) < FEW_ACCESSES):
            continue
        linear = float(stats.pearsonr(values, times).statistic)
        found[name] = Correlation(linear, float(stats.spearmanr(values, times).statistic))
    return found


def fits(networks: Sequence[Swept]) -> list[Fit]:
    """Fits of one and of two terms, each with its error on networks that it did not see.

    Raises:
        UsageError: too few networks were measured.
    """
    known = measured(networks)
    times = np.array([network.measured_ms for network in known], float)
    found = []
    for terms in TERMS:
        columns = np.column_stack(
            [np.ones(len(known)), *([getattr(network, name) for network in known] for name in terms)]
        )
        relative = columns / times[:, None]
        off = []
        for at in range(len(known)):
            weights = fit_leaf(np.delete(relative, at, axis=0))
            off.append(abs(float(relative[at] @ weights) - 1))
        constant, *rates = fit_leaf(relative).tolist()
        found.append(Fit(terms, constant, tuple(rates), float(np.mean(off))))
    return found


def equal_pairs(networks: Sequence[Swept], most: int = 5) -> list[EqualPair]:
    """Networks of different families with the same FLOPs, those whose times differ most first.

    Args:
        networks: that were swept.
        most: how many pairs.
    """
    known = [network for network in networks if network.measured_ms]
    found = []
    for i, one in enumerate(known):
        for other in known[i + 1 :]:
            if one.family == other.family or abs(np.log(one.flops / other.flops)) > np.log1p(EQUAL):
                continue
            fast, slow = sorted((one, other), key=lambda network: network.measured_ms or 0.0)
            ratio = (slow.measured_ms or 0.0) / (fast.measured_ms or 1.0)
            found.append(EqualPair(slow, fast, ratio, slow.memory_bytes / fast.memory_bytes))
    return sorted(found, key=lambda pair: -pair.times_as_long)[:most]
