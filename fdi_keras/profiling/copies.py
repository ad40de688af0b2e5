"""How often a probe holds its operator: small ones many times, so that a clock can see them.

Invoking a model costs about as much as a small operator takes, and a phone's tool prints
whole microseconds. What is left of one small operator after the invocation is taken off is
therefore mostly error; of sixteen of them it is a time. Large operators stand alone.
"""

from __future__ import annotations

import math

import msgspec

from fdi_keras.devices import Timing
from fdi_keras.operators import get_kind
from fdi_keras.operators.kinds import BYTES, EXPLANATORY
from fdi_keras.operators.recurrent import RECURRENT
from fdi_keras.profiling.design import Configuration

#: Floating point operations and bytes moved that a probe should have (our choice: microseconds on
#: every device, and few enough that the data of all copies stay in its second-level cache).
ENOUGH_WORK = 320_000

#: Copies cost memory and loading time. The smallest operators take some 30 ns each.
MOST_COPIES = 64


def copies_of(configuration: Configuration) -> int:
    """How many copies the probe of this configuration holds; our choice, the same on every device."""
    if configuration.kind in RECURRENT:
        return 1  # a loop of many operators, whose copies would share the subgraph of its body
    kind = get_kind(configuration.kind)
    dims = {**kind.defaults, **configuration.dims}
    work = dict(zip(EXPLANATORY, kind.explain(dims)[0], strict=True))
    moved = work["memory_in"] + work["memory_out"] + BYTES * work["parameters"]
    return min(max(math.ceil(ENOUGH_WORK / max(work["flops"] + moved, 1.0)), 1), MOST_COPIES)


def alone(timing: Timing, copies: int, overhead_ms: float) -> Timing:
    """The timing of a probe with one copy, from that of one with several.

    The invocation, which all copies share, is in it once.
    """
    if copies == 1:
        return timing
    return msgspec.structs.replace(
        timing,
        median_ms=overhead_ms + (timing.median_ms - overhead_ms) / copies,
        min_ms=overhead_ms + (timing.min_ms - overhead_ms) / copies,
        iqr_ms=timing.iqr_ms / copies,
    )
