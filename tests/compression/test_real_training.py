"""The ways in which Keras trains, with gates: each ends at the target."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from random_networks import randomize
from small_training import (
    PROFILE,
    TARGET_MS,
    assert_steered,
    compiled,
    data,
    logits,
    network,
    reached,
)

import fdi_keras as fdi
from fdi_keras.compression.gates import STEP
from fdi_keras.errors import TrainingDivergedError, UnsupportedModelError, UsageError

L = keras.layers
X, Y = data()

pytestmark = pytest.mark.untraced


def fit(model, **options):
    return model.fit(X, Y, verbose=0, **{"batch_size": 16, "epochs": 10, **options})


@pytest.fixture
def policy(request):
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy(request.param)
    yield request.param
    keras.mixed_precision.set_dtype_policy(before)


HALF = pytest.mark.parametrize(
    ("policy", "tolerance"), [("mixed_float16", 5e-3), ("mixed_bfloat16", 4e-2)], indirect=["policy"]
)


@HALF
def test_half_precision(policy, tolerance, tmp_path):
    model = compiled()
    fit(model)
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer) == (policy == "mixed_float16")
    assert_steered(model)
    small = fdi.prune(model)
    np.testing.assert_allclose(np.asarray(small(X)), np.asarray(model(X)), atol=tolerance)

    model.save(tmp_path / "gated.keras")
    loaded = keras.models.load_model(tmp_path / "gated.keras")
    assert loaded.layers[1].compute_dtype == policy.removeprefix("mixed_")
    assert loaded.optimizer.iterations == model.optimizer.iterations
    np.testing.assert_array_equal(np.asarray(loaded(X)), np.asarray(model(X)))
    fit(loaded, epochs=1)

    keras.mixed_precision.set_dtype_policy("float32")
    whole = fdi.prunable(network())
    whole.set_weights(model.get_weights())
    small_whole = fdi.prune(whole)
    for a, b in zip(small_whole.get_weights(), small.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(np.asarray(small_whole(X)), np.asarray(whole(X)), atol=1e-6)


def zoo():
    """Layers of every family that reads through a mask."""
    image = keras.Input((8, 8, 3))
    x = L.Conv2D(12, 3, padding="same", activation="relu")(image)
    x = L.SeparableConv2D(12, 3, padding="same")(x)
    x = L.LayerNormalization()(x)
    x = L.Conv2DTranspose(10, 3, padding="same")(L.Add()([x, L.Conv2D(12, 1)(x)]))
    x = L.GRU(9, return_sequences=True)(L.LSTM(11, return_sequences=True)(L.Reshape((64, 10))(x)))
    return keras.Model(image, L.Dense(4, dtype="float32")(L.GlobalAveragePooling1D()(x)))


@HALF
def test_half_precision_of_all_layers_with_masks(policy, tolerance):
    images = np.random.default_rng(1).normal(size=(4, 8, 8, 3)).astype("float32")
    plain = zoo()
    randomize(plain, 1)
    gated = fdi.prunable(plain)
    scale = np.abs(np.asarray(plain(images))).max()
    np.testing.assert_allclose(np.asarray(gated(images)), np.asarray(plain(images)), atol=tolerance * scale)
    for gate in gated.gates.values():
        gate.set_logits(np.where(np.arange(gate.channels) % 3, 1.5, -6.0))
    small = fdi.prune(gated)
    assert small.count_params() < 0.6 * plain.count_params()
    np.testing.assert_allclose(np.asarray(small(images)), np.asarray(gated(images)), atol=tolerance * scale)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam, keras.optimizers.SGD])
def test_the_scaling_of_losses_changes_no_pace(optimizer, wrapped):
    plain, scaled = compiled(optimizer(0.01)), compiled(keras.optimizers.LossScaleOptimizer(optimizer(0.01)))
    for one, other in zip(plain.gates.values(), scaled.gates.values(), strict=True):
        assert one.layer.speed_now == pytest.approx(other.layer.speed_now)


@pytest.mark.parametrize("steps", [None, 4])
def test_gates_move_as_far_in_every_update_of_accumulated_gradients(steps):
    model = compiled(keras.optimizers.Adam(gradient_accumulation_steps=steps))
    model.set_gate_step(STEP)
    model.steering.strength.assign(100.0)
    before = logits(model)
    for i in range(4 * (steps or 1)):
        model.train_on_batch(X[i : i + 16], Y[i : i + 16])
    for a, b in zip(before, logits(model), strict=True):
        np.testing.assert_allclose(np.abs(a - b), 4 * STEP, rtol=0.1)


@pytest.mark.parametrize(
    ("optimizer", "options", "training"),
    [
        (keras.optimizers.Adam(gradient_accumulation_steps=4), {}, {}),
        ("adam", {"steps_per_execution": 8}, {}),
        ("adam", {"steps_per_execution": 32}, {"epochs": 16}),
        ("adam", {"jit_compile": True, "steps_per_execution": 8}, {}),
        ("adam", {"run_eagerly": True}, {"epochs": 7}),
        (keras.optimizers.Adam(use_ema=True), {}, {}),
        (keras.optimizers.Adam(use_ema=True, ema_momentum=0.9, ema_overwrite_frequency=5), {}, {}),
        ("adam", {"weighted_metrics": ["accuracy"]}, {"class_weight": {0: 0.3, 1: 3.0}}),
        ("adam", {}, {"sample_weight": np.linspace(0.1, 2.0, len(X))}),
        (keras.optimizers.AdamW(weight_decay=0.01, global_clipnorm=1.0), {}, {}),
    ],
    ids=["accumulated", "8 steps at once", "whole epochs at once", "compiled", "eager", "average",
         "averages put back", "class weights", "sample weights", "decay and clipping"],
)  # fmt: skip
def test_the_target_is_met(optimizer, options, training):
    model = compiled(optimizer, **options)
    fit(model, **training)
    assert_steered(model)


def test_averages_of_weights_leave_the_gates_where_they_ended():
    model = compiled(keras.optimizers.Adam(use_ema=True, ema_momentum=0.999))
    ends = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            ends.append((logits(self.model), self.model.get_layer("out").get_weights()[0]))

    fit(model, epochs=4, callbacks=[Watch()])
    for a, b in zip(ends[-1][0], logits(model), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.abs(ends[-1][1] - model.get_layer("out").get_weights()[0]).max() > 1e-3


def test_losses_and_outputs_by_name():
    keras.utils.set_random_seed(0)
    image, number = keras.Input((8, 8, 2), name="image"), keras.Input((3,), name="number")
    x = L.Conv2D(16, 3, padding="same", activation="relu")(image)
    x = L.Concatenate()([L.GlobalAveragePooling2D()(x), L.Dense(8, activation="relu")(number)])
    x = L.Dense(24, activation="relu")(x)
    outputs = {"side": L.Dense(2, activation="softmax", name="side")(x), "sum": L.Dense(1, name="sum")(x)}
    plain = keras.Model({"image": image, "number": number}, outputs)
    start = fdi.predict_latency(plain, PROFILE).total_ms
    numbers = np.random.default_rng(0).normal(size=(len(X), 3)).astype("float32")
    model = fdi.prunable(plain)
    model.compile(
        "adam",
        loss={"side": "sparse_categorical_crossentropy", "sum": "mse"},
        loss_weights={"side": 1.0, "sum": 0.5},
        metrics={"side": ["accuracy"]},
        regularizer=fdi.LatencyRegularizer(PROFILE, target_ms=0.5 * start),
    )
    inputs, targets = {"image": X, "number": numbers}, {"side": Y, "sum": numbers.sum(axis=1)}
    weights = {"side": np.ones(len(X)), "sum": np.linspace(0, 1, len(X))}
    history = model.fit(inputs, targets, sample_weight=weights, batch_size=16, epochs=10, verbose=0).history
    assert {"side_loss", "sum_loss", "side_accuracy", "latency_ms"} <= set(history)
    assert history["sum_loss"][-1] < 0.3 * history["sum_loss"][0]
    assert history["latency_ms"][-1] == pytest.approx(0.5 * start, rel=0.15)
    small = fdi.prune(model)
    found, expected = small(inputs), model(inputs)
    assert set(found) == {"side", "sum"}
    for name in found:
        np.testing.assert_allclose(np.asarray(found[name]), np.asarray(expected[name]), atol=1e-5)


class OwnStep(fdi.PrunableModel):
    """A training step as users write them: only the loss is returned."""

    def train_step(self, data):
        x, y = data
        with tf.GradientTape() as tape:
            loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
        variables = self.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        return {"loss": loss}


class OtherLoss(OwnStep):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return keras.ops.mean(keras.losses.sparse_categorical_crossentropy(y, y_pred))


def own(cls):
    gated = fdi.prunable(network())
    return compiled(model=cls(gated.input, gated.output, name="own"))


def test_a_training_step_of_ones_own():
    model = own(OwnStep)
    assert set(fit(model).history) == {"loss"}
    assert_steered(model)


def test_a_training_step_without_the_penalty_is_named():
    with pytest.raises(UsageError, match=r"training step of OtherLoss does not call self\.compute_loss"):
        fit(own(OtherLoss), epochs=1)


def test_a_class_with_a_training_step_is_not_lost_in_silence():
    class Distilled(keras.Model):
        def train_step(self, data):
            return {}

    plain = network()
    with pytest.raises(
        UnsupportedModelError, match=r"Distilled\.train_step.*subclass of fdi_keras\.PrunableModel"
    ):
        fdi.prunable(Distilled(plain.input, plain.output))


def test_a_training_loop_of_ones_own():
    model, epochs, steps = compiled(), 10, len(X) // 16
    callbacks = keras.callbacks.CallbackList([fdi.LatencyCallback()], model=model, epochs=epochs, steps=steps)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = model.compute_loss(x=x, y=y, y_pred=model(x, training=True))
        variables = model.trainable_variables
        model.optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    callbacks.on_train_begin()
    for epoch in range(epochs):
        callbacks.on_epoch_begin(epoch)
        for i in range(steps):
            loss = step(X[16 * i : 16 * i + 16], Y[16 * i : 16 * i + 16])
            callbacks.on_train_batch_end(i, {"loss": loss})
        callbacks.on_epoch_end(epoch)
    callbacks.on_train_end()
    assert_steered(model)


class Quiet(OwnStep):
    """Tells nothing of its loss."""

    def train_step(self, data):
        super().train_step(data)
        return {"step": 1.0}


class BreakGates(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        gate = next(iter(self.model.gates.values()))
        gate.set_logits(np.full(gate.channels, np.nan))


def test_gates_that_become_no_numbers_are_named():
    model = own(Quiet)
    before = logits(model)
    with pytest.raises(TrainingDivergedError, match="gates are no numbers any more in epoch 1, batch 2"):
        fit(model, epochs=1, callbacks=[BreakGates()])
    for a, b in zip(before, logits(model), strict=True):
        np.testing.assert_allclose(a, b)
    gate = next(iter(model.gates.values()))
    gate.set_logits(np.full(gate.channels, np.nan))
    with pytest.raises(UsageError, match="are no numbers any more: the training diverged"):
        fit(model, epochs=1)


def test_training_again_begins_where_the_network_stands():
    model = compiled()
    fit(model)
    latency = fit(model, epochs=3).history["latency_ms"]
    assert max(latency) < 1.3 * TARGET_MS
    assert 0.6 < reached(model) < 1.2
