"""Attention cut exactly: by whole heads, and by the channels that it reads and makes."""

import keras
import numpy as np
import pytest
from random_networks import open_random_gates, randomize
from synthetic_devices import leaf, model_of, profile_of

import fdi_keras as fdi
from fdi_keras.compression.importance import CRITERIA, importance_by
from fdi_keras.compression.regain import Origin, own_ranking, rebuild_at
from fdi_keras.devices import open_device
from fdi_keras.networks import find_channel_spaces, read_graph, read_layer_operators
from fdi_keras.networks.latency_plan import LatencyPlan
from fdi_keras.operators import KINDS

L = keras.layers

STEPS, FEATURES = 6, 5


def outputs(model, x):
    return [np.asarray(y) for y in keras.tree.flatten(model(x, training=False))]


def assert_equal(model, other, x, atol=1e-5):
    for a, b in zip(outputs(model, x), outputs(other, x), strict=True):
        np.testing.assert_allclose(b, a, atol=atol)


def widths_of(spaces):
    return {space.name: space.width for space in spaces.prunable}


def sequences(*shapes, seed=0, count=3):
    rng = np.random.default_rng(seed)
    made = [rng.normal(size=(count, *shape)).astype("float32") for shape in shapes]
    return made if len(made) > 1 else made[0]


def encoder(blocks=2, **call_arguments):
    """Blocks of self-attention and feed-forward layers, each normalized before and added to what it reads."""
    inputs = keras.Input((STEPS, FEATURES))
    x = L.Dense(8, name="embed")(inputs)
    for n in range(blocks):
        y = L.LayerNormalization()(x)
        y = L.MultiHeadAttention(4, 3, value_dim=2 + n, dropout=0.1, name=f"attention{n}")(
            y, y, **call_arguments
        )
        x = L.Add()([x, L.Dropout(0.1)(y)])
        y = L.Dense(12, activation="gelu", name=f"wide{n}")(L.LayerNormalization()(x))
        x = L.Add()([x, L.Dense(8, name=f"narrow{n}")(y)])
    model = keras.Model(inputs, L.Dense(3, name="head")(L.GlobalAveragePooling1D()(x)))
    randomize(model, 3)
    return model


def crossing():
    """Attention of one sequence to another, with keys of their own."""
    first, second = keras.Input((STEPS, 4)), keras.Input((7, 3))
    query = L.Dense(9, name="query")(first)
    value, key = L.Dense(7, name="value")(second), L.Dense(5, name="key")(second)
    x = L.MultiHeadAttention(4, 3, output_shape=6, name="cross")(query, value, key=key)
    model = keras.Model([first, second], L.Dense(3)(x))
    randomize(model, 4)
    return model


def full_device():
    """Every kind has a price, in FLOPs, memory and parameters."""
    leaves = leaf(1e-5, flops=1e-7, memory_out=1e-8, parameters=1e-8)
    return profile_of({kind: model_of(kind, leaves) for kind in KINDS})


def saved(model, path):
    model.save(path)
    return keras.models.load_model(path)


def test_an_encoder_is_pruned_exactly_and_exported(tmp_path):
    model, x = encoder(), sequences((STEPS, FEATURES))
    gated = fdi.prunable(model)
    assert widths_of(gated.channel_spaces) == {
        **{"embed": 8, "attention0:heads": 4, "wide0": 12},
        **{"attention1:heads": 4, "wide1": 12},
    }
    assert_equal(model, gated, x)
    open_random_gates(gated, 1)
    small = fdi.prune(gated)
    assert_equal(gated, small, x)
    kept = {name: int(np.count_nonzero(gate.values())) for name, gate in gated.gates.items()}
    assert {s.name: s.width for s in find_channel_spaces(read_graph(small)) if s.name in kept} == kept
    assert all(type(layer).__module__.startswith("keras.") for layer in small.layers)
    assert small.get_layer("attention0").num_heads == kept["attention0:heads"] < 4
    assert small.get_layer("attention0").key_dim == 3
    assert_equal(small, saved(small, tmp_path / "small.keras"), x)
    loaded = saved(gated, tmp_path / "gated.keras")
    assert_equal(gated, loaded, x)
    assert_equal(small, fdi.prune(loaded), x)
    with open_device().open() as runner:
        exported = runner.run(fdi.export_litert(small), [x[:1]])[0]
    np.testing.assert_allclose(exported, outputs(small, x[:1])[0], atol=1e-4)


