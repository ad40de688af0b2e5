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
from fdi_keras.devices import open_device
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.operators import KINDS

L = keras.layers

STEPS, FEATURES = 6, 4


def both_ways(merge, layer, back=None):
    """A layer in both directions, its outputs in one tensor."""

    def make(units, **arguments):
        backwards = None if back is None else back(units, go_backwards=True, **arguments)
        both = L.Bidirectional(layer(units, **arguments), merge_mode=merge, backward_layer=backwards)
        return lambda x: L.Maximum()(list(both(x))) if merge is None else both(x)

    return make


LAYERS = (
    lambda n, **k: L.LSTM(n, **k),
    lambda n, **k: L.LSTM(n, unroll=True, use_bias=False, **k),
    lambda n, **k: L.LSTM(n, activation="relu", unit_forget_bias=False, **k),
    lambda n, **k: L.GRU(n, **k),
    lambda n, **k: L.GRU(n, reset_after=False, **k),
    lambda n, **k: L.GRU(n, go_backwards=True, use_bias=False, **k),
    lambda n, **k: L.SimpleRNN(n, **k),
    both_ways("concat", L.LSTM),
    both_ways("concat", L.GRU, lambda n, **k: L.GRU(n, reset_after=False, use_bias=False, **k)),
    both_ways("sum", L.GRU),
    both_ways("mul", lambda n, **k: L.GRU(n, reset_after=False, **k)),
    both_ways("ave", L.SimpleRNN),
    both_ways(None, L.LSTM, lambda n, **k: L.SimpleRNN(n, activation="relu", **k)),
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


@pytest.mark.untraced
@examples(18, suppress_health_check=list(HealthCheck))
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


@pytest.mark.parametrize("merge", ["concat", None])
def test_states_of_both_directions_and_masks(tmp_path, merge):
    source, target = keras.Input((5,), dtype="int32"), keras.Input((4, FEATURES))
    tokens = L.Embedding(20, 6, mask_zero=True, name="embedding")(source)
    encoder = L.Bidirectional(
        L.LSTM(7, return_state=True, return_sequences=True), merge_mode=merge, name="encoder"
    )
    *read, h, c, back_h, back_c = encoder(tokens)
    decoder = L.Bidirectional(L.LSTM(7, return_sequences=True), merge_mode="sum", name="decoder")
    decoded = decoder(target, initial_state=[h, c, back_h, back_c])
    summary = L.GRU(4, name="summary")(read[-1])
    model = keras.Model([source, target], [L.Dense(3)(decoded), L.Dense(2)(summary)])
    randomize(model, 5)
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 3, (4, 5)).astype("int32"), rng.normal(size=(4, 4, FEATURES)).astype("float32")]
    gated = fdi.prunable(model)
    spaces = gated.channel_spaces
    assert set(spaces["encoder"].producers) == {"encoder", "decoder"}
    assert {s.name: s.width for s in spaces.prunable} == {"embedding": 6, "encoder": 7, "summary": 4}
    for expected, opened in zip(outputs(model, x), outputs(gated, x), strict=True):
        np.testing.assert_allclose(opened, expected, atol=1e-5)
    open_random_gates(gated, 1)
    small = fdi.prune(gated)
    gated.save(tmp_path / "gated.keras")
    loaded = keras.models.load_model(tmp_path / "gated.keras")
    small.save(tmp_path / "small.keras")
    saved = keras.models.load_model(tmp_path / "small.keras")
    for expected, *others in zip(*(outputs(m, x) for m in (gated, small, loaded, saved)), strict=True):
        for other in others:
            np.testing.assert_allclose(other, expected, atol=1e-5)


def test_a_unit_that_comes_back_to_a_single_one_goes_to_both_directions():
    inputs = keras.Input((STEPS, FEATURES))
    both = L.Bidirectional(L.GRU(3), name="both")(inputs)
    model = keras.Model(inputs, L.Dense(2)(both))
    randomize(model, 4)
    small = fdi.apply_widths(model, {"both": [1]})
    assert small.get_layer("both").forward_layer.units == small.get_layer("both").backward_layer.units == 1
    graph = read_graph(small)
    spaces = find_channel_spaces(graph)
    source = Origin.of(small, spaces, model)
    grown, _ = rebuild_at(graph, spaces, source.widths, source, source.ranking)
    x = np.random.default_rng(0).normal(size=(2, STEPS, FEATURES)).astype("float32")
    np.testing.assert_allclose(outputs(model, x)[0], outputs(grown, x)[0], atol=1e-6)


