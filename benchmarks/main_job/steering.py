"""Part 3: a small residual CNN on Fashion-MNIST, steered to 40 % of its measured latency."""

from __future__ import annotations

import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.main_job.settings import Settings
from benchmarks.report import Row

SHARE = 0.40
TRAIN, STEER, TUNE = 5, 5, 4
BATCH = 128


def run(settings: Settings) -> list[Row]:
    import keras

    import fdi_keras as fdi
    from fdi_keras.cli.demo_network import residual_network
    from fdi_keras.compression.thinning import thin_to_time
    from fdi_keras.networks import measure_interleaved

    profile = fdi.load_profile(str(settings.profile))
    folder = settings.work / "fashion"
    folder.mkdir(exist_ok=True)
    data = fashion_mnist(settings.data)
    keras.utils.set_random_seed(settings.seed)

    # Trainings that do not depend on steering are kept: they are what takes the time.
    if (folder / "trained.keras").exists():
        network = fdi.load_model(folder / "trained.keras")
        accuracies = {"trained": _evaluate(network, data)}
    else:
        network = residual_network((28, 28, 1), 10, name="fashion")
        accuracies = {"trained": _train(network, data, TRAIN, folder / "trained.keras")}
    base = measure_interleaved([network], seconds=2)[0].median_ms
    goal = SHARE * base

    gated = fdi.prunable(network)
    journal = folder / "session.jsonl"
    journal.unlink(missing_ok=True)
    _train(
        gated, data, STEER, folder / "gated.keras",
        regularizer=fdi.LatencyRegularizer(profile, target_ms=goal),
        callbacks=[fdi.LatencyCallback(session="fashion", journal=journal)],
    )  # fmt: skip
    pruned = fdi.prune(gated, target_ms=goal)
    pruned.save(folder / "pruned.keras")
    grown = fdi.grow(pruned, profile, origin=gated, device="local", report=_say)
    grown.save(folder / "grown.keras")
    for name, model in (("pruned", pruned), ("grown", grown)):
        accuracies[name] = _evaluate(model, data)
    tuned = keras.models.clone_model(grown)
    tuned.set_weights(grown.get_weights())
    accuracies["fine-tuned"] = _train(tuned, data, TUNE, folder / "tuned.keras")

    uniform = _kept_uniform(folder / "uniform.keras", tuned)
    if uniform is None:
        equal = measure_interleaved([tuned], seconds=1)[0].median_ms
        uniform = thin_to_time(network, equal, lambda m: measure_interleaved([m], seconds=0.5)[0].median_ms)
        _train(uniform, data, TRAIN + STEER + TUNE, folder / "uniform.keras")
    accuracies["uniform"] = _evaluate(uniform, data)

    models = {"trained": network, "pruned": pruned, "grown": grown, "fine-tuned": tuned, "uniform": uniform}
    times = dict(zip(models, measure_interleaved(list(models.values()), seconds=3), strict=True))
    predicted = {name: fdi.predict_latency(m, profile).total_ms for name, m in models.items()}
    on_target = times["fine-tuned"].median_ms / (SHARE * times["trained"].median_ms) - 1
    lost = accuracies["trained"] - accuracies["fine-tuned"]
    gained = accuracies["fine-tuned"] - accuracies["uniform"]
    details: dict[str, Any] = {
        name: {
            "measured_ms": times[name].median_ms,
            "iqr_ms": times[name].iqr_ms,
            "predicted_ms": predicted[name],
            "accuracy": accuracies[name],
            "parameters": model.count_params(),
        }
        for name, model in models.items()
    }
    details["epochs"] = {"train": TRAIN, "steer": STEER, "tune": TUNE}
    details["seed"] = settings.seed
    ratio = times["uniform"].median_ms / times["fine-tuned"].median_ms
    return [
        Row("3", "measured time against 40 % of the uncompressed", "within 10 %", f"{on_target:+.1%} "
            f"({times['trained']} -> {times['fine-tuned']})", abs(on_target) <= 0.10, details),
        Row("3", "accuracy lost after fine-tuning", "at most 1.0 point",
            f"{100 * lost:+.2f} points ({accuracies['trained']:.2%} -> {accuracies['fine-tuned']:.2%})", lost <= 0.01),
        Row("3", "against uniform widths from scratch, equal epochs", "reported",
            f"{100 * gained:+.2f} points ({accuracies['uniform']:.2%} at {ratio:.2f} x the time)", None),
    ]  # fmt: skip


def _kept_uniform(path: Path, tuned: Any) -> Any:
    """An earlier uniform network, if it still takes the same time as the steered one within 3 %."""
    import fdi_keras as fdi

    if not path.exists():
        return None
    kept = fdi.load_model(path)
    first, second = fdi.measure_interleaved([tuned, kept], seconds=1)
    return kept if abs(second.median_ms / first.median_ms - 1) <= 0.03 else None


def fashion_mnist(folder: Path) -> tuple[np.ndarray, ...]:
    """Images in [0, 1] and labels: 60,000 to train on, 10,000 to test on."""
    folder = folder / "fashion-mnist"
    names = (
        "train-images-idx3-ubyte",
        "train-labels-idx1-ubyte",
        "t10k-images-idx3-ubyte",
        "t10k-labels-idx1-ubyte",
    )
    missing = [n for n in names if not (folder / f"{n}.gz").exists()]
    if missing:
        sys.exit(
            f"part 3 needs Fashion-MNIST: {missing[0]}.gz is not in {folder}. Name its folder's parent with --data."
        )
    arrays = []
    for name in names:
        content = gzip.decompress((folder / f"{name}.gz").read_bytes())
        if "images" in name:
            arrays.append(
                np.frombuffer(content, np.uint8, offset=16).reshape(-1, 28, 28, 1).astype("float32") / 255
            )
        else:
            arrays.append(np.frombuffer(content, np.uint8, offset=8).astype("int32"))
    return tuple(arrays)


def _train(model: Any, data: tuple[np.ndarray, ...], epochs: int, path: Path, **extra: Any) -> float:
    """Train with a learning rate that falls to zero; accuracy on the test images."""
    import keras

    x, y = data[:2]
    callbacks = extra.pop("callbacks", [])
    steps = epochs * (len(x) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(2e-3, steps) if "regularizer" not in extra else 1e-3
    model.compile(
        keras.optimizers.Adam(rate), "sparse_categorical_crossentropy", metrics=["accuracy"], **extra
    )
    began = time.time()

    class Log(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
            shown = {k: round(float(v), 4) for k, v in (logs or {}).items()}
            _say(f"{path.stem} epoch {epoch + 1}/{epochs} {json.dumps(shown)} {time.time() - began:.0f} s")

    model.fit(x, y, BATCH, epochs=epochs, verbose=0, callbacks=[*callbacks, Log()])
    model.save(path)
    return _evaluate(model, data)


def _evaluate(model: Any, data: tuple[np.ndarray, ...]) -> float:
    predicted = np.argmax(model.predict(data[2], batch_size=500, verbose=0), axis=1)
    return float(np.mean(predicted == data[3]))


def _say(text: str) -> None:
    print(f"    {text}", flush=True)
