"""Probes of recurrent layers: what the converter makes of a Keras LSTM or GRU with batch size 1.

As a loop: the input with its steps first, a WHILE operator with a subgraph for the
condition and one for the operators of a step, and the last output taken out of what the
loop leaves. Unrolled: the input cut into its steps, and the operators of a step for each;
the first one is shorter, because the state before it is known to be zero.

Operators and their order are those of the exported layer, and tests hold the outputs of
both equal. The loop carries two counters (of steps, and of turns), the outputs so far,
the state, and the whole input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fdi_keras.operators.recurrent import BIASES, GATES, cell_of
from fdi_keras.profiling.flatbuffer import OMITTED, ModelBuilder

Dims = Mapping[str, int]
Weights = Sequence[np.ndarray]

#: How many tensors a cell keeps from step to step: an LSTM its output and its memory.
STATES = {"lstm": 2, "gru": 1}

NO_ACTIVATION = {"fusedActivationFunction": 0}


class _Cell(NamedTuple):
    """The cell's weights in one subgraph: tensor indices, and its width."""

    kernel: int
    recurrent: int
    input_bias: int
    recurrent_bias: int
    axis: int
    one: int
    units: int
    biases: list[np.ndarray]


def recurrent_weights(kind: str, dims: Dims, pool: np.ndarray) -> list[np.ndarray]:
    """Kernel, recurrent kernel and bias in Keras' layout, cut from a pool of numbers."""
    cell, n_in, units = cell_of(kind), dims["in_channels"], dims["units"]
    width = GATES[cell] * units
    bias = np.resize(pool, (BIASES[cell], width))
    # Made in the order in which the file stores them: transposing twice costs nothing.
    return [
        np.resize(pool, (width, n_in)).T,
        np.resize(pool, (width, units)).T,
        bias if BIASES[cell] > 1 else bias[0],
    ]


def _cell(builder: ModelBuilder, cell: str, dims: Dims, weights: Weights) -> _Cell:
    kernel, recurrent, bias = weights
    biases = [bias] if BIASES[cell] == 1 else list(bias)
    return _Cell(
        builder.constant(kernel.T),
        builder.constant(recurrent.T),
        builder.constant(biases[0]),
        builder.constant(biases[1]) if len(biases) > 1 else OMITTED,
        builder.constant(_int32(1 if cell == "lstm" else -1)),
        builder.constant(np.ones((), np.float32)) if cell == "gru" else OMITTED,
        dims["units"],
        biases,
    )


# The operators of a step


def _lstm_step(b: ModelBuilder, cell: _Cell, x: int, states: Sequence[int]) -> list[int]:
    """Output and memory after a step; no states: those before the first."""
    width = 4 * cell.units
    made: int
    if not states:
        made = _product(b, x, cell.kernel, cell.input_bias, width)
    else:
        past = _product(b, states[0], cell.recurrent, OMITTED, width)
        past = b.operator("RESHAPE", [past, b.constant(_int32([width]))], [width], "ReshapeOptions")
        made = _product(b, x, cell.kernel, OMITTED, width)
        made = _binary(b, "ADD", made, past, width)
        made = _binary(b, "ADD", made, cell.input_bias, width)
    into, forget, new, out = _split(b, cell, made, 4)
    into = _unary(b, "LOGISTIC", into, cell.units)
    if states:
        forget = _unary(b, "LOGISTIC", forget, cell.units)
        kept = _binary(b, "MUL", forget, states[1], cell.units)
    out = _unary(b, "LOGISTIC", out, cell.units)
    new = _unary(b, "TANH", new, cell.units)
    memory = _binary(b, "MUL", into, new, cell.units)
    if states:
        memory = _binary(b, "ADD", kept, memory, cell.units)
    shown = _unary(b, "TANH", memory, cell.units)
    return [_binary(b, "MUL", out, shown, cell.units), memory]


