"""Layers that cannot be cut stay whole and named, but cost their time in every reckoning."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import MORE_STEPS, random_network
from synthetic_devices import leaf, model_of, profile_of
from tensors import to_numpy

import fdi_keras as fdi
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.latency_plan import LatencyPlan
from fdi_keras.networks.layer_operators import read_layer_operators
from fdi_keras.operators import KINDS

L = keras.layers


def full_device():
    """Every kind has a price, in FLOPs, memory and parameters."""
    return profile_of(
        {k: model_of(k, leaf(1e-3, flops=1e-7, memory_out=1e-8, parameters=1e-8)) for k in KINDS}
    )


def plan_of(model):
    graph = read_graph(model)
    return LatencyPlan(read_layer_operators(graph), find_channel_spaces(graph), full_device())


def whole_sorts():
    image = keras.Input((8, 8, 3))
    x = L.Conv2D(8, 3, padding="same", activation="relu", name="stem")(image)
    x = L.Conv2D(6, 3, padding="same", activation="relu", name="first")(x)
    x = L.Conv2D(6, 3, groups=3, padding="same", name="grouped")(x)
    x = L.LayerNormalization()(x)
    x = L.UpSampling2D(2)(x)
    x = L.Conv2DTranspose(4, 3, 2, padding="same")(x)
    x = L.Conv2D(5, (1, 3), padding="same", activation="relu", name="free")(x)
    x = L.Multiply()([x, L.Dense(5, activation="sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(x))])
    tokens = L.Reshape((-1, 5))(L.MaxPooling2D(8)(x))
    tokens = L.Add()([tokens, L.Attention()([tokens, tokens])])
    return keras.Model(image, L.Dense(3)(L.GlobalAveragePooling1D()(tokens)))


def test_all_are_priced_and_those_that_cannot_be_cut_are_named():
    model = whole_sorts()
    report = fdi.predict_latency(model, full_device())
    assert report.coverage == 1.0
    plan = plan_of(model)
    assert plan.uncovered == []
    assert float(plan.predict_ms(plan.full_widths)) == pytest.approx(report.total_ms, rel=1e-6)
    spaces = find_channel_spaces(read_graph(model))
    assert "Attention" in spaces["free"].kept
    # A group goes as a whole: the three groups of two are a space of three.
    assert spaces["first"].width == 3


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_expected_time_is_predicted_time_at_every_width(data):
    """Of random networks of all layers; and a width that shrinks never makes a price negative."""
    plan = plan_of(random_network(data.draw, steps=MORE_STEPS))
    assert plan.uncovered == [] or {o.kind for o in plan.uncovered} <= {"Cropping2D"}
    spaces = list(plan.spaces)
    widths = np.array(
        [s.width if s.kept else data.draw(st.integers(1, s.width), label=s.name) for s in spaces], float
    )
    predicted = plan.predict_ms(widths)
    expected = keras.ops.convert_to_numpy(plan.expected_ms(keras.ops.convert_to_tensor(widths, "float32")))
    assert expected == pytest.approx(predicted, rel=1e-4)
    assert predicted <= plan.predict_ms(plan.full_widths) + 1e-9
    assert min(plan.operator_times(widths).values()) > 0


def test_steering_works_beside_them():
    model = whole_sorts()
    gated = fdi.prunable(model)
    regularizer = fdi.LatencyRegularizer(full_device(), strength=0.1)
    gated.compile("sgd", "mse", regularizer=regularizer)
    x, y = np.zeros((4, 8, 8, 3), "float32"), np.zeros((4, 3), "float32")
    before = {name: to_numpy(gate.logits()) for name, gate in gated.gates.items()}
    history = gated.fit(x, y, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    after = {name: to_numpy(gate.logits()) for name, gate in gated.gates.items()}
    assert before
    assert any(np.abs(after[name] - logits).max() > 0 for name, logits in before.items())
