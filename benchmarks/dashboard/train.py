"""A real short training with a session, for the parts that need one: ``train.py PROFILE NAME EPOCHS``."""

import sys

import keras
import numpy as np

import fdi_keras as fdi


def main(profile: str, name: str, epochs: int) -> None:
    layers = keras.layers
    network = keras.Sequential(
        [
            keras.Input((16, 16, 1)),
            layers.Conv2D(16, 3, padding="same", activation="relu", name="stem"),
            layers.Conv2D(32, 3, padding="same", activation="relu", name="wide"),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dense(10, activation="softmax", name="classes"),
        ]
    )
    rng = np.random.default_rng(0)
    x, y = rng.random((512, 16, 16, 1), np.float32), rng.integers(0, 10, 512)
    target = 0.5 * fdi.predict_latency(network, profile).total_ms
    model = fdi.prunable(network)
    regularizer = fdi.LatencyRegularizer(profile, target_ms=target)
    model.compile(
        "adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], regularizer=regularizer
    )
    model.fit(x, y, epochs=epochs, batch_size=32, verbose=0, callbacks=[fdi.LatencyCallback(session=name)])
    fdi.grow(fdi.prune(model), profile, origin=model, report=None)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