@pytest.mark.parametrize("causal", [False, True])
def test_the_plain_network_inside_computes_the_same(causal):
    """The gates' values go into the kernels that read the channels, and the output's that reads heads."""
    inputs = keras.Input((STEPS, FEATURES))
    x = L.Dense(8, name="embed")(inputs)
    x = L.MultiHeadAttention(4, 3, name="attention")(x, x, use_causal_mask=causal)
    model = keras.Model(inputs, L.Dense(3)(x))
    randomize(model, 3)
    gated, x = fdi.prunable(model), sequences((STEPS, FEATURES))
    open_random_gates(gated, 1)
    plain = gated.without_gates()
    assert plain.get_layer("attention").num_heads == 4
    assert_equal(gated, plain, x)
    assert_equal(gated, fdi.prune(gated), x)


def test_query_value_and_key_have_channels_of_their_own():
    model, x = crossing(), sequences((STEPS, 4), (7, 3))
    gated = fdi.prunable(model)
    expected = {"query": 9, "value": 7, "key": 5, "cross": 6, "cross:heads": 4}
    assert widths_of(gated.channel_spaces) == expected
    open_random_gates(gated, 2)
    small = fdi.prune(gated)
    assert_equal(gated, small, x)
    named = fdi.apply_widths(model, {"query": 2, "key": 1, "cross": 3, "cross:heads": 1})
    assert named.get_layer("cross").get_config()["output_shape"] == (3,)
    assert np.isfinite(outputs(named, x)[0]).all()


def test_outputs_keep_their_width_when_the_query_is_cut():
    """Without output_shape= attention makes as many channels as its query has: then it has to be said."""
    first, second = keras.Input((STEPS, 4)), keras.Input((7, 3))
    x = L.MultiHeadAttention(2, 3, name="cross")(L.Dense(9, name="query")(first), second)
    model = keras.Model([first, second], x)
    randomize(model, 4)
    small = fdi.apply_widths(model, {"query": 4})
    assert small.output_shape == (None, STEPS, 9)
    assert small.get_layer("cross").query_dense.kernel.shape[0] == 4


@pytest.mark.parametrize(
    ("shape", "arguments"),
    [
        ((STEPS, 4), {"use_gate": True}),
        ((STEPS, 4), {"use_bias": False}),
        ((STEPS, 4), {"sliding_window": 2}),
        ((2, STEPS, 4), {}),
        ((2, STEPS, 4), {"attention_axes": (2,)}),
        ((2, STEPS, 4), {"output_shape": (2, 5)}),
    ],
    ids=str,
)
def test_other_forms_of_attention(shape, arguments):
    inputs = keras.Input(shape)
    x = L.Dense(6, name="embed")(inputs)
    x = L.MultiHeadAttention(3, 2, name="attention", **arguments)(x, x)
    model = keras.Model(inputs, L.Dense(2)(x))
    randomize(model, 5)
    x, gated = sequences(shape), fdi.prunable(model)
    own = {"attention": 5} if "output_shape" in arguments else {"attention": 6}
    assert widths_of(gated.channel_spaces) == {"embed": 6, "attention:heads": 3, **own}
    assert_equal(model, gated, x)
    open_random_gates(gated, 4)
    assert_equal(gated, fdi.prune(gated), x)


def test_masks_of_words_and_of_the_user():
    words, pairs = keras.Input((STEPS,), dtype="int32"), keras.Input((STEPS, STEPS), dtype="bool")
    x = L.Embedding(12, 8, mask_zero=True, name="embedding")(words)
    x = L.Add()([x, L.MultiHeadAttention(4, 3, name="words")(query=x, value=x)])
    x = L.Add()([x, L.MultiHeadAttention(4, 3, name="pairs")(x, x, attention_mask=pairs)])
    model = keras.Model([words, pairs], L.Dense(3)(L.GRU(5, name="reader")(x)))
    randomize(model, 6)
    rng = np.random.default_rng(0)
    x = [rng.integers(0, 4, (4, STEPS)).astype("int32"), rng.random((4, STEPS, STEPS)) < 0.7]
    unmasked = [x[0], np.ones_like(x[1])]
    assert np.abs(outputs(model, x)[0] - outputs(model, unmasked)[0]).max() > 1e-3
    gated = fdi.prunable(model)
    expected = {"embedding": 8, "words:heads": 4, "pairs:heads": 4, "reader": 5}
    assert widths_of(gated.channel_spaces) == expected
    assert_equal(model, gated, x)
    open_random_gates(gated, 7)
    assert_equal(gated, fdi.prune(gated), x)


