"""Steering, pruning and growing a Keras network. Importing this registers the classes of
gated models with Keras, so that they load."""

from fdi_keras.compression.callback import LatencyCallback
from fdi_keras.compression.gated_model import PrunableModel
from fdi_keras.compression.grow import grow
from fdi_keras.compression.prunable import prunable
from fdi_keras.compression.prune import apply_widths, kept_channels, prune
from fdi_keras.compression.recipe import compress
from fdi_keras.compression.regularizer import BudgetRegularizer, LatencyRegularizer
from fdi_keras.compression.taylor import taylor_importance

__all__ = [
    "BudgetRegularizer",
    "LatencyCallback",
    "LatencyRegularizer",
    "PrunableModel",
    "apply_widths",
    "compress",
    "grow",
    "kept_channels",
    "prunable",
    "prune",
    "taylor_importance",
]
