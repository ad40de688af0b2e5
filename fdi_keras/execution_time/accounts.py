"""What times are made of: how much FLOPs, memory and parameters account for.

Yao et al. (SenSys 2018, section 4) find that FLOPs and memory explain the times of their phones and
parameters hardly matter. Here the same is read off any model that was learned: in a linear
leaf every variable has its part of the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fdi_keras.execution_time.columns import parse
from fdi_keras.execution_time.time_model import TimeModel

#: What the explanatory variables are called when their parts of a time are added up;
#: anything else that a leaf is linear in counts pixels, rows or steps: positions.
PARTS = {
    "flops": "FLOPs",
    "memory_in": "memory",
    "memory_out": "memory",
    "memory_internal": "memory",
    "memory_seen": "memory",
    "parameters": "parameters",
}


def accounts(
    model: TimeModel, dims: Mapping[str, np.ndarray], leaves: Sequence[int] | None = None
) -> dict[str, float]:
    """What the constant part, FLOPs, memory and parameters account for: shares of the predicted time.

    Args:
        model: of a kind.
        dims: columns ``(n,)`` of operators; their times are added up.
        leaves: only operators in these leaves.

    Returns:
        Shares that add up to 1, largest first; none where no operator is in the leaves.
    """
    features = model.features(dims)
    at = model.tree.apply(features)
    chosen = np.isin(at, leaves) if leaves is not None else np.ones(len(at), bool)
    if not chosen.any():
        return {}
    compiled = model.tree.compiled
    linear = features[chosen][:, model.tree.linear_columns]
    parts = {"constant": float(compiled.intercept[at[chosen]].sum())}
    times = (linear * compiled.weights[at[chosen]]).sum(axis=0)
    for name, total in zip(model.tree.linear, times.tolist(), strict=True):
        part = PARTS.get(parse(name).base, "positions")
        parts[part] = parts.get(part, 0.0) + total
    whole = sum(parts.values())
    shares = {name: total / whole for name, total in parts.items() if whole > 0 and total > 0}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))