def test_scores_that_are_returned_keep_the_heads():
    inputs = keras.Input((STEPS, FEATURES))
    x = L.Dense(8, name="embed")(inputs)
    mixed, scores = L.MultiHeadAttention(4, 3, name="attention")(x, x, return_attention_scores=True)
    model = keras.Model(inputs, [L.Dense(2)(mixed), scores])
    randomize(model, 7)
    gated, x = fdi.prunable(model), sequences((STEPS, FEATURES))
    assert widths_of(gated.channel_spaces) == {"embed": 8, "attention": 8}
    assert "returns the scores" in gated.channel_spaces["attention:heads"].kept
    open_random_gates(gated, 1)
    assert_equal(gated, fdi.prune(gated), x)


def test_attention_that_is_shared_is_cut_once():
    first, second = keras.Input((STEPS, 4)), keras.Input((7, 4))
    before, attention = L.Dense(6, name="before"), L.MultiHeadAttention(3, 2, name="attention")
    a, b = before(first), before(second)
    crossed = [attention(a, b), attention(b, b)]
    pooled = [L.GlobalAveragePooling1D()(x) for x in crossed]
    model = keras.Model([first, second], L.Dense(2)(L.Concatenate()(pooled)))
    randomize(model, 8)
    gated, x = fdi.prunable(model), sequences((STEPS, 4), (7, 4))
    assert widths_of(gated.channel_spaces) == {"before": 6, "attention": 6, "attention:heads": 3}
    open_random_gates(gated, 5)
    assert_equal(gated, fdi.prune(gated), x)


def test_attention_that_is_shared_in_different_ways_is_kept_whole():
    inputs = keras.Input((STEPS, 4))
    x = L.Dense(6, name="before")(inputs)
    attention = L.MultiHeadAttention(3, 2, name="attention")
    y = attention(x, x)
    z, _ = attention(x, x, return_attention_scores=True)
    model = keras.Model(inputs, L.Dense(2)(L.Dense(5, name="after")(L.Add()([y, z]))))
    spaces = fdi.prunable(model).channel_spaces
    assert widths_of(spaces) == {"after": 5}
    for name in ("before", "attention", "attention:heads"):
        assert "called in different ways" in spaces[name].kept


def test_other_attention_is_kept_and_named():
    inputs = keras.Input((STEPS, 4))
    x = L.Dense(6, name="before")(inputs)
    x = L.GroupQueryAttention(2, 4, 2, name="grouped")(x, x)
    model = keras.Model(inputs, L.Dense(2)(L.Dense(5, name="after")(x)))
    spaces = fdi.prunable(model).channel_spaces
    assert widths_of(spaces) == {"after": 5}
    assert "GroupedQueryAttention" in spaces["before"].kept


# Control


def test_heads_are_excluded_bounded_and_named_like_other_channels():
    model = encoder()
    excluded = fdi.prunable(model, exclude="attention0").channel_spaces
    assert "excluded" in excluded["attention0:heads"].kept
    assert excluded["attention1:heads"].kept is None
    profile = full_device()
    target = 0.8 * fdi.predict_latency(model, profile).total_ms
    small = fdi.prune(
        model,
        profile,
        target_ms=target,
        min_channels={"*:heads": 3},
        multiple_of={"attention1:heads": 2, "wide*": 4},
    )
    found = widths_of(find_channel_spaces(read_graph(small)))
    assert found["attention0:heads"] >= 3
    assert found["attention1:heads"] == 4
    assert found["wide0"] % 4 == found["wide1"] % 4 == 0
    again = fdi.apply_widths(model, fdi.kept_channels(small))
    assert_equal(small, again, sequences((STEPS, FEATURES)))


@pytest.mark.parametrize("criterion", CRITERIA)
def test_every_criterion_says_something_of_heads(criterion):
    model = encoder(blocks=1)
    attention = model.get_layer("attention0")
    weights = attention.get_weights()
    for i in (0, 2, 4):  # query, key, value: kernels (in, heads, size)
        weights[i][:, 2] *= 1e-3
    attention.set_weights(weights)
    graph = read_graph(model)
    found = importance_by(criterion, graph, find_channel_spaces(graph))["attention0:heads"]
    assert found.shape == (4,)
    assert found.sum() == pytest.approx(1)
    assert (found > 0).all()
    if criterion != "random":
        assert found.argmin() == 2


# Growth


def test_heads_that_come_back_bring_their_weights():
    model, x = encoder(), sequences((STEPS, FEATURES))
    gated = fdi.prunable(model)
    for gate in gated.gates.values():
        gate.set_logits(np.where(np.arange(gate.channels) % 2, -6.0, 6.0))
    small = fdi.prune(gated)
    graph = read_graph(small)
    spaces = find_channel_spaces(graph)
    source = Origin.of(small, spaces, gated)
    grown, _ = rebuild_at(graph, spaces, source.widths, source, source.ranking)
    assert grown.get_layer("attention0").num_heads == 4
    assert_equal(model, grown, x)


