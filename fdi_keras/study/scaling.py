"""Any network at another width: every channel space scaled by the same factor."""

from __future__ import annotations

import math

import keras
import numpy as np

from fdi_keras.compression.regain import own_ranking, rebuild_at
from fdi_keras.errors import NothingToPruneError, UsageError
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.graph import read_graph


def scaled(model: keras.Model, multiplier: float) -> keras.Model:
    """The network with so many times the channels in every space that can change.

    Args:
        model: a built Sequential or functional model; it is not changed.
        multiplier: above 0; at least one channel stays. Weights of channels that are new are small and
            random: times do not depend on them, accuracies do.

    Raises:
        UsageError: a multiplier that is not positive.
        NothingToPruneError: no width of the network can change.
    """
    if not (math.isfinite(multiplier) and multiplier > 0):
        raise UsageError(f"a width multiplier must be above 0; received {multiplier}.")
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    if not spaces.prunable:
        raise NothingToPruneError(f"no width of {model.name!r} can change:\n{spaces}")
    widths = np.array(
        [max(1, round(multiplier * s.width)) if s.kept is None else s.width for s in spaces], float
    )
    ranking = own_ranking(graph, spaces, widths)
    return rebuild_at(graph, spaces, widths, None, ranking)[0]