def _gru_step(b: ModelBuilder, cell: _Cell, x: int, states: Sequence[int]) -> list[int]:
    """Output after a step; no state: the one before the first."""
    units = cell.units
    if states:
        past = _product(b, states[0], cell.recurrent, cell.recurrent_bias, 3 * units)
        past_update, past_reset, past_new = (_slice(b, past, units, gate) for gate in range(3))
    else:  # of a state that is zero the product is the bias, which the converter cuts into gates
        gates = np.split(cell.biases[1][None], 3, axis=1)
        past_update, past_reset, past_new = (b.constant(gate) for gate in gates)
    update, reset, new = _split(b, cell, _product(b, x, cell.kernel, cell.input_bias, 3 * units), 3)
    update = _unary(b, "LOGISTIC", _binary(b, "ADD", update, past_update, units), units)
    kept = _binary(b, "MUL", update, states[0], units) if states else None
    rest = _binary(b, "SUB", cell.one, update, units)
    reset = _unary(b, "LOGISTIC", _binary(b, "ADD", reset, past_reset, units), units)
    new = _binary(b, "ADD", new, _binary(b, "MUL", reset, past_new, units), units)
    new = _binary(b, "MUL", rest, _unary(b, "TANH", new, units), units)
    return [new if kept is None else _binary(b, "ADD", kept, new, units)]


_STEPS = {"lstm": _lstm_step, "gru": _gru_step}


def _product(b: ModelBuilder, x: int, weights: int, bias: int, width: int) -> int:
    return b.operator(
        "FULLY_CONNECTED", [x, weights, bias], (1, width), "FullyConnectedOptions", NO_ACTIVATION
    )


def _unary(b: ModelBuilder, name: str, x: int, width: int) -> int:
    return b.operator(name, [x], (1, width))


def _binary(b: ModelBuilder, name: str, x: int, y: int, width: int) -> int:
    return b.operator(name, [x, y], (1, width), f"{name.capitalize()}Options", NO_ACTIVATION)


def _split(b: ModelBuilder, cell: _Cell, x: int, parts: int) -> list[int]:
    outputs = [((1, cell.units), "FLOAT32")] * parts
    return b.operator_of_many("SPLIT", [cell.axis, x], outputs, "SplitOptions", {"numSplits": parts})


def _slice(b: ModelBuilder, x: int, units: int, gate: int) -> int:
    limits = [_int32([0, gate * units]), _int32([0, (gate + 1) * units % (3 * units)]), _int32([1, 1])]
    masks = {"beginMask": 1 if gate else 3, "endMask": 3 if gate == 2 else 1}
    operands = [x, *(b.constant(limit) for limit in limits)]
    return b.operator("STRIDED_SLICE", operands, (1, units), "StridedSliceOptions", masks)


# The loop


def _while(b: ModelBuilder, dims: Dims, weights: Weights, cell: str) -> int:
    steps, n_in, units = (dims[d] for d in ("steps", "in_channels", "units"))
    every = dims["outputs"] > 1
    x = _steps_first(b, steps, n_in)
    zero, state = b.constant(_int32(0)), b.constant(np.zeros((1, units), np.float32))
    outputs = b.constant(np.zeros((steps if every else 1, 1, units), np.float32))
    carried = [zero, zero, outputs, *[state] * STATES[cell], x]
    signature = [
        *[((), "INT32")] * 2,
        ((steps if every else 1, 1, units), "FLOAT32"),
        *[((1, units), "FLOAT32")] * STATES[cell],
        ((steps, 1, n_in), "FLOAT32"),
    ]
    settings = {
        "condSubgraphIndex": _condition(b, signature, steps),
        "bodySubgraphIndex": _body(b, signature, dims, weights, cell),
    }
    made = b.operator_of_many("WHILE", carried, signature, "WhileOptions", settings)[2]
    if every:
        return _reshape(b, made, (1, steps, units))
    limits = [_int32([-1, 0, 0]), _int32([0, 1, units]), _int32([1, 1, 1])]
    operands = [made, *(b.constant(limit) for limit in limits)]
    masks = {"beginMask": 6, "endMask": 6, "shrinkAxisMask": 1}
    return b.operator("STRIDED_SLICE", operands, (1, units), "StridedSliceOptions", masks)


_Signature = Sequence[tuple[Sequence[int], str]]


def _condition(b: ModelBuilder, signature: _Signature, steps: int) -> int:
    with b.subgraph("condition") as number:
        turn, step, *_ = [b.input(shape, dtype) for shape, dtype in signature]
        limit = b.constant(_int32(steps))
        in_steps, in_turns = (
            b.operator("LESS", [counter, limit], (), "LessOptions", dtype="BOOL") for counter in (step, turn)
        )
        both = b.operator("LOGICAL_AND", [in_turns, in_steps], (), "LogicalAndOptions", dtype="BOOL")
        b.returns([both])
    return number


