"""The opponent that every compression has to face: the same network, thinner everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.rewiden import rewiden
from fdi_keras.errors import TargetError
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.graph import read_graph


def thin_uniformly(model: keras.Model, share: float) -> keras.Model:
    """A freshly initialised network with ``share`` of the channels in every prunable space.

    Args:
        model: a built Sequential or functional model; it is not changed.
        share: of each space's channels, more than 0; at least one channel stays.
    """
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    channels = {s.name: np.arange(min(max(round(s.width * share), 1), s.width)) for s in spaces.prunable}
    return keras.models.clone_model(rewiden(graph, spaces, channels))


def thin_to_time(
    model: keras.Model, time_ms: float, time_of: Callable[[keras.Model], float], tolerance: float = 0.02
) -> keras.Model:
    """The uniformly thinned network whose time is nearest to ``time_ms``.

    Args:
        model: the network to thin.
        time_ms: time to come near to.
        time_of: measures or predicts the time of a network, in ms.
        tolerance: stop when within this share of ``time_ms``.

    Raises:
        TargetError: one channel everywhere still takes longer.
    """
    low, high = 0.0, 1.0
    low_ms, high_ms = 0.0, math.inf
    best: tuple[float, Any] | None = None
    tried: set[tuple[int, ...]] = set()
    for _ in range(12):
        share = (low + high) / 2
        if math.isfinite(high_ms):
            # Times grow faster than shares, and are measured: the chord leads there in fewer steps than
            # halves, but must not stay at one end.
            chord = low + (high - low) * (time_ms - low_ms) / max(high_ms - low_ms, 1e-12)
            margin = (high - low) / 8
            share = min(max(chord, low + margin), high - margin)
        thin = thin_uniformly(model, share)
        shape = tuple(int(np.prod(w.shape)) for w in thin.weights)
        if shape in tried:
            break
        tried.add(shape)
        took = time_of(thin)
        if best is None or abs(took - time_ms) < best[0]:
            best = (abs(took - time_ms), thin)
        if best[0] <= tolerance * time_ms:
            break
        if took > time_ms:
            high, high_ms = share, took
        else:
            low, low_ms = share, took
    assert best is not None
    if best[0] > 0.5 * time_ms:
        raise TargetError(
            f"no uniformly thinned {model.name!r} comes near {time_ms:.3g} ms: the nearest is {best[0]:.3g} ms away."
        )
    return best[1]
