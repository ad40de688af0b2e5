"""Recurrent layers made ready for LiteRT: the form they take, and nothing in them that only training needs.

A layer becomes a loop or is unrolled, as its ``unroll`` says; which is faster depends on
the device and the sizes, and a profile of the device tells. A dropout inside a recurrent
layer does nothing at inference, but the converter would write its random numbers into
the file, and split the products of the cell for it: it is taken out.

Only a copy is changed; the user's model stays as it is.
"""

from __future__ import annotations

from typing import Any

import keras

from fdi_keras.errors import ExportError, UnknownOperatorsError, UsageError
from fdi_keras.networks.graph import Call, Graph, copy_with, is_graph_model, read_graph
from fdi_keras.networks.layer_widths import in_both
from fdi_keras.networks.recurrent import CELLS, recurrent_parts
from fdi_keras.profile import DeviceProfile

L = keras.layers

#: What is chosen by a profile is unrolled up to so many steps (our choice): each makes the file longer,
#: and its conversion takes a second for about ten.
MAX_STEPS = 128

WITHOUT_DROPOUT = {"dropout": 0.0, "recurrent_dropout": 0.0}

RECURRENT_LAYERS = (*CELLS, L.SimpleRNN, L.Bidirectional)


def prepared(model: Any, unroll: bool | None, profile: DeviceProfile | None) -> Any:
    """The model to convert: the same one, or a copy whose recurrent layers are in another form.

    Args:
        model: a built Keras model.
        unroll: of all LSTM, GRU and SimpleRNN layers; None leaves them as they are.
        profile: choose for each LSTM and GRU what it predicts to be faster.

    Raises:
        UsageError: both ``unroll`` and ``profile`` were given.
        ExportError: a recurrent layer reads a sequence of unknown length.
        UnknownOperatorsError: the profile knows no time of one of the forms.
        UnsupportedModelError: layers have to be changed, and the model cannot be built again.
    """
    if unroll is not None and profile is not None:
        raise UsageError(
            "unroll and profile exclude each other: say which form recurrent layers take, or let the "
            "profile choose it."
        )
    if not is_graph_model(model) and unroll is None and profile is None:
        return model
    graph = read_graph(model)
    changes: dict[int, dict[str, Any]] = {}
    for call in graph.calls:
        if isinstance(call.layer, RECURRENT_LAYERS):
            _check_steps(graph, call)
            form = _faster(graph, call, profile) if profile is not None else unroll
            changed = _changes(call.layer, WITHOUT_DROPOUT | ({} if form is None else {"unroll": form}))
            if changed:
                changes[id(call.layer)] = changed
    return _rebuilt(graph, changes) if changes else model


def _check_steps(graph: Graph, call: Call) -> None:
    shape = graph.shapes[call.inputs[0]]
    if None in shape[1:]:
        raise ExportError(
            f"{call.name} reads sequences of shape {shape}: LiteRT needs to know how many steps they have. "
            "Build the model with keras.Input of a fixed shape, as in keras.Input((50, 9))."
        )


def in_form(model: keras.Model, unroll: bool) -> keras.Model:
    """The same network with all its recurrent layers as loops, or unrolled.

    Returns:
        A copy with the same weights, not compiled; the model itself where nothing changes.

    Raises:
        ExportError: a recurrent layer reads a sequence of unknown length.
        UnsupportedModelError: layers have to be changed, and the model cannot be built again.
    """
    graph = read_graph(model)
    changes = {}
    for call in graph.calls:
        if isinstance(call.layer, RECURRENT_LAYERS):
            _check_steps(graph, call)
            if changed := _changes(call.layer, {"unroll": unroll}):
                changes[id(call.layer)] = changed
    return _rebuilt(graph, changes) if changes else model


def longest_loop(model: keras.Model) -> int:
    """Steps of the longest sequence that a recurrent layer reads; 0 without any, or where a length is unknown."""
    graph = read_graph(model)
    read: list[Any] = [
        graph.shapes[c.inputs[0]][1:] for c in graph.calls if isinstance(c.layer, RECURRENT_LAYERS)
    ]
    return 0 if any(None in shape for shape in read) else max((shape[0] for shape in read), default=0)


def _changes(layer: Any, wanted: dict[str, Any]) -> dict[str, Any]:
    """Entries of a layer's configuration to change; none when it can stay as it is."""
    if isinstance(layer, L.Bidirectional):
        ways = {"layer": layer.forward_layer, "backward_layer": layer.backward_layer}
        inner = {name: _changes(way, wanted) for name, way in ways.items()}
        if not any(inner.values()):
            return {}
        return in_both(layer, inner)
    if not isinstance(layer, RECURRENT_LAYERS):
        return {}
    return {name: value for name, value in wanted.items() if getattr(layer, name) != value}


def _faster(graph: Graph, call: Call, profile: DeviceProfile) -> bool | None:
    """Whether a layer is predicted to be faster unrolled; None for a kind of layer that nothing predicts."""
    loop_ms = unrolled_ms = 0.0
    parts = [part for part in recurrent_parts(graph, call) if part.kind.startswith(tuple(CELLS.values()))]
    if not parts or any(part.problem for part in parts):
        return None
    for part in parts:
        cell = part.kind.partition("_")[0]
        sizes = {name: part.dims[name] for name in ("steps", "in_channels", "units")}
        outputs = sizes["steps"] if getattr(call.layer, "return_sequences", False) else 1
        times = {}
        for kind, dims in ((f"{cell}_while", {**sizes, "outputs": outputs}), (f"{cell}_unrolled", sizes)):
            if kind not in profile.models:
                raise UnknownOperatorsError(
                    f"profile {profile.name!r} has no time model for {kind}, so it cannot choose the form of "
                    f"{call.name}. Profile the device with: fdi profile --kinds {cell}_while,{cell}_unrolled"
                )
            times[kind] = float(profile.models[kind].predict_ms(dims)[0])
        if sizes["steps"] > MAX_STEPS:
            return False
        loop_ms += times[f"{cell}_while"]
        unrolled_ms += times[f"{cell}_unrolled"]
    return unrolled_ms < loop_ms


def _rebuilt(graph: Graph, changes: dict[int, dict[str, Any]]) -> keras.Model:
    """A copy of the model with these changes, by id of the layer, and the same weights."""
    made: dict[int, Any] = {}

    def build(call: Call, tensors: dict[int, Any]) -> list[Any]:
        return call.apply(copy_with(call, made, changes.get(id(call.layer), {})), tensors)

    model = graph.rebuild(build)
    for layer in graph.layers.values():
        if isinstance(layer, keras.layers.Layer) and made[id(layer)] is not layer:
            made[id(layer)].set_weights(layer.get_weights())
    return model


def check_operators(content: bytes, name: str) -> None:
    """Raise ExportError for a file with operators that only TensorFlow has, or that only custom code has."""
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(bytearray(content), 0)
    custom = sorted({c.customCode.decode(errors="replace") for c in model.operatorCodes if c.customCode})
    if custom:
        flex = [code.removeprefix("Flex") for code in custom if code.startswith("Flex")]
        whose = "of TensorFlow" if len(flex) == len(custom) else "that are custom code"
        raise ExportError(
            f"{name!r} needs operators {whose} that LiteRT does not have: {', '.join(flex or custom)}. "
            "Replace the layers that use them; a recurrent layer of your own needs a fixed batch and "
            "number of steps, or unroll=True."
        )
