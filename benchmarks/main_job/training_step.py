"""Part 6: what gates and penalty cost in a training step."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from benchmarks.main_job.settings import Settings
from benchmarks.report import Row

LIMIT = 1.10
PAIRS, WARM_UP, STEPS, BATCH = 60, 5, 10, 64


def run(settings: Settings) -> list[Row]:
    import keras

    import fdi_keras as fdi
    from fdi_keras.cli.demo_network import residual_network

    profile = fdi.load_profile(str(settings.profile))
    rng = np.random.default_rng(settings.seed)
    rows = []
    cases = {
        "residual 28x28": (lambda: residual_network((28, 28, 1), 10), (28, 28, 1)),
        "VGG-like 32x32": (vgg_like, (32, 32, 3)),
    }
    for name, (build, shape) in cases.items():
        x = rng.random((STEPS * BATCH, *shape), np.float32)
        y = rng.integers(0, 10, STEPS * BATCH)
        for jit in (False, True):
            plain = build()
            gated = fdi.prunable(plain)
            target = 0.5 * fdi.predict_latency(plain, profile).total_ms
            common = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], "jit_compile": jit}
            plain.compile(keras.optimizers.Adam(), **common)
            gated.compile(
                keras.optimizers.Adam(),
                regularizer=fdi.LatencyRegularizer(profile, target_ms=target),
                **common,
            )
            ratios = step_ratios(plain, gated, x, y)
            median, spread = float(np.median(ratios)), np.percentile(ratios, (25, 75))
            rows.append(
                Row("6", f"step {name}, jit {'on' if jit else 'off'}", f"<= {LIMIT} x",
                    f"{median:.3f} x (quartiles {spread[0]:.3f}-{spread[1]:.3f})", median <= LIMIT, {"ratios": ratios})
            )  # fmt: skip
    return rows


def step_ratios(plain: Any, gated: Any, x: np.ndarray, y: np.ndarray) -> list[float]:
    """Gated to plain, one step of each in turns, what the callback does after a step included.

    Single steps, because the time of a step has two modes here, with gates and without: whole
    trainings of each would compare how many of their steps fell into the slow one.
    """
    callback = gated_callback(gated)

    def seconds(model: Any, step: int) -> float:
        at = step % (len(x) // BATCH) * BATCH
        began = time.perf_counter()
        logs = model.train_on_batch(x[at : at + BATCH], y[at : at + BATCH], return_dict=True)
        if model is gated:
            callback.on_train_batch_end(step, logs)
        return time.perf_counter() - began

    pairs = [(seconds(plain, step), seconds(gated, step)) for step in range(WARM_UP + PAIRS)][WARM_UP:]
    plain_median = float(np.median([p for p, _ in pairs]))
    return [g / plain_median for _, g in pairs]


def gated_callback(model: Any) -> Any:
    """A LatencyCallback as fit would have set it up, in the middle of a long training."""
    import fdi_keras as fdi

    callback = fdi.LatencyCallback()
    callback.set_model(model)
    callback.set_params({"epochs": 10, "steps": 1000})
    callback.on_train_begin()
    callback.on_epoch_begin(5)
    return callback


def vgg_like() -> Any:
    """Ordinary convolutions, two a stage, then dense."""
    import keras

    L = keras.layers
    model = keras.Sequential([keras.Input((32, 32, 3))])
    for width in (32, 64, 128):
        for _ in range(2):
            model.add(L.Conv2D(width, 3, padding="same", use_bias=False))
            model.add(L.BatchNormalization())
            model.add(L.ReLU())
        model.add(L.MaxPooling2D(2))
    model.add(L.Flatten())
    model.add(L.Dense(128, activation="relu"))
    model.add(L.Dense(10, activation="softmax"))
    return model
