"""Probes must be to LiteRT what exported Keras layers are: the outputs are bit-equal."""

import os
import subprocess
import sys

import numpy as np
import pytest

from fdi_keras.devices import open_device
from fdi_keras.errors import UsageError
from fdi_keras.networks.tflite_operators import read_tflite_operators as read_operators
from fdi_keras.operators import KINDS
from fdi_keras.profiling import build_overhead_probe, build_probe, design
from fdi_keras.profiling.probes import _random_weights

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
    ("L.Conv2D(19, (1, 5), padding='same', **bias)(x)", "conv2d",
     {**CONV, "kernel": 1, "kernel_width": 5, "activation": 0}),
    ("L.Conv2D(19, (3, 2), (1, 2), **bias)(x)", "conv2d",
     {**CONV, "kernel": 3, "kernel_width": 2, "stride_width": 2, "padding": 0, "activation": 0}),
    ("L.Conv2D(19, 3, dilation_rate=2, padding='same', **bias)(x)", "conv2d",
     {**CONV, "kernel": 3, "dilation": 2, "activation": 0}),
    ("L.Conv2D(16, 3, groups=4, padding='same', activation='relu', **bias)(x)", "grouped_conv2d",
     {**CONV, "out_channels": 16, "kernel": 3, "groups": 4}),
    ("L.Conv2DTranspose(19, 3, 2, padding='same', **bias)(x)", "transposed_conv2d", {**CONV, "kernel": 3}),
    ("L.Conv2DTranspose(19, 4, 2, activation='relu', **bias)(x)", "transposed_conv2d",
     {**CONV, "kernel": 4, "padding": 0, "activation": 1}),
    ("L.DepthwiseConv2D(3, depth_multiplier=2, padding='same', **bias)(x)", "depthwise_conv2d",
     {**IMAGE, "kernel": 3, "multiplier": 2, "activation": 0}),
    ("L.DepthwiseConv2D(3, dilation_rate=2, **bias)(x)", "depthwise_conv2d",
     {**IMAGE, "kernel": 3, "dilation": 2, "padding": 0, "activation": 0}),
    ("L.MaxPooling2D((1, 3), (1, 2))(x)", "max_pool2d",
     {**IMAGE, "kernel": 1, "kernel_width": 3, "stride": 1, "stride_width": 2}),
    ("L.UpSampling2D((2, 3), interpolation='bilinear')(x)", "resize_bilinear",
     {**IMAGE, "out_height": 18, "out_width": 30}),
    ("L.Resizing(16, 16, interpolation='nearest')(x)", "resize_nearest",
     {**IMAGE, "out_height": 16, "out_width": 16}),
    ("L.GlobalMaxPooling2D()(x)", "reduce_max", IMAGE),
    ("L.PReLU(shared_axes=[1, 2], alpha_initializer='random_normal')(x)", "prelu", IMAGE),
    ("L.PReLU(alpha_initializer='random_normal')(x)", "prelu", {**IMAGE, "shared": 0}),
    ("L.Subtract()([x, x2])", "sub", IMAGE),
    ("L.Maximum()([x, x2])", "maximum", IMAGE),
    ("L.Minimum()([x, x2])", "minimum", IMAGE),
    ("L.Permute((2, 1, 3))(x)", "transpose", IMAGE),
    ("L.Permute((1, 3, 2))(x)", "transpose", {**IMAGE, "order": 1}),
    ("L.Permute((3, 2, 1))(x)", "transpose", {**IMAGE, "order": 2}),
    ("L.Cropping2D(1)(x)", "slice", {**IMAGE, "height": 7, "width": 8}),
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
        ("hard_swish", "hard_swish"), ("elu", "elu"), ("gelu", "gelu"), ("leaky_relu", "leaky_relu"),
        ("exponential", "exp"), ("hard_tanh", "relu_n1_to_1"))),
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


SMALL = {"height": 3, "width": 4, "channels": 6}
BATCH = {"batch": 2, "rows": 3, "in_channels": 4, "out_channels": 5}