def test_new_heads_start_small():
    model, x = encoder(), sequences((STEPS, FEATURES))
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    wider = np.array([s.width + (2 if s.name == "attention0:heads" else 0) for s in spaces])
    grown, kept = rebuild_at(graph, spaces, wider, None, own_ranking(graph, spaces, wider))
    assert grown.get_layer("attention0").num_heads == 6
    assert kept["attention0:heads"].tolist() == [0, 1, 2, 3, 4, 5]
    assert_equal(model, grown, x, atol=0.05)


def test_growth_is_never_slower():
    profile = full_device()
    model = encoder()
    small = fdi.apply_widths(model, {"attention0:heads": 2, "wide0": 5})
    grown = fdi.grow(small, profile, origin=model, exchange=True, report=None)
    before, after = (fdi.predict_latency(m, profile).total_ms for m in (small, grown))
    assert after <= before * (1 + 1e-6)


@pytest.mark.parametrize("with_origin", [False, True])
def test_a_single_head_stays_alone(with_origin):
    """More heads need transpositions, which a network with one head does not have: its prices do not know them."""
    model = encoder()
    small = fdi.apply_widths(model, {"attention0:heads": 1, "attention1:heads": 2})
    spaces = find_channel_spaces(read_graph(small))
    assert "single head" in spaces["attention0:heads"].kept
    free = profile_of({kind: model_of(kind, leaf(1e-3)) for kind in KINDS})
    grown = fdi.grow(small, free, origin=model if with_origin else None, report=None)
    assert grown.get_layer("attention0").num_heads == 1
    assert grown.get_layer("attention1").num_heads > 2
    before, after = (fdi.predict_latency(m, free).total_ms for m in (small, grown))
    assert after == pytest.approx(before)


def test_a_single_head_is_never_slower_than_it_was_predicted_to_be():
    model, profile = encoder(), full_device()
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    plan = LatencyPlan(read_layer_operators(graph), spaces, profile)
    widths = np.array([1.0 if s.name.endswith(":heads") else s.width for s in spaces])
    small = fdi.apply_widths(model, {"attention0:heads": 1, "attention1:heads": 1})
    assert fdi.predict_latency(small, profile).total_ms <= float(plan.predict_ms(widths))


# Time


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("heads", [2, 3])
def test_the_plan_prices_heads_as_the_pruned_network_is_priced(causal, heads):
    inputs = keras.Input((STEPS, FEATURES))
    x = L.Dense(8, name="embed")(inputs)
    y = L.MultiHeadAttention(4, 3, value_dim=5, name="attention")(x, x, use_causal_mask=causal)
    model = keras.Model(inputs, L.Dense(2)(L.Add()([x, y])))
    assert_priced(model, {"embed": 5, "attention:heads": heads})


def test_the_plan_prices_every_input_of_attention():
    assert_priced(crossing(), {"query": 5, "value": 4, "key": 3, "cross": 2, "cross:heads": 2})


def assert_priced(model, kept):
    profile = full_device()
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    plan = LatencyPlan(read_layer_operators(graph), spaces, profile)
    assert plan.uncovered == []
    small = fdi.apply_widths(model, kept)
    for network, widths in ((model, {}), (small, kept)):
        at = np.array([widths.get(s.name, s.width) for s in spaces], float)
        total_ms = fdi.predict_latency(network, profile).total_ms
        assert float(plan.predict_ms(at)) == pytest.approx(total_ms)
        assert float(plan.expected_ms(at.astype("float32"))) == pytest.approx(total_ms, rel=1e-5)


def test_training_closes_heads_and_meets_a_target():
    keras.utils.set_random_seed(0)
    profile = profile_of({kind: model_of(kind, leaf(1e-6, flops=1e-6)) for kind in KINDS})
    model = fdi.prunable(encoder(blocks=1))
    start = fdi.predict_latency(model, profile).total_ms
    model.compile(
        keras.optimizers.Adam(1e-2),
        loss="mse",
        regularizer=fdi.LatencyRegularizer(profile, target_ms=0.6 * start),
    )
    x = sequences((STEPS, FEATURES), count=64)
    model.fit(x, np.zeros((64, 3), "float32"), epochs=30, batch_size=16, verbose=0)
    small = fdi.prune(model)
    assert fdi.predict_latency(small, profile).total_ms <= 0.65 * start
    assert_equal(model, small, x)
