"""Probes must be to LiteRT what exported Keras layers are: the outputs are bit-equal."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fdi_keras.devices import open_device
from fdi_keras.errors import UsageError
from fdi_keras.operators import KINDS
from fdi_keras.profiling import build_overhead_probe, build_probe, design

IMAGE = {"height": 9, "width": 10, "channels": 24}
STEPS = {"steps": 6, "in_channels": 20, "units": 7}
CONV = {"height": 9, "width": 10, "in_channels": 24, "out_channels": 19}

#: (Keras expression on the image x, the vector v or the rows r; kind; dimensions)
LAYERS = [
    ("L.Conv2D(19, 3, 2, padding='same', activation='relu', **bias)(x)", "conv2d",
     {**CONV, "kernel": 3, "stride": 2, "padding": 1, "activation": 1}),
    ("L.Conv2D(19, 4, padding='valid', **bias)(x)", "conv2d",
     {**CONV, "kernel": 4, "stride": 1, "padding": 0, "activation": 0}),
    ("L.Conv2D(19, 1, **bias)(x)", "conv2d", {**CONV, "kernel": 1, "padding": 0, "activation": 0}),
    ("L.DepthwiseConv2D(3, **bias)(x)", "depthwise_conv2d",
     {**IMAGE, "kernel": 3, "padding": 0, "activation": 0}),
    ("L.DepthwiseConv2D(5, 2, padding='same', activation='relu', **bias)(x)", "depthwise_conv2d",
     {**IMAGE, "kernel": 5, "stride": 2, "padding": 1, "activation": 1}),
    ("L.Dense(17, **bias)(v)", "dense", {"in_channels": 40, "out_channels": 17}),
    ("L.Dense(17, activation='relu', **bias)(r)", "dense",
     {"rows": 6, "in_channels": 20, "out_channels": 17, "activation": 1}),
    ("L.MaxPooling2D(3, 2, padding='same')(x)", "max_pool2d",
     {**IMAGE, "kernel": 3, "stride": 2, "padding": 1}),
    ("L.MaxPooling2D(2, 1)(x)", "max_pool2d", {**IMAGE, "kernel": 2, "stride": 1, "padding": 0}),
    ("L.AveragePooling2D(3, 2, padding='same')(x)", "average_pool2d",
     {**IMAGE, "kernel": 3, "stride": 2, "padding": 1}),
    ("L.AveragePooling2D(2, 3)(x)", "average_pool2d", {**IMAGE, "kernel": 2, "stride": 3, "padding": 0}),
    ("L.GlobalAveragePooling2D()(x)", "mean", IMAGE),
    ("L.Add()([x, x2])", "add", IMAGE),
    ("L.ReLU()(L.Add()([x2, x]))", "add", {**IMAGE, "activation": 1}),
    ("L.Multiply()([x, x2])", "mul", IMAGE),
    ("Constant('add')(x)", "add", {**IMAGE, "constant": 1}),
    ("Constant('multiply')(x)", "mul", {**IMAGE, "constant": 1}),
    ("L.Concatenate()([x, x2, x])", "concat", {**IMAGE, "channels": 72, "inputs": 3}),
    ("L.ZeroPadding2D(((0, 1), (1, 1)))(x)", "pad", {**IMAGE, "pad_height": 1, "pad_width": 2}),
    ("L.Softmax()(v)", "softmax", {"channels": 40}),
    ("L.Softmax()(r)", "softmax", {"rows": 6, "channels": 20}),
    *((f"L.{cell}(7, return_sequences={bool(every)}, **bias)(r)", f"{cell.lower()}_while",
       {**STEPS, "outputs": 6 if every else 1}) for cell in ("LSTM", "GRU") for every in (0, 1)),
    *((f"L.{cell}(7, unroll=True, **bias)(r)", f"{cell.lower()}_unrolled", STEPS) for cell in ("LSTM", "GRU")),
    ("Flip()(r)", "reverse", {"steps": 6, "channels": 20}),
    *((f"L.Activation('{name}')(x)", kind, IMAGE) for name, kind in (
        ("relu", "relu"), ("relu6", "relu6"), ("sigmoid", "logistic"), ("tanh", "tanh"),
        ("hard_swish", "hard_swish"), ("elu", "elu"), ("gelu", "gelu"), ("leaky_relu", "leaky_relu"))),
]  # fmt: skip

#: Exports all layers as the outputs of one model; a process of its own keeps tensorflow out of this one.
EXPORT = """
import sys, keras, numpy as np
from keras import layers as L
class Constant(L.Layer):
    def __init__(self, what):
        super().__init__()
        self.what = what
    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1],), initializer="random_normal")
    def call(self, x):
        return getattr(keras.ops, self.what)(x, self.w)
    def compute_output_shape(self, shape):
        return shape
