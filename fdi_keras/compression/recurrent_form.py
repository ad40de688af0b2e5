"""Whether recurrent layers are better loops or unrolled, for what a network shall take (our choice).

A step of a loop takes its time however narrow the layer is; unrolled, its operators take what their sizes ask for.
Wide layers are faster as loops, narrow ones unrolled, so that the answer depends on the target.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import numpy as np

from fdi_keras.networks.budget_plan import BudgetPlan
from fdi_keras.networks.budgets import Budget
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.recurrent_export import MAX_STEPS, in_form, longest_loop

#: Another form is taken where this much more of the channels fits.
CLEAR = 1.02

#: Halvings of the share of the channels.
HALVINGS = 12


def fitting_form(model: keras.Model, limits: Sequence[Budget], report: Callable[[str], None]) -> keras.Model:
    """The network with its recurrent layers as they are, as loops or unrolled: as most channels fit the limits.

    Args:
        model: Sequential or functional.
        limits: predicted, to be kept by a network of which the same share of every channel space is left.
        report: is told when another form is taken, or cannot be priced.

    Returns:
        The model itself, or a copy of another form with the same weights, not compiled.
    """
    steps = longest_loop(model)
    if not 0 < steps <= MAX_STEPS:
        return model
    best, (most, least, unpriced) = model, _fitting_share(model, limits)
    first = most
    for unroll, form in ((False, "loops"), (True, "unrolled")):
        other = in_form(model, unroll)
        if other is model:
            continue
        share, narrowest, uncovered = _fitting_share(other, limits)
        if uncovered > unpriced:
            report(f"recurrent layers stay as they are: the profile does not know what they take {form}")
        elif share == most == 0 and CLEAR * narrowest < least:
            best, least = other, narrowest  # nothing fits; what is said of it is said of the fastest form
        elif share > CLEAR * most:
            best, most = other, share
            report(
                f"recurrent layers become {form}: {share:.0%} of all channels are predicted to fit, "
                f"as they are {first:.0%}"
            )
    return best


def _fitting_share(model: keras.Model, limits: Sequence[Budget]) -> tuple[float, float, int]:
    """What fits of a network.

    Returns:
        The largest share of the channels that fits, 0 where none does; what one channel everywhere takes of the limits;
        and how many operators have no price.
    """
    graph = read_graph(model)
    plan = BudgetPlan(limits, graph, spaces := find_channel_spaces(graph))
    prunable = np.array([space.kept is None for space in spaces])

    def taken(share: float) -> float:
        thin = np.maximum(np.round(share * plan.full_widths), 1)
        return float(plan.predict_ms(np.where(prunable, thin, plan.full_widths)))

    narrowest, unpriced = taken(0.0), len(plan.uncovered)
    low, high = 0.0, 1.0
    if taken(high) <= 1:
        return high, narrowest, unpriced
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if taken(middle) <= 1 else (low, middle)
    return low, narrowest, unpriced
