"""Whole branches of additions that go: what is left computes what it did with their output multiplied by 0."""

import json

import keras
import numpy as np
import pytest
from random_networks import randomize
from synthetic_devices import leaf, model_of, profile_of

import fdi_keras as fdi
from fdi_keras.errors import TargetError, UsageError
from fdi_keras.journal import Journal, read_journal
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.networks.branches import find_branches
from fdi_keras.networks.history import history_of
from fdi_keras.operators import KINDS

L = keras.layers
IMAGES = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")


@pytest.fixture(scope="module")
def profile():
    return profile_of({k: model_of(k, leaf(1e-3, flops=1e-6, memory_out=1e-7)) for k in KINDS})


def conv(width, name, x, **options):
    return L.Conv2D(width, 3, padding="same", name=name, **options)(x)


def bottleneck(x, name, width=10):
    y = L.ReLU()(L.BatchNormalization(name=f"{name}_n")(conv(width, f"{name}_a", x)))
    return L.BatchNormalization(name=f"{name}_m")(conv(x.shape[-1], f"{name}_b", y))


def shortcut(x, zero):
    return L.Add(name="sum")([x, zero(bottleneck(x, "f"))])


def the_other_way_round(x, zero):
    return L.Add(name="sum")([zero(bottleneck(x, "f")), x])


def an_operator(x, zero):
    return zero(bottleneck(x, "f")) + x


def three(x, zero):
    return L.Add(name="sum")([bottleneck(x, "g", 7), zero(bottleneck(x, "f")), x])


def projected(x, zero):
    return L.Add(name="sum")([L.Conv2D(9, 1, name="p")(x), zero(conv(9, "f_b", conv(10, "f_a", x)))])


def projected_after(x, zero):
    return L.Add(name="sum")([zero(conv(9, "f_b", conv(10, "f_a", x))), L.Conv2D(9, 1, name="p")(x)])


def preactivated(x, zero):
    y = conv(10, "f_a", L.ReLU()(L.BatchNormalization(name="f_0")(x)), use_bias=False)
    return L.Add(name="sum")(
        [x, zero(conv(x.shape[-1], "f_b", L.ReLU()(L.BatchNormalization(name="f_1")(y))))]
    )


def around_another(x, zero):
    y = conv(10, "f_a", x, activation="relu")
    y = L.Add(name="inner")([y, conv(10, "i_b", conv(5, "i_a", y))])
    return L.Add(name="sum")([x, zero(conv(x.shape[-1], "f_b", y))])


def within_another(x, zero):
    y = conv(12, "o_a", x, activation="relu")
    y = L.Add(name="inner")([y, zero(bottleneck(y, "f"))])
    return L.Add(name="sum")([x, conv(x.shape[-1], "o_b", y)])


def concatenated(x, zero):
    y = L.Concatenate()([x, conv(10, "f_a", x)])
    return L.Add(name="sum")([x, zero(conv(x.shape[-1], "f_b", y))])


WIRINGS = [shortcut, the_other_way_round, an_operator, three, projected, projected_after, preactivated,
           around_another, within_another]  # fmt: skip


def network(wiring, factor=1.0):
    """The wiring between a stem and a head, the output of its branch f multiplied by a factor."""
    keras.backend.clear_session()
    image = keras.Input((8, 8, 3))
    x = L.ReLU()(conv(8, "stem", image))
    x = wiring(x, lambda y: y if factor == 1 else y * factor)
    x = L.ReLU()(conv(6, "last", x))
    model = keras.Model(image, L.Dense(4, name="head")(L.GlobalAveragePooling2D()(x)))
    randomize(model, 3)
    return model


def close(gated, names, left=0):
    """All gates of some spaces but for ``left``, and every third of the others."""
    for name, gate in gated.gates.items():
        number = np.arange(gate.channels)
        gate.set_logits(np.where(number < left if name in names else number % 3 > 0, 2.0, -6.0))


@pytest.mark.parametrize("left", [0, 1])
@pytest.mark.parametrize("wiring", WIRINGS)
def test_a_branch_that_closed_goes(profile, wiring, left):
    gated = fdi.prunable(network(wiring))
    zeroed = fdi.prunable(network(wiring, 0.0))
    for layer in gated.layers:
        zeroed.get_layer(layer.name).set_weights(layer.get_weights())
    close(gated, ["f_a"], left)
    close(zeroed, ["f_a"], left)
    kept, small = fdi.prune(gated), fdi.prune(gated, remove_branches=True)
    names = {layer.name for layer in small.layers}
    assert not names & {"f_a", "f_b", "f_n", "f_m", "i_a", "i_b"}
    assert ("sum" in names) == (wiring in (three, within_another))
    np.testing.assert_allclose(np.asarray(small(IMAGES)), np.asarray(zeroed(IMAGES)), atol=1e-5)
    assert not np.allclose(np.asarray(kept(IMAGES)), np.asarray(zeroed(IMAGES)), atol=1e-4)
    before, after = (fdi.predict_latency(model, profile).total_ms for model in (kept, small))
    assert after < before - 2e-3 * (1 - 1e-9)  # two operators and their sum
    widths = json.loads(json.dumps(fdi.kept_channels(small)))
    assert widths["f_a"] == []
    again = fdi.apply_widths(network(wiring), widths)
    assert [layer.name for layer in again.layers if layer.weights] == [
        layer.name for layer in small.layers if layer.weights
    ]
    assert [w.shape for w in again.get_weights()] == [w.shape for w in small.get_weights()]


