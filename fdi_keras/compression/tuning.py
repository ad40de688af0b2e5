"""What fine-tuning needs besides ``fit``: a learning rate that rises, weights averaged over many steps, statistics of
the channels that are left."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

#: Share of the fine-tuning in which the learning rate rises.
WARM_UP = 0.1

#: How far back averaged weights reach, as a share of all steps: older ones count less than 1/e (our choice).
REACH = 0.25

#: Steps at which a schedule is asked for its rate.
RATES_SEEN = 200

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


def rising(progress: float) -> float:
    """Learning rate as a share of the highest: it rises in the first tenth, then stays.

    >>> rising(0.05), rising(0.1), rising(1.0)
    (0.5, 1.0, 1.0)
    """
    return min(progress / WARM_UP, 1.0)


def at_one_rate(optimizer: Any, steps: int) -> tuple[Any, float | None]:
    """An optimizer that follows a schedule of its own training, with the highest rate of it in the schedule's place.

    Args:
        optimizer: as Keras serializes it.
        steps: of the schedule that are looked at.

    Returns:
        It, serialized, and that rate; as it was and ``None`` where it follows none.
    """
    if not isinstance(optimizer, dict):
        return optimizer, None
    config = dict(optimizer["config"])
    if "inner_optimizer" in config:  # of a scaled loss
        config["inner_optimizer"], highest = at_one_rate(config["inner_optimizer"], steps)
    elif isinstance(config.get("learning_rate"), dict):
        schedule = keras.saving.deserialize_keras_object(config["learning_rate"])
        seen = np.unique(np.linspace(0, steps, RATES_SEEN).astype(int))
        highest = max(float(keras.ops.convert_to_numpy(schedule(int(step)))) for step in seen)
        config["learning_rate"] = highest
    else:
        return optimizer, None
    return {**optimizer, "config": config}, highest


@contextmanager
def averaged_weights(model: keras.Model, steps: int) -> Iterator[None]:
    """What is trained meanwhile ends with a mean of the weights that it had, in the place of the last ones.

    An exponential moving mean; statistics of batch normalization are means over the same steps. At a rate that stays
    high weights move about what they learn, and their mean lies in the middle of it (Polyak and Juditsky,
    "Acceleration of stochastic approximation by averaging", 1992; for networks Izmailov et al., "Averaging weights
    leads to wider optima and better generalization", 2018). How far the mean reaches back is our choice.

    Args:
        model: compiled, with an optimizer that has not made a step; ``fit`` ends with the mean.
        steps: for which it is trained, in all.
    """
    momentum = max(1 - 1 / (REACH * steps), 0.0)
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)  # of a scaled loss
    optimizer.use_ema, optimizer.ema_momentum, optimizer.ema_overwrite_frequency = True, momentum, None
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in norms]
    try:
        for layer in norms:
            layer.momentum = momentum
        yield
    finally:
        for layer, before in zip(norms, momenta, strict=True):
            layer.momentum = before


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
