"""Keras models and the files they are converted to give the same operators."""

import re
from collections import Counter

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from layer_zoo import FAMILIES, IMAGE, NUMBERS, SEQUENCE, VECTOR
from own_layers import Python
from random_networks import MORE_STEPS, random_network, randomize
from synthetic_devices import free, linear_device, profile_of

import fdi_keras as fdi
from fdi_keras.errors import ExportError, ModelFileError, UnknownOperatorsError, UnsupportedModelError
from fdi_keras.networks import read_operators
from fdi_keras.networks.export import litert_to_time

L = keras.layers


def described(operators):
    return Counter((o.kind, tuple(sorted(o.dims.items())), o.problem) for o in operators)


def assert_same_operators(model):
    exported = read_operators(fdi.export_litert(model))
    assert described(read_operators(model)) == described(exported)
    assert described(read_operators(litert_to_time(model))) == described(exported)


ACTIVATIONS = (
    *("sigmoid", "tanh", "silu", "hard_silu", "hard_sigmoid", "gelu", "elu", "leaky_relu", "relu6"),
)


def everything():
    """One network with every wiring whose conversion has a rule of its own."""
    image = keras.Input((12, 12, 3))
    conv = lambda c=4, **k: L.Conv2D(c, 3, padding="same", **k)  # noqa: E731
    ends = [
        L.ReLU()(L.BatchNormalization()(conv(use_bias=False)(image))),
        L.BatchNormalization()(conv(activation="relu")(image)),
        L.Conv2D(4, 3, strides=2)(L.ZeroPadding2D(((0, 1), (0, 1)))(image)),
        L.Conv2D(4, 7, strides=2)(L.ZeroPadding2D(3)(image)),
        L.ReLU(6.0)(L.BatchNormalization()(L.DepthwiseConv2D(3, strides=2, padding="same")(image))),
        L.SeparableConv2D(5, 3, padding="same", activation="relu")(image),
        L.ReLU()(L.Add()([conv()(image), conv()(image), conv()(image)])),
        L.ReLU()(L.Concatenate()([conv()(image), conv(2)(image)])),
        L.BatchNormalization()(L.BatchNormalization()(conv()(image))),
        L.ReLU()(L.MaxPooling2D(2)(conv()(image))),
        L.AveragePooling2D(3, 2, padding="same")(image),
        L.ReLU()(L.ZeroPadding2D(2)(conv()(image))),
        L.ReLU()(L.Dropout(0.5)(conv()(image))),
        L.Multiply()([conv()(image), conv()(image)]),
        L.Average()([conv()(image), conv()(image)]),
        conv()(image) + conv()(image),
        L.Rescaling(1 / 127.5, -1.0)(image),
        L.Dense(5, activation="relu")(image),
        L.Dense(5, activation="softmax")(L.GlobalAveragePooling2D()(image)),
        L.ReLU()(L.BatchNormalization()(L.Dense(5)(L.Flatten()(image)))),
        *(L.Activation(a)(conv()(image)) for a in ACTIVATIONS),
        L.LeakyReLU()(conv()(image)),
        L.ReLU(negative_slope=0.1)(conv()(image)),
        (lambda c: L.Add()([L.BatchNormalization()(c), c]))(conv()(image)),
        (lambda c: L.Add()([L.ReLU()(c), c]))(conv()(image)),
    ]  # fmt: skip
    model = keras.Model(image, ends)
    randomize(model)
    return model


def test_every_rule_of_conversion():
    assert_same_operators(everything())


@pytest.mark.parametrize("family", FAMILIES)
def test_layers_of_real_networks(family):
    """All lines as one network: converting it costs less than converting each."""
    inputs, outputs = [], []
    for line in FAMILIES[family].strip().splitlines():
        image, sequence, vector = (keras.Input(shape) for shape in (IMAGE, SEQUENCE, VECTOR))
        given = {"x": image, "s": sequence, "v": vector, "n": keras.Input(NUMBERS, dtype="int32")}
        made = eval(line, {"L": L, "ops": keras.ops, **given})
        outputs.append(made)
        inputs.append(next(t for name, t in given.items() if re.search(rf"\b{name}\b", line)))
    model = keras.Model(inputs, outputs)
    randomize(model)
    operators = read_operators(model)
    assert [o for o in operators if o.problem] == []
    assert_same_operators(model)


#: Where networks of keras.applications are cut off: behind the first block of every sort that they have.
FAMILIES_OF_APPLICATIONS = {
    "MobileNetV2": ("block_4_add", 64),
    "MobileNetV3Small": ("expanded_conv_4_add", 64),
    "ResNet50V2": ("conv3_block1_out", 64),
    "DenseNet121": ("conv3_block1_concat", 64),
    "InceptionV3": ("mixed4", 75),
    "Xception": ("block4_pool", 71),
    "EfficientNetV2B0": ("block4b_add", 64),
    "ConvNeXtTiny": ("convnext_tiny_stage_1_block_0_identity", 64),
    "NASNetMobile": ("reduction_concat_stem_2", 64),
}


@pytest.mark.untraced
@pytest.mark.parametrize("name", FAMILIES_OF_APPLICATIONS)
def test_families_of_applications(name):
    """The whole networks, all of them, are compared by ``python -m benchmarks.operators``."""
    if name == "NASNetMobile" and keras.config.backend() == "torch":
        pytest.skip("keras does not offer it on torch")
    last, side = FAMILIES_OF_APPLICATIONS[name]
    whole = getattr(keras.applications, name)(input_shape=(side, side, 3), weights=None, classes=10)
    features = whole.get_layer(last).output
    model = keras.Model(whole.input, L.Dense(3)(L.GlobalAveragePooling2D()(features)))
    randomize(model)
    assert [o for o in read_operators(model) if o.problem] == []
    assert_same_operators(model)


