"""Profiles that count instead of being measured: for comparison, and where no device is at hand.

With such a profile everything that takes a latency takes a count: the penalty of MorphNet (Gordon et
al., CVPR 2018) on FLOPs or on parameters is the regularizer of this library with one of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from typing import Literal

from fdi_keras.devices import DeviceInfo, Runtime
from fdi_keras.errors import UsageError
from fdi_keras.execution_time import HeldOutError, TimeModel
from fdi_keras.execution_time.tree import Leaf, Tree
from fdi_keras.operators import EXPLANATORY, KINDS
from fdi_keras.profile.profile import DeviceProfile, now
from fdi_keras.profile.unmeasured import COUNTED, TWO_NUMBERS, caution
from fdi_keras.profiling import Plan

#: What can be counted, and the explanatory variables that make it up.
COUNTS = {
    "flops": ("flops",),
    "parameters": ("parameters",),
    "memory": ("memory_in", "memory_out", "memory_internal"),
}

#: No dimension lies outside what was counted.
ANY = 1e9


def counting_profile(what: Literal["flops", "parameters", "memory"]) -> DeviceProfile:
    """A profile whose milliseconds are millions of FLOPs, of parameters, or of bytes of feature maps.

    Raises:
        UsageError: nothing of this name is counted.

    Example::

        fdi.LatencyRegularizer(counting_profile("flops"), target_ms=20)  # 20 million FLOPs
    """
    if what not in COUNTS:
        raise UsageError(f"counting_profile({what!r}): expected one of {', '.join(COUNTS)}.")
    return _linear(what, COUNTED, f"counts {what} in millions", dict.fromkeys(COUNTS[what], 1e-6))


def two_number_profile(gflops: float, gb_per_s: float) -> DeviceProfile:
    """A device known by two published numbers only: time is FLOPs over one and bytes over the other.

    A stopgap where nothing can be measured (our choice): no steps, no dips, no operator that is
    slower than its arithmetic. Whatever it prices says so.

    Args:
        gflops: peak floating point operations, 10^9 a second.
        gb_per_s: memory bandwidth, 10^9 bytes a second.

    Raises:
        UsageError: a number that is not positive.
    """
    for name, value in (("gflops", gflops), ("gb_per_s", gb_per_s)):
        if not 0 < value < float("inf"):
            raise UsageError(f"two_number_profile({name}={value}): expected a positive number.")
    rates = {"flops": 1e-6 / gflops, "parameters": 4e-6 / gb_per_s}
    rates |= dict.fromkeys(COUNTS["memory"], 1e-6 / gb_per_s)
    text = f"two published numbers, {gflops:g} GFLOP/s and {gb_per_s:g} GB/s"
    return _linear("two-numbers", TWO_NUMBERS, text, rates)


def _linear(name: str, runtime: str, text: str, rates: Mapping[str, float]) -> DeviceProfile:
    """Every kind costs its variables at these rates, in ms a unit; ``text`` stands for the device."""
    models = {
        kind: TimeModel(
            kind,
            "paper",
            Tree(list(spec.features), list(EXPLANATORY), Leaf(0.0, dict(rates), 0, 0.0)),
            dict.fromkeys(spec.dimensions, (0.0, ANY)),
            HeldOutError(0.0, 0.0, 0.0, 0, 0),
        )
        for kind, spec in KINDS.items()
    }
    return DeviceProfile(
        name=name,
        created=now(),
        device=DeviceInfo("none", text, "computer"),
        runtime=Runtime(runtime, version("fdi-keras"), "none"),
        overhead_ms=0.0,
        plan=Plan(None, 0, 1),
        models=models,
        warnings=[caution(runtime, text)],
    )
