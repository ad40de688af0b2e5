"""Part 4: two networks on real data, trained once, then steered to half their predicted time on each backend.

Each backend starts from the same trained weights and sees the same examples in the same order. What
differs is arithmetic and random numbers: of dropout, and of gates. How much these alone do is shown by
trainings of other seeds on tensorflow.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from benchmarks.any_network.backends import BACKENDS, measured
from benchmarks.any_network.settings import PROFILE, Settings
from benchmarks.report import Row

#: Share of the predicted start latency to be met, how far off it may be, and how far accuracies may lie apart.
SHARE, ON_TARGET, APART = 0.5, 0.10, 0.01
BATCH = 64

#: Trainings on tensorflow that show what random numbers do.
REPEATS = 3

#: Images are so many times as high and wide, or five strides of two would leave a single pixel of the last
#: stages. The data are enlarged, not the network: what cannot be narrowed would take half of its time.
ENLARGED = 2

FILES = {"MobileNetV2": "cifar10_20k.npz", "LSTM": "har.npz"}


def run(settings: Settings) -> list[Row]:
    missing = [name for name in FILES.values() if not (settings.data / name).exists()]
    if missing:
        sys.exit(f"part 4 needs {missing[0]}, which is not in {settings.data}. Name its folder with --data.")
    return [row for name in FILES for row in _rows(name, settings)]


def _rows(name: str, settings: Settings) -> list[Row]:
    sizes = f"{settings.examples}-{settings.epochs}-{settings.seed}"
    start = settings.work / f"trained-{name}-{sizes}.keras"
    words = (name, start, settings.data, settings.examples, settings.epochs, settings.seed)
    first = measured("trained", "tensorflow", "start", *words, kept=start.with_suffix(".json"))
    if "accuracy" not in first:
        return [Row("4", name, "no error", first.get("error") or first["missing"], False)]
    rows, accuracies = [], {}
    for backend in BACKENDS:
        kept = settings.work / f"trained-{name}-{sizes}-{backend}.json"
        found = measured("trained", backend, "steer", *words, kept=kept)
        label = f"{name} on {backend}"
        if "accuracy" not in found:
            passed = None if "missing" in found else False
            rows.append(Row("4", label, "no error", found.get("error") or found["missing"], passed))
            continue
        accuracies[backend] = found["accuracy"]
        off = found["grown_ms"] / found["target_ms"] - 1
        by_gates = found["pruned_ms"] / found["target_ms"] - 1
        rows.append(
            Row(
                "4",
                f"{label}: predicted time against {SHARE:.0%} of the start",
                f"within {ON_TARGET:.0%}",
                f"{off:+.1%}, by its gates alone {by_gates:+.1%} ({found['start_ms']:.4g} -> "
                f"{found['grown_ms']:.4g} ms, accuracy {first['accuracy']:.2%} -> {found['accuracy']:.2%}, "
                f"{found['seconds']:.0f} s)",
                abs(off) <= ON_TARGET,
                {**found, "start_accuracy": first["accuracy"]},
            )
        )
    if len(accuracies) > 1:
        apart = max(accuracies.values()) - min(accuracies.values())
        shown = ", ".join(f"{backend} {value:.2%}" for backend, value in accuracies.items())
        row = f"{name}: accuracies after fine-tuning"
        required = f"within {100 * APART:g} point of each other"
        rows.append(Row("4", row, required, f"{100 * apart:.2f} points ({shown})", apart <= APART))
    return [*rows, *_repeated(name, settings, start)]


def _repeated(name: str, settings: Settings, start: Path) -> list[Row]:
    """Accuracies of trainings of several seeds on tensorflow; the first is that of the rows before."""
    found = []
    for seed in range(settings.seed, settings.seed + REPEATS):
        words = (name, start, settings.data, settings.examples, settings.epochs, seed)
        sizes = f"{settings.examples}-{settings.epochs}-{seed}"
        kept = settings.work / f"trained-{name}-{sizes}-tensorflow.json"
        found.append(measured("trained", "tensorflow", "steer", *words, kept=kept).get("accuracy"))
    known = [accuracy for accuracy in found if accuracy is not None]
    if len(known) < REPEATS:
        return []
    shown = ", ".join(f"{accuracy:.2%}" for accuracy in known)
    measured_text = f"{100 * (max(known) - min(known)):.2f} points ({shown})"
    return [Row("4", f"{name}: {REPEATS} seeds on tensorflow", "reported", measured_text, None)]


def start(name: str, path: Path, data: Path, examples: int, epochs: int, seed: int) -> dict[str, Any]:
    """Train the network that every backend starts from."""
    import keras

    keras.utils.set_random_seed(seed)
    arrays = _arrays(data / FILES[name], examples)
    model = _mobilenet(arrays[0].shape[1:]) if name == "MobileNetV2" else _lstm(arrays[0].shape[1:])
    _train(model, arrays, epochs, seed, falling=True)
    model.save(path)
    return {"accuracy": _accuracy(model, arrays)}


def steer(name: str, path: Path, data: Path, examples: int, epochs: int, seed: int) -> dict[str, Any]:
    """Steer it to its target, cut the closed channels, grow to what the target allows, fine-tune what is left.

    Growth is part of it: a network whose time has steps of more than the tolerance cannot
    meet a target by closing one channel after the other.
    """
    import time

    import keras

    import fdi_keras as fdi

    began = time.time()
    keras.utils.set_random_seed(seed)
    arrays = _arrays(data / FILES[name], examples)
    model = fdi.load_model(path)
    start_ms = fdi.predict_latency(model, PROFILE).total_ms
    gated = fdi.prunable(model)
    regularizer = fdi.LatencyRegularizer(PROFILE, target_ms=SHARE * start_ms)
    _train(gated, arrays, epochs, seed + 1, falling=False, regularizer=regularizer)
    pruned = fdi.prune(gated)
    small = fdi.grow(pruned, PROFILE, origin=gated, target_ms=SHARE * start_ms, report=None)
    cut = _accuracy(small, arrays)
    _train(small, arrays, epochs, seed + 2, falling=True)
    return {
        "start_ms": start_ms,
        "target_ms": SHARE * start_ms,
        "pruned_ms": fdi.predict_latency(pruned, PROFILE).total_ms,
        "grown_ms": fdi.predict_latency(small, PROFILE).total_ms,
        "accuracy_before_tuning": cut,
        "accuracy": _accuracy(small, arrays),
        "parameters": small.count_params() / model.count_params(),
        "seconds": time.time() - began,
    }


def _mobilenet(shape: tuple[int, ...]) -> Any:
    import keras

    image = keras.Input((ENLARGED * shape[0], ENLARGED * shape[1], shape[2]))
    x = keras.layers.Rescaling(1 / 127.5, -1.0)(image)
    network = keras.applications.MobileNetV2(
        image.shape[1:], 0.35, weights=None, classes=10, classifier_activation=None
    )
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9  # its own, 0.999, needs ten thousand steps to forget where it began
    return keras.Model(image, network(x), name="mobilenet")


def _lstm(shape: tuple[int, ...]) -> Any:
    import keras

    L = keras.layers
    sequence = keras.Input(shape)
    x = L.MaxPooling1D(2)(L.Conv1D(48, 5, activation="relu")(sequence))
    x = L.Dropout(0.3)(L.LSTM(128)(x))
    return keras.Model(sequence, L.Dense(6)(x), name="lstm")


def _given(rows: Any) -> Any:
    """Rows of the data as the networks take them."""
    if rows.ndim != 4:
        return rows
    return rows.repeat(ENLARGED, axis=1).repeat(ENLARGED, axis=2).astype("float32")


def _arrays(path: Path, examples: int) -> tuple[Any, ...]:
    """Training examples and labels, then those to test on."""
    import numpy as np

    with np.load(path) as file:
        x_train, y_train, x_test, y_test = (file[k] for k in ("x_train", "y_train", "x_test", "y_test"))
    order = np.random.default_rng(0).permutation(len(x_train))[:examples]
    return (
        x_train[order],
        y_train[order].astype("int32"),
        x_test[:examples],
        y_test[:examples].astype("int32"),
    )


def _train(
    model: Any, arrays: tuple[Any, ...], epochs: int, seed: int, falling: bool, **compiled: Any
) -> None:
    """Adam; its learning rate falls to zero, or stays.

    Epochs are drawn here: each backend would shuffle in its own way. Whole batches only, or a backend
    that compiles would do so twice.
    """
    import keras
    import numpy as np

    x, y = arrays[:2]
    steps = len(x) // BATCH
    rate = keras.optimizers.schedules.CosineDecay(2e-3, epochs * steps) if falling else 1e-3

    class Batches(keras.utils.PyDataset):
        def __init__(self) -> None:
            super().__init__()
            self.random = np.random.default_rng(seed)
            self.on_epoch_end()

        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> tuple[Any, Any]:
            rows = self.order[index * BATCH : (index + 1) * BATCH]
            batch = _given(x[rows])
            if batch.ndim == 4:  # images are the same thing in a mirror, by a draw that depends on the batch
                mirrored = self.mirrored[rows]
                batch[mirrored] = batch[mirrored, :, ::-1]
            return batch, y[rows]

        def on_epoch_end(self) -> None:
            self.order = self.random.permutation(len(x))
            self.mirrored = self.random.random(len(x)) < 0.5

    model.compile(
        keras.optimizers.Adam(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        **compiled,
    )
    model.fit(Batches(), epochs=epochs, verbose=0, shuffle=False)


def _accuracy(model: Any, arrays: tuple[Any, ...]) -> float:
    import numpy as np

    x, y = arrays[2:]
    parts = [_given(x[start : start + 500]) for start in range(0, len(x), 500)]
    predicted = np.concatenate([model.predict_on_batch(part) for part in parts]).argmax(axis=1)
    return float((predicted == y).mean())


if __name__ == "__main__":
    stage, network, file, folder, *numbers = sys.argv[1:]
    found = {"start": start, "steer": steer}[stage](network, Path(file), Path(folder), *map(int, numbers))
    print(json.dumps(found))
