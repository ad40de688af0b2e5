"""Reading networks: nesting, sharing, several inputs and outputs; which channels belong together."""

import keras
import numpy as np
import pytest
from tensors import to_numpy

import fdi_keras as fdi
from fdi_keras.errors import UnsupportedModelError
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.networks.graph import copy_layer

L = keras.layers


def rebuilt(model):
    graph = read_graph(model)
    made, pairs = {}, []

    def build(call, tensors):
        known = id(call.layer) in made
        layer = copy_layer(call, made)
        out = call.apply(layer, tensors)
        if not known and layer is not call.layer:
            pairs.append((call.layer, layer))
        return out

    new = graph.rebuild(build)
    for old, layer in pairs:
        layer.set_weights(old.get_weights())
    return new


def assert_same(a, b, x):
    for one, two in zip(keras.tree.flatten(a(x)), keras.tree.flatten(b(x)), strict=True):
        np.testing.assert_allclose(to_numpy(one), to_numpy(two), atol=1e-6)


def two_in_two_out():
    a, b = keras.Input((6, 6, 2), name="a"), keras.Input((6, 6, 3), name="b")
    shared = L.Conv2D(4, 1, name="shared_inside")
    x, y = L.Conv2D(2, 3, padding="same")(a), L.Conv2D(2, 3, padding="same")(b)
    z = L.Add()([shared(x), shared(y)])
    one = L.Dense(2, name="one")(L.GlobalAveragePooling2D()(z))
    two = L.Dense(3, name="two")(L.Flatten()(L.Concatenate()([x, y])))
    return keras.Model({"a": a, "b": b}, {"one": one, "two": two})


def test_several_inputs_and_outputs_keep_structure_and_names():
    model = two_in_two_out()
    new = rebuilt(model)
    rng = np.random.default_rng(0)
    x = {
        "a": rng.normal(size=(2, 6, 6, 2)).astype("float32"),
        "b": rng.normal(size=(2, 6, 6, 3)).astype("float32"),
    }
    assert list(new(x)) == ["one", "two"]
    assert new.output_names == model.output_names
    assert_same(model, new, x)
    gated = fdi.prunable(model)
    assert_same(model, gated, x)
    gated.compile("adam", loss={"one": "mse", "two": "mse"})
    gated.fit(x, {"one": np.zeros((2, 2)), "two": np.zeros((2, 3))}, verbose=0)
    for gate in gated.gates.values():
        gate.set_logits(np.where(np.arange(gate.channels) % 2, 6.0, -6.0))
    small = fdi.prune(gated)
    assert_same(gated, small, x)
    assert small.output_names == model.output_names


