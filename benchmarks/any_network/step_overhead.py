"""Part 3: what gates and penalty cost in a training step, on each backend with the jit that is its default."""

from __future__ import annotations

import json
import sys
from typing import Any

from benchmarks.any_network.backends import BACKENDS, measured
from benchmarks.any_network.settings import PROFILE, Settings
from benchmarks.report import Row

LIMIT = 1.10
STEPS, BATCH = 10, 64


def run(settings: Settings) -> list[Row]:
    rows = []
    for backend in BACKENDS:
        found = measured("step_overhead", backend, settings.seed)
        problem = found.get("missing") or found.get("error")
        if problem:
            passed = None if "missing" in found else False
            rows.append(Row("3", f"step on {backend}", f"<= {LIMIT} x", problem, passed))
            continue
        for name, case in found.items():
            ratios = sorted(case["ratios"])
            low, median, high = (ratios[int(share * (len(ratios) - 1))] for share in (0.25, 0.5, 0.75))
            jit = "on" if case["jit"] else "off"
            rows.append(
                Row("3", f"step {name} on {backend}, jit {jit}", f"<= {LIMIT} x",
                    f"{median:.3f} x (quartiles {low:.3f}-{high:.3f})", median <= LIMIT, case)
            )  # fmt: skip
    return rows


def measure(seed: int) -> dict[str, Any]:
    """Ratios of gated to plain steps, by network."""
    import keras
    import numpy as np

    import fdi_keras as fdi
    from benchmarks.main_job.training_step import step_ratios, vgg_like
    from fdi_keras.cli.demo_network import residual_network

    keras.utils.set_random_seed(seed)
    profile = fdi.load_profile(PROFILE)
    rng = np.random.default_rng(seed)
    found = {}
    for name, build, shape in (
        ("residual 28x28", lambda: residual_network((28, 28, 1), 10), (28, 28, 1)),
        ("VGG-like 32x32", vgg_like, (32, 32, 3)),
    ):
        x, y = rng.random((STEPS * BATCH, *shape), np.float32), rng.integers(0, 10, STEPS * BATCH)
        plain = build()
        gated = fdi.prunable(plain)
        target = 0.5 * fdi.predict_latency(plain, profile).total_ms
        common = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}
        plain.compile(keras.optimizers.Adam(), **common)
        gated.compile(
            keras.optimizers.Adam(),
            regularizer=fdi.LatencyRegularizer(profile, target_ms=target),
            **common,
        )
        found[name] = {"ratios": step_ratios(plain, gated, x, y), "jit": bool(gated.jit_compile)}
    return found


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
