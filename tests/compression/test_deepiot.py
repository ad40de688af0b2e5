"""The opponent: a compressor network that learns which units to keep, and costs that are counted."""

import keras
import numpy as np
import pytest
from random_networks import randomize

import fdi_keras as fdi
from fdi_keras.compression import deepiot
from fdi_keras.compression.deepiot import (
    _log_likelihood,
    compress_by_deepiot,
    compressor_for,
    under_threshold,
    weight_matrix,
)
from fdi_keras.errors import TargetError, UsageError
from fdi_keras.networks import read_operators
from fdi_keras.profile import DeviceProfile
from fdi_keras.profile.counted import COUNTS, counting_profile, two_number_profile

L = keras.layers


def network():
    """Of the units of the first layer only four reach the output."""
    image = keras.Input((6, 6, 2))
    x = L.Conv2D(12, 3, padding="same", activation="relu", name="first")(image)
    x = L.Conv2D(8, 3, padding="same", activation="relu", name="second")(x)
    model = keras.Model(image, L.Dense(2, "softmax", name="head")(L.GlobalAveragePooling2D()(x)))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def data(count=192):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, count)
    x = rng.normal(size=(count, 6, 6, 2)) + np.where(y[:, None] == 1, [1.5, 0.0], [0.0, 1.5])[:, None, None]
    return x.astype("float32"), y


@pytest.mark.parametrize("what", ["parameters", "flops"])
def test_the_budget_is_met_and_the_task_still_learned(what):
    keras.utils.set_random_seed(3)
    model, cost, said = network(), counting_profile(what), []
    model.fit(*data(), epochs=6, verbose=0)
    before = [w.copy() for w in model.get_weights()]
    budget = 0.4 * fdi.predict_latency(model, cost).total_ms
    small = compress_by_deepiot(model, cost, budget, data(), 4, report=said.append)
    assert 0.5 * budget < fdi.predict_latency(small, cost).total_ms <= budget * (1 + 1e-6)
    assert len(said) == 4
    assert type(small) is not type(fdi.prunable(model))
    for old, now in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, now)
    small.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    small.fit(*data(), epochs=3, verbose=0)
    assert small.evaluate(*data(), verbose=0, return_dict=True)["accuracy"] > 0.85


def test_the_compressor_learns_from_the_loss_which_units_matter():
    """A loss that is low when the first two units of six are kept and the others are not."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    compressor = compressor_for([(4, 3), (2, 5)])
    compressor.compile(keras.optimizers.Adam(2e-3), _log_likelihood)
    matrices = [rng.normal(size=(1, 4, 3)).astype("float32"), rng.normal(size=(1, 2, 5)).astype("float32")]
    usual = -2.5  # about what the first masks get
    for _ in range(1500):
        probability = keras.ops.convert_to_numpy(compressor.predict_on_batch(matrices))[0]
        mask = (rng.random(6) < probability).astype("float32")
        loss = mask[2:].sum() - 3 * mask[:2].sum()
        usual += 0.05 * (loss - usual)
        compressor.train_on_batch(matrices, mask[None], sample_weight=np.array([usual - loss], "float32"))
    assert probability[:2].min() > 0.8
    assert probability[2:].max() < 0.4


def test_losses_above_the_usual_do_not_raise_all_probabilities():
    """Where every mask is worse than usual, as under a falling budget, it is no unit's merit to be closed."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    compressor = compressor_for([(30, 9), (20, 30)])
    drawn = under_threshold(compressor)
    drawn.compile(keras.optimizers.Adam(1e-3), _log_likelihood)
    matrices = [rng.normal(size=(1, *shape)).astype("float32") for shape in ((30, 9), (20, 30))]
    threshold, soft = np.full((1, 50), 3.0, "float32"), np.full((1, 1), 0.5, "float32")
    before = keras.ops.convert_to_numpy(compressor.predict_on_batch(matrices))[0]
    for _ in range(400):
        probability = keras.ops.convert_to_numpy(drawn.predict_on_batch([*matrices, threshold, soft]))
        mask = (rng.random((1, 50)) < probability).astype("float32")
        drawn.train_on_batch([*matrices, threshold, soft], mask, sample_weight=np.array([-1.0], "float32"))
    after = keras.ops.convert_to_numpy(compressor.predict_on_batch(matrices))[0]
    assert abs(after.mean() - before.mean()) < 0.05