@pytest.mark.untraced
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_random_networks(data):
    model = random_network(data.draw, steps=MORE_STEPS)
    assert [o for o in read_operators(model) if o.problem] == []
    assert_same_operators(model)


def test_what_is_only_timed_computes_the_same():
    from ai_edge_litert.interpreter import Interpreter

    image = keras.Input((9, 9, 3))
    steps = L.Reshape((49, 8))(L.BatchNormalization()(L.Conv2D(8, 3, activation="relu")(image)))
    models = [keras.Model(image, L.Dense(5)(L.GRU(6)(steps)))]
    state = keras.Input(batch_shape=(1, 9, 3))
    models.append(keras.Model(state, L.GRU(4, stateful=True)(state)))
    for model in models:
        randomize(model)
        results = []
        for content in (litert_to_time(model), fdi.export_litert(model)):
            interpreter = Interpreter(model_content=content)
            interpreter.allocate_tensors()
            (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
            x = np.random.default_rng(0).normal(size=entry["shape"]).astype("float32")
            interpreter.set_tensor(entry["index"], x)
            interpreter.invoke()
            results.append(interpreter.get_tensor(end["index"]))
        np.testing.assert_array_equal(*results)
    assert interpreter.get_signature_list()["serving_default"] == {
        "inputs": ["args_0"],
        "outputs": ["output_0"],
    }


def test_a_report_covers_everything_and_adds_up():
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.GlobalAveragePooling2D(), L.Dense(2)])
    report = fdi.predict_latency(model, linear_device())
    assert report.coverage == 1.0
    assert report.total_ms == pytest.approx(sum(o.predicted_ms for o in report.operators))
    assert [o.kind for o in report.operators] == ["conv2d", "mean", "dense"]
    assert report.operators[0].flops == 2 * 6 * 6 * 9 * 3 * 4
    assert "total" in str(report)
    assert set(report.to_dict()) >= {"total_ms", "coverage", "operators", "warnings"}


def test_unknown_operators_lower_the_coverage_and_are_named():
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.GroupNormalization(2), L.PReLU()])
    report = fdi.predict_latency(model, linear_device())
    assert report.coverage < 1.0
    unknown = [o for o in report.operators if o.predicted_ms is None]
    assert {o.kind for o in unknown} == {"GroupNormalization", "prelu"}
    assert all(any(o.name in w for w in report.warnings) for o in unknown)


def test_dimensions_outside_what_was_measured_are_named():
    profile = linear_device()
    profile.models["conv2d"].ranges["height"] = (1.0, 6.0)
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3, name="wide")])
    assert any("wide" in w and "height 8" in w for w in fdi.predict_latency(model, profile).warnings)


def test_a_profile_that_knows_none_is_an_error():
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3)])
    with pytest.raises(UnknownOperatorsError, match="knows none"):
        fdi.predict_latency(model, profile_of(free("gelu")))


def test_an_unknown_image_size_is_an_error():
    model = keras.Sequential([keras.Input((None, None, 3)), L.Conv2D(4, 3)])
    with pytest.raises(UnsupportedModelError, match="fixed input shape"):
        fdi.predict_latency(model, linear_device())


def test_files_are_read_and_measured(tmp_path):
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.Flatten(), L.Dense(2)])
    model.save(tmp_path / "net.keras")
    fdi.export_litert(model, tmp_path / "net.tflite")
    reports = [
        fdi.predict_latency(p, linear_device())
        for p in (model, tmp_path / "net.keras", tmp_path / "net.tflite")
    ]
    assert len({round(r.total_ms, 9) for r in reports}) == 1
    measured = fdi.measure_latency(tmp_path / "net.tflite", seconds=0.2)
    assert 0 < measured.median_ms < 10
    assert measured.runs > 10


def test_measuring_a_gated_model_measures_the_network_inside():
    model = keras.Sequential([keras.Input((8, 8, 3)), L.Conv2D(4, 3), L.Flatten(), L.Dense(2)])
    gated = fdi.prunable(model)
    assert described(read_operators(gated)) == described(read_operators(model))
    assert [m.runs > 0 for m in fdi.measure_interleaved([model, gated], seconds=0.1)] == [True, True]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("no.tflite", b"hello"),
        ("no.tflite", b""),
        ("cut.tflite", b"\x1c\0\0\0TFL3\0\0"),
        ("no.keras", b"hello"),
        ("net.onnx", b"x"),
    ],
)
def test_files_that_are_no_models(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=name):
        fdi.predict_latency(path, linear_device())


def test_a_missing_file_is_named(tmp_path):
    for name in ("no.tflite", "no.keras"):
        with pytest.raises(ModelFileError, match=name):
            fdi.predict_latency(tmp_path / name, linear_device())


def test_what_the_converter_refuses_is_an_export_error():
    model = keras.Sequential([keras.Input((4,)), Python()])
    with pytest.raises(ExportError, match="failed"):
        fdi.export_litert(model)


def test_a_session_keeps_what_was_timed_beside_its_network(tmp_path):
    from fdi_keras.journal import Journal, read_journal
    from fdi_keras.networks.history import history_of

    before, after = (
        keras.Sequential([keras.Input((4,)), L.Dense(width)], name=name)
        for name, width in (("before", 8), ("after", 2))
    )
    journal = tmp_path / "net.jsonl"
    with Journal(journal) as opened:
        opened.start("session", session="net")
    history_of(after).journal = str(journal)
    timed = fdi.measure_interleaved([before, after], seconds=0.05)
    (event,) = [event for event in read_journal(journal) if event["event"] == "measured"]
    assert event["median_ms"] == timed[1].median_ms
    assert event["beside"] == [{"model": "before", "median_ms": timed[0].median_ms}]
