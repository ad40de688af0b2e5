"""Growing a pruned network to nearby time minima: more channels at no more time.

After Yao et al. (SenSys 2018, Algorithm 2), who expand layers to local minima of the
execution time after compression. Pricing the whole network at every step, the exchange
and the verification on the device are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from fdi_keras.compression.best_widths import best_widths
from fdi_keras.compression.gated_model import PrunableModel
from fdi_keras.compression.regain import Origin, own_ranking, rebuild_at
from fdi_keras.compression.width_search import WidthSearch
from fdi_keras.errors import TargetError, UsageError
from fdi_keras.networks.budget_plan import BudgetPlan, Priced, plan_of, predictions
from fdi_keras.networks.budgets import Budget, checked_budgets, profiles_of
from fdi_keras.networks.channel_spaces import find_channel_spaces
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.history import history_of, inherit
from fdi_keras.networks.latency import measure_interleaved
from fdi_keras.profile import DeviceProfile, load_profile
from fdi_keras.profile.timed_on import check_device, runtime_of
from fdi_keras.profile.unmeasured import warn_if_unmeasured

#: A network may grow to this multiple of a space's width when no origin limits it (our choice).
REACH = 1.5

#: A candidate timed on the device is accepted up to this ratio to the network before growth: what
#: repeated interleaved timings of one network differ by (our choice).
ACCEPTED_RATIO = 1.005

#: Seconds of timing for each of two candidates.
VERIFYING_S = 1.0

#: So many exchanges are timed before none is taken.
MOST_EXCHANGES = 5


@dataclass(frozen=True)
class Change:
    """One space whose width changed; its text says what and why."""

    space: str
    before: int
    after: int
    before_ms: float
    after_ms: float
    reason: str
    unit: str = "ms"

    def __str__(self) -> str:
        return (
            f"{self.space}: {self.before} -> {self.after}, {self.before_ms:.4g} -> {self.after_ms:.4g} "
            f"{self.unit}: {self.reason}"
        )


def grow(
    small: keras.Model,
    profile: DeviceProfile | str | None = None,
    origin: keras.Model | None = None,
    device: str | None = None,
    exchange: bool = False,
    report: Callable[[str], None] | None = print,
    target_ms: float | None = None,
    budgets: Budget | Sequence[Budget] | None = None,
) -> keras.Model:
    """Widen a network where the profile says that it costs no time.

    Args:
        small: a plain Keras model, usually from :func:`~fdi_keras.prune`.
        profile: prices widths.
        origin: what ``small`` was pruned from (gated or plain). Channels that come back are then the
            most important of those that were cut, with their trained weights; no space grows
            beyond its width there. Without it new channels start small.
        device: time the candidates on this device, executed as the profile was measured, and take only what is no
            slower in truth.
        exchange: of all widths of at most this time take those that keep most importance, some narrower than
            before; says how much any others could keep. Without it no space gets narrower.
        report: called with each change and why; ``None``: silent (the journal has it all the same).
        target_ms: also spend what time is left until this predicted latency, where it regains most
            importance. Not together with ``device``.
        budgets: in place of ``profile`` and ``target_ms``, several limits; what is left of all of them is spent.

    Returns:
        A plain Keras model; ``small`` itself is not changed. Its predicted time is never higher, or with
        ``target_ms`` no higher than that.

    Raises:
        UsageError: ``small`` still has gates, ``origin`` is not what it was made from, a target
            together with a device, budgets together with any of these, or the profile of a phone and this
            computer as device.
        TargetError: the network exceeds a budget already.

    Example::

        small = fdi.grow(fdi.prune(model), profile, origin=model)
    """
    if isinstance(small, PrunableModel):
        raise UsageError(
            f"grow() takes a pruned network; {small.name!r} still has gates: call fdi_keras.prune first."
        )
    if target_ms is not None and device is not None:
        raise UsageError(
            "grow() takes target_ms=, a predicted latency, or device=, which verifies; not both."
        )
    prices = _prices(profile, device, target_ms, budgets)
    if device is not None and isinstance(prices, DeviceProfile):
        caution = check_device(prices, device)
        if caution and report is not None:
            report(f"caution: {caution}")
    graph = read_graph(small)
    spaces = find_channel_spaces(graph)
    plan = plan_of(prices, graph, spaces)
    if isinstance(plan, BudgetPlan):
        target_ms = 1.0
        if plan.over(plan.full_widths):
            raise TargetError(
                f"{small.name!r} is over its budgets before it grows: {', '.join(plan.over(plan.full_widths))}. "
                "Prune it to them first."
            )
    source = Origin.of(small, spaces, origin) if origin is not None else None
    now = plan.full_widths
    movable = [s.kept is None for s in spaces]
    reach = source.widths if source else np.array([_reach(s.width) for s in spaces])
    upper = np.where(movable, reach, now)
    ranking = source.ranking if source else own_ranking(graph, spaces, upper)
    search = WidthSearch(plan, ranking, np.where(movable, 1, now), upper)

    def build(widths: np.ndarray) -> tuple[keras.Model, dict[str, np.ndarray]]:
        return rebuild_at(graph, spaces, widths, source, ranking)

    def ratio(base: np.ndarray, candidate: np.ndarray) -> float:
        """Measured time of one network in units of another's."""
        assert isinstance(prices, DeviceProfile)
        models = [build(widths)[0] for widths in (base, candidate)]
        runtime = runtime_of(prices)
        first, second = measure_interleaved(
            models, device or "local", runtime.threads or 1, VERIFYING_S, runtime
        )
        return second.median_ms / first.median_ms

    budget_ms = max(float(plan.predict_ms(now)), target_ms or 0.0)
    best = best_widths(search, now, budget_ms) if exchange else None
    if best is not None:
        wanted = best.widths
    else:
        wanted = search.grow_free(now) if target_ms is None else search.spend(now, budget_ms)
    if device is not None:
        verify = _verified_exchange if exchange else _verified_growth
        wanted = verify(search, now, wanted, ratio, report or (lambda text: None))
    grown, kept = build(wanted)
    gone = {name: channels for name, channels in history_of(small).kept.items() if not len(channels)}
    history = inherit(grown, small, gone | kept, of=origin)
    changes = explain_changes(plan, now, wanted)
    for change in changes:
        if report is not None:
            report(str(change))
    if report is not None and not changes:
        report("grow: no width nearby costs no time; the network stays as it is")
    if best is not None and report is not None:
        report(f"grow: {best}")
    history.write(
        "grow",
        widths=dict(zip(spaces.names, np.asarray(wanted, int).tolist(), strict=True)),
        **predictions(plan, plan, wanted),
        exchange=exchange,
        **({} if best is None else {"missed": best.missed}),
        changes=[str(c) for c in changes],
    )
    return grown