#: (Kind, dimensions, the same in numpy, of its inputs and the one array that it holds)
IN_NUMPY = [
    ("log", SMALL, lambda x, _: np.log(x)),
    ("sqrt", SMALL, lambda x, _: np.sqrt(x)),
    ("rsqrt", SMALL, lambda x, _: 1 / np.sqrt(x)),
    ("square", SMALL, lambda x, _: x * x),
    ("abs", SMALL, lambda x, _: np.abs(x)),
    ("neg", SMALL, lambda x, _: -x),
    ("cast", SMALL, lambda x, _: x.astype(np.float32)),
    ("div", SMALL, lambda x, y, _: x / y),
    ("squared_difference", SMALL, lambda x, y, _: (x - y) ** 2),
    *((kind, {**SMALL, "broadcast": broadcast}, function)
      for kind, function in (("add", lambda x, y, _: x + y), ("compare", lambda x, y, _: x > y))
      for broadcast in (0, 1, 2, 3, 4)),
    *(("mul", {**SMALL, "constant": 1, "broadcast": broadcast}, lambda x, held: x * held)
      for broadcast in (0, 1, 2, 3, 4)),
    ("select", SMALL, lambda mask, x, y, _: np.where(mask, x, y)),
    ("select", {**SMALL, "broadcast": 1}, lambda mask, x, _: np.where(mask, x, np.float32(0))),
    ("sum", SMALL, lambda x, _: x.sum((1, 2))),
    ("mean", {**SMALL, "over": 1}, lambda x, _: x.mean(3)),
    ("mean", {**SMALL, "over": 2}, lambda x, _: x.mean(2)),
    ("split", {**SMALL, "outputs": 3}, lambda x, _: x[..., :2]),
    ("split", {**SMALL, "outputs": 4}, lambda x, _: x[..., :2]),
    ("slice", {**SMALL, "stride": 2}, lambda x, _: x[:, ::2, ::2]),
    ("reshape", {"channels": 6}, lambda x, _: x.reshape(1, 6)),
    ("tile", {**SMALL, "times": 3}, lambda x, _: np.tile(x, (1, 1, 3, 1, 1))),
    ("batch_matmul", BATCH, lambda x, y, _: x @ y),
    ("batch_matmul", {**BATCH, "transposed": 1}, lambda x, y, _: x @ y.transpose(0, 2, 1)),
    ("gather", {"rows": 4, "channels": 3, "entries": 7}, lambda rows, held: held[rows]),
]  # fmt: skip


def test_every_kind_is_compared():
    assert {kind for _, kind, _ in LAYERS} | {kind for kind, _, _ in IN_NUMPY} == set(KINDS)


@pytest.mark.parametrize("case", IN_NUMPY, ids=lambda case: case[0])
def test_computes_what_its_name_says(runner, case):
    kind, dims, function = case
    probe = build_probe(kind, dims)
    rng = np.random.default_rng(3)
    operands = [
        rng.integers(0, 2, shape).astype(dtype)
        if np.dtype(dtype).kind in "bi"
        else (0.5 + rng.random(shape)).astype(dtype)
        for shape, dtype in runner_inputs(probe)
    ]
    held = _random_weights(kind, KINDS[kind].complete(dims), 0)
    (output,) = runner.run(probe, operands)
    expected = function(*operands, held[0] if held else None)
    np.testing.assert_allclose(output.reshape(expected.shape), expected, rtol=1e-5, atol=1e-6)


def runner_inputs(probe):
    """Shapes and types of a model's inputs, as LiteRT sees them."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=probe)
    return [(tuple(detail["shape"]), detail["dtype"]) for detail in interpreter.get_input_details()]


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_probe_is_read_as_what_it_was_made_for(kind):
    for _, dims, _ in design([kind], 40):
        (operator,) = read_operators(build_probe(kind, dims))
        assert (operator.kind, operator.dims, operator.problem) == (kind, dims, None)


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
    for configuration in design(None, 2 * len(KINDS)):
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
        ("split", {"channels": 2, "outputs": 3}, "3 outputs need as many channels"),
        ("mean", {**IMAGE, "over": 3}, "over must be 0 to 2; received 3"),
        ("grouped_conv2d", {**CONV, "kernel": 3, "groups": 5}, "in_channels must be a multiple of groups"),
        ("conv2d", {**CONV, "kernel": 3, "dilation": 5, "padding": 0}, "must fit into the input"),
        ("max_pool2d", {**IMAGE, "kernel": 10, "stride": 1}, "must fit into the input"),
    ],
)
def test_impossible_probes_are_refused(kind, dims, message):
    with pytest.raises(UsageError, match=message):
        build_probe(kind, dims)
