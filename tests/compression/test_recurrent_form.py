"""Loops or unrolled: the recipe takes the form of recurrent layers in which more channels fit the target."""

import keras
import numpy as np
import pytest
from synthetic_devices import free, leaf, model_of, profile_of

import fdi_keras as fdi
from fdi_keras.compression.recurrent_form import fitting_form
from fdi_keras.networks.recurrent_export import MAX_STEPS, in_form

L = keras.layers

#: A step of a loop takes 0.1 ms however narrow it is; unrolled, the same work takes twice as long.
KINDS = {
    "gru_while": leaf(0.8, flops=2e-5),
    "lstm_while": leaf(0.8, flops=2e-5),
    "gru_unrolled": leaf(0.01, flops=4e-5),
    "lstm_unrolled": leaf(0.01, flops=4e-5),
}


def device(*kinds):
    models = {kind: model_of(kind, KINDS[kind]) for kind in kinds or KINDS}
    return profile_of(models | free("dense", "softmax", "concat", "reverse"))


def network(steps=8, units=48):
    x = signal = keras.Input((steps, 6))
    x = L.GRU(units, return_sequences=True, dropout=0.1, name="first")(x)
    x = L.Bidirectional(L.LSTM(units), name="second")(x)
    return keras.Model(signal, L.Dense(3, "softmax")(x))


def said_of(model, profile, target_ms):
    said = []
    found = fitting_form(model, [fdi.Budget(profile, ms=target_ms)], said.append)
    return found, said


def test_narrow_layers_are_unrolled_and_wide_ones_are_loops():
    model, profile = network(), device()
    whole_ms = fdi.predict_latency(model, profile).total_ms
    unrolled, said = said_of(model, profile, 1.0)
    assert unrolled.get_layer("first").unroll
    assert unrolled.get_layer("second").forward_layer.unroll
    assert unrolled.get_layer("second").backward_layer.unroll
    assert unrolled.get_layer("first").dropout == 0.1
    assert "recurrent layers become unrolled: " in said[0]
    assert "as they are 0%" in said[0]
    assert not model.get_layer("first").unroll
    assert said_of(model, profile, 0.9 * whole_ms) == (model, [])
    # The other way round as well.
    loops, said = said_of(unrolled, profile, 0.9 * whole_ms)
    assert not loops.get_layer("first").unroll
    assert "become loops" in said[0]
    x = np.random.default_rng(0).normal(size=(4, 8, 6)).astype("float32")
    for other in (unrolled, loops):
        np.testing.assert_allclose(other.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


def test_a_target_below_what_loops_take_names_them():
    with pytest.raises(
        fdi.errors.TargetError, match=r"cannot be met.* 2.42 ms of it are loops \(first, .*unroll=True"
    ):
        fdi.prune(network(), device(), target_ms=1.0)
    dense = keras.Sequential([keras.Input((6,)), L.Dense(5), L.Dense(3)])
    with pytest.raises(fdi.errors.TargetError, match=r"fewer layers\.$"):
        fdi.prune(dense, profile_of({"dense": model_of("dense", leaf(0.8))}), target_ms=1.0)


def test_where_nothing_fits_the_form_that_comes_nearest_is_told_of():
    model, profile = network(), device()
    found, said = said_of(model, profile, 1e-3)
    assert found.get_layer("first").unroll
    assert said == []  # the error that follows tells of it
    assert said_of(found, profile, 1e-3) == (found, [])
    model.compile("adam", "sparse_categorical_crossentropy")
    data = np.zeros((4, 8, 6), "float32"), np.zeros(4, int)
    with pytest.raises(fdi.errors.TargetError, match=r"still predicted to take 0\.0") as told:
        fdi.compress(model, profile, 1e-3, data, 2, device=None, report=lambda _: None)
    assert "loops" not in str(told.value)


def test_what_has_no_price_or_no_recurrent_layers_stays():
    model = network()
    found, said = said_of(model, device("gru_while", "lstm_while"), 1.0)
    assert found is model
    assert "the profile does not know what they take unrolled" in said[0]
    image = keras.Input((6,))
    dense = keras.Model(image, L.Dense(3, "softmax")(L.Dense(5)(image)))
    assert said_of(dense, device(), 1.0) == (dense, [])
    long = network(steps=MAX_STEPS + 1)
    assert said_of(long, device(), 1.0) == (long, [])
    assert in_form(model, False) is model


def test_the_recipe_returns_the_faster_form(tmp_path):
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 96)
    x = (rng.normal(size=(96, 8, 6)) + y[:, None, None]).astype("float32")
    model, profile = network(units=12), device()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    said = []
    result = fdi.compress(
        model, profile, 0.3, (x, y), 4, device=None, folder=tmp_path / "run", report=said.append
    )
    assert any("become unrolled" in text for text in said)
    assert result.model.get_layer("first").unroll
    assert result.stages[-1].predicted_ms <= 0.3 * (1 + 1e-6) < 2.4 < result.stages[0].predicted_ms
    assert result.stages[0].widths.keys() == result.stages[-1].widths.keys()
    again = fdi.compress(
        model, profile, 0.3, (x, y), 4, device=None, folder=tmp_path / "run", report=lambda _: None
    )
    assert [w.shape for w in again.model.weights] == [w.shape for w in result.model.weights]


@pytest.mark.parametrize("unroll", [False, True])
def test_a_form_that_is_there_already_is_no_copy(unroll):
    signal = keras.Input((4, 3))
    model = keras.Model(signal, L.GRU(5, unroll=unroll)(signal))
    assert in_form(model, unroll) is model
    assert in_form(model, not unroll) is not model
