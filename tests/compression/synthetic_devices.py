"""Devices whose execution times are known exactly, as profiles: no measurement, no noise.

Trees are written by hand or learned from made-up measurements, so that a test knows every
time minimum beforehand.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fdi_keras.devices import DeviceInfo, Runtime
from fdi_keras.execution_time import HeldOutError, TimeModel, fit_time_model
from fdi_keras.execution_time.tree import Condition, Leaf, Split, Tree
from fdi_keras.operators import KINDS
from fdi_keras.profile import DeviceProfile
from fdi_keras.profiling import Plan

LINEAR = ["flops", "memory_in", "memory_out", "memory_internal", "parameters"]


def profile_of(models: dict[str, TimeModel]) -> DeviceProfile:
    return DeviceProfile(
        name="synthetic",
        created="2026-01-01T00:00:00+00:00",
        device=DeviceInfo("local", "synthetic", "computer"),
        runtime=Runtime("litert", "0"),
        overhead_ms=0.0,
        plan=Plan(None, 0, 1),
        models=models,
    )


def model_of(kind: str, root: Split | Leaf) -> TimeModel:
    features = list(KINDS[kind].features)
    ranges = dict.fromkeys(KINDS[kind].dimensions, (0.0, 100000.0))
    return TimeModel(kind, "paper", Tree(features, LINEAR, root), ranges, HeldOutError(0.0, 1.0, 1.0, 2, 10))


def leaf(intercept: float = 0.0, **weights: float) -> Leaf:
    return Leaf(intercept, weights, 10, 0.0)


def free(*kinds: str) -> dict[str, TimeModel]:
    """Kinds that cost nothing on this device."""
    return {kind: model_of(kind, leaf()) for kind in kinds}


def linear_device(per_mflop: float = 0.1) -> DeviceProfile:
    """Time proportional to FLOPs: nothing is free."""
    weights = {"flops": per_mflop * 1e-6}
    return profile_of(
        {
            k: model_of(k, leaf(1e-4, **weights))
            for k in ("conv2d", "dense", "depthwise_conv2d", "mean", "add", "softmax", "max_pool2d")
        }
    )


def dips(divisor: int = 4, gain: float = 0.5) -> DeviceProfile:
    """Output channels that are a multiple of ``divisor`` take ``gain`` times the time of others."""
    slow, fast = leaf(0.01, flops=1e-7), leaf(0.01, flops=gain * 1e-7)
    root = Split(Condition("out_channels", "multiple", float(divisor)), fast, slow)
    return profile_of(
        {"conv2d": model_of("conv2d", root), **free("dense", "mean", "softmax", "add", "depthwise_conv2d")}
    )


def blocks(size: int = 16, most: int = 160, input_price: float = 0.0) -> DeviceProfile:
    """Time grows by 1 ms a block of output channels, plus ``input_price`` ms an input channel."""

    def steps(low: int, high: int) -> Split | Leaf:
        if high - low == 1:
            return leaf(high * 1.0, memory_in=input_price / BYTES_PER_INPUT_CHANNEL)
        middle = (low + high) // 2
        return Split(
            Condition("out_channels", "above", middle * size + 0.5), steps(middle, high), steps(low, middle)
        )

    root = steps(0, most // size)
    return profile_of(
        {"conv2d": model_of("conv2d", root), **free("dense", "mean", "softmax", "add", "depthwise_conv2d")}
    )


SIDE = 8
BYTES_PER_INPUT_CHANNEL = 4 * SIDE * SIDE


def learned(
    time_ms: Callable[[dict[str, np.ndarray]], np.ndarray], rows: int = 700, seed: int = 0
) -> DeviceProfile:
    """A profile learned from made-up measurements of 3x3 convolutions on 8x8 images."""
    rng = np.random.default_rng(seed)
    dims = {d: np.ones(rows) for d in KINDS["conv2d"].dimensions}
    dims |= {"height": np.full(rows, SIDE), "width": np.full(rows, SIDE), "kernel": np.full(rows, 3)}
    dims |= {"in_channels": rng.integers(1, 81, rows), "out_channels": rng.integers(1, 81, rows)}
    model = fit_time_model("conv2d", dims, time_ms(dims) * rng.normal(1.0, 0.002, rows), seed=seed)
    return profile_of({"conv2d": model, **free("dense", "mean", "softmax", "add", "depthwise_conv2d")})
