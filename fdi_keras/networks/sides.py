"""The channels that meet at a call, by name: of what it reads and makes, and of its parts.

Attention has heads, and a layer in both directions has units, that no tensor of the network carries one
by one. They are channels all the same: each is removed with what makes it and what reads it. Other channels
are known by the value whose last axis they are; those of a part by the call's first output and a name.
"""

from __future__ import annotations

import keras

from fdi_keras.networks.graph import Call

L = keras.layers

#: A value of the graph, or a part of the call that makes it: ``(value, name)``.
Carrier = int | tuple[int, str]

#: What attention reads, in the order of its arguments.
ATTENDED = ("query", "value", "key")


def part(call: Call, name: str) -> Carrier:
    """A part of a call, as what carries its channels."""
    return (call.outputs[0], name)


def attended(call: Call) -> dict[str, int]:
    """Values that attention reads, by argument; an array that is no tensor of the network is left out."""
    args, kwargs = call.arguments
    given = {**dict(zip(ATTENDED, args, strict=False)), **kwargs}
    if given.get("key") is None:
        given["key"] = given["value"]
    found = {name: call.value_of.get(id(given[name])) for name in ATTENDED}
    return {name: value for name, value in found.items() if value is not None}


def sides(call: Call) -> dict[str, Carrier]:
    """What carries the channels that a call meets: ``"input"``, ``"output"`` and the names of its parts.

    Attention has no one input, but ``"query"``, ``"value"`` and ``"key"``.
    """
    found: dict[str, Carrier] = {}
    if type(call.layer) is L.MultiHeadAttention:
        found = {**attended(call), "heads": part(call, "heads")}
    elif call.inputs:
        found = {"input": call.inputs[0]}
    if type(call.layer) is L.Bidirectional:
        found["units"] = part(call, "units")
    return {**found, "output": call.outputs[0]}
