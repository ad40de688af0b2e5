"""Damaged outputs of ``benchmark_model`` by the hundred thousand: a measurement, an error, never a wrong number.

    python -m benchmarks.phones --parts 6 --again --outputs 100000

Half of them are batches as a phone sends them, damaged anywhere and fed in pieces: not
one byte of a result may differ. The other half are bare texts without that frame, as
hard as it gets: cut, mixed and reordered texts must not yield another number, and of
changed digits it is counted how many cannot be found in the text alone.
"""

from __future__ import annotations

import random
import time

from fuzzing import Tally, try_batch, try_text
from recorded_outputs import recorded

from benchmarks.phones.rig import Settings
from benchmarks.report import Row

LEAST = 100_000


def fuzz(count: int, seed: int) -> Tally:
    """Try ``count`` damaged outputs."""
    runs, tally, rng = recorded(), Tally(), random.Random(seed)
    for number in range(count):
        (try_batch if number % 2 else try_text)(runs, rng, tally)
    return tally


def run(settings: Settings) -> list[Row]:
    """Part 6."""
    began = time.monotonic()
    tally = fuzz(settings.outputs, settings.seed)
    measured = (
        f"{settings.outputs:,} outputs, {len(tally.violations)} wrong numbers "
        f"({time.monotonic() - began:.0f} s)"
    )
    passed = not tally.violations and settings.outputs >= LEAST
    details = {"outcomes": dict(tally.outcomes), "violations": tally.violations[:20]}
    return [Row("6", f"{LEAST:,} mutated outputs", "0 wrong numbers", measured, passed, details)]