@pytest.mark.parametrize("unroll", [False, True])
def test_both_directions_are_exported(unroll):
    inputs = keras.Input((STEPS, FEATURES))
    x = L.Bidirectional(L.LSTM(4, return_sequences=True), name="first")(inputs)
    model = keras.Model(inputs, L.Dense(2)(L.Bidirectional(L.GRU(5), merge_mode="sum", name="second")(x)))
    randomize(model, 4)
    small = fdi.apply_widths(model, {"first": 2, "second": 3})
    x = np.random.default_rng(0).normal(size=(1, STEPS, FEATURES)).astype("float32")
    with open_device().open() as runner:
        exported = runner.run(fdi.export_litert(small, unroll=unroll), [x])[0]
    np.testing.assert_allclose(exported, outputs(small, x)[0], atol=1e-4)


def test_a_layer_in_both_directions_that_is_shared_is_cut_once():
    first, second = keras.Input((STEPS, FEATURES)), keras.Input((STEPS, FEATURES))
    before, both = L.Dense(5, name="before"), L.Bidirectional(L.GRU(4), name="both")
    joined = L.Concatenate()([both(before(first)), both(before(second))])
    model = keras.Model([first, second], L.Dense(2)(joined))
    randomize(model, 4)
    x = list(np.random.default_rng(0).normal(size=(2, 3, STEPS, FEATURES)).astype("float32"))
    gated = fdi.prunable(model)
    assert {s.name: s.width for s in gated.channel_spaces.prunable} == {"before": 5, "both": 4}
    open_random_gates(gated, 3)
    np.testing.assert_allclose(outputs(gated, x)[0], outputs(fdi.prune(gated), x)[0], atol=1e-5)


CONVOLVING = {
    1: (L.Conv1D, L.ConvLSTM1D),
    2: (L.Conv2D, L.ConvLSTM2D),
    3: (L.Conv3D, L.ConvLSTM3D),
}


@pytest.mark.parametrize("rank", CONVOLVING)
def test_recurrent_layers_that_convolve(tmp_path, rank):
    convolution, recurrent = CONVOLVING[rank]
    frames = keras.Input((3, *[4] * rank, 2))
    x = L.TimeDistributed(convolution(5, 1), name="unfollowed")(frames)
    x = recurrent(4, 3, padding="same", return_sequences=True, name="first")(x)
    both = L.Bidirectional(recurrent(3, 3, strides=2, return_sequences=True), merge_mode="sum", name="both")(
        x
    )
    _, state, carry = recurrent(5, 2, padding="same", return_state=True, use_bias=False, name="last")(both)
    model = keras.Model(frames, convolution(2, 1)(L.Concatenate()([state, carry])))
    randomize(model, 4)
    x = np.random.default_rng(0).normal(size=(2, *frames.shape[1:])).astype("float32")
    gated = fdi.prunable(model)
    assert {s.name: s.width for s in gated.channel_spaces.prunable} == {"first": 4, "both": 3, "last": 5}
    np.testing.assert_allclose(outputs(model, x)[0], outputs(gated, x)[0], atol=1e-5)
    open_random_gates(gated, 2)
    small = fdi.prune(gated)
    gated.save(tmp_path / "gated.keras")
    loaded = keras.models.load_model(tmp_path / "gated.keras")
    for other in (small, loaded):
        np.testing.assert_allclose(outputs(gated, x)[0], outputs(other, x)[0], atol=1e-5)


def test_what_a_recurrent_layer_cannot_do_exactly_is_kept_and_named():
    sequence = keras.Input((STEPS, FEATURES))
    x = L.Dense(5, name="before")(sequence)
    x = L.Bidirectional(L.RNN(L.GRUCell(4), return_sequences=True), name="cells")(x)
    x = L.LSTM(6, activation="softmax", name="odd", return_sequences=True)(x)
    back = L.LSTM(6, activation="softmax", go_backwards=True, return_sequences=True)
    x = L.Bidirectional(L.LSTM(6, return_sequences=True), backward_layer=back, name="half")(x)
    uneven = L.Bidirectional(
        L.GRU(3, return_sequences=True),
        backward_layer=L.GRU(4, return_sequences=True, go_backwards=True),
        merge_mode=None,
        name="uneven",
    )
    model = keras.Model(sequence, L.Dense(2)(L.GRU(5, name="last")(uneven(x)[0])))
    spaces = fdi.prunable(model).channel_spaces
    assert [s.name for s in spaces.prunable] == ["last"]
    assert "wraps RNN" in spaces["before"].kept
    assert "several channels at once" in spaces["odd"].kept
    assert "several channels at once" in spaces["half"].kept
    assert "different numbers of units" in spaces["uneven"].kept


@pytest.mark.parametrize("jit", JITS)
def test_training_closes_units_and_meets_a_target(jit):
    profile = profile_of({k: model_of(k, leaf(1e-3, flops=1e-6)) for k in KINDS})
    sequence = keras.Input((STEPS, FEATURES))
    x = L.LSTM(16, return_sequences=True, name="first", dropout=0.1, use_cudnn=False)(sequence)
    x = L.Bidirectional(L.GRU(8, use_cudnn=False), name="second")(x)
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