def _body(b: ModelBuilder, signature: _Signature, dims: Dims, weights: Weights, cell: str) -> int:
    units, n_in = dims["units"], dims["in_channels"]
    with b.subgraph("body") as number:
        turn, step, outputs, *states, xs = [b.input(shape, dtype) for shape, dtype in signature]
        one = b.constant(_int32(1))
        next_turn, next_step = (
            b.operator("ADD", [counter, one], (), "AddOptions", NO_ACTIVATION, "INT32")
            for counter in (turn, step)
        )
        x = b.operator("GATHER", [xs, step], (1, n_in), "GatherOptions", {"axis": 0})
        states = _STEPS[cell](b, _cell(b, cell, dims, weights), x, states)
        made = _reshape(b, states[0], (1, 1, units))
        if dims["outputs"] > 1:
            made = _inserted(b, outputs, made, step, next_step, dims)
        b.returns([next_turn, next_step, made, *states, xs])
    return number


def _inserted(b: ModelBuilder, outputs: int, made: int, step: int, next_step: int, dims: Dims) -> int:
    """The outputs with that of this step in its place: what is before it, it, and what is behind it."""
    before_size = _joined(b, step, [-1, -1])
    start = b.constant(_int32([0, 0, 0]))
    before = b.operator("SLICE", [outputs, start, before_size], (-1, -1, -1), "SliceOptions")
    behind_start = _joined(b, next_step, [0, 0])
    rest = b.constant(_int32([-1, -1, -1]))
    behind = b.operator("SLICE", [outputs, behind_start, rest], (-1, 1, dims["units"]), "SliceOptions")
    shape = (dims["steps"], 1, dims["units"])
    settings = {"axis": 0, **NO_ACTIVATION}
    return b.operator("CONCATENATION", [before, made, behind], shape, "ConcatenationOptions", settings)


def _joined(b: ModelBuilder, number: int, others: list[int]) -> int:
    """A vector of a number that is computed and two that are given."""
    shape = b.constant(_int32([1]))
    first = b.operator("RESHAPE", [number, shape], (1,), "ReshapeOptions", dtype="INT32")
    settings = {"axis": 0, **NO_ACTIVATION}
    operands = [first, b.constant(_int32(others))]
    return b.operator("CONCATENATION", operands, (3,), "ConcatenationOptions", settings, "INT32")


# Unrolled


def _unrolled(b: ModelBuilder, dims: Dims, weights: Weights, cell: str) -> int:
    steps, n_in = dims["steps"], dims["in_channels"]
    xs = b.operator_of_many(
        "UNPACK",
        [_steps_first(b, steps, n_in)],
        [((1, n_in), "FLOAT32")] * steps,
        "UnpackOptions",
        {"num": steps, "axis": 0},
    )
    shared = _cell(b, cell, dims, weights)
    states: list[int] = []
    for x in xs:
        states = _STEPS[cell](b, shared, x, states)
    return states[0]


def _steps_first(b: ModelBuilder, steps: int, n_in: int) -> int:
    return _reshape(b, b.input((1, steps, n_in)), (steps, 1, n_in))


def _reshape(b: ModelBuilder, x: int, shape: Sequence[int]) -> int:
    return b.operator("RESHAPE", [x, b.constant(_int32(shape))], shape, "ReshapeOptions")


def _reverse(b: ModelBuilder, dims: Dims, _: Weights) -> int:
    shape = (1, dims["steps"], dims["channels"])
    return b.operator("REVERSE_V2", [b.input(shape), b.constant(_int32([1]))], shape, "ReverseV2Options")


def _int32(values: int | Sequence[int]) -> np.ndarray:
    return np.asarray(values, np.int32)


_Builder = Callable[[ModelBuilder, Dims, Weights], int]


def _builder(form: Callable[[ModelBuilder, Dims, Weights, str], int], cell: str) -> _Builder:
    return lambda builder, dims, weights: form(builder, dims, weights, cell)


RECURRENT_BUILDERS: dict[str, _Builder] = {
    **{f"{cell}_while": _builder(_while, cell) for cell in GATES},
    **{f"{cell}_unrolled": _builder(_unrolled, cell) for cell in GATES},
    "reverse": _reverse,
}