def _prices(
    profile: DeviceProfile | str | None,
    device: str | None,
    target_ms: float | None,
    budgets: Budget | Sequence[Budget] | None,
) -> DeviceProfile | Sequence[Budget]:
    if budgets is not None:
        if any(given is not None for given in (profile, device, target_ms)):
            raise UsageError("grow() takes budgets=, or profile= with target_ms= or device=; not both.")
        checked = checked_budgets(budgets)
        warn_if_unmeasured(*profiles_of(checked))
        return checked
    if profile is None:
        raise UsageError("grow() needs profile=, which says what widths cost, or budgets=.")
    profile = profile if isinstance(profile, DeviceProfile) else load_profile(profile)
    warn_if_unmeasured(profile)
    return profile


def explain_changes(plan: Priced, before: np.ndarray, after: np.ndarray) -> list[Change]:
    """Each space whose width differs, with its effect when changed after those before it, and why."""
    widths, found = np.array(before, float), []
    for i in map(int, np.flatnonzero(np.asarray(before) != np.asarray(after))):
        old_ms = float(plan.predict_ms(widths))
        old_rules = dict(plan.rules(widths, i))
        widths[i] = after[i]
        new_ms = float(plan.predict_ms(widths))
        changed = [
            f"{layer}: {rule.split(':')[0]}"
            for layer, rule in plan.rules(widths, i)
            if old_rules.get(layer) != rule
        ]
        if new_ms < old_ms * (1 - 1e-9) and after[i] > before[i]:
            why = "faster"
        elif after[i] > before[i]:
            why = "free" if new_ms <= old_ms * (1 + 1e-9) else "spends time that was left"
        else:
            why = "saves time to spend elsewhere"
        reason = f"{why}; {changed[0]}" if changed else f"{why} within the same leaf"
        found.append(Change(plan.names[i], int(before[i]), int(after[i]), old_ms, new_ms, reason, plan.unit))
    return found


def _reach(width: int) -> int:
    # Narrow spaces reach at least the next few small multiples.
    return max(int(width * REACH), width + 4)


Ratio = Callable[[np.ndarray, np.ndarray], float]
Report = Callable[[str], None]


def _verified_growth(
    search: WidthSearch, now: np.ndarray, wanted: np.ndarray, ratio: Ratio, report: Report
) -> np.ndarray:
    """The part of the wanted changes that is no slower on the device.

    First all together; if that is slower, one space after the other, each timed with those accepted before it against
    the network before growth: what single ones may cost would add up.
    """
    if np.array_equal(now, wanted) or ratio(now, wanted) <= ACCEPTED_RATIO:
        return wanted
    accepted = np.array(now, float)
    for i in np.flatnonzero(now != wanted):
        trial = accepted.copy()
        trial[i] = wanted[i]
        slower = ratio(now, trial)
        if slower <= ACCEPTED_RATIO:
            accepted = trial
        else:
            report(
                f"{search.plan.names[i]}: {int(now[i])} -> {int(wanted[i])} was predicted to cost no time, but "
                f"measured {slower:.3f} x: not taken"
            )
    return accepted


def _verified_exchange(
    search: WidthSearch, now: np.ndarray, wanted: np.ndarray, ratio: Ratio, report: Report
) -> np.ndarray:
    """An exchange that is no slower on the device: its budget shrinks by what it measured too much."""
    budget = float(search.plan.predict_ms(now))
    for _ in range(MOST_EXCHANGES):
        if np.array_equal(now, wanted):
            return now
        slower = ratio(now, wanted)
        if slower <= ACCEPTED_RATIO:
            return wanted
        report(
            f"an exchange was predicted to cost no time, but measured {slower:.3f} x: trying a smaller one"
        )
        budget *= 0.998 / slower
        wanted = best_widths(search, search.shrink(now, budget), budget).widths
    report("no exchange was found that is no slower on the device; the widths stay as they are")
    return now
