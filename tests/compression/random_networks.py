"""Random small networks for property tests, drawn by hypothesis.

A network grows by steps; each reads one or two earlier tensors of the same size, so
residual, concatenating, depthwise, pre-activation and flattening wirings all occur.
"""

from __future__ import annotations

import keras
import numpy as np
from hypothesis import strategies as st

L = keras.layers

STEPS = ("conv", "conv_bn_relu", "pointwise", "depthwise", "separable", "bn", "relu", "pool", "add", "concat",
         "dense", "pad", "nested", "shared", "operator_add")  # fmt: skip


#: Also rarer ones whose channels can be cut as exactly.
CUTTABLE = (*STEPS, "asymmetric", "dilated", "squeeze_excite", "squeeze_dense", "upsample", "transposed", "norm",
            "softplus", "prelu", "slice", "multiplier", "numbers", "spread", "sequence", "volume", "rows", "tokens",
            "attention", "both_ways")  # fmt: skip

#: Those whose channels go in groups. Of one group that is left nobody can say that there were several.
IN_GROUPS = ("grouped", "group_norm")

#: All layers, of which some cannot be cut.
MORE_STEPS = (*STEPS, "asymmetric", "grouped", "dilated", "squeeze_excite", "upsample", "transposed", "norm",
              "softplus", "prelu", "slice", "tokens")  # fmt: skip


def random_network(draw, side: int = 6, steps: tuple[str, ...] = STEPS) -> keras.Model:
    """A built functional model with random weights, batch statistics included; one or two outputs.

    Args:
        draw: of ``st.data()``. Networks are built in the test, not in a strategy: keras draws seeds.
    """
    seed = draw(st.integers(0, 2**16))
    image = keras.Input((side, side, draw(st.sampled_from([1, 2, 3]))))
    tensors = [L.Conv2D(draw(_widths), 3, padding="same")(image)]
    shared: dict[int, keras.layers.Layer] = {}
    for _ in range(draw(st.integers(2, 7))):
        x = draw(st.sampled_from(tensors[-3:]))
        tensors.append(_step(draw, draw(st.sampled_from(steps)), x, tensors, shared))
    outputs = [_head(draw, tensors[-1])]
    if draw(st.booleans()):
        outputs.append(_head(draw, tensors[-2]))
    model = keras.Model(image, outputs if len(outputs) > 1 else outputs[0])
    randomize(model, seed)
    return model


_widths = st.integers(1, 7)


def _step(draw, step, x, tensors, shared):
    same = [t for t in tensors if t.shape[1:3] == x.shape[1:3]]
    equal = [t for t in same if t.shape == x.shape]
    match step:
        case "conv":
            return L.Conv2D(
                draw(_widths), 3, padding="same", activation=draw(st.sampled_from([None, "relu"]))
            )(x)
        case "conv_bn_relu":
            x = L.Conv2D(draw(_widths), 3, padding="same", use_bias=False)(x)
            return L.ReLU()(L.BatchNormalization()(x))
        case "pointwise":
            return L.Conv2D(draw(_widths), 1, activation="sigmoid")(x)
        case "depthwise":
            return L.DepthwiseConv2D(3, padding="same")(x)
        case "separable":
            return L.SeparableConv2D(draw(_widths), 3, padding="same", activation="tanh")(x)
        case "bn":
            return L.BatchNormalization(center=draw(st.booleans()), scale=draw(st.booleans()))(x)
        case "relu":
            return L.Activation(draw(st.sampled_from(["relu", "silu", "tanh"])))(x)
        case "pool":
            return L.MaxPooling2D(2, strides=1, padding="same")(x)
        case "add":
            return L.Add()([x, draw(st.sampled_from(equal))])
        case "operator_add":
            return x + draw(st.sampled_from(equal))
        case "concat":
            return L.Concatenate()([x, draw(st.sampled_from(same))])
        case "dense":
            return L.Dense(draw(_widths), activation="relu")(x)
        case "pad":
            return L.Cropping2D(1)(L.ZeroPadding2D(1)(x))
        case "nested":
            inner = keras.Sequential(
                [keras.Input(x.shape[1:]), L.Conv2D(draw(_widths), 1), L.BatchNormalization(), L.ReLU()]
            )
            return inner(x)
        case "shared":
            channels = x.shape[-1]
            layer = shared.setdefault(channels, L.Conv2D(channels, 3, padding="same"))
            return layer(L.ReLU()(layer(x)))
    return _further_step(draw, step, x)


