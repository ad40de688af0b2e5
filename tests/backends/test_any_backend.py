"""The whole way on whatever backend this process runs: gates, steering, pruning, files, export.

``test_other_backends.py`` runs this file again under each other backend.
"""

import os
from pathlib import Path

import keras
import numpy as np
import pytest
from own_layers import Doubled
from random_networks import open_random_gates, randomize
from synthetic_devices import leaf, linear_device, model_of, profile_of
from tensors import to_numpy

import fdi_keras as fdi
from fdi_keras.devices import open_device
from fdi_keras.errors import ExportError
from fdi_keras.journal import read_journal
from fdi_keras.networks import converter, read_operators
from fdi_keras.operators import KINDS

L = keras.layers


def images():
    """Convolutions, an addition, squeeze and excite, a concatenation."""
    image = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same", use_bias=False)(image)
    x = L.ReLU()(L.BatchNormalization()(x))
    x = L.Add()([x, L.Conv2D(8, 1)(L.DepthwiseConv2D(3, padding="same", activation="relu")(x))])
    gate = L.Dense(8, activation="sigmoid")(L.Dense(4, activation="relu")(L.GlobalAveragePooling2D()(x)))
    x = x * L.Reshape((1, 1, 8))(gate)
    x = L.Concatenate()([x, L.SeparableConv2D(6, 3, padding="same")(x)])
    return keras.Model(image, L.Dense(3)(L.Flatten()(L.MaxPooling2D(2)(L.LayerNormalization()(x)))))


def sequences():
    """Recurrent layers one behind the other, and what stands between them."""
    sequence = keras.Input((6, 4))
    x = L.Conv1D(7, 3, padding="same", activation="relu")(sequence)
    x = L.GRU(6, return_sequences=True)(L.LSTM(8, return_sequences=True, dropout=0.1)(x))
    x = L.SimpleRNN(5)(L.TimeDistributed(L.Dense(6))(x))
    return keras.Model(sequence, L.Dense(3)(x))


def made(build):
    keras.utils.set_random_seed(1)
    model = build()
    randomize(model, 4)
    x = np.random.default_rng(0).normal(size=(2, *model.input_shape[1:])).astype("float32")
    return model, x


def outputs(model, x):
    return to_numpy(model(x, training=False))


@pytest.mark.parametrize("build", [images, sequences])
def test_gated_is_pruned_is_saved_is_exported(build, tmp_path):
    model, x = made(build)
    gated = fdi.prunable(model)
    np.testing.assert_allclose(outputs(gated, x), outputs(model, x), atol=1e-5)
    open_random_gates(gated, 3)
    expected = outputs(gated, x)
    gated.save(tmp_path / "gated.keras")
    loaded = keras.models.load_model(tmp_path / "gated.keras")
    np.testing.assert_allclose(outputs(loaded, x), expected, atol=1e-6)
    small = fdi.prune(loaded)
    assert small.count_params() < model.count_params()
    np.testing.assert_allclose(outputs(small, x), expected, atol=1e-5)
    content = fdi.export_litert(small)
    assert len(read_operators(content)) > 4
    with open_device().open() as runner:
        for row in range(len(x)):
            (got,) = runner.run(content, [x[row : row + 1]])
            np.testing.assert_allclose(got[0], expected[row], atol=1e-5)


