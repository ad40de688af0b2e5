"""Importance of channels from data: how much the loss would change without them.

A mask of ones is multiplied into every kernel that reads a channel. The derivative of the loss by one of
its entries is the sum, over all places where the channel is read, of its activation times the gradient there:
the first-order Taylor estimate of the change of the loss when the channel goes (Molchanov et al., "Pruning
Convolutional Neural Networks for Resource Efficient Inference", ICLR 2017). Its square, averaged over batches,
is the importance (Molchanov et al., "Importance Estimation for Neural Network Pruning", CVPR 2019, with gates).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from operator import itemgetter
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.gated_model import PrunableModel
from fdi_keras.compression.gates import ChannelGates
from fdi_keras.compression.prunable import with_gates
from fdi_keras.compression.ungated import ungated
from fdi_keras.errors import UsageError
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.graph import read_graph

ops = keras.ops


class _Masks(ChannelGates):
    """Gates that are what otherwise says how far they are open: 1 leaves the channel as it is."""

    def call(self, signal: Any, training: bool | None = None) -> list[Any]:
        return self.split(self.logits())


def taylor_importance(
    model: keras.Model, x: Any, y: Any, loss: Any = None, batch_size: int = 32
) -> dict[str, np.ndarray]:
    """First-order Taylor importance of every channel that can be removed, for ``fdi.prune(importance=...)``.

    Args:
        model: a built Sequential or functional model, or a gated one; it is not changed.
        x, y: inputs and targets as for ``fit``: arrays with equally many rows, or lists or dicts of these.
            Some hundred rows are usually enough.
        loss: as for ``compile``; the loss that the model was compiled with unless given.
        batch_size: rows whose derivatives are added up before they are squared. The smaller, the less do rows
            that want opposite things hide that a channel matters; and the longer it takes.

    Returns:
        By channel space ``(channels,)``: the mean over batches of the squared derivative of the loss by the
        channel's mask, at inference. A channel that changes nothing has exactly 0. A derivative tells of
        small changes: cut deep in several steps, with training in between.

    Raises:
        UsageError: there is no loss or no row, or the loss has no finite derivative.
        NothingToPruneError: no channel of the model can be removed.
        UnsupportedModelError: the model is subclassed or not built.

    Example::

        importance = fdi.taylor_importance(model, x[:512], y[:512])
        small = fdi.prune(model, profile, target_ms=2.0, importance=importance)
    """
    gated = isinstance(model, PrunableModel)
    graph = read_graph(ungated(model) if gated else model)
    spaces = find_channel_spaces(graph)
    masked = with_gates(graph, spaces, gate_class=_Masks)
    masks = masked.all_gates
    masks.position.assign(np.ones(masks.channels))
    scores = _loss_function(model, masked, loss)
    rows = {len(part) for part in keras.tree.flatten((x, y))}
    if len(rows) != 1 or not min(rows) or batch_size < 1:
        raise UsageError(
            "taylor_importance needs x and y with equally many rows, at least one, and a batch_size of at least 1; "
            f"received {' and '.join(map(str, sorted(rows)))} rows, batch_size={batch_size}."
        )
    found = {space.name: np.zeros(space.width) for space in spaces.prunable}
    (total,) = rows
    for start in range(0, total, batch_size):
        batch = keras.tree.map_structure(itemgetter(slice(start, start + batch_size)), (x, y))
        (derivative,) = _derivatives(partial(scores, *batch), [masks.position])
        share = min(batch_size, total - start) / total
        for name, part in zip(masks.widths, masks.split(derivative), strict=True):
            found[name] += share * np.asarray(part, float) ** 2
    bad = [name for name, values in found.items() if not np.isfinite(values).all()]
    if bad:
        raise UsageError(
            f"the loss of {model.name!r} has no finite derivative by the channels of {', '.join(bad[:3])}: its "
            "weights, the data or the loss are NaN or infinite."
        )
    return found


def _loss_function(model: keras.Model, masked: keras.Model, loss: Any) -> Callable[[Any, Any], Any]:
    """The loss of the masked network on inputs and targets, a scalar tensor."""
    if loss is not None:
        masked = keras.Model(masked.input, masked.output, name=masked.name)
        masked.compile(loss=loss)
    elif not getattr(model, "compiled", False):
        raise UsageError(
            f"{model.name!r} has no loss: compile it, or pass loss= as for compile, such as "
            "loss='sparse_categorical_crossentropy'."
        )

    def scores(x: Any, y: Any) -> Any:
        outputs = masked(keras.tree.map_structure(ops.convert_to_tensor, x), training=False)
        if loss is not None:
            return masked.compute_loss(x, y, outputs)
        # A gated model's own penalty says nothing of channels' use.
        owner: Any = super(PrunableModel, model) if isinstance(model, PrunableModel) else model
        return owner.compute_loss(x, y, outputs)

    return scores


def _derivatives(loss: Callable[[], Any], variables: list[Any]) -> list[np.ndarray]:
    """Derivatives of a scalar by variables, in the shapes of these."""
    values = [variable.value for variable in variables]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            scalar = loss()
        found = tape.gradient(scalar, values, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    elif backend == "torch":
        import torch

        found = torch.autograd.grad(loss(), values, allow_unused=True, materialize_grads=True)
    elif backend == "jax":
        import jax

        def of(values: list[Any]) -> Any:
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return loss()

        found = jax.grad(of)(values)
    else:
        raise UsageError(
            f"taylor_importance takes derivatives with tensorflow, torch or jax; the backend is {backend}."
        )
    return [ops.convert_to_numpy(each) for each in found]
