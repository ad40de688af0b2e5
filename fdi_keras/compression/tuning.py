"""What fine-tuning needs besides ``fit``: a learning rate that falls, statistics of the channels that are left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

#: Share of the fine-tuning in which the learning rate rises.
WARM_UP = 0.1

#: Batches from which statistics of batch normalization are estimated anew.
STATISTICS_BATCHES = 50

#: What drops or blurs activations at random, and by which attributes. Attention has a Dropout layer inside.
DROPOUT: dict[type[keras.Layer], tuple[str, ...]] = {
    keras.layers.Dropout: ("rate",),
    keras.layers.AlphaDropout: ("rate",),
    keras.layers.GaussianDropout: ("rate",),
    keras.layers.LSTMCell: ("dropout", "recurrent_dropout"),
    keras.layers.GRUCell: ("dropout", "recurrent_dropout"),
    keras.layers.SimpleRNNCell: ("dropout", "recurrent_dropout"),
}


def rising_and_falling(progress: float) -> float:
    """Learning rate as a share of the highest: it rises in the first tenth, then falls along a cosine.

    >>> rising_and_falling(0.1), round(rising_and_falling(1.0), 3)
    (1.0, 0.0)
    """
    if progress < WARM_UP:
        return progress / WARM_UP
    return 0.5 * (1 + math.cos(math.pi * (progress - WARM_UP) / (1 - WARM_UP)))


@contextmanager
def without_dropout(model: keras.Model) -> Iterator[bool]:
    """Layers that drop activations at random let all of them pass meanwhile. Yields whether there are any.

    Functions that were compiled for training before or meanwhile keep what they were compiled with.
    """
    rates = {
        (layer, name): rate
        for layer in model._flatten_layers()
        for kind, names in DROPOUT.items()
        if isinstance(layer, kind)
        for name in names
        if (rate := getattr(layer, name)) > 0
    }
    try:
        for layer, name in rates:
            setattr(layer, name, 0.0)
        yield bool(rates)
    finally:
        for (layer, name), rate in rates.items():
            setattr(layer, name, rate)


def estimate_statistics(model: keras.Model, x: Any, batch_size: int) -> None:
    """Means and variances of batch normalization anew, after other channels than before feed it.

    Args:
        model: is changed.
        x: inputs of the model, arrays with examples first; some batches of them are used.
        batch_size: examples of a batch.
    """
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    if not norms:
        return
    momenta = [layer.momentum for layer in norms]
    count = len(keras.tree.flatten(x)[0])
    try:
        for step in range(min(STATISTICS_BATCHES, math.ceil(count / batch_size))):
            for layer in norms:
                layer.momentum = step / (step + 1)  # so that all batches count the same
            start = step * batch_size
            model(
                keras.tree.map_structure(lambda a, s=start: np.asarray(a[s : s + batch_size]), x),
                training=True,
            )
    finally:
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
