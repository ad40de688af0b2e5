"""Recurrent layers: Keras models and their files give the same operators, in the form that was asked for."""

from collections import Counter

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from own_layers import Determinant
from random_networks import randomize
from synthetic_devices import leaf, linear_device, model_of, profile_of
from tensors import to_numpy

import fdi_keras as fdi
from fdi_keras.devices import open_device
from fdi_keras.errors import ExportError, UnknownOperatorsError, UnsupportedModelError, UsageError
from fdi_keras.networks import find_channel_spaces, read_graph, read_layer_operators, read_operators
from fdi_keras.networks.latency_plan import LatencyPlan

L = keras.layers
RECURRENT = ("lstm_while", "gru_while", "lstm_unrolled", "gru_unrolled")


def described(operators):
    return Counter((o.kind, tuple(sorted(o.dims.items())), o.problem) for o in operators)


def network(*branches, steps=3, n_in=3):
    """Each branch reads an input of its own, or the converter would share what they have in common."""
    inputs = [keras.Input((steps, n_in)) for _ in branches]
    model = keras.Model(
        inputs, [keras.Sequential(layers)(x) for x, layers in zip(inputs, branches, strict=True)]
    )
    randomize(model)
    return model


def device(**models):
    """A device where a recurrent layer costs so many ms a step and FLOP, and what is around it by FLOPs."""
    recurrent = {
        kind: model_of(kind, leaf(flops=models.get(kind.rpartition("_")[2], 1e-7))) for kind in RECURRENT
    }
    around = linear_device().models | {kind: model_of(kind, leaf()) for kind in ("reverse", "concat", "tanh")}
    return profile_of(around | recurrent)


def classifier(layer, steps=4, n_in=4):
    model = keras.Sequential([keras.Input((steps, n_in)), layer, L.Dense(5), L.Softmax()])
    randomize(model)
    return model


# The same operators from the model and from its file


@pytest.mark.parametrize("unroll", [False, True], ids=["loop", "unrolled"])
def test_every_rule_of_conversion(unroll):
    same = {"unroll": unroll}
    every = {**same, "return_sequences": True}
    model = network(
        [L.LSTM(4, **same, use_bias=False), L.Activation("tanh")],
        [L.GRU(4, **every, go_backwards=True), L.Activation("tanh"), L.Dense(2)],
        [L.Dense(3), L.LSTM(3, **every), L.GRU(6, **same, use_bias=False)],
        [L.GRU(4, **every), L.LSTM(4, unroll=not unroll), L.Dense(2)],
        [L.Bidirectional(L.GRU(4, **every), merge_mode="sum"), L.ReLU()],
        [L.Bidirectional(L.LSTM(4, **same), merge_mode="ave"), L.Dense(2)],
    )
    operators = read_operators(model)
    assert described(operators) == described(read_operators(fdi.export_litert(model)))
    assert not [o.problem for o in operators if o.problem]


LAYERS = st.fixed_dictionaries(
    {
        "cell": st.sampled_from([L.LSTM, L.GRU]),
        "merge": st.sampled_from([None, "concat", "sum", "mul"]),
        "units": st.integers(1, 9),
        "unroll": st.booleans(),
        "go_backwards": st.booleans(),
        "use_bias": st.booleans(),
        "dropout": st.sampled_from([0.0, 0.3]),
    }
)


@settings(max_examples=4, deadline=None)
@given(st.lists(LAYERS, min_size=1, max_size=2), st.booleans(), st.integers(2, 4), st.integers(1, 8))
def test_random_networks(drawn, sequences, steps, n_in):
    layers = []
    for number, settings_ in enumerate(drawn):
        cell, merge, arguments = settings_["cell"], settings_["merge"], dict(settings_)
        del arguments["cell"], arguments["merge"]
        arguments["go_backwards"] &= merge is None  # Keras refuses it in both directions
        layer = cell(**arguments, return_sequences=sequences or number < len(drawn) - 1)
        layers.append(layer if merge is None else L.Bidirectional(layer, merge_mode=merge))
    model = network([*layers, L.Dense(3)], steps=steps, n_in=n_in)
    assert described(read_operators(model)) == described(read_operators(fdi.export_litert(model)))