class Flip(L.Layer):
    def call(self, x):
        return keras.ops.flip(x, axis=1)
keras.utils.set_random_seed(0)
bias = {"bias_initializer": "random_normal"}
shapes = [(9, 10, 24), (9, 10, 24), (40,), (6, 20)]
inputs = x, x2, v, r = [keras.Input(shape) for shape in shapes]
outputs = [eval(line) for line in sys.argv[2:]]
model = keras.Model(inputs, outputs)
signature = [[keras.InputSpec(shape=(1, *shape), dtype="float32") for shape in shapes]]
model.export(sys.argv[1] + "/model.tflite", format="litert", input_signature=signature, verbose=False)
for number, output in enumerate(outputs):
    weights = output._keras_history.operation.get_weights()
    np.savez(f"{sys.argv[1]}/{number}.npz", *weights)
"""


@pytest.fixture(scope="module")
def runner():
    with open_device().open() as opened:
        yield opened


@pytest.fixture(scope="module")
def exported(tmp_path_factory, runner):
    """Inputs, and for each layer its weights and its output as LiteRT computes it."""
    folder = tmp_path_factory.mktemp("exported")
    quiet = {
        **os.environ,
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-c", EXPORT, str(folder), *(line for line, _, _ in LAYERS)]
    done = subprocess.run(command, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    rng = np.random.default_rng(1)
    shapes = {"x": (1, 9, 10, 24), "x2": (1, 9, 10, 24), "v": (1, 40), "r": (1, 6, 20)}
    inputs = {name: 4 * rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    outputs = runner.run((folder / "model.tflite").read_bytes(), list(inputs.values()))
    weights = []
    for number in range(len(LAYERS)):
        with np.load(folder / f"{number}.npz") as file:
            weights.append([file[name] for name in file.files])
    return inputs, weights, outputs


def test_every_kind_is_compared():
    assert {kind for _, kind, _ in LAYERS} == set(KINDS)


@pytest.mark.parametrize("number", range(len(LAYERS)), ids=lambda n: LAYERS[n][0])
def test_bit_equal_to_the_exported_keras_layer(exported, runner, number):
    inputs, weights, outputs = exported
    line, kind, dims = LAYERS[number]
    probe = build_probe(kind, dims, weights=weights[number] or None)
    operands = line[line.rindex("(") :].strip("()[]").split(", ")
    given = [inputs[name] for name in operands]
    if kind in ("dense", "softmax"):
        given = [value.reshape(-1, value.shape[-1]) for value in given]
    (output,) = runner.run(probe, given)
    expected = outputs[number].reshape(output.shape)
    np.testing.assert_array_equal(output, expected)
    assert np.ptp(expected) > 0


def test_every_kind_can_be_timed(runner):
    for configuration in design(None, 60):
        probe = build_probe(configuration.kind, configuration.dims)
        assert runner.time(probe, budget_s=0.0, warmup_s=0.0, min_runs=1).median_ms > 0, configuration


def test_same_seed_same_probe():
    dims = {"in_channels": 3, "out_channels": 5}
    assert build_probe("dense", dims, seed=1) == build_probe("dense", dims, seed=1)
    assert build_probe("dense", dims, seed=1) != build_probe("dense", dims, seed=2)


def test_overhead_probe_is_the_smallest():
    assert len(build_overhead_probe()) < 1000


@pytest.mark.parametrize(
    ("kind", "dims", "message"),
    [
        ("conv3d", {}, "unknown operator kind 'conv3d'"),
        ("dense", {"in_channels": 3}, "dense needs out_channels"),
        ("dense", {"in_channels": 3, "out_channels": 0}, "out_channels must be at least 1; received 0"),
        ("dense", {"in_channels": 3, "out_channels": 2, "activation": 6}, "activation must be 0 or 1"),
        ("concat", {"channels": 2, "inputs": 3}, "3 inputs need as many channels"),
        ("max_pool2d", {**IMAGE, "kernel": 10, "stride": 1}, "must fit into the input"),
    ],
)
def test_impossible_probes_are_refused(kind, dims, message):
    with pytest.raises(UsageError, match=message):
        build_probe(kind, dims)