def test_open_branches_and_ways_past_a_closed_space_stay():
    for wiring, closed in ((shortcut, []), (concatenated, ["f_a"])):
        gated = fdi.prunable(network(wiring))
        close(gated, closed)
        small = fdi.prune(gated, remove_branches=True)
        assert "f_b" in {layer.name for layer in small.layers}
        np.testing.assert_allclose(np.asarray(small(IMAGES)), np.asarray(gated(IMAGES)), atol=1e-5)


def test_what_the_sum_or_an_input_needs_is_no_branch():
    def spread(x, _):
        return L.Add(name="sum")([bottleneck(x, "f"), L.GlobalAveragePooling2D(keepdims=True)(x)])

    other = keras.Input((8, 8, 3))
    image = keras.Input((8, 8, 3))
    joined = keras.Model([image, other], L.Add()([conv(4, "a", image), conv(4, "c", conv(5, "b", other))]))
    for model in (network(spread), joined):
        graph = read_graph(model)
        assert find_branches(graph, find_channel_spaces(graph)) == []


def test_bounds_and_excluded_layers_keep_a_branch():
    for options in ({"min_channels": {"f_a": 2}}, {"exclude": "f_a"}):
        gated = fdi.prunable(network(shortcut))
        close(gated, ["f_a"])
        small = fdi.prune(gated, remove_branches=True, **options)
        assert "f_a" in {layer.name for layer in small.layers}


@pytest.mark.parametrize("gated", [False, True])
def test_under_a_target_a_branch_goes_where_its_time_keeps_more(profile, gated, tmp_path):
    model = network(three)
    model = fdi.prunable(model) if gated else model
    full = fdi.predict_latency(network(three), profile).total_ms
    history_of(model).journal = str(tmp_path / "session.jsonl")
    with Journal(tmp_path / "session.jsonl") as journal:
        journal.start("session")
    for share, number in ((0.5, 0), (0.05, 1), (0.03, 2)):
        small = fdi.prune(model, profile, share * full, remove_branches=True)
        assert fdi.predict_latency(small, profile).total_ms <= share * full * (1 + 1e-6)
        gone = {"f_a", "g_a"} - {layer.name for layer in small.layers}
        assert len(gone) == number
    event = list(read_journal(tmp_path / "session.jsonl"))[-1]
    assert event["branches"] == ["sum", "sum"]
    assert (event["widths"]["f_a"], event["widths"]["g_a"]) == (0, 0)
    assert event["predicted_before_ms"] == pytest.approx(full)
    assert event["predicted_ms"] == pytest.approx(fdi.predict_latency(small, profile).total_ms)
    grown = fdi.grow(small, profile, origin=model, report=None)
    assert fdi.predict_latency(grown, profile).total_ms <= 0.03 * full * (1 + 1e-6)
    np.testing.assert_allclose(
        np.asarray(fdi.apply_widths(network(three), fdi.kept_channels(grown))(IMAGES)),
        np.asarray(grown(IMAGES)),
        atol=1e-5,
    )


def test_a_target_that_only_fewer_branches_meet(profile):
    model = network(three)
    narrow = {"f_a": [0], "g_a": [0], "stem": [0], "last": [0]}
    lowest = fdi.predict_latency(fdi.apply_widths(model, narrow), profile).total_ms
    with pytest.raises(TargetError):
        fdi.prune(model, profile, 0.9 * lowest)
    small = fdi.prune(model, profile, 0.9 * lowest, remove_branches=True)
    assert fdi.predict_latency(small, profile).total_ms <= 0.9 * lowest * (1 + 1e-6)
    with pytest.raises(TargetError, match="cannot be met"):
        fdi.prune(model, profile, 0.1 * lowest, remove_branches=True)


def test_pruning_again_remembers_what_went(profile):
    model = network(projected_after)
    once = fdi.prune(
        model, profile, 0.06 * fdi.predict_latency(model, profile).total_ms, remove_branches=True
    )
    assert "f_a" not in {layer.name for layer in once.layers}
    twice = fdi.prune(once, profile, 0.8 * fdi.predict_latency(once, profile).total_ms)
    again = fdi.apply_widths(model, fdi.kept_channels(twice))
    np.testing.assert_array_equal(np.asarray(again(IMAGES)), np.asarray(twice(IMAGES)))


def test_branches_that_are_named_go(profile):
    model = network(three)
    gated = fdi.prunable(network(three))
    full = fdi.predict_latency(model, profile).total_ms
    for options, gone in (("sum", {"f_a"}), (["sum", "sum"], {"f_a", "g_a"})):
        exact = fdi.prune(gated, remove_branches=options)
        meeting = fdi.prune(model, profile, 0.5 * full, remove_branches=options)
        for small in (exact, meeting):
            left = {layer.name for layer in small.layers}
            assert len({"f_a", "g_a"} - left) == len(gone)
        assert fdi.predict_latency(meeting, profile).total_ms <= 0.5 * full * (1 + 1e-6)
    for options in ("some", ["sum", "sum", "sum"]):
        with pytest.raises(UsageError, match="no branch of an addition"):
            fdi.prune(gated, remove_branches=options)
    with pytest.raises(UsageError, match=r"remove_branches=2\): expected True, False, or names"):
        fdi.prune(gated, remove_branches=2)
