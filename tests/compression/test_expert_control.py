"""What experts decide: layers that stay, bounds, importances, one-shot pruning, networks built again."""

import json

import keras
import numpy as np
import pytest
from random_networks import randomize
from synthetic_devices import leaf, model_of, profile_of
from tensors import to_numpy

import fdi_keras as fdi
from fdi_keras.compression.importance import CRITERIA
from fdi_keras.errors import TargetError, UsageError
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.operators import KINDS

L = keras.layers


@pytest.fixture(scope="module")
def profile():
    return profile_of({k: model_of(k, leaf(1e-3, flops=1e-6, memory_out=1e-7)) for k in KINDS})


def network():
    image = keras.Input((8, 8, 3))
    x = L.Conv2D(12, 3, padding="same", name="stem")(image)
    x = L.ReLU()(L.BatchNormalization(name="norm")(x))
    for i in range(2):
        y = L.Conv2D(20, 3, padding="same", activation="relu", name=f"block{i}_a")(x)
        x = L.Add()([x, L.Conv2D(12, 1, name=f"block{i}_b")(y)])
    model = keras.Model(image, L.Dense(4, name="head")(L.GlobalAveragePooling2D()(x)))
    randomize(model, 3)
    return model


def widths(model):
    return {s.name: s.width for s in find_channel_spaces(read_graph(model)) if s.kept is None}


def target(profile, share=0.5):
    return share * fdi.predict_latency(network(), profile).total_ms


IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize("importance", CRITERIA)
def test_a_trained_network_is_pruned_in_one_shot(profile, importance):
    model = network()
    small = fdi.prune(model, profile, target_ms=target(profile), importance=importance)
    assert fdi.predict_latency(small, profile).total_ms <= target(profile) * (1 + 1e-6)
    assert small.count_params() < model.count_params()
    assert widths(model) == {"stem": 12, "block0_a": 20, "block1_a": 20}  # the model itself is not changed
    again = fdi.apply_widths(model, json.loads(json.dumps(fdi.kept_channels(small))))
    np.testing.assert_array_equal(to_numpy(again(IMAGES)), to_numpy(small(IMAGES)))


def test_importances_decide_which_channels_stay(profile):
    model = network()
    kernel, bias = model.get_layer("block0_a").get_weights()
    kernel[..., 5], kernel[..., 7] = 100 * kernel[..., 5], 0
    model.get_layer("block0_a").set_weights([kernel, bias])
    gamma = model.get_layer("norm").get_weights()
    gamma[0][3] = 0.0
    model.get_layer("norm").set_weights(gamma)
    for importance in ("weights", "l1", "l2", "scale"):
        small = fdi.prune(model, profile, target_ms=target(profile), importance=importance)
        kept = fdi.kept_channels(small)
        assert 5 in kept["block0_a"]
        assert 7 not in kept["block0_a"]
        assert (3 in kept["stem"]) == (importance in ("l1", "l2"))
    mine = {name: np.arange(width) + 0.1 for name, width in widths(model).items()}
    for importance in (mine, lambda graph, spaces: mine):
        small = fdi.prune(model, profile, target_ms=target(profile), importance=importance)
        for name, channels in fdi.kept_channels(small).items():
            assert channels == list(range(len(mine[name]) - len(channels), len(mine[name])))
    first, second = (
        fdi.kept_channels(fdi.prune(model, profile, target(profile), importance="random", seed=seed))
        for seed in (1, 2)
    )
    assert first != second


def test_bounds_and_multiples_are_kept(profile):
    small = fdi.prune(
        network(),
        profile,
        target(profile),
        min_channels={"stem": 9, "block*": 3},
        multiple_of={"block*_a": 8},
    )
    found = widths(small)
    assert found["stem"] >= 9
    assert found["block0_a"] % 8 == found["block1_a"] % 8 == 0
    small = fdi.prune(network(), profile, target(profile, 0.7), multiple_of=4)
    assert all(width % 4 == 0 for width in widths(small).values())
    with pytest.raises(TargetError, match="the least widths that are allowed"):
        fdi.prune(network(), profile, target(profile, 0.2), min_channels=12)


def test_closed_channels_within_the_bounds_stay_and_change_nothing():
    gated = fdi.prunable(network())
    for gate in gated.gates.values():
        gate.set_logits(np.where(np.arange(gate.channels) < 3, 4.0, -6.0))
    small = fdi.prune(gated, multiple_of=4, min_channels={"stem": 6})
    assert widths(small) == {"stem": 8, "block0_a": 4, "block1_a": 4}
    np.testing.assert_allclose(to_numpy(small(IMAGES)), to_numpy(gated(IMAGES)), atol=1e-5)


