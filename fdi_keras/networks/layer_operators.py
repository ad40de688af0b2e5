"""A Keras network as the operators that LiteRT executes after conversion.

Reading the layers directly (milliseconds) must give what converting the model and
reading the file gives (seconds): batch normalization folded into the convolution
before it, activations fused, explicit padding absorbed where it equals SAME,
dropout gone, attention and normalization in their pieces. The rules, one module a family
of layers, are what the converter was seen to do; tests hold the two ways of reading equal.

What cannot be priced is still listed, with a problem in words: nothing is priced
at zero in silence.
"""

from __future__ import annotations

from fdi_keras.errors import UnsupportedModelError
from fdi_keras.networks import activation_rules, block_rules, operation_rules, tensor_rules, window_rules
from fdi_keras.networks.graph import Call, Graph
from fdi_keras.networks.operator_reader import NetworkOperator, OperatorReader
from fdi_keras.networks.tensor_rules import Rule

__all__ = ["NetworkOperator", "read_layer_operators"]

_RULES: dict[type, Rule] = {
    **window_rules.RULES,
    **activation_rules.RULES,
    **tensor_rules.RULES,
    **block_rules.RULES,
}

_OPERATIONS: dict[str, Rule] = {
    **operation_rules.OPERATIONS,
    **block_rules.OPERATIONS,
    "StochasticDepth": tensor_rules.view,
}


def read_layer_operators(graph: Graph) -> list[NetworkOperator]:
    """The operators of a network, in order of execution.

    Raises:
        UnsupportedModelError: an input has an unknown size.
    """
    return read_calls(graph).operators


def read_calls(graph: Graph) -> OperatorReader:
    """A network as it was read: its operators, and what the runtime has of each value.

    Raises:
        UnsupportedModelError: an input has an unknown size.
    """
    for value in graph.inputs:
        if None in graph.shapes[value][1:]:
            raise UnsupportedModelError(
                f"an input of {graph.name!r} has shape {graph.shapes[value]}: its execution time "
                "depends on sizes that are not known. Build the model with a fixed input shape."
            )
    reader = OperatorReader(graph)
    for call in reader.calls:
        reader.call = call
        rule = _rule(call)
        if rule is None:
            reader.unknown(call)
        else:
            rule(reader, call)
    for value in reader.outputs:
        reader.need(value)
    return reader


def _rule(call: Call) -> Rule | None:
    """Of a layer of the user's own that only bears a known name there is none."""
    own = type(call.layer)
    if own in _RULES:
        return _RULES[own]
    return _OPERATIONS.get(own.__name__) if own.__module__.split(".")[0] == "keras" else None
