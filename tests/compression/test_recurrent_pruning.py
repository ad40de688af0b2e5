"""Recurrent networks cut exactly: units leave the recurrence while gates are still learning."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from random_networks import open_random_gates, randomize
from searching import examples
from synthetic_devices import leaf, model_of, profile_of
from tensors import JITS, to_numpy

import fdi_keras as fdi
from fdi_keras.compression.regain import Origin, rebuild_at
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.operators import KINDS

L = keras.layers

STEPS, FEATURES = 6, 4
LAYERS = (
    lambda n, **k: L.LSTM(n, **k),
    lambda n, **k: L.LSTM(n, unroll=True, use_bias=False, **k),
    lambda n, **k: L.LSTM(n, activation="relu", unit_forget_bias=False, **k),
    lambda n, **k: L.GRU(n, **k),
    lambda n, **k: L.GRU(n, reset_after=False, **k),
    lambda n, **k: L.GRU(n, go_backwards=True, use_bias=False, **k),
    lambda n, **k: L.SimpleRNN(n, **k),
)
BETWEEN = (
    lambda n: L.Conv1D(n, 3, padding="same", activation="relu"),
    lambda n: L.TimeDistributed(L.Dense(n, activation="relu")),
    lambda n: L.LayerNormalization(),
    lambda n: L.BatchNormalization(),
    lambda n: L.Dropout(0.5),
)
widths = st.integers(1, 6)


def outputs(model, x):
    return to_numpy(keras.tree.flatten(model(x, training=False)))


def stack(draw):
    """A network of recurrent layers and others."""
    sequence = keras.Input((STEPS, FEATURES))
    x = sequence
    for _ in range(draw(st.integers(1, 3))):
        x = draw(st.sampled_from(LAYERS))(draw(widths), return_sequences=True)(x)
        if draw(st.booleans()):
            x = draw(st.sampled_from(BETWEEN))(draw(widths))(x)
    if draw(st.booleans()):
        y = L.GRU(x.shape[-1], return_sequences=True)(x)
        x = L.Add()([x, y])
    x = draw(st.sampled_from(LAYERS))(draw(widths))(x)
    model = keras.Model(sequence, L.Dense(3)(x))
    randomize(model, draw(st.integers(0, 999)))
    return model


@examples(25, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 1000))
def test_recurrent_stacks_are_pruned_exactly(data, seed):
    network = stack(data.draw)
    x = np.random.default_rng(seed).normal(size=(3, STEPS, FEATURES)).astype("float32")
    gated = fdi.prunable(network)
    for a, b in zip(outputs(network, x), outputs(gated, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    open_random_gates(gated, seed)
    small = fdi.prune(gated)
    for a, b in zip(outputs(gated, x), outputs(small, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    kept = {name: int(np.count_nonzero(gate.values())) for name, gate in gated.gates.items()}
    spaces = find_channel_spaces(read_graph(small))
    assert {s.name: s.width for s in spaces if s.name in kept} == kept
    assert all(type(layer).__module__.startswith("keras.") for layer in small.layers)


@examples(8, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 1000))
def test_units_that_come_back_bring_their_weights(data, seed):
    network = stack(data.draw)
    x = np.random.default_rng(seed).normal(size=(2, STEPS, FEATURES)).astype("float32")
    gated = fdi.prunable(network)
    rng = np.random.default_rng(seed)
    for gate in gated.gates.values():
        gate.set_logits(np.where(rng.random(gate.channels) < 0.5, -6.0, 6.0))
    small = fdi.prune(gated)
    graph = read_graph(small)
    spaces = find_channel_spaces(graph)
    source = Origin.of(small, spaces, gated)
    grown, _ = rebuild_at(graph, spaces, source.widths, source, source.ranking)
    for a, b in zip(outputs(network, x), outputs(grown, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def translator():
    """States go from an encoder to a decoder."""
    source, target = keras.Input((5,), dtype="int32"), keras.Input((4, FEATURES))
    tokens = L.Embedding(20, 6, mask_zero=True, name="embedding")(source)
    _, h, c = L.LSTM(7, return_state=True, name="encoder")(tokens)
    decoded = L.LSTM(7, return_sequences=True, name="decoder")(target, initial_state=[h, c])
    return keras.Model([source, target], L.TimeDistributed(L.Dense(3), name="words")(decoded))


def test_states_from_an_encoder_masks_and_embeddings(tmp_path):
    model = translator()
    randomize(model, 5)
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 3, (4, 5)).astype("int32"), rng.normal(size=(4, 4, FEATURES)).astype("float32")]
    gated = fdi.prunable(model)
    spaces = gated.channel_spaces
    # The decoder starts from the encoder's states: their units are one space.
    assert set(spaces["encoder"].producers) == {"encoder", "decoder"}
    assert {s.name: s.width for s in spaces.prunable} == {"embedding": 6, "encoder": 7}
    open_random_gates(gated, 1)
    small = fdi.prune(gated)
    np.testing.assert_allclose(outputs(gated, x)[0], outputs(small, x)[0], atol=1e-5)
    gated.save(tmp_path / "gated.keras")
    loaded = keras.models.load_model(tmp_path / "gated.keras")
    np.testing.assert_array_equal(outputs(gated, x)[0], outputs(loaded, x)[0])
    np.testing.assert_array_equal(outputs(small, x)[0], outputs(fdi.prune(loaded), x)[0])


def test_sentences_of_any_length():
    words = keras.Input((None,), dtype="int32")
    tokens = L.Embedding(20, 6, mask_zero=True, name="embedding")(words)
    model = keras.Model(words, L.Dense(2)(L.GRU(5, name="reader")(tokens)))
    randomize(model, 2)
    gated = fdi.prunable(model)
    assert {s.name: s.width for s in gated.channel_spaces.prunable} == {"embedding": 6, "reader": 5}
    open_random_gates(gated, 3)
    small = fdi.prune(gated)
    for length in (3, 8):
        x = np.random.default_rng(length).integers(0, 4, (5, length)).astype("int32")
        np.testing.assert_allclose(outputs(gated, x)[0], outputs(small, x)[0], atol=1e-5)


def test_what_a_recurrent_layer_cannot_do_exactly_is_kept_and_named():
    sequence = keras.Input((STEPS, FEATURES))
    x = L.Dense(5, name="before")(sequence)
    x = L.Bidirectional(L.GRU(4, return_sequences=True), name="both")(x)
    x = L.LSTM(6, activation="softmax", name="odd", return_sequences=True)(x)
    model = keras.Model(sequence, L.Dense(2)(L.GRU(5, name="last")(x)))
    spaces = fdi.prunable(model).channel_spaces
    assert [s.name for s in spaces.prunable] == ["last"]
    assert "Bidirectional" in spaces["before"].kept
    assert "several channels at once" in spaces["odd"].kept


@pytest.mark.parametrize("jit", JITS)
def test_training_closes_units_and_meets_a_target(jit):
    profile = profile_of({k: model_of(k, leaf(1e-3, flops=1e-6)) for k in KINDS})
    sequence = keras.Input((STEPS, FEATURES))
    x = L.LSTM(16, return_sequences=True, name="first", dropout=0.1, use_cudnn=False)(sequence)
    x = L.GRU(16, name="second", use_cudnn=False)(x)
    model = fdi.prunable(keras.Model(sequence, L.Dense(2, activation="softmax")(x)))
    start = fdi.predict_latency(model, profile).total_ms
    model.compile(
        keras.optimizers.Adam(1e-2),
        loss="sparse_categorical_crossentropy",
        regularizer=fdi.LatencyRegularizer(profile, target_ms=0.5 * start),
        jit_compile=jit,
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, STEPS, FEATURES)).astype("float32")
    model.fit(x, (x[:, -1, 0] > 0).astype(int), epochs=30, batch_size=16, verbose=0)
    small = fdi.prune(model)
    assert fdi.predict_latency(small, profile).total_ms <= 0.55 * start
    np.testing.assert_allclose(outputs(model, x)[0], outputs(small, x)[0], atol=1e-5)