def test_no_layer_collapses(monkeypatch):
    """Not even where the compressor holds every unit of a layer for less likely than all others."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((6, 6, 2))
    for filters in (24, 32, 24):
        x = L.Conv2D(filters, 3, padding="same", activation="relu")(x)
    model = keras.Model(image, L.Dense(2, "softmax")(L.GlobalAveragePooling2D()(x)))
    model.compile(keras.optimizers.Adam(3e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])

    def against_the_second(shapes):
        compressor = compressor_for(shapes)
        head = [layer for layer in compressor.layers if layer.output.shape[1:] == (32,)][-1]
        head.bias.assign(np.full(32, -1.0))
        return compressor

    monkeypatch.setattr(deepiot, "compressor_for", against_the_second)
    cost = counting_profile("parameters")
    budget = 0.1 * fdi.predict_latency(model, cost).total_ms
    small = compress_by_deepiot(model, cost, budget, data(), 2, report=None)
    widths = [layer.filters for layer in small.layers if isinstance(layer, L.Conv2D)]
    # All narrowed alike they would be about 7, 9 and 7: half of that stays.
    assert all(width >= least for width, least in zip(widths, (4, 5, 4), strict=True))
    assert fdi.predict_latency(small, cost).total_ms > 0.8 * budget


@pytest.mark.parametrize(
    ("layer", "shape", "units"),
    [
        (L.Conv2D(5, 3), (6, 6, 2), (5, 18)),
        (L.Dense(7), (4,), (7, 4)),
        (L.LSTM(3), (5, 4), (3, 16)),
        (L.GRU(3), (5, 4), (3, 12)),
        (L.Conv2DTranspose(5, 2), (4, 4, 3), (5, 12)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_weight_matrix_has_a_row_for_every_unit(layer, shape, units):
    model = keras.Sequential([keras.Input(shape), layer])
    randomize(model, 1)
    kernel = np.asarray(keras.ops.convert_to_numpy(layer.weights[0]))
    matrix = weight_matrix(layer, kernel)
    assert matrix.shape == units
    assert np.mean(matrix**2) == pytest.approx(1.0, rel=1e-4)
    scale = np.sqrt(np.mean(kernel**2))
    if isinstance(layer, L.LSTM):  # the same unit of all four gates
        np.testing.assert_allclose(matrix[1], kernel[:, [1, 4, 7, 10]].T.ravel() / scale, rtol=1e-5)
    if isinstance(layer, L.Dense):
        np.testing.assert_allclose(matrix[2], kernel[:, 2] / scale, rtol=1e-5)


def test_what_cannot_be():
    model = network()
    plain = keras.Model(model.inputs, model.outputs)
    with pytest.raises(UsageError, match="compile it first"):
        compress_by_deepiot(plain, counting_profile("flops"), 1.0, data(), 1)
    with pytest.raises(TargetError):
        compress_by_deepiot(model, counting_profile("parameters"), 1e-9, data(), 1, report=None)


@pytest.mark.parametrize("what", COUNTS)
@pytest.mark.filterwarnings("ignore::fdi_keras.errors.UnmeasuredProfileWarning")
def test_counting_profiles_count(what):
    profile = DeviceProfile.from_dict(counting_profile(what).to_dict())
    model = network()
    report = fdi.predict_latency(model, profile)
    assert report.coverage == 1.0
    if what == "flops":
        assert report.total_ms == pytest.approx(report.flops / 1e6)
    if what == "parameters":
        assert report.total_ms == pytest.approx(
            model.count_params() / 1e6, rel=0.1
        )  # biases are not all counted
    gated = fdi.prunable(model)
    gated.compile(
        "adam", model.loss, regularizer=fdi.LatencyRegularizer(profile, target_ms=0.5 * report.total_ms)
    )
    assert float(gated.latency_plan.predict_ms(gated.latency_plan.full_widths)) == pytest.approx(
        report.total_ms
    )


def test_two_numbers_make_a_device():
    model = network()
    explained = [operator.explained for operator in read_operators(model)]
    flops = sum(each["flops"] for each in explained)
    numbers = sum(sum(each.values()) - each["flops"] + 3 * each["parameters"] for each in explained)
    report = fdi.predict_latency(model, two_number_profile(10, 2))
    assert report.total_ms == pytest.approx(flops / 10e6 + numbers / 2e6)
    with pytest.raises(UsageError, match="positive"):
        two_number_profile(0, 1)
    with pytest.raises(UsageError, match="expected one of"):
        counting_profile("words")
