"""From a gated network to a plain, really smaller one."""

from __future__ import annotations

import math

import keras
import numpy as np

from fdi_keras.compression.gated_model import PrunableModel, check_target, ungated
from fdi_keras.compression.importance import Ranking, channel_importance
from fdi_keras.compression.rewiden import rewiden
from fdi_keras.compression.width_search import WidthSearch
from fdi_keras.errors import UsageError
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.history import inherit
from fdi_keras.networks.latency_plan import LatencyPlan
from fdi_keras.networks.layer_operators import read_layer_operators
from fdi_keras.profile import DeviceProfile, load_profile


def prune(
    model: PrunableModel, profile: DeviceProfile | str | None = None, target_ms: float | None = None
) -> keras.Model:
    """Remove the closed channels of a gated network.

    Args:
        model: a network made by :func:`~fdi_keras.prunable`, trained or with gates set by hand.
        profile: prices widths when ``target_ms`` is given; the compiled regularizer's unless given.
        target_ms: choose the widths so that the predicted latency is at most this, keeping the most
            importance and jumping to widths that the profile says are cheap. ``None``: exactly
            the closed channels are removed.

    Returns:
        A plain Keras model (no class of this library inside) under the same layer names. Without
        ``target_ms`` its output equals the gated model's at inference.

    Raises:
        UsageError: the model has no gates, or a target was given and no profile is known.
        TargetError: no widths meet the target.

    Example::

        small = fdi.prune(model)
        small.compile("adam", loss="sparse_categorical_crossentropy")
    """
    if not isinstance(model, PrunableModel):
        raise UsageError(
            f"prune() takes a model made by fdi_keras.prunable(), received {type(model).__name__}. Make it prunable, "
            "train it with a LatencyRegularizer, then prune it."
        )
    if profile is None and model.regularizer is not None:
        profile = model.regularizer.profile
    elif isinstance(profile, str):
        profile = load_profile(profile)
    if target_ms is not None and profile is None:
        raise UsageError(
            "prune(target_ms=...) needs a profile: pass profile=, or compile with a LatencyRegularizer."
        )
    if target_ms is not None and not (math.isfinite(target_ms) and target_ms > 0):
        raise UsageError(f"prune(target_ms={target_ms}): expected a positive number of milliseconds.")
    graph = read_graph(ungated(model))
    spaces = model.channel_spaces
    gates = {name: gate.values() for name, gate in model.gates.items()}
    plan = None
    if profile is not None:
        plan = LatencyPlan(read_layer_operators(graph), spaces, profile)
    kept = {name: np.flatnonzero(values > 0) for name, values in gates.items()}
    opened = np.array([len(kept.get(s.name, range(s.width))) for s in spaces], float)
    if target_ms is not None:
        assert plan is not None
        check_target(plan, target_ms)
        raw = read_graph(ungated(model, gates_open=True))
        ranking = Ranking.of(channel_importance(raw, spaces, gates))
        search = WidthSearch(plan, ranking, np.ones(len(spaces)), opened)
        widths = search.exchange(search.shrink(opened, target_ms), target_ms)
        for space, width in zip(spaces, widths, strict=True):
            if space.name in kept:
                kept[space.name] = ranking.first(space.name, width)
    small = rewiden(graph, spaces, kept)
    history = inherit(small, model, kept)
    widths = np.array([len(kept.get(s.name, range(s.width))) for s in spaces], float)
    history.write(
        "prune",
        widths=dict(zip(spaces.names, widths.astype(int).tolist(), strict=True)),
        target_ms=target_ms,
        predicted_ms=None if plan is None else float(plan.predict_ms(widths)),
        predicted_before_ms=None if plan is None else float(plan.predict_ms(plan.full_widths)),
    )
    return small
