"""Steer a digits classifier to half its latency on this computer, and measure what came of it.

    python examples/compress_digits.py

Real images from scikit-learn, nothing to download; some three minutes on two cores, two of them
for a profile of this computer if there is none yet.
"""

import argparse

import keras
import numpy as np
from sklearn.datasets import load_digits

import fdi_keras as fdi
from fdi_keras.errors import ProfileNotFoundError

LOSS = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"]}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=2.0, help="of the campaign, if there is no profile")
    parser.add_argument("--epochs", type=int, default=10, help="of each of the three trainings")
    arguments = parser.parse_args()
    epochs = arguments.epochs
    (x, y), test = digits()

    try:
        profile = fdi.load_profile("local")
    except ProfileNotFoundError:
        print(f"timing operators on this computer for {arguments.minutes:g} minutes ...")
        profile = fdi.profile_device(minutes=arguments.minutes)

    network = classifier()
    network.compile("adam", **LOSS)
    network.fit(x, y, validation_data=test, epochs=epochs, verbose=2)
    before = fdi.predict_latency(network, profile)

    model = fdi.prunable(network)  # the same network with a gate on every channel
    print(model.channel_spaces)
    regularizer = fdi.LatencyRegularizer(profile, target_ms=0.5 * before.total_ms)
    model.compile("adam", regularizer=regularizer, **LOSS)
    callback = fdi.LatencyCallback(session="digits")
    model.fit(x, y, validation_data=test, epochs=epochs, verbose=2, callbacks=[callback])

    small = fdi.prune(model)  # a plain keras.Model with fewer channels
    small = fdi.grow(small, profile, origin=model, exchange=True)  # the best widths of no more time
    small.compile("adam", **LOSS)
    small.fit(x, y, validation_data=test, epochs=epochs, verbose=2)  # fine-tuning, as always

    print(fdi.predict_latency(small, profile))
    for name, one, time in zip(
        ("before", "after"), (network, small), fdi.measure_interleaved([network, small]), strict=True
    ):
        accuracy = one.evaluate(*test, verbose=0, return_dict=True)["accuracy"]
        print(f"{name:<7} {one.count_params():>8,} parameters  {time}  accuracy {accuracy:.1%}")


def digits() -> tuple[tuple[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """scikit-learn's digits: images ``(n, 32, 32, 1)`` in [0, 1] and labels, to train and to test on."""
    data = load_digits()
    images = np.kron(data.images.astype("float32") / 16, np.ones((1, 4, 4), "float32"))[..., None]
    order = np.random.default_rng(0).permutation(len(images))
    images, labels = images[order], data.target[order]
    return (images[400:], labels[400:]), (images[:400], labels[:400])


def classifier() -> keras.Model:
    """Any Sequential or functional network will do."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((32, 32, 1)),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu", name="conv1"),
            layers.Conv2D(64, 3, padding="same", activation="relu", name="conv2"),
            layers.MaxPooling2D(name="pool"),
            layers.Conv2D(96, 3, padding="same", activation="relu", name="conv3"),
            layers.GlobalAveragePooling2D(name="mean"),
            layers.Dense(10, activation="softmax", name="classes"),
        ]
    )


if __name__ == "__main__":
    main()
