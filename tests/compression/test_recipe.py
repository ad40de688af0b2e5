"""The whole way as one call: to the target, taught by the original, going on where it was stopped."""

import json

import keras
import numpy as np
import pytest
from synthetic_devices import leaf, model_of, profile_of

import fdi_keras as fdi
from fdi_keras.compression.distillation import SHARE, TaughtAccuracy, TaughtLoss, lesson
from fdi_keras.compression.tuning import (
    at_one_rate,
    averaged_weights,
    estimate_statistics,
    without_dropout,
)
from fdi_keras.errors import TrainingDivergedError, UsageError
from fdi_keras.journal import read_journal
from fdi_keras.operators import KINDS

L = keras.layers


@pytest.fixture(scope="module")
def profile():
    return profile_of({k: model_of(k, leaf(1e-3, flops=1e-6, memory_out=1e-7)) for k in KINDS})


def stripes(count=256, seed=0):
    """Images of three classes: no stripes, upright ones, lying ones."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 3, count)
    wave = np.sin(np.arange(8) * np.pi / 2 + rng.uniform(0, 6, (count, 1)))
    lying, upright = wave[:, :, None], wave[:, None, :]
    x = np.where((y == 1)[:, None, None], upright, np.where((y == 2)[:, None, None], lying, 0.0))
    return (x[..., None] + 0.3 * rng.normal(size=(count, 8, 8, 1))).astype("float32"), y


def network(**compiling):
    image = keras.Input((8, 8, 1))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, padding="same", name="stem")(image)))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(24, 3, padding="same", name="body")(x)))
    model = keras.Model(image, L.Dense(3, "softmax", name="head")(L.GlobalAveragePooling2D()(x)))
    settings = {"loss": "sparse_categorical_crossentropy", "metrics": ["accuracy"], **compiling}
    model.compile(keras.optimizers.Adam(5e-3), **settings)
    return model


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(1)
    model = network()
    model.fit(*stripes(), epochs=8, verbose=0)
    return model


def half(model, profile):
    return 0.5 * fdi.predict_latency(model, profile).total_ms


def test_the_target_is_met_and_little_is_lost(trained, profile, tmp_path):
    said = []
    weights = [w.copy() for w in trained.get_weights()]
    goal = half(trained, profile)
    result = fdi.compress(
        trained, profile, goal, stripes(), 10,
        validation_data=stripes(seed=1), device=None, folder=tmp_path / "run", report=said.append,
    )  # fmt: skip
    assert [stage.name for stage in result.stages] == ["original", "pruned", "grown", "fine-tuned"]
    original, *_, tuned = result.stages
    assert 0.9 * goal <= tuned.predicted_ms <= goal * (1 + 1e-6)
    assert tuned.metrics["accuracy"] >= original.metrics["accuracy"] - 0.05 > 0.8
    assert original.widths == {"stem": 16, "body": 24}
    assert sum(tuned.widths.values()) < 40
    assert tuned.measured_ms is None
    assert not any(type(layer).__module__.startswith("fdi") for layer in result.model.layers)
    for before, after in zip(weights, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    assert any("steering 2/2" in text for text in said)
    assert any("fine-tuning 8/8" in text for text in said)
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert kept["stages"][-1]["widths"] == tuned.widths
    again = keras.models.load_model(tmp_path / "run" / "fine-tuned.keras")
    np.testing.assert_array_equal(
        again.predict(stripes()[0], verbose=0), result.model.predict(stripes()[0], verbose=0)
    )
    assert (tmp_path / "run" / "fine-tuned.tflite").stat().st_size > 1000


def test_what_was_stopped_goes_on(trained, profile, tmp_path, monkeypatch):
    """Stopped in the second epoch of fine-tuning: steering is not done again, nor is the first epoch."""
    goal, said = half(trained, profile), []

    def stopping(text):
        said.append(text)
        if text.startswith("fine-tuning 2/"):
            raise KeyboardInterrupt

    def run(report):
        return fdi.compress(trained, profile, goal, stripes(), 6, device=None, folder=tmp_path, report=report)

    with pytest.raises(KeyboardInterrupt):
        run(stopping)
    first, grown = (keras.models.load_model(tmp_path / f"{name}.keras") for name in ("gated", "grown"))
    said.clear()
    result = run(said.append)
    assert not any(text.startswith(("steering 1/", "fine-tuning 1/")) for text in said)
    assert result.stages[-1].predicted_ms <= goal * (1 + 1e-6)
    second = keras.models.load_model(tmp_path / "gated.keras")
    for name, gate in first.gates.items():
        np.testing.assert_array_equal(gate.values(), second.gates[name].values())
    assert [w.shape for w in grown.weights] == [w.shape for w in result.model.weights]
    # Of what is finished nothing is trained again.
    said.clear()
    again = run(said.append)
    assert "all training was done before" in said
    assert not any(text.startswith(("steering ", "fine-tuning ")) for text in said)
    for one, other in zip(again.model.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    (tmp_path / "grown.keras").unlink()
    (tmp_path / "fine-tuned.keras").unlink()
    run(said.append)
    assert "steering was done before" in said
    with pytest.raises(UsageError, match=r"another run \(target_ms"):
        fdi.compress(trained, profile, 2 * goal, stripes(), 6, device=None, folder=tmp_path)
    with pytest.raises(UsageError, match=r"another run \(mixtures None there, False now"):
        fdi.compress(trained, profile, goal, stripes(), 6, device=None, folder=tmp_path, mixtures=False)


def test_a_branch_goes_whose_time_is_worth_more_elsewhere(tmp_path):
    """Where an operator takes its time however narrow it is, few wide ones beat many narrow ones."""
    costly = profile_of({k: model_of(k, leaf(6e-2, flops=1e-6)) for k in KINDS})
    keras.utils.set_random_seed(3)
    image = keras.Input((8, 8, 1))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, padding="same", name="stem")(image)))
    y = L.Conv2D(16, 3, padding="same", name="outer")(L.Conv2D(8, 3, padding="same", name="inner")(x))
    x = L.Conv2D(24, 3, padding="same", activation="relu", name="body")(L.Add(name="sum")([y, x]))
    model = keras.Model(image, L.Dense(3, "softmax", name="head")(L.GlobalAveragePooling2D()(x)))
    model.compile(keras.optimizers.Adam(5e-3), "sparse_categorical_crossentropy")
    model.fit(*stripes(), epochs=3, verbose=0)
    said = []
    goal = 0.4 * fdi.predict_latency(model, costly).total_ms
    result = fdi.compress(
        model, costly, goal, stripes(), 4, device=None, folder=tmp_path / "run", session="few",
        report=said.append,
    )  # fmt: skip
    without = "without the branches of inner: their time is worth more elsewhere"
    assert said.count(without) == 1
    events = list(read_journal(tmp_path / "state" / "sessions" / "few.jsonl"))
    assert [event["message"] for event in events if event["event"] == "warning"] == [without]
    original, *_, tuned = result.stages
    assert [*tuned.widths] == [*original.widths] == ["stem", "inner", "body"]
    assert tuned.widths["inner"] == 0 < min(tuned.widths["stem"], tuned.widths["body"])
    assert tuned.predicted_ms <= goal * (1 + 1e-6)
    assert {"sum", "inner", "outer"}.isdisjoint(layer.name for layer in result.model.layers)
    assert keras.models.load_model(tmp_path / "run" / "fine-tuned.keras").count_params() == tuned.parameters
    kept = fdi.kept_channels(result.model)
    assert kept["inner"] == []
    assert fdi.apply_widths(model, kept).count_params() == tuned.parameters
    whole = fdi.compress(
        model, costly, goal, stripes(), 2, device=None, remove_branches=False, report=said.append
    )
    assert whole.stages[-1].widths["inner"] > 0
    assert whole.stages[-1].predicted_ms <= goal * (1 + 1e-6)


@pytest.mark.filterwarnings(
    "ignore:Your input ran out of data"
)  # Keras's, where it did not know how many there are
def test_other_data_and_losses(profile):
    import tensorflow as tf

    keras.utils.set_random_seed(2)
    x, y = stripes()
    model = network()
    said = []
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    result = fdi.compress(
        model, profile, half(model, profile), batches, 3,
        validation_data=batches, device=None, report=said.append,
    )  # fmt: skip
    assert "nobody teaches: the data are no arrays (x, y)" in said
    assert not any("averaged" in text for text in said)
    assert result.stages[-1].metrics["accuracy"] > 0.4
    unknown = tf.data.Dataset.from_generator(
        lambda: iter(zip(x, y, strict=True)),
        output_signature=(tf.TensorSpec((8, 8, 1), tf.float32), tf.TensorSpec((), tf.int32)),
    )
    fdi.compress(
        model, profile, half(model, profile), unknown.batch(32), 2, device=None, report=said.append
    )  # fmt: skip
    assert any(text.startswith("weights are not averaged") for text in said)
    image = keras.Input((8, 8, 1))
    x2 = L.Flatten()(L.Conv2D(12, 3, activation="relu")(image))
    numbers = keras.Model(image, L.Dense(1)(x2))
    numbers.compile("adam", "mse", metrics=["mae"])
    result = fdi.compress(
        numbers, profile, half(numbers, profile), (x, x.mean((1, 2, 3))), 4, device=None, report=said.append
    )
    assert result.model.loss == "mse"


def test_wrong_use(trained, profile):
    plain = keras.Model(trained.inputs, trained.outputs)
    with pytest.raises(UsageError, match="compile it first"):
        fdi.compress(plain, profile, 1.0, stripes(), 4)
    with pytest.raises(UsageError, match="at least 2"):
        fdi.compress(trained, profile, 1.0, stripes(), 1)
    with pytest.raises(UsageError, match="ms already"):
        fdi.compress(trained, profile, 1e3, stripes(), 4, device=None)
    for y in (stripes()[1][:-1], stripes()[1][:0]):
        with pytest.raises(UsageError, match=r"as many labels as examples, received \d+ and \d+"):
            fdi.compress(trained, profile, 1.0, (stripes()[0], y), 4, device=None)
    with pytest.raises(UsageError, match="received 0"):
        fdi.compress(trained, profile, 1.0, (stripes()[0][:0], stripes()[1][:0]), 4, device=None)
    x, y = stripes()
    with pytest.raises(TrainingDivergedError):
        fdi.compress(trained, profile, half(trained, profile), (x * np.nan, y), 4, device=None, report=str)


def test_a_lesson_is_labels_and_what_the_teacher_says(trained):
    x, y = stripes(32)
    found = lesson(trained, x, y, trained.loss, 32, epochs=3)
    [examples] = found.examples
    mixed = 0
    for _ in range(3):
        [(images, targets)] = [examples[i] for i in range(len(examples))]
        assert targets.shape == (32, 6)
        np.testing.assert_allclose(targets[:, :3].sum(1), 1.0, rtol=1e-5)
        np.testing.assert_allclose(targets[:, 3:].sum(1), 1.0, rtol=1e-5)
        said = trained.predict(images, verbose=0)
        np.testing.assert_array_equal(targets[:, 3:].argmax(1), said.argmax(1))
        assert (targets[:, 3:].max(1) < said.max(1)).mean() > 0.9, "softer than it was said"
        # An example is there as it is, or as the mean with another one, labels and all.
        whole = np.array([(x == image).all((1, 2, 3)).any() for image in images])
        assert whole.any()
        own = (x[None] == images[whole][:, None]).all((2, 3, 4))
        np.testing.assert_array_equal(targets[whole, :3].argmax(1), y[own.argmax(1)])
        mixed += (~whole).sum()
        examples.on_epoch_end()
    assert 0.3 < mixed / 96 < 0.7
    [unmixed] = lesson(trained, x, y, trained.loss, 32, epochs=0).examples
    assert all((x == image).all((1, 2, 3)).any() for image in unmixed[0][0])
    # Whole numbers, such as of words, are not mixed.
    words = np.arange(12).reshape(6, 2)
    embedded = keras.Sequential([L.Input((2,)), L.Embedding(12, 3), L.Flatten(), L.Dense(3, "softmax")])
    found = lesson(embedded, words, np.arange(6) % 3, "sparse_categorical_crossentropy", 4, epochs=2)
    told = [found.examples[0][i] for i in range(2)]
    assert sorted(int(row[0]) for x, _ in told for row in x) == [0, 2, 4, 6, 8, 10]
    assert [len(x) for x, _ in told] == [4, 2]


def test_the_loss_and_the_accuracy_of_what_is_taught(trained):
    # Labels count as in cross entropy, and the teacher's own predictions are the best answer to it.
    loss = TaughtLoss(3)
    onehot = np.eye(3, dtype="float32")[[1]]
    target = np.concatenate([onehot, onehot], 1)
    p = np.array([[0.2, 0.7, 0.1]], "float32")
    softer = np.exp(np.log(p) / 3) / np.exp(np.log(p) / 3).sum()
    expected = (1 - SHARE) * -np.log(0.7) + SHARE * 9 * -np.log(softer[0, 1])
    assert float(loss(target, p)) == pytest.approx(expected, rel=1e-5)
    logits = TaughtLoss(3, from_logits=True)
    assert float(logits(target, np.log(p) + 5)) == pytest.approx(expected, rel=1e-5)
    x, y = stripes(32)
    said = trained.predict(x, verbose=0)
    accuracy = TaughtAccuracy(3)
    accuracy.update_state(np.concatenate([np.eye(3)[y], said], 1), said)
    assert float(accuracy.result()) == pytest.approx((said.argmax(1) == y).mean())


def test_labels_in_other_forms_are_the_same_lesson(trained):
    x, y = stripes(32)

    def told(labels, loss):
        keras.utils.set_random_seed(3)
        [examples] = lesson(trained, x, labels, loss, 32, epochs=1).examples
        return examples[0][1]

    onehot = np.eye(3, dtype="float32")[y]
    expected = told(y, trained.loss)
    np.testing.assert_array_equal(told(onehot, "categorical_crossentropy"), expected)
    np.testing.assert_array_equal(told(y[:, None], trained.loss), expected)
    assert "labels" in lesson(trained, x, onehot[:, :2], "categorical_crossentropy", 32, 1)
    assert "cosine" in lesson(trained, x, y, keras.losses.CosineSimilarity(), 32, 1)


def test_dropout_rests_while_mixtures_are_taught(profile):
    keras.utils.set_random_seed(0)
    x, y = stripes()
    image = keras.Input(x.shape[1:])
    z = L.Dropout(0.3)(L.Flatten()(L.Conv2D(16, 3, activation="relu")(image)))
    model = keras.Model(image, L.Dense(3, "softmax")(z))
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(x, y, 50, epochs=2, verbose=0)
    with without_dropout(model) as dropped:
        assert dropped
        np.testing.assert_array_equal(model(x[:4], training=True), model(x[:4], training=False))
    assert np.abs(np.asarray(model(x[:4], training=True)) - np.asarray(model(x[:4]))).max() > 0.01
    for mixtures in (True, False):
        said = []
        result = fdi.compress(
            model,
            profile,
            half(model, profile),
            (x, y),
            2,
            device=None,
            mixtures=mixtures,
            report=said.append,
        )
        assert any("dropout" in text for text in said) == mixtures
        [dropout] = [layer for layer in result.model.layers if isinstance(layer, L.Dropout)]
        assert dropout.rate == 0.3


def test_dropout_inside_of_layers_rests_as_well():
    signal = keras.Input((8, 6))
    z = L.MultiHeadAttention(2, 4, dropout=0.5)(signal, signal)
    z = L.Bidirectional(L.LSTM(5, dropout=0.4, return_sequences=True))(L.SpatialDropout1D(0.3)(z))
    z = L.RNN([L.SimpleRNNCell(3, dropout=0.4), L.LSTMCell(3)])(
        L.GRU(4, recurrent_dropout=0.3, return_sequences=True)(z)
    )
    model = keras.Model(signal, z)
    x = np.random.default_rng(0).normal(size=(4, 8, 6)).astype("float32")
    before = model.get_config()
    with without_dropout(model) as dropped:
        assert dropped
        np.testing.assert_array_equal(model(x, training=True), model(x, training=False))
    assert model.get_config() == before
    assert np.abs(np.asarray(model(x, training=True)) - np.asarray(model(x))).max() > 1e-3
    with without_dropout(keras.Model(signal, L.LSTM(5)(signal))) as dropped:
        assert not dropped


def small_with_norm(optimizer):
    keras.utils.set_random_seed(5)
    image = keras.Input((8, 8, 1))
    x = L.ReLU()(L.BatchNormalization(momentum=0.9)(L.Conv2D(3, 3, name="stem")(image)))
    model = keras.Model(image, L.Dense(3, "softmax")(L.GlobalAveragePooling2D()(x)))
    model.compile(optimizer, "sparse_categorical_crossentropy")
    return model


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda: keras.optimizers.SGD(0.1),
        lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01), initial_scale=2.0),
    ],
)
def test_training_ends_with_a_running_mean_of_the_weights(optimizer):
    """And with statistics of batch normalization that are means over the same steps."""
    x, y = stripes(96)
    last = small_with_norm(optimizer())
    seen, statistics = [], []

    def note(batch, logs):
        seen.append([keras.ops.convert_to_numpy(w) for w in last.trainable_variables])
        statistics.append([keras.ops.convert_to_numpy(w) for w in last.non_trainable_variables])

    noting = keras.callbacks.LambdaCallback(on_train_batch_end=note)
    last.fit(x, y, 16, epochs=4, verbose=0, shuffle=False, callbacks=[noting])
    averaged = small_with_norm(optimizer())
    with averaged_weights(averaged, 24):
        averaged.fit(x, y, 16, epochs=4, verbose=0, shuffle=False)
    expected = seen[0]
    for weights in seen[1:]:  # a quarter of 24 steps: the newest counts one sixth
        expected = [mean + (new - mean) / 6 for mean, new in zip(expected, weights, strict=True)]
    for mean, found in zip(expected, averaged.trainable_variables, strict=True):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(found), mean, atol=1e-5)
    norm = next(layer for layer in averaged.layers if isinstance(layer, L.BatchNormalization))
    assert norm.momentum == 0.9
    # What is averaged with momentum 0.9 tells what every batch had.
    was, expected_mean = np.zeros(3), np.zeros(3)
    for mean, *_ in statistics:
        of_batch = (mean - 0.9 * was) / 0.1
        was, expected_mean = mean, expected_mean + (of_batch - expected_mean) / 6
    np.testing.assert_allclose(keras.ops.convert_to_numpy(norm.moving_mean), expected_mean, atol=1e-4)


def test_a_schedule_of_the_original_training_is_not_followed(profile):
    """It would have ended long before; the network that is returned has it again."""
    keras.utils.set_random_seed(2)
    model, said = network(), []
    schedule = keras.optimizers.schedules.CosineDecay(1e-6, 10, warmup_target=5e-3, warmup_steps=4)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    result = fdi.compress(model, profile, half(model, profile), stripes(), 2, device=None, report=said.append)
    assert "instead of its schedule the optimizer has the highest learning rate of it, 0.005" in said
    assert result.model.optimizer.get_config()["learning_rate"]["class_name"] == "CosineDecay"


def test_schedules_are_found_inside_of_optimizers():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)
    scaled = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(schedule), initial_scale=8.0)
    found, rate = at_one_rate(keras.saving.serialize_keras_object(scaled), 100)
    assert rate == pytest.approx(0.1)
    again = keras.saving.deserialize_keras_object(found)
    assert float(again.inner_optimizer.learning_rate) == pytest.approx(0.1)
    assert again.initial_scale == 8.0
    for plain in ("adam", keras.saving.serialize_keras_object(keras.optimizers.SGD(0.3))):
        assert at_one_rate(plain, 100) == (plain, None)


def test_averages_go_on_where_training_was_stopped(tmp_path):
    x, y = stripes(96)

    def trained_for(epochs, folder, stop_after=None):
        model = small_with_norm(keras.optimizers.Adam(0.01))

        def stop(epoch, logs):
            if epoch == stop_after:
                raise KeyboardInterrupt

        callbacks = [
            keras.callbacks.BackupAndRestore(folder),
            keras.callbacks.LambdaCallback(on_epoch_begin=stop),
        ]
        with averaged_weights(model, 6 * epochs):
            model.fit(x, y, 16, epochs=epochs, verbose=0, shuffle=False, callbacks=callbacks)
        return model.get_weights()

    whole = trained_for(4, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained_for(4, tmp_path / "parts", stop_after=2)
    for one, other in zip(whole, trained_for(4, tmp_path / "parts"), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_statistics_are_those_of_the_data(trained):
    model = keras.models.clone_model(trained)
    model.set_weights(trained.get_weights())
    first = next(layer for layer in model.layers if isinstance(layer, L.BatchNormalization))
    momentum = first.momentum
    first.moving_mean.assign(first.moving_mean + 5.0)
    x, _ = stripes(128)
    estimate_statistics(model, x, 32)
    convolved = keras.ops.convert_to_numpy(model.get_layer("stem")(x))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(first.moving_mean), convolved.mean((0, 1, 2)), atol=1e-4
    )
    assert first.momentum == momentum