@pytest.mark.parametrize("build", [images, sequences])
def test_a_target_is_met(build, tmp_path):
    profile = profile_of({kind: model_of(kind, leaf(1e-3, flops=1e-6)) for kind in KINDS})
    model, _ = made(build)
    start = fdi.predict_latency(model, profile).total_ms
    narrowest = fdi.apply_widths(model, {s.name: 1 for s in fdi.prunable(model).channel_spaces.prunable})
    target = 0.5 * start + 0.5 * fdi.predict_latency(narrowest, profile).total_ms
    gated = fdi.prunable(model)
    gated.compile(
        keras.optimizers.Adam(1e-2),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        regularizer=fdi.LatencyRegularizer(profile, target_ms=target),
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(256, *model.input_shape[1:])).astype("float32")
    journal = tmp_path / "session.jsonl"
    callback = fdi.LatencyCallback(journal=journal)
    history = gated.fit(x, rng.integers(0, 3, 256), 16, epochs=12, verbose=0, callbacks=[callback])
    assert history.history["latency_ms"][-1] == pytest.approx(target, rel=0.15)
    strengths = [event["strength"] for event in read_journal(journal) if event["event"] == "epoch"]
    assert len(set(strengths)) > 1  # what the controller assigns reaches the training step
    small = fdi.prune(gated)
    assert fdi.predict_latency(small, profile).total_ms == pytest.approx(target, rel=0.15)
    np.testing.assert_allclose(outputs(small, x), outputs(gated, x), atol=1e-5)


def test_models_are_timed_and_grown_on_this_computer():
    model, _ = made(images)
    profile = linear_device()
    small = fdi.prune(model, profile, target_ms=0.6 * fdi.predict_latency(model, profile).total_ms)
    grown = fdi.grow(small, profile, origin=model, device="local", report=None)
    assert fdi.measure_latency(grown, seconds=0.05).runs > 10


def test_classes_of_ones_own_are_found_where_it_is_converted():
    model = keras.Sequential([keras.Input((4,)), Doubled(), L.Dense(2)])
    assert [o.kind for o in read_operators(fdi.export_litert(model))] == ["add", "dense"]


@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="converts in this process")
def test_a_class_that_only_this_process_knows_is_named():
    class Nowhere(L.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((4,)), Nowhere()], name="mine")
    with pytest.raises(ExportError, match=r"'mine' cannot be loaded .* class 'Nowhere'"):
        fdi.export_litert(model)


@pytest.mark.skipif(keras.config.backend() == "tensorflow", reason="converts in this process")
def test_the_next_conversion_survives_the_death_of_the_process_that_converts():
    model = keras.Sequential([keras.Input((4,)), L.Dense(2)])
    content = fdi.export_litert(model)
    child = converter._child
    assert child is not None
    os.kill(child.pid, 9)
    child._process.wait()
    assert fdi.export_litert(model) == content


def test_without_tensorflow_the_error_says_so(monkeypatch):
    monkeypatch.setattr(converter, "find_spec", lambda name: None)
    with pytest.raises(ExportError, match="pip install tensorflow"):
        converter.convert_elsewhere(keras.Sequential([keras.Input((4,)), L.Dense(2)]))


@pytest.mark.parametrize("build", [images, sequences])
def test_gated_files_of_other_backends_compute_the_same(build, tmp_path):
    """Each backend writes a file and reads those that others have written before."""
    folder = Path(os.environ.get("FDI_TEST_EXCHANGE", tmp_path))
    for path in sorted(folder.glob(f"{build.__name__}-*.keras")):
        loaded = fdi.load_model(path)
        with np.load(path.with_suffix(".npz")) as file:
            x, y = file["x"], file["y"]
        np.testing.assert_allclose(outputs(loaded, x), y, atol=1e-5)
        np.testing.assert_allclose(outputs(fdi.prune(loaded), x), y, atol=1e-5)
        if loaded.compiled:
            assert loaded.optimizer.iterations == 1
            assert loaded.regularizer.strength == 0.1
            loaded.fit(x, np.zeros(len(x)), verbose=0)
    model, x = made(build)
    gated = fdi.prunable(model)
    open_random_gates(gated, 5)
    if build is images:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        regularizer = fdi.LatencyRegularizer(linear_device(), strength=0.1)
        gated.compile(keras.optimizers.Adam(1e-3), loss, regularizer=regularizer)
        gated.fit(x, np.zeros(len(x)), verbose=0)
    path = folder / f"{build.__name__}-{keras.config.backend()}.keras"
    gated.save(path)
    np.savez(path.with_suffix(".npz"), x=x, y=outputs(gated, x))
