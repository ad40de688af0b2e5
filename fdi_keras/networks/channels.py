"""What every rule for channels rests on: what it may say of them, and words for calls and activations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import keras
import numpy as np

from fdi_keras.networks.graph import Call
from fdi_keras.networks.sides import Carrier, attended

L = keras.layers

#: Layers whose units also read each other, one step later.
RECURRENT = (L.LSTM, L.GRU, L.SimpleRNN, L.ConvLSTM1D, L.ConvLSTM2D, L.ConvLSTM3D)

MIXING_ACTIVATION = "{} has an activation that reads several channels at once"


class Channels(Protocol):
    """What a rule sees of the network, and what it may say."""

    shapes: dict[int, tuple[int | None, ...]]

    def of(self, carrier: Carrier) -> np.ndarray:
        """Numbers of the channels along the last axis of a value, or of a part."""

    def make(
        self, carrier: Carrier, producer: str, width: int | None = None, sort: str = ""
    ) -> np.ndarray | None:
        """The call makes new channels, as many as a value has on its last axis, or ``width``.

        ``sort`` tells them from others that the call makes. Returns them; None of a value that has none.
        """

    def carry(self, carrier: Carrier, channels: np.ndarray) -> None:
        """These are the channels along the last axis of a value, or of a part."""

    def tie(self, a: np.ndarray, b: np.ndarray) -> None:
        """Channels that can only be removed together, one by one."""

    def bundle(self, channels: np.ndarray, rows: np.ndarray) -> None:
        """Each row of ``rows`` stands side by side on an axis and is removed with the channel of that row."""

    def keep(self, channels: np.ndarray | None, reason: str) -> None:
        """Channels that cannot be removed."""

    def consume(self, channels: np.ndarray, consumer: str) -> None:
        """The call mixes these: a gate in front of it closes them."""


#: Follows one call; returns why its channels cannot be followed, or None.
Rule = Callable[[Channels, Call], str | None]

#: Activations that read one element at a time, by the name Keras serializes them under.
ELEMENTWISE_ACTIVATIONS = frozenset(
    (
        *("linear", "relu", "relu6", "sigmoid", "tanh", "silu", "swish", "hard_silu", "hard_swish"),
        *("hard_sigmoid", "gelu", "elu", "selu", "softplus", "softsign", "exponential", "leaky_relu"),
        *("celu", "mish", "log_sigmoid", "hard_tanh", "tanh_shrink", "squareplus", "sparse_plus"),
    )
)


def label(call: Call) -> str:
    """A call in words, for reasons."""
    what = "layer" if isinstance(call.layer, L.Layer) else "operation"
    return f"{what} {call.name!r} ({type(call.layer).__name__})"


def activation_name(activation: Any) -> str:
    """The name under which Keras knows an activation function; "?" for functions of the user's own."""
    if activation is None:
        return "linear"
    if isinstance(activation, L.Layer):
        return type(activation).__name__
    name = getattr(activation, "__name__", "?")
    return name if getattr(keras.activations, name, None) is activation else "?"


def elementwise_activation(activation: Any) -> bool:
    """Whether an activation reads one element at a time."""
    return activation is None or activation_name(activation) in ELEMENTWISE_ACTIVATIONS


def values_read(call: Call) -> list[int]:
    """Inputs of a call whose channels matter: numbers of words have none, nor has a mask."""
    if type(call.layer) is L.Embedding:
        return []
    if type(call.layer) is L.MultiHeadAttention:
        return list(attended(call).values())
    mask = call.arguments[1].get("mask") if type(call.layer) in (*RECURRENT, L.Bidirectional) else None
    masking = None if mask is None else call.value_of.get(id(mask))
    return [value for value in call.inputs if value != masking]
