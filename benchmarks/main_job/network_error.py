"""Part 2: whole networks, predicted against measured."""

from __future__ import annotations

from typing import Any

from benchmarks.main_job.settings import Settings
from benchmarks.report import Row

LIMIT = 0.10


def networks() -> dict[str, Any]:
    """The four networks, with random weights: times do not depend on them."""
    from keras import applications as known

    return {
        "MobileNetV1 0.5@96": known.MobileNet(input_shape=(96, 96, 3), alpha=0.5, weights=None),
        "MobileNetV2 0.5@96": known.MobileNetV2(input_shape=(96, 96, 3), alpha=0.5, weights=None),
        "ResNet50@96": known.ResNet50(input_shape=(96, 96, 3), weights=None),
        "VGG16@64": known.VGG16(input_shape=(64, 64, 3), weights=None),
    }


def run(settings: Settings) -> list[Row]:
    import fdi_keras as fdi

    profile = fdi.load_profile(str(settings.profile))
    rows = []
    for name, model in networks().items():
        randomize_statistics(model)
        report = fdi.predict_latency(model, profile)
        measured = fdi.measure_latency(model, threads=profile.runtime.threads, seconds=4)
        error = report.total_ms / measured.median_ms - 1
        rows.append(
            Row(
                "2",
                name,
                "within 10 %, coverage 100 %",
                f"{error:+.1%}, coverage {report.coverage:.0%} ({report.total_ms:.3f} against {measured})",
                abs(error) <= LIMIT and report.coverage == 1.0,
                {"predicted_ms": report.total_ms, "measured_ms": measured.median_ms, "iqr_ms": measured.iqr_ms,
                 "warnings": report.warnings},
            )
        )  # fmt: skip
    return rows


def randomize_statistics(model: Any) -> None:
    """Batch statistics as after training: zero ones would let the converter drop operators."""
    import keras
    import numpy as np

    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.weights])