def test_nested_models_are_inlined_and_shared_ones_stay_shared():
    inner = keras.Sequential([keras.Input((6, 6, 4)), L.Conv2D(4, 3, padding="same"), L.ReLU()], name="inner")
    image = keras.Input((6, 6, 4))
    outer = keras.Model(image, inner(inner(image)), name="outer")
    model = keras.Sequential([keras.Input((6, 6, 4)), outer, L.Flatten(), L.Dense(2)])
    new = rebuilt(model)
    assert not any(isinstance(layer, keras.Model) for layer in new.layers)
    assert len(new.weights) == len(model.weights)
    assert_same(model, new, np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32"))


def test_an_output_of_a_nested_model_keeps_its_name():
    inner = keras.Sequential([keras.Input((4,)), L.Dense(3, name="deep")], name="head")
    image = keras.Input((4,))
    model = keras.Model(image, inner(L.Dense(4)(image)))
    assert rebuilt(model).output_names == ["head"]


def test_residual_streams_are_one_space():
    image = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same", name="stem")(image)
    y = L.Conv2D(8, 3, padding="same", name="branch")(L.ReLU()(x))
    z = L.DepthwiseConv2D(3, padding="same", name="depthwise")(L.Add()([x, y]))
    model = keras.Model(image, L.Dense(2, name="head")(L.GlobalAveragePooling2D()(L.BatchNormalization()(z))))
    spaces = find_channel_spaces(read_graph(model))
    assert set(spaces["stem"].producers) == {"stem", "branch"}
    assert set(spaces["stem"].consumers) == {"branch", "head"}
    assert [s.name for s in spaces.prunable] == ["stem"]
    assert "network's output" in spaces["head"].kept


def test_adding_to_a_concatenation_ties_the_channels_that_meet():
    image = keras.Input((4, 4, 1))
    a, b = L.Conv2D(3, 1, name="a")(image), L.Conv2D(5, 1, name="b")(image)
    c = L.Conv2D(8, 1, name="c")(image)
    x = L.Add()([L.Concatenate()([a, b]), c])
    spaces = find_channel_spaces(read_graph(keras.Model(image, L.Dense(2, name="d")(L.Flatten()(x)))))
    assert [(s.name, s.width, set(s.producers)) for s in spaces.prunable] == [
        ("a", 3, {"a", "c"}),
        ("b", 5, {"b", "c"}),
    ]


def test_flatten_counts_pixels():
    image = keras.Input((4, 4, 1))
    flat = L.Flatten(name="flat")(L.Conv2D(3, 1, name="a")(image))
    graph = read_graph(keras.Model(image, L.Dense(2)(flat)))
    spaces = find_channel_spaces(graph)
    flattened = next(c for c in graph.calls if c.name == "flat").outputs[0]
    assert spaces.counts(flattened) == {"a": 16}


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: L.SeparableConv2D(4, 3, depth_multiplier=2, activation="softmax"), "depth_multiplier"),
        (lambda: L.Reshape((72, 2)), "another axis"),
        (lambda: L.Permute((3, 1, 2)), "another axis"),
        (lambda: L.Softmax(), "not known"),
        (lambda: L.Activation("softmax"), "several channels at once"),
        (lambda: L.BatchNormalization(axis=1), "not the last"),
        (lambda: L.LayerNormalization(axis=[1, 2, 3]), "not the last"),
        (lambda: L.UnitNormalization(), "not known"),
        (lambda: L.Lambda(lambda t: keras.ops.flip(t, axis=-1), output_shape=(6, 6, 4)), "not known"),
    ],
)
def test_what_is_not_understood_is_kept_whole_and_says_why(layer, reason):
    model = keras.Sequential(
        [
            keras.Input((6, 6, 2)),
            L.Conv2D(4, 1, name="before"),
            layer(),
            L.Flatten(),
            L.Dense(3, name="after"),
            L.Dense(2),
        ]
    )
    gated = fdi.prunable(model)
    assert reason in gated.channel_spaces["before"].kept
    assert reason in str(gated.channel_spaces)
    assert list(gated.gates) == ["after"]
    assert_same(model, gated, np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32"))


def test_softmax_of_the_classifier_does_not_freeze_what_it_reads():
    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(5, name="a"), L.Dense(3, activation="softmax", name="b")]
    )
    assert find_channel_spaces(read_graph(model))["a"].kept is None


def test_an_unknown_own_layer_is_kept_whole_and_copied():
    @keras.saving.register_keras_serializable(package="tests")
    class Shift(L.Layer):
        def call(self, x):
            return x + 1.0

    model = keras.Sequential(
        [keras.Input((4,)), L.Dense(5, name="a"), Shift(), L.Dense(6, name="b"), L.Dense(3)]
    )
    gated = fdi.prunable(model)
    assert "Shift" in gated.channel_spaces["a"].kept
    assert_same(model, gated, np.ones((2, 4), "float32"))


def test_a_layer_that_cannot_be_copied_is_named():
    class Odd(L.Layer):
        def __init__(self, thing):
            super().__init__()
            self.thing = thing

        def call(self, x):
            return x

    model = keras.Sequential([keras.Input((4,)), L.Dense(5), Odd(object()), L.Dense(6), L.Dense(3)])
    with pytest.raises(UnsupportedModelError, match="get_config"):
        fdi.prunable(model)


def test_no_model_at_all():
    with pytest.raises(UnsupportedModelError, match=r"expected a keras\.Model"):
        fdi.prunable("net.keras")
