"""From steered gates to a network that takes what it may: where the profile is off, other widths are tried."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.budget_meter import BudgetMeter
from fdi_keras.compression.gated_model import PrunableModel
from fdi_keras.compression.grow import grow
from fdi_keras.compression.prune import costly_branches, prune
from fdi_keras.compression.stages import widths_by
from fdi_keras.compression.ungated import ungated
from fdi_keras.errors import TargetError
from fdi_keras.networks.budgets import Budget
from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.history import inherit
from fdi_keras.profile import DeviceProfile

#: Seconds of timing of a network whose widths are still looked for.
TRY_S = 0.5

#: What is pruned may miss the target by this share; so often widths are tried.
ON_TARGET, TRIES = 0.02, 5


def pruned_on_target(
    gated: PrunableModel,
    spaces: ChannelSpaces,
    meter: BudgetMeter,
    remove_branches: bool,
    report: Callable[[str], None],
) -> tuple[keras.Model, keras.Model]:
    """The gated network pruned, and that grown to what the device takes: of all tries, the one nearest to the budgets.

    Args:
        gated: with gates that are steered.
        spaces: of the original.
        meter: measures the grown networks, and learns from each what the next has to be predicted to take.
        remove_branches: whether branches of additions may go.
        report: is told of tries, and of branches that went.

    Raises:
        TargetError: no widths keep the budgets.
    """
    before = widths_by(spaces, ungated(gated))
    went = {name: np.empty(0, int) for name, width in before.items() if not width}
    inherit(gated, gated, went)  # of the original, as what is pruned now will be
    shapes: list[Any] = []
    nearest: tuple[float, keras.Model, keras.Model] | None = None
    for left in reversed(range(TRIES)):
        pruned, grown = _narrowed(gated, meter, remove_branches)
        took = meter.amounts(grown, TRY_S)
        off = _off(took, meter.budgets)
        if nearest is None or off < nearest[0]:
            nearest = off, pruned, grown
        last, shapes = shapes, [weight.shape for weight in grown.weights]
        if off <= ON_TARGET or not left or not meter.measures or shapes == last:
            break
        told = ", ".join(map(str, meter.to_predict()))
        report(f"it takes {meter.listed(took)}: other widths, for {told} predicted")
    assert nearest is not None
    _, pruned, grown = nearest
    after = widths_by(spaces, pruned)
    gone = [name for name, width in before.items() if width and not after[name]]
    if gone:
        report(without_branches(gone))
    return pruned, grown


def branches_to_remove(network: keras.Model, limits: Sequence[Budget]) -> list[str]:
    """Spaces of the branches that go before gates are steered, so that these open where there is time then.

    Args:
        network: before it has gates.
        limits: what has to be predicted.
    """
    if len(limits) > 1:
        return costly_branches(network, limits, 1.0)
    profile = limits[0].profile
    assert isinstance(profile, DeviceProfile)
    return costly_branches(network, profile, limits[0].limit)


def without_branches(gone: Sequence[str]) -> str:
    """What is said of branches that went, by the names of their spaces."""
    return f"without the branches of {', '.join(gone)}: their time is worth more elsewhere"


def _narrowed(
    gated: PrunableModel, meter: BudgetMeter, remove_branches: bool
) -> tuple[keras.Model, keras.Model]:
    """Pruned, and grown to what is left, within what has to be predicted."""
    limits = meter.to_predict()
    goal: dict[str, Any] = {"budgets": limits}
    if len(limits) == 1:
        goal = {"profile": limits[0].profile, "target_ms": limits[0].limit}
    try:
        pruned = prune(gated, **goal, remove_branches=remove_branches)
        return pruned, grow(pruned, **goal, origin=gated, report=None)
    except TargetError as error:
        if not meter.has_learned:
            raise
        pairs = zip(limits, meter.budgets, strict=True)
        told = ", ".join(f"{predicted} for {budget}" for predicted, budget in pairs)
        raise TargetError(f"{error} By what was measured so far, {told} have to be predicted.") from error


def _off(took: Sequence[float], budgets: Sequence[Budget]) -> float:
    """How far the amounts are from the budgets, as a share: times are known to a few per cent, files to the byte."""
    most = max(amount / budget.limit for amount, budget in zip(took, budgets, strict=True))
    exceeded = any(
        budget.what == "file_mb" and amount > budget.limit
        for amount, budget in zip(took, budgets, strict=True)
    )
    return abs(most - 1) + exceeded