def _further_step(draw, step, x):
    channels = x.shape[-1]
    match step:
        case "asymmetric":
            kernel = draw(st.sampled_from([(1, 3), (5, 1)]))
            return L.Conv2D(draw(_widths), kernel, padding="same", activation="relu")(x)
        case "grouped":
            x = L.Conv2D(6, 1)(x)
            return L.BatchNormalization()(
                L.Conv2D(6, 3, groups=draw(st.sampled_from([2, 3, 6])), padding="same")(x)
            )
        case "dilated":
            return L.Conv2D(draw(_widths), 3, padding="same", dilation_rate=2)(x)
        case "squeeze_excite":
            squeezed = L.GlobalAveragePooling2D(keepdims=True)(x)
            gate = L.Conv2D(channels, 1, activation=draw(st.sampled_from(["sigmoid", "hard_sigmoid"])))(
                squeezed
            )
            return L.Multiply()([x, gate])
        case "squeeze_dense":
            squeezed = L.Dense(draw(_widths), activation="relu")(L.GlobalAveragePooling2D()(x))
            gate = L.Dense(channels, activation="sigmoid")(squeezed)
            return x * L.Reshape((1, 1, channels))(gate)
        case "group_norm":
            x = L.Conv2D(6, 1)(x)
            return L.GroupNormalization(draw(st.sampled_from([2, 3, -1])))(x)
        case "multiplier":
            return L.DepthwiseConv2D(3, padding="same", depth_multiplier=2)(x)
        case "numbers":
            return keras.ops.relu6(2.0 * x + 3.0) / 6.0 - x
        case "spread":
            return L.Multiply()([x, L.Conv2D(1, 1, activation="sigmoid")(x)])
        case "sequence":
            height, width = x.shape[1:3]
            rows = L.Reshape((height * width, channels))(x)
            rows = L.Conv1D(draw(_widths), 3, padding="same", activation="relu")(rows)
            rows = L.SeparableConv1D(draw(_widths), 3, padding="same")(rows)
            rows = (
                L.RMSNormalization()(rows)
                if draw(st.booleans())
                else L.DepthwiseConv1D(3, padding="same")(rows)
            )
            rows = L.MaxPooling1D(2)(L.Conv1DTranspose(draw(_widths), 3, strides=2, padding="same")(rows))
            return L.Reshape((height, width, rows.shape[-1]))(rows)
        case "volume":
            height, width = x.shape[1:3]
            volume = L.Conv3D(draw(_widths), 2, padding="same")(L.Reshape((1, height, width, channels))(x))
            return L.Reshape((height, width, volume.shape[-1]))(volume)
        case "rows":
            return x[:, :, :, :] + keras.ops.mean(x, axis=(1, 2), keepdims=True)
        case "upsample":
            mode = draw(st.sampled_from(["nearest", "bilinear"]))
            return L.MaxPooling2D(2)(L.UpSampling2D(2, interpolation=mode)(x))
        case "transposed":
            return L.MaxPooling2D(2)(
                L.Conv2DTranspose(draw(_widths), 3, 2, padding="same", activation="relu")(x)
            )
        case "norm":
            return L.LayerNormalization()(x)
        case "softplus":
            return L.Activation(draw(st.sampled_from(["softplus", "mish", "hard_silu", "celu", "gelu"])))(x)
        case "prelu":
            return L.PReLU(shared_axes=[1, 2])(x)
        case "slice":
            return L.ZeroPadding2D(((0, 1), (1, 0)))(L.Cropping2D(((1, 0), (0, 1)))(x))
        case "tokens":
            channels = 4  # the converter fails on one channel
            x = L.Conv2D(channels, 1)(x)
            height, width = x.shape[1:3]
            tokens = L.Reshape((height * width, channels))(x)
            tokens = L.Add()([tokens, L.MultiHeadAttention(2, 4)(tokens, tokens)])
            return L.Reshape((height, width, channels))(L.Dense(channels, activation="gelu")(tokens))
        case "attention":
            height, width = x.shape[1:3]
            sequence = L.Reshape((height * width, channels))(x)
            others = L.Conv1D(draw(_widths), 2, strides=2)(sequence)
            values = draw(st.sampled_from([others, L.Dense(draw(_widths))(others)]))
            attention = L.MultiHeadAttention(
                draw(st.integers(1, 4)),
                draw(st.integers(1, 3)),
                value_dim=draw(st.sampled_from([None, 2])),
                use_bias=draw(st.booleans()),
                output_shape=draw(st.sampled_from([None, channels])),
            )
            mixed = attention(sequence, values, key=draw(st.sampled_from([None, others])))
            return L.Reshape((height, width, channels))(sequence + mixed)
        case "both_ways":
            height, width = x.shape[1:3]
            layer = draw(st.sampled_from([L.LSTM, L.GRU, L.SimpleRNN]))(draw(_widths), return_sequences=True)
            both = L.Bidirectional(layer, merge_mode=draw(st.sampled_from(["concat", "sum", "mul", "ave"])))
            rows = both(L.Reshape((height * width, channels))(x))
            return L.Reshape((height, width, rows.shape[-1]))(rows)
    raise AssertionError(step)


def _head(draw, x):
    flat = draw(st.booleans())
    x = L.Flatten()(L.AveragePooling2D(3)(x)) if flat else L.GlobalAveragePooling2D()(x)
    if draw(st.booleans()):
        x = L.Dense(draw(_widths), activation="relu")(x)
    return L.Dense(3)(x)


def randomize(model: keras.Model, seed: int = 0) -> None:
    """Random weights everywhere, statistics of batch normalization included, outputs of order 1."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            randomize(layer, seed + 1)
        elif layer.weights:
            layer.set_weights([_random(rng, w) for w in layer.weights])


def _random(rng, weight):
    shape = weight.shape
    if "variance" in weight.name:
        return rng.uniform(0.5, 1.5, shape)
    if "gamma" in weight.name:
        return rng.uniform(0.5, 1.5, shape)
    fan_in = int(np.prod(shape[:-1])) if len(shape) > 1 else 1
    return rng.normal(0, (1 / max(fan_in, 1)) ** 0.5 if len(shape) > 1 else 0.3, shape)


def open_random_gates(model, seed: int, closed: float = 0.5) -> None:
    """Close about a share of the gates of each space and leave the others open, wholly or partly."""
    rng = np.random.default_rng(seed)
    for gate in model.gates.values():
        logits = rng.uniform(-2.3, 6.0, gate.channels)
        logits[rng.random(gate.channels) < closed] = -6.0
        gate.set_logits(logits)
