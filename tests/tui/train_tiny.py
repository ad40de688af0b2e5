"""A small real training that is steered: ``python train_tiny.py SESSION EPOCHS [--then]``.

With ``--then`` the network is pruned, grown and measured afterwards, as users do.
"""

import sys

import keras
import numpy as np

import fdi_keras as fdi

layers = keras.layers


def main(session, epochs, then):
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((12, 12, 1), name="image")
    x = layers.Conv2D(24, 3, padding="same", activation="relu", name="first")(x)
    x = layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    network = keras.Model(inputs, layers.Dense(4, activation="softmax", name="head")(x), name="tiny")
    rng = np.random.default_rng(0)
    images = rng.normal(size=(256, 12, 12, 1)).astype("float32")
    labels = (images[:, :6].mean((1, 2, 3)) > 0) + 2 * (images[:, 6:].mean((1, 2, 3)) > 0)
    profile = fdi.load_profile("x86-avx512-litert")
    before = fdi.predict_latency(network, profile).total_ms
    model = fdi.prunable(network)
    regularizer = fdi.LatencyRegularizer(profile, target_ms=0.6 * before)
    model.compile(
        "adam", loss="sparse_categorical_crossentropy", metrics=["accuracy"], regularizer=regularizer
    )
    callback = fdi.LatencyCallback(session=session)
    model.fit(images, labels, epochs=epochs, batch_size=32, verbose=0, callbacks=[callback])
    if then:
        small = fdi.grow(fdi.prune(model), profile, origin=model)
        fdi.measure_latency(small, seconds=0.2)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), "--then" in sys.argv)
