"""Whether any widths meet a target."""

from __future__ import annotations

import numpy as np

from fdi_keras.errors import TargetError
from fdi_keras.networks.budget_plan import BudgetPlan, Priced
from fdi_keras.networks.latency_plan import LatencyPlan


def check_target(
    plan: Priced, target: float | None, unit: str = "ms", least: np.ndarray | None = None
) -> None:
    """TargetError when even the narrowest network would take more.

    Args:
        unit: of the plan.
        least: ``(spaces,)`` narrowest widths; one channel in every prunable space unless given.
    """
    if target is None:
        return
    one = np.array([1 if s.kept is None else s.width for s in plan.spaces], float)
    usual = least is None or np.array_equal(least, one)
    narrowest = "one channel in every prunable space" if usual else "the least widths that are allowed"
    least = one if least is None else least
    lowest = float(plan.predict_ms(least))
    if target >= lowest:
        return
    if isinstance(plan, BudgetPlan):
        raise TargetError(
            f"the budgets cannot be kept: with {narrowest} the network is still predicted to take "
            f"{', '.join(plan.over(least))}. Choose wider ones, or a network with fewer layers."
        )
    start = float(plan.predict_ms(plan.full_widths))
    raise TargetError(
        f"target_{unit.lower()}={target:g} cannot be met: with {narrowest} the network is "
        f"still predicted to take {lowest:.3g} {unit} (now {start:.3g} {unit}). Choose a target above that, or a "
        f"network with fewer layers.{_of_loops(plan, least) if unit == 'ms' else ''}"
    )


def _of_loops(plan: LatencyPlan, widths: np.ndarray) -> str:
    """What of the time goes to steps of loops, which take it however narrow they are; empty where there are none."""
    looping = [(o.name, ms) for o, ms in plan.priced(widths) if o.kind.endswith("_while")]
    if not looping:
        return ""
    names = ", ".join(dict.fromkeys(name for name, _ in looping))
    return (
        f" {sum(ms for _, ms in looping):.3g} ms of it are loops ({names}), whose steps take some time "
        "however narrow they are; built with unroll=True they may take less, which fdi_keras.compress() looks at."
    )
