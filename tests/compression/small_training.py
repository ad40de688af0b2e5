"""A small network, data that it can learn from, and a device without surprises: for tests that really train."""

from __future__ import annotations

import keras
import numpy as np
from synthetic_devices import linear_device

import fdi_keras as fdi

L = keras.layers

PROFILE = linear_device()


def data(rows: int = 512):
    """Images ``(rows, 8, 8, 2)`` and which half of each is brighter."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 8, 8, 2)).astype("float32")
    return x, (x[:, :4].mean(axis=(1, 2, 3)) > x[:, 4:].mean(axis=(1, 2, 3))).astype("int32")


def network(normalized: bool = True) -> keras.Model:
    """Two convolutions and a head whose outputs are float32 under any policy."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 2))
    for width in (16, 24):
        x = L.Conv2D(width, 3, padding="same", use_bias=not normalized)(x)
        if normalized:
            x = L.BatchNormalization(momentum=0.8)(x)
        x = L.ReLU()(x)
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(image, L.Dense(2, activation="softmax", name="out", dtype="float32")(x), name="tiny")


START_MS = fdi.predict_latency(network(), PROFILE).total_ms
TARGET_MS = 0.4 * START_MS


def compiled(optimizer="adam", model=None, **options):
    """A gated network that steers to ``TARGET_MS``."""
    model = fdi.prunable(network()) if model is None else model
    options.setdefault("loss", "sparse_categorical_crossentropy")
    model.compile(optimizer, regularizer=fdi.LatencyRegularizer(PROFILE, target_ms=TARGET_MS), **options)
    return model


def reached(model) -> float:
    """Predicted latency as the gates stand, as a share of the target: of expected and open widths the slower."""
    return float(max(model.latency_plan.expected_ms(model.widths()))) / TARGET_MS


def assert_steered(model) -> None:
    """The gates stand at the target, and pruning meets it."""
    assert 0.7 < reached(model) < 1.15
    for gate in model.gates.values():
        assert gate.layer.position.dtype == "float32"
    small = fdi.prune(model, target_ms=TARGET_MS)
    assert fdi.predict_latency(small, PROFILE).total_ms <= TARGET_MS * (1 + 1e-6)


def logits(model):
    return [keras.ops.convert_to_numpy(gate.logits()) for gate in model.gates.values()]
