"""Importance from data: derivatives of the loss by masks, and what pruning by them keeps."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits
from small_training import PROFILE, START_MS, data, network

import fdi_keras as fdi
from fdi_keras.errors import NothingToPruneError, UsageError

L = keras.layers
X, Y = data()
LOSS = "sparse_categorical_crossentropy"


@pytest.fixture(scope="module")
def trained():
    model = network()
    model.compile(keras.optimizers.Adam(0.01), loss=LOSS, metrics=["accuracy"])
    model.fit(X, Y, epochs=15, verbose=0)
    return model


def loss_of(model, x=X, y=Y):
    model.compile(loss=LOSS)
    return model.evaluate(x, y, verbose=0, return_dict=True)["loss"]


def test_it_is_the_squared_derivative_by_the_scale_of_a_channel(trained):
    importance = fdi.taylor_importance(trained, X, Y, batch_size=len(X))
    norm = next(layer for layer in trained.layers if isinstance(layer, L.BatchNormalization))
    first, step = next(iter(importance)), 1e-2
    assert importance[first].shape == (16,)
    for channel in (0, 5, 11):
        losses = []
        for sign in (-1, 1):
            model = keras.models.clone_model(trained)
            model.set_weights(trained.get_weights())
            # What follows is linear in gamma and beta together where ReLU passes it on.
            layer = model.layers[trained.layers.index(norm)]
            gamma, beta, *rest = layer.get_weights()
            gamma[channel] *= 1 + sign * step
            beta[channel] *= 1 + sign * step
            layer.set_weights([gamma, beta, *rest])
            losses.append(loss_of(model))
        slope = (losses[1] - losses[0]) / (2 * step)
        assert importance[first][channel] == pytest.approx(slope**2, rel=0.05, abs=1e-8)


def test_a_channel_that_changes_nothing_has_none(trained):
    model = keras.models.clone_model(trained)
    model.set_weights(trained.get_weights())
    reader = [layer for layer in model.layers if isinstance(layer, L.Conv2D)][1]
    (kernel,) = reader.get_weights()
    kernel[:, :, 7] = 0
    reader.set_weights([kernel])
    importance = fdi.taylor_importance(model, X[:64], Y[:64], loss=LOSS)
    first = next(iter(importance))
    assert importance[first][7] == 0
    assert (np.delete(importance[first], 7) > 0).sum() > 12
    small = fdi.prune(model, PROFILE, target_ms=0.5 * START_MS, importance=importance)
    assert 7 not in fdi.kept_channels(small)[first]


def test_it_ranks_channels_as_their_removal_does(trained):
    for name, values in fdi.taylor_importance(trained, X, Y, batch_size=8).items():
        channels = list(range(len(values)))
        without = [
            loss_of(fdi.apply_widths(trained, {name: [*channels[:i], *channels[i + 1 :]]}))
            for i in channels[::2]
        ]
        ranks = [np.argsort(np.argsort(each)) for each in (values[::2], without)]
        assert np.corrcoef(*ranks)[0, 1] > 0.7


def test_pruning_by_it_loses_less_than_by_chance():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), *(L.Dense(48, activation="relu") for _ in range(2))])
    model.add(L.Dense(10, activation="softmax"))
    model.compile(keras.optimizers.Adam(0.003), loss=LOSS)
    model.fit(x, y, epochs=15, verbose=0)
    target = 0.8 * fdi.predict_latency(model, PROFILE).total_ms

    def loss_by(importance, seed=0):
        small = fdi.prune(model, PROFILE, target, importance=importance, seed=seed)
        return loss_of(small, x, y)

    by_chance = [loss_by("random", seed) for seed in range(6)]
    assert loss_by(fdi.taylor_importance(model, x, y)) < 0.5 * np.mean(by_chance)


def test_gated_networks_several_inputs_and_losses_by_name():
    keras.utils.set_random_seed(0)
    image, number = keras.Input((8, 8, 2), name="image"), keras.Input((3,), name="number")
    x = L.LSTM(6)(L.Reshape((64, 5))(L.Conv2D(5, 3, padding="same", activation="relu", name="conv")(image)))
    x = L.Concatenate()([x, L.Dense(7, activation="relu", name="dense")(number)])
    outputs = {"side": L.Dense(2, activation="softmax", name="side")(x), "sum": L.Dense(1, name="sum")(x)}
    plain = keras.Model({"image": image, "number": number}, outputs)
    gated = fdi.prunable(plain)
    losses = {"side": LOSS, "sum": "mse"}
    numbers = np.random.default_rng(0).normal(size=(50, 3)).astype("float32")
    inputs, targets = {"image": X[:50], "number": numbers}, {"side": Y[:50], "sum": numbers.sum(axis=1)}
    before = gated.get_weights()
    gated.compile("adam", loss=losses, regularizer=fdi.LatencyRegularizer(PROFILE, strength=1.0))
    compiled_with = fdi.taylor_importance(gated, inputs, targets)
    given = fdi.taylor_importance(plain, inputs, targets, loss=losses)
    assert set(compiled_with) == set(gated.gates)
    for name, values in compiled_with.items():
        np.testing.assert_allclose(values, given[name], rtol=1e-3, atol=1e-9)
        assert values.max() > 0
    for a, b in zip(before, gated.get_weights(), strict=False):
        assert a.shape == b.shape
    fdi.prune(gated, importance=compiled_with)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda m: fdi.taylor_importance(network(), X, Y), UsageError, "has no loss: compile it"),
        (lambda m: fdi.taylor_importance(m, X, Y[:5]), UsageError, "equally many rows.*5 and 512"),
        (lambda m: fdi.taylor_importance(m, X[:0], Y[:0]), UsageError, "received 0 rows"),
        (lambda m: fdi.taylor_importance(m, X, Y, batch_size=0), UsageError, "batch_size=0"),
        (lambda m: fdi.taylor_importance(m, X * np.nan, Y), UsageError, "no finite derivative"),
        (
            lambda m: fdi.prune(m, PROFILE, 1.0, importance="taylor"),
            UsageError,
            r"taylor_importance\(model, x, y\)",
        ),
        (
            lambda m: fdi.taylor_importance(keras.Sequential([keras.Input((4,)), L.Dense(3)]), X, Y, LOSS),
            NothingToPruneError,
            "no channel",
        ),
    ],
)
def test_wrong_arguments_are_named(trained, call, error, message):
    with pytest.raises(error, match=message):
        call(trained)
