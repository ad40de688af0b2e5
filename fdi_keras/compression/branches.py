"""Which branches of additions a network is pruned without."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fdi_keras.compression.best_widths import best_widths
from fdi_keras.compression.gated_model import check_target
from fdi_keras.compression.importance import Ranking
from fdi_keras.compression.limits import Limits
from fdi_keras.compression.width_search import WIDTH_COUNTS, WidthSearch
from fdi_keras.errors import TargetError, UsageError
from fdi_keras.networks.branches import Branch, find_branches
from fdi_keras.networks.budget_plan import Priced, plan_of
from fdi_keras.networks.budgets import Budget
from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.graph import Graph
from fdi_keras.profile import DeviceProfile

#: A space that goes counts as if this share of its most important channel were left (our choice: less
#: than a single channel, so that a branch goes only where its time keeps more elsewhere).
GONE = 0.5


@dataclass(frozen=True)
class Pruning:
    """A network that is about to be pruned.

    Attributes:
        graph, spaces: of the plain network.
        importance: ``(channels,)`` by space that can be narrowed.
        gates: values of gates, ``(channels,)`` by space; none for a network without.
        limits: which widths are allowed.
        prices: what widths cost, a profile or budgets; may be None.
        gone: the branches that were taken away, by the additions that read them.
        lost: what they count in the value that the search makes largest.
        renamed: by name of each space of the whole network its name here; spaces that are gone have none.
    """

    graph: Graph
    spaces: ChannelSpaces
    importance: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]
    limits: Limits
    prices: DeviceProfile | Sequence[Budget] | None
    gone: tuple[str, ...]
    lost: float
    renamed: dict[str, str]

    @property
    def ranking(self) -> Ranking:
        return Ranking.of(self.importance)

    @property
    def open_widths(self) -> np.ndarray:
        """``(spaces,)`` channels whose gates are open; all of spaces without gates."""
        return np.array(
            [np.count_nonzero(self.gates.get(s.name, np.ones(s.width))) for s in self.spaces], float
        )

    def may_close(self, space: str) -> bool:
        """Whether a space may lose all its channels: no bound of the user's keeps some."""
        at = self.spaces.names.index(space)
        lower, multiple, full = (
            rows[at] for rows in (self.limits.lower, self.limits.multiple, self.limits.full)
        )
        return self.spaces[space].kept is None and lower <= multiple and full > 1

    def plan(self) -> Priced | None:
        return None if self.prices is None else plan_of(self.prices, self.graph, self.spaces)

    def search(self, target_ms: float, exchange: bool = True) -> tuple[np.ndarray, float]:
        """Widths ``(spaces,)`` that meet a target, and the value of what they keep.

        Raises:
            TargetError: no widths meet it.
        """
        plan = self.plan()
        assert plan is not None
        check_target(plan, target_ms, least=self.limits.lower)
        widest = self.limits.at_least(self.open_widths)
        search = WidthSearch(plan, self.ranking, self.limits.lower, widest, self.limits)
        widths = search.shrink(widest, target_ms)
        if exchange:
            widths = best_widths(search, widths, target_ms).widths
        return widths.astype(int), search.value(widths) + self.lost

    def without(self, branch: Branch) -> Pruning:
        """The same without a branch."""
        old = {new: name for name, new in branch.renamed.items()}
        names = [old[name] for name in branch.after.names]
        rows = [self.spaces.names.index(name) for name in names]
        lost = sum(
            np.log(GONE * max(self.importance[name].max(), 1e-12))
            + WIDTH_COUNTS * np.log(GONE / len(self.importance[name]))
            for name in branch.spaces
            if name in self.importance
        )
        return replace(
            self,
            graph=branch.graph,
            spaces=branch.after,
            importance={
                new: self.importance[name]
                for name, new in branch.renamed.items()
                if name in self.importance and branch.after[new].kept is None
            },
            gates={new: self.gates[name] for name, new in branch.renamed.items() if name in self.gates},
            limits=Limits(self.limits.lower[rows], self.limits.multiple[rows], self.limits.full[rows]),
            gone=(*self.gone, branch.merge),
            lost=self.lost + float(lost),
            renamed={
                name: branch.renamed[new] for name, new in self.renamed.items() if new in branch.renamed
            },
        )


def without_closed(pruning: Pruning) -> Pruning:
    """Without the branches whose gates have closed but for the one channel that always stays open."""
    while True:
        closed = [
            branch
            for branch in find_branches(pruning.graph, pruning.spaces)
            if any(
                name in pruning.gates
                and np.count_nonzero(pruning.gates[name]) <= 1
                and pruning.may_close(name)
                for name in branch.necks
            )
        ]
        if not closed:
            return pruning
        pruning = pruning.without(closed[0])


def without_named(pruning: Pruning, merges: Sequence[str]) -> Pruning:
    """Without a branch of each of these additions.

    Raises:
        UsageError: no branch of an addition can go.
    """
    for merge in merges:
        branches = removable(pruning)
        if merge not in branches:
            known = f"one of these can: {', '.join(branches)}" if branches else "none can"
            raise UsageError(f"remove_branches: no branch of an addition {merge!r} can go; {known}.")
        pruning = pruning.without(branches[merge])
    return pruning


def removable(pruning: Pruning) -> dict[str, Branch]:
    """By the additions that read them, the branches that may go; of two the one with fewer spaces of its own."""
    found: dict[str, Branch] = {}
    for branch in find_branches(pruning.graph, pruning.spaces):
        if all(map(pruning.may_close, branch.spaces)):
            found.setdefault(branch.merge, branch)
    return found


def without_costly(pruning: Pruning, target_ms: float) -> Pruning:
    """Without the branches whose time keeps more elsewhere, the best one first, under a target.

    Raises:
        TargetError: the target is below what is left without any of them.
    """
    best, value = pruning, _value(pruning, target_ms)
    while True:
        trials = []
        for branch in find_branches(best.graph, best.spaces):
            if all(map(best.may_close, branch.spaces)):
                trial = best.without(branch)
                trials.append((_value(trial, target_ms), trial))
        found = max(trials, key=lambda pair: pair[0], default=None)
        if found is None or (found[0] <= value and value[0] > -np.inf):
            return best
        value, best = found


def _value(pruning: Pruning, target_ms: float) -> tuple[float, float]:
    """What the search keeps, and how little time the network could take: both better the larger."""
    plan = pruning.plan()
    assert plan is not None
    shortest = -float(plan.predict_ms(pruning.limits.lower))
    try:
        return pruning.search(target_ms, exchange=False)[1], shortest
    except TargetError:
        return -np.inf, shortest