def test_what_is_no_usual_cell_is_named_on_both_sides():
    branches = {
        "reset_after=False": [L.GRU(4, reset_after=False)],
        "activation relu": [L.LSTM(4, activation="relu")],
        "skips masked steps": [L.Masking(), L.LSTM(4)],
        "SimpleRNN": [L.SimpleRNN(4)],
        "UnitNormalization": [L.LSTM(4), L.UnitNormalization()],
    }
    model = network(*branches.values())
    from_model, from_file = read_operators(model), read_operators(fdi.export_litert(model))
    for text in branches:
        assert any(text in (o.problem or "") for o in from_model), text
    loops = [o for o in from_file if o.kind == "while"]
    assert len(loops) == 4
    assert all("no LSTM or GRU" in o.problem and "3 times" in o.problem for o in loops)
    assert sum("skips masked steps" in o.problem for o in loops) == 1
    assert all(o.elements_in > 3 * 4 * 4 for o in loops)  # weights, read at every step
    for operators in (from_model, from_file):
        assert sum(o.kind == "lstm_while" and not o.problem for o in operators) == 1


def test_a_state_that_is_kept_is_named():
    model = keras.Sequential([keras.Input(batch_shape=(1, 5, 3)), L.LSTM(4, stateful=True)])
    randomize(model)
    assert any("stateful" in (o.problem or "") for o in read_operators(model))
    assert {"lstm_while", "read_variable", "assign_variable"} <= {
        o.kind for o in read_operators(fdi.export_litert(model))
    }


# Prediction


@pytest.mark.parametrize("unroll", [False, True])
def test_a_report_covers_a_classifier(tmp_path, unroll):
    model = classifier(L.Bidirectional(L.LSTM(8, unroll=unroll)))
    fdi.export_litert(model, tmp_path / "net.tflite")
    reports = [fdi.predict_latency(what, device()) for what in (model, tmp_path / "net.tflite")]
    assert reports[0].total_ms == pytest.approx(reports[1].total_ms)
    assert all(report.coverage == 1.0 and not report.warnings for report in reports)
    kind = f"lstm_{'unrolled' if unroll else 'while'}"
    assert sum(o.kind == kind for o in reports[1].operators) == 2


def test_the_expected_latency_prices_them_at_every_width():
    inputs = keras.Input((12, 4))
    x = L.GRU(8, name="gru")(L.Dense(6, name="dense")(inputs))
    model = keras.Model(inputs, L.Dense(5)(L.Dense(16, activation="relu", name="wide")(x)))
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    assert [space.name for space in spaces.prunable] == ["dense", "gru", "wide"]
    plan = LatencyPlan(read_layer_operators(graph), spaces, device())
    assert not plan.uncovered
    total_ms = fdi.predict_latency(model, device()).total_ms
    assert float(plan.predict_ms(plan.full_widths)) == pytest.approx(total_ms)
    assert float(to_numpy(plan.expected_ms(plan.full_widths.astype("float32")))) == pytest.approx(
        total_ms, rel=1e-5
    )
    small = fdi.apply_widths(model, {"dense": 4, "gru": 5, "wide": 7})
    widths = np.array([{"dense": 4, "gru": 5, "wide": 7}.get(s.name, s.width) for s in spaces], float)
    total_ms = fdi.predict_latency(small, device()).total_ms
    assert float(plan.predict_ms(widths)) == pytest.approx(total_ms)
    assert float(to_numpy(plan.expected_ms(widths.astype("float32")))) == pytest.approx(total_ms, rel=1e-5)


