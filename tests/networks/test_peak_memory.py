"""Memory of feature maps: as the exported file has them, and as LiteRT lays them out, at any widths."""

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples

import fdi_keras as fdi
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.networks.peak_memory import PeakMemory

L = keras.layers


def inverted(width=24):
    """Pointwise and depthwise convolutions around an addition, with explicit padding."""
    x = image = keras.Input((16, 16, 3))
    x = L.ReLU()(L.BatchNormalization()(L.Conv2D(16, 3, padding="same", use_bias=False)(x)))
    y = L.ReLU(6.0)(L.Conv2D(width, 1)(x))
    y = L.ReLU(6.0)(L.DepthwiseConv2D(3, padding="same")(y))
    x = L.Add()([x, L.Conv2D(16, 1)(y)])
    x = L.DepthwiseConv2D(3, strides=2)(L.ZeroPadding2D(((0, 1), (0, 1)))(x))
    return keras.Model(image, L.Dense(5)(L.GlobalAveragePooling2D()(x)))


def side_by_side(width=12):
    """Concatenation keeps early maps alive; a gate of squeeze and excitation reads one twice."""
    image = keras.Input((12, 12, 2))
    a = L.Conv2D(width, 3, padding="same", activation="relu")(image)
    b = L.Conv2D(8, 3, padding="same", activation="relu")(a)
    c = L.Concatenate()([image, a, b])
    scale = L.Dense(width + 10, "sigmoid")(L.GlobalAveragePooling2D(keepdims=True)(c))
    x = L.Conv2D(6, 1)(L.Multiply()([c, scale]))
    return keras.Model(image, L.Dense(3)(L.Flatten()(x)))


def swish(width=20):
    """An activation of two operators: three maps of one size are there at once."""
    image = keras.Input((10, 10, 3))
    x = L.Activation("silu")(L.Conv2D(width, 3, padding="same")(image))
    return keras.Model(image, L.Dense(3)(L.GlobalMaxPooling2D()(x)))


NETWORKS = [inverted, side_by_side, swish]


def alive_in_file(content: bytes) -> int:
    """The most bytes of a file's tensors between being made and being read last; inputs and outputs stay."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    graph = model.subgraphs[0]
    size = {
        i: 4 * int(np.prod(np.abs(tensor.shape)))
        for i, tensor in enumerate(graph.tensors)
        if model.buffers[tensor.buffer].data is None or not len(model.buffers[tensor.buffer].data)
    }
    end = len(graph.operators)
    made = {int(i): -1 for i in graph.inputs}
    last = {int(i): end for i in (*graph.inputs, *graph.outputs)}
    for step, operator in enumerate(graph.operators):
        for i in map(int, operator.outputs):
            made.setdefault(i, step)
        for i in map(int, (*operator.inputs, *operator.outputs)):
            last[i] = max(last.get(i, -1), step)
    return max(sum(size[i] for i in made if i in size and made[i] <= step <= last[i]) for step in range(end))


def peak(model) -> tuple[PeakMemory, np.ndarray]:
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    return PeakMemory(graph, spaces), np.array([space.width for space in spaces], float)


@pytest.mark.parametrize("build", NETWORKS)
def test_as_the_file_has_it(build):
    memory, widths = peak(build())
    assert memory.bytes(widths).max() == alive_in_file(fdi.export_litert(build()))


def test_litert_needs_as_much():
    """Without delegates the tensors of the interpreter lie in one arena; these kernels need nothing for themselves."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    # 1 x 1 and depthwise convolutions alone: others unfold their input.
    x = image = keras.Input((16, 16, 8))
    for width in (24, 8, 40):
        x = L.DepthwiseConv2D(3, padding="same")(L.Conv2D(width, 1)(x))
    model = keras.Model(image, x)
    interpreter = Interpreter(
        model_content=fdi.export_litert(model),
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    spans = []
    names = {detail["name"]: detail for detail in interpreter.get_tensor_details()}
    for detail in names.values():
        if detail["shape"].tolist()[:3] != [1, 16, 16]:
            continue  # weights
        array = interpreter.tensor(detail["index"])()
        start = array.__array_interface__["data"][0]
        spans.append((start, start + array.nbytes))
    arena = max(end for _, end in spans) - min(start for start, _ in spans)
    memory, widths = peak(model)
    assert memory.bytes(widths).max() <= arena <= 1.3 * memory.bytes(widths).max()


@examples(12)
@given(build=st.sampled_from(NETWORKS), seed=st.integers(0, 1000))
def test_at_other_widths_as_of_the_narrower_network(build, seed):
    model = build()
    memory, widths = peak(model)
    rng = np.random.default_rng(seed)
    spaces = find_channel_spaces(read_graph(model))
    kept = {space.name: int(rng.integers(1, space.width + 1)) for space in spaces.prunable}
    narrow, full = peak(fdi.apply_widths(model, kept))
    wanted = np.array([kept.get(space.name, space.width) for space in spaces], float)
    assert memory.bytes(wanted).max() == narrow.bytes(full).max()
    expected = memory.expected_bytes(keras.ops.convert_to_tensor(np.array([wanted, widths], "float32")))
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(expected), [memory.bytes(w).max() for w in (wanted, widths)], rtol=1e-6
    )


def test_what_never_needs_most_is_left_out():
    memory, _ = peak(side_by_side())
    rows = np.column_stack([memory.matrix, memory.constant])
    for i, row in enumerate(rows):
        assert not any((other >= row).all() for other in np.delete(rows, i, axis=0))