def test_excluded_layers_stay_through_gates_saving_and_pruning(profile, tmp_path):
    gated = fdi.prunable(network(), exclude=["stem", "block1*a"])
    assert set(gated.gates) == {"block0_a"}
    assert "excluded by 'stem'" in str(gated.channel_spaces)
    gated.save(tmp_path / "gated.keras")
    gated = keras.models.load_model(tmp_path / "gated.keras")
    gated.compile("sgd", "mse", regularizer=fdi.LatencyRegularizer(profile, strength=0.1))
    assert "excluded" in gated.channel_spaces["stem"].kept
    gated.gates["block0_a"].set_logits(np.where(np.arange(20) < 9, 4.0, -6.0))
    assert widths(fdi.prune(gated)) == {"stem": 12, "block0_a": 9, "block1_a": 20}
    small = fdi.prune(gated, target_ms=0.6 * fdi.predict_latency(network(), profile).total_ms)
    assert widths(small)["stem"] == 12
    small = fdi.prune(network(), profile, target(profile, 0.7), exclude="block?_a")
    assert widths(small)["block0_a"] == widths(small)["block1_a"] == 20


def test_gates_that_are_no_numbers_are_named():
    gated = fdi.prunable(network())
    gated.gates["block0_a"].set_logits(np.full(20, np.nan))
    with pytest.raises(UsageError, match=r"gates of channel space 'block0_a' are no numbers.*diverged"):
        fdi.prune(gated)


def test_pruning_again_remembers_the_first_network(profile):
    model = network()
    once = fdi.prune(model, profile, target(profile, 0.7))
    twice = fdi.prune(once, profile, target(profile, 0.4))
    first, second = fdi.kept_channels(once), fdi.kept_channels(twice)
    assert all(set(second[name]) <= set(first[name]) for name in first)
    assert sum(map(len, second.values())) < sum(map(len, first.values()))
    np.testing.assert_array_equal(to_numpy(fdi.apply_widths(model, second)(IMAGES)), to_numpy(twice(IMAGES)))
    grown = fdi.grow(twice, profile, origin=once, exchange=True, report=None)
    np.testing.assert_array_equal(
        to_numpy(fdi.apply_widths(model, fdi.kept_channels(grown))(IMAGES)), to_numpy(grown(IMAGES))
    )


def test_widths_alone_keep_the_most_important():
    model = network()
    small = fdi.apply_widths(model, {"stem": 5, "block0_a": 7})
    assert widths(small) == {"stem": 5, "block0_a": 7, "block1_a": 20}


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: fdi.prune("net.keras"), r"takes a Keras model, received str"),
        (lambda p: fdi.prune(network(), p), r"needs target_ms="),
        (lambda p: fdi.prune(network(), target_ms=1.0), "needs a profile"),
        (lambda p: fdi.prune(network(), p, 1.0, importance="l3"), r"one of weights, l1, .*received 'l3'"),
        (lambda p: fdi.prune(network(), p, 1.0, importance={"stem": [1]}), "must be 12 finite numbers"),
        (lambda p: fdi.prune(network(), p, 1.0, importance={}), "received none"),
        (lambda p: fdi.prune(network(), p, 1.0, min_channels=0), "whole number, at least 1; received 0"),
        (lambda p: fdi.prune(network(), p, 1.0, multiple_of={"block9": 2}), "'block9' matches no layer.*block0"),
        (lambda p: fdi.prunable(network(), exclude="conv_*"), "exclude: 'conv_\\*' matches no layer"),
        (lambda p: fdi.apply_widths(network(), {"root": [1]}), "no channel space 'root'; it has .*stem"),
        (lambda p: fdi.apply_widths(network(), {"stem": [1, 12]}), "from 0 to 11"),
        (lambda p: fdi.apply_widths(network(), {"stem": [1, 1]}), "different numbers"),
        (lambda p: fdi.apply_widths(network(), {"stem": []}), "at least one"),
        (lambda p: fdi.apply_widths(network(), {"head": [1]}), "cannot be narrowed: channels of the network's"),
    ],
)  # fmt: skip
def test_wrong_arguments_are_named(profile, call, message):
    with pytest.raises(UsageError, match=message):
        call(profile)
