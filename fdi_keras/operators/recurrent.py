"""What explains the time of recurrent layers: LSTM and GRU, as a loop and unrolled.

LiteRT has no operator for a Keras LSTM or GRU. With batch size 1 the converter makes a
WHILE loop around the operators of one step, or, of a layer with ``unroll=True``, those
operators once for every step. The two cost differently and are different kinds: the
loop pays for its control, and the unrolled form keeps its weights once for every step.

Either is one operator here, because its parts are too small to be timed alone, and its
explanatory variables are sums over the steps. What counts as internal memory is our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

Columns = Mapping[str, Any]
Variables = tuple[Any, Any, Any, Any, Any]

FLOAT_BYTES = 4

#: Gates of a cell: parts of width ``units`` that its two matrix products make.
GATES = {"lstm": 4, "gru": 3}

#: Bias vectors of width gates x units: a GRU with ``reset_after``, the default, has one a product.
BIASES = {"lstm": 1, "gru": 2}

#: FLOPs an element of the state and step beside the products: activations, products, sums (our choice).
ELEMENT_FLOPS = {"lstm": 18, "gru": 16}

#: ``outputs`` is how many are returned: that of the last step, 1, or those of all steps. It says in numbers
#: what a switch would say, so that one leaf can hold both.
DIMENSIONS = ("steps", "in_channels", "units", "outputs")
UNROLLED_DIMENSIONS = DIMENSIONS[:3]


def _while(c: Columns, cell: str) -> Variables:
    width = GATES[cell] * c["units"]
    every = c["steps"] * c["units"]
    macs = c["steps"] * width * (c["in_channels"] + c["units"])
    return (
        2 * macs + ELEMENT_FLOPS[cell] * every,
        FLOAT_BYTES * c["steps"] * c["in_channels"],
        FLOAT_BYTES * c["outputs"] * c["units"],
        # To put its output into the middle of all outputs, a step copies them.
        FLOAT_BYTES * (c["steps"] * width + c["outputs"] * every),
        width * (c["in_channels"] + c["units"] + BIASES[cell]),
    )


def _unrolled(c: Columns, cell: str) -> Variables:
    width = GATES[cell] * c["units"]
    every = c["steps"] * c["units"]
    # Before the first step the state is zero, and nothing is multiplied with it.
    macs = width * (c["steps"] * c["in_channels"] + (c["steps"] - 1) * c["units"])
    return (
        2 * macs + ELEMENT_FLOPS[cell] * every,
        FLOAT_BYTES * c["steps"] * c["in_channels"],
        FLOAT_BYTES * every,
        FLOAT_BYTES * c["steps"] * width,
        # The products of every step keep weights of their own, packed for them.
        macs + c["steps"] * BIASES[cell] * width,
    )


def reverse(c: Columns) -> Variables:
    """Of turning the order of the steps around, before or after a layer that goes backwards."""
    elements = c["steps"] * c["channels"]
    return (0 * elements, FLOAT_BYTES * elements, FLOAT_BYTES * elements, 0 * elements, 0 * elements)


#: Kinds by name: dimensions and formula.
RECURRENT: dict[str, tuple[tuple[str, ...], Callable[[Columns], Variables]]] = {
    **{f"{cell}_while": (DIMENSIONS, partial(_while, cell=cell)) for cell in GATES},
    **{f"{cell}_unrolled": (UNROLLED_DIMENSIONS, partial(_unrolled, cell=cell)) for cell in GATES},
}


def cell_of(kind: str) -> str:
    """The cell of a recurrent kind.

    >>> cell_of("lstm_while")
    'lstm'
    """
    return kind.partition("_")[0]
