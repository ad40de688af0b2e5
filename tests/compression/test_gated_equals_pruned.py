"""A gated network, the network pruned from it, and the original agree."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from random_networks import CUTTABLE, IN_GROUPS, open_random_gates, random_network, randomize
from searching import examples
from tensors import to_numpy

import fdi_keras as fdi
from fdi_keras.errors import NothingToPruneError
from fdi_keras.networks import find_channel_spaces, read_graph

#: Of one channel that is left nobody can say that another one is spread over what were several.
GROWABLE = tuple(step for step in CUTTABLE if step != "spread")

NORMALIZATIONS = (keras.layers.LayerNormalization, keras.layers.RMSNormalization)


def outputs(model, x):
    return to_numpy(keras.tree.flatten(model(x, training=False)))


@pytest.mark.untraced
@examples(30, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 1000))
def test_pruning_a_random_network_is_exact(data, seed):
    network = random_network(data.draw, steps=(*CUTTABLE, *IN_GROUPS))
    x = np.random.default_rng(seed).normal(size=(3, *network.input_shape[1:])).astype("float32")
    try:
        gated = fdi.prunable(network)
    except NothingToPruneError:
        return
    before = outputs(network, x)
    # Statistics of the open channels are summed in another order than those of all.
    normalized = any(isinstance(layer, NORMALIZATIONS) for layer in gated.layers)
    for a, b in zip(before, outputs(gated, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 if normalized else 1e-6)

    open_random_gates(gated, seed)
    small = fdi.prune(gated)
    for a, b in zip(outputs(gated, x), outputs(small, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)

    kept = {
        s.name: int(np.count_nonzero(g.values()))
        for s in gated.channel_spaces
        for g in [gated.gates.get(s.name)]
        if g
    }
    if not any(getattr(layer, "groups", 1) > 1 for layer in network.layers):
        spaces = find_channel_spaces(read_graph(small))
        assert {s.name: s.width for s in spaces if s.name in kept} == kept
    assert all(type(layer).__module__.startswith("keras.") for layer in small.layers)
    assert small.count_params() <= network.count_params()


@examples(10, suppress_health_check=list(HealthCheck))
@given(data=st.data(), seed=st.integers(0, 1000))
def test_growing_back_to_the_origin_restores_its_output(data, seed):
    """With every channel regained and the kept gates fully open, nothing was lost."""
    from fdi_keras.compression.regain import Origin, rebuild_at
    from fdi_keras.networks import find_channel_spaces, read_graph

    network = random_network(data.draw, steps=GROWABLE)
    x = np.random.default_rng(seed).normal(size=(2, *network.input_shape[1:])).astype("float32")
    try:
        gated = fdi.prunable(network)
    except NothingToPruneError:
        return
    rng = np.random.default_rng(seed)
    for gate in gated.gates.values():
        gate.set_logits(np.where(rng.random(gate.channels) < 0.5, -6.0, 6.0))
    small = fdi.prune(gated)
    graph = read_graph(small)
    spaces = find_channel_spaces(graph)
    source = Origin.of(small, spaces, gated)
    grown, kept = rebuild_at(graph, spaces, source.widths, source, source.ranking)
    for a, b in zip(outputs(network, x), outputs(grown, x), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert all(len(kept[s.name]) == w for s, w in zip(spaces, source.widths, strict=True))


def lone_channels(make):
    """A network whose first layer is left with one channel of two, and that with all of them."""
    image = keras.Input((6, 6, 1))
    x = make(keras.layers.Conv2D(2, 3, name="first")(image))
    network = keras.Model(image, keras.layers.Dense(3)(x))
    randomize(network, 1)
    return network, fdi.apply_widths(network, {"first": [0]})


@pytest.mark.parametrize(
    "make",
    [
        keras.layers.Flatten(),
        keras.layers.DepthwiseConv2D(3, depth_multiplier=2),
        lambda x: keras.layers.Flatten()(keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(x)),
        lambda x: keras.layers.Concatenate()([x, x]),
        lambda x: keras.layers.Concatenate()([x, keras.layers.Add()([x, keras.layers.Conv2D(2, 1)(x)])]),
    ],
)
def test_a_channel_that_comes_back_to_a_single_one_finds_its_place(make):
    """Beside each pixel of a flattened image, or beside its copies: of a single channel both look alike."""
    from fdi_keras.compression.regain import Origin, rebuild_at

    network, small = lone_channels(make)
    graph = read_graph(small)
    spaces = find_channel_spaces(graph)
    source = Origin.of(small, spaces, network)
    grown, _ = rebuild_at(graph, spaces, source.widths, source, source.ranking)
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 1)).astype("float32")
    np.testing.assert_allclose(outputs(network, x)[0], outputs(grown, x)[0], atol=1e-6)


def test_a_space_never_closes_whole():
    network = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Conv2D(5, 3), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    gated = fdi.prunable(network)
    for gate in gated.gates.values():
        gate.set_logits(np.full(gate.channels, -6.0) + np.arange(gate.channels) * 0.01)
    small = fdi.prune(gated)
    assert next(layer for layer in small.layers if layer.weights).filters == 1
    x = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype("float32")
    np.testing.assert_allclose(to_numpy(gated(x)), to_numpy(small(x)), atol=1e-6)


def test_gates_close_in_training_without_leaking_into_inference():
    network = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(64, activation="relu"), keras.layers.Dense(1)]
    )
    gated = fdi.prunable(network)
    gate = gated.gates["dense"] if "dense" in gated.gates else next(iter(gated.gates.values()))
    gate.set_logits(np.zeros(64))
    x = np.ones((1, 4), "float32")
    drawn = np.array([to_numpy(gated(x, training=True))[0, 0] for _ in range(20)])
    still = np.array([to_numpy(gated(x, training=False))[0, 0] for _ in range(3)])
    assert drawn.std() > 0
    assert np.ptp(still) == pytest.approx(0, abs=1e-6)


def test_expected_width_is_the_mean_number_of_open_gates():
    gated = fdi.prunable(
        keras.Sequential(
            [keras.Input((4,)), keras.layers.Dense(200, activation="relu"), keras.layers.Dense(1)]
        )
    )
    gate = next(iter(gated.gates.values()))
    gate.set_logits(np.linspace(-4, 4, 200))
    drawn = [gated.all_gates(keras.ops.zeros(()), training=True)[0] for _ in range(200)]
    counted = [np.count_nonzero(to_numpy(mask)) for mask in drawn]
    expected, kept = to_numpy(gated.widths())[:, gated.channel_spaces.names.index(gate.space)]
    assert expected == pytest.approx(np.mean(counted), rel=0.03)
    assert kept == np.count_nonzero(gate.values())
