"""Train a gated network on so many devices; print losses, latencies and strengths by epoch, then the gates."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "compression"))

import keras
import numpy as np
from synthetic_devices import linear_device

import fdi_keras as fdi

L = keras.layers


def main(devices):
    if devices > 1:
        found = keras.distribution.list_devices("cpu")
        assert len(found) == devices
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=found))
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 3))
    x = L.Conv2D(12, 3, padding="same", activation="relu")(image)
    x = L.Conv2D(12, 3, padding="same", activation="relu")(x)
    model = keras.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(x)))
    profile = linear_device()
    gated = fdi.prunable(model)
    gated.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        regularizer=fdi.LatencyRegularizer(
            profile, target_ms=0.6 * fdi.predict_latency(model, profile).total_ms
        ),
    )
    rng = np.random.default_rng(0)
    images, labels = rng.normal(size=(64, 8, 8, 3)).astype("float32"), rng.integers(0, 3, 64)

    class Print(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            strength = keras.ops.convert_to_numpy(self.model.steering.strength)
            print(logs["loss"], logs["latency_ms"], float(strength))

    gated.fit(
        images,
        labels,
        16,
        epochs=5,
        verbose=0,
        shuffle=False,
        callbacks=[fdi.LatencyCallback(), Print()],
    )
    for gate in gated.gates.values():
        print(*gate.values())
    print(*fdi.prune(gated).predict(images[:4], verbose=0).ravel())


if __name__ == "__main__":
    main(int(sys.argv[1]))