@pytest.mark.parametrize("merge", ["concat", "sum", "ave"])
@pytest.mark.parametrize("unroll", [False, True])
def test_the_expected_latency_prices_both_directions_at_every_width(merge, unroll):
    inputs = keras.Input((12, 4))
    x = L.Dense(6, name="dense")(inputs)
    x = L.Bidirectional(L.GRU(8, return_sequences=True, unroll=unroll), merge_mode=merge, name="first")(x)
    x = L.Bidirectional(L.LSTM(7, unroll=unroll), merge_mode=merge, name="second")(x)
    model = keras.Model(inputs, L.Dense(5)(x))
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    assert [space.name for space in spaces.prunable] == ["dense", "first", "second"]
    plan = LatencyPlan(read_layer_operators(graph), spaces, device())
    kept = {"dense": 4, "first": 5, "second": 3}
    for model_now, wanted in ((model, {}), (fdi.apply_widths(model, kept), kept)):
        widths = np.array([wanted.get(s.name, s.width) for s in spaces], float)
        total_ms = fdi.predict_latency(model_now, device()).total_ms
        assert float(plan.predict_ms(widths)) == pytest.approx(total_ms)
        assert float(plan.expected_ms(widths.astype("float32"))) == pytest.approx(total_ms, rel=1e-5)


# Export


def test_the_form_is_the_one_asked_for_and_computes_the_same():
    model = classifier(L.Bidirectional(L.GRU(8, dropout=0.4, recurrent_dropout=0.2)))
    x = np.random.default_rng(0).standard_normal((1, 4, 4), np.float32)
    expected = to_numpy(model(x))
    with open_device().open() as runner:
        for unroll, kind in ((None, "gru_while"), (False, "gru_while"), (True, "gru_unrolled")):
            content = fdi.export_litert(model, unroll=unroll)
            kinds = Counter(o.kind for o in read_operators(content))
            assert kinds[kind] == 2
            assert not {"read_variable", "call_once"} & set(kinds)  # no random numbers of a dropout
            assert runner.run(content, [x])[0] == pytest.approx(expected, abs=1e-5)
    assert not model.layers[0].forward_layer.unroll
    assert model.layers[0].forward_layer.dropout == 0.4


def test_a_profile_chooses_the_faster_form():
    model = classifier(L.LSTM(8))
    for faster in ("while", "unrolled"):
        content = fdi.export_litert(model, profile=device(**{faster: 1e-8}))
        assert f"lstm_{faster}" in {o.kind for o in read_operators(content)}


def test_layers_that_share_their_weights_stay_apart():
    inputs = [keras.Input((3, 3)) for _ in range(2)]
    for unroll in (False, True):
        layer = L.LSTM(4, unroll=unroll)
        model = keras.Model(inputs, L.Concatenate()([layer(x) for x in inputs]))
        randomize(model)
        operators = read_operators(fdi.export_litert(model))
        assert described(operators) == described(read_operators(model))


def test_a_profile_unrolls_no_long_sequence():
    content = fdi.export_litert(classifier(L.LSTM(8), steps=129), profile=device(unrolled=1e-9))
    assert "lstm_while" in {o.kind for o in read_operators(content)}


def test_wrong_wishes_are_refused():
    model = classifier(L.LSTM(8))
    with pytest.raises(UsageError, match="exclude each other"):
        fdi.export_litert(model, unroll=True, profile=device())
    with pytest.raises(UnknownOperatorsError, match="fdi profile --kinds lstm_while,lstm_unrolled"):
        fdi.export_litert(model, profile=linear_device())
    unknown = keras.Sequential([keras.Input((None, 4)), L.LSTM(8)])
    with pytest.raises(ExportError, match="how many steps"):
        fdi.export_litert(unknown)


def test_a_subclassed_model_cannot_change_its_form():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.lstm = L.LSTM(4)

        def call(self, x):
            return self.lstm(x)

    model = Subclassed()
    model(np.zeros((1, 5, 3), np.float32))
    with pytest.raises(UnsupportedModelError, match="subclassed"):
        fdi.export_litert(model, unroll=True)


def test_operators_of_tensorflow_are_refused():
    model = keras.Sequential([keras.Input((3, 3)), Determinant()])
    with pytest.raises(ExportError, match="MatrixDeterminant"):
        fdi.export_litert(model)


def test_several_inputs_are_exported_in_their_structure():
    a, b = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    for inputs in ([a, b], {"a": a, "b": b}):
        model = keras.Model(inputs, L.Dense(2)(L.Add()([a, b])))
        assert {o.kind for o in read_operators(fdi.export_litert(model))} == {"add", "dense"}
