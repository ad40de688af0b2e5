"""Which branches of additions a network is pruned without."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fdi_keras.compression.best_widths import best_widths
from fdi_keras.compression.importance import Ranking, importance_by
from fdi_keras.compression.limits import Limits
from fdi_keras.compression.targets import check_target
from fdi_keras.compression.width_search import WIDTH_COUNTS, WidthSearch
from fdi_keras.errors import TargetError, UsageError
from fdi_keras.networks.branches import Branch, find_branches
from fdi_keras.networks.budget_plan import Priced, plan_of
from fdi_keras.networks.budgets import Budget
from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.graph import Graph
from fdi_keras.profile import DeviceProfile

#: A space that goes counts as if this share of its channels, and of their importance, were left (our choice, by what
#: networks learned that were fine-tuned with and without branches: docs/choices.md).
GONE = 1 / 16


@dataclass(frozen=True)
class Pruning:
    """A network that is about to be pruned.

    Attributes:
        graph, spaces: of the plain network.
        importance: ``(channels,)`` by space that can be narrowed; closed channels have none.
        reopened: the same with all gates open: what closed channels are worth that come back.
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
    reopened: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]
    limits: Limits
    prices: DeviceProfile | Sequence[Budget] | None
    gone: tuple[str, ...]
    lost: float
    renamed: dict[str, str]

    @classmethod
    def of(
        cls,
        graph: Graph,
        spaces: ChannelSpaces,
        importance: dict[str, np.ndarray],
        prices: DeviceProfile | Sequence[Budget] | None,
        gates: dict[str, np.ndarray] | None = None,
        limits: Limits | None = None,
    ) -> Pruning:
        """A whole network; importance is that with all gates open."""
        gates = gates or {}
        return cls(
            graph,
            spaces,
            importance_by(importance, graph, spaces, gates),
            importance,
            gates,
            Limits.of(spaces, 1, 1) if limits is None else limits,
            prices,
            gone=(),
            lost=0.0,
            renamed={name: name for name in spaces.names},
        )

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

    def widths(self, target_ms: float) -> np.ndarray:
        """``(spaces,)`` the widths of open channels that meet a target and keep most.

        Raises:
            TargetError: no widths meet it.
        """
        search, widths = self.shrunk(target_ms)
        return best_widths(search, widths, target_ms).widths.astype(int)

    def worth(self, widths: np.ndarray, target_ms: float) -> float:
        """The value of what a target has room for: of these widths, once channels have come back in the time left.

        Gates that have closed say that their channels were not worth their time beside everything else; when a
        branch goes they may be, and growth brings them back.
        """
        plan = self.plan()
        assert plan is not None
        present = {
            name: np.flatnonzero(self.gates.get(name, np.ones(len(values))))
            for name, values in self.reopened.items()
        }
        ranking = Ranking.of(self.reopened, present)
        search = WidthSearch(plan, ranking, self.limits.lower, self.limits.full, self.limits)
        return search.value(search.spend(widths, target_ms)) + self.lost

    def shrunk(self, target_ms: float) -> tuple[WidthSearch, np.ndarray]:
        """Widths that meet a target, not yet the best, and the search that found them.

        Raises:
            TargetError: no widths meet it.
        """
        plan = self.plan()
        assert plan is not None
        check_target(plan, target_ms, least=self.limits.lower)
        widest = self.limits.at_least(self.open_widths)
        search = WidthSearch(plan, self.ranking, self.limits.lower, widest, self.limits)
        return search, search.shrink(widest, target_ms)

    def left(self, branch: Branch) -> list[int]:
        """Where the spaces that are left without a branch stand among all of them, in their order without it."""
        old = {new: name for name, new in branch.renamed.items()}
        return [self.spaces.names.index(old[name]) for name in branch.after.names]

    def without(self, branch: Branch) -> Pruning:
        """The same without a branch."""
        rows = self.left(branch)

        def kept(values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {
                new: values[name]
                for name, new in branch.renamed.items()
                if name in values and branch.after[new].kept is None
            }

        gone = sum(name in self.reopened for name in branch.spaces)
        return replace(
            self,
            graph=branch.graph,
            spaces=branch.after,
            importance=kept(self.importance),
            reopened=kept(self.reopened),
            gates={new: self.gates[name] for name, new in branch.renamed.items() if name in self.gates},
            limits=Limits(self.limits.lower[rows], self.limits.multiple[rows], self.limits.full[rows]),
            gone=(*self.gone, branch.merge),
            lost=self.lost + gone * (1 + WIDTH_COUNTS) * math.log(GONE),
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
        branches = _removable(pruning)
        found = next((branch for branch in branches if branch.merge == merge), None)
        if found is None:
            names = dict.fromkeys(branch.merge for branch in branches)
            known = f"one of these can: {', '.join(names)}" if names else "none can"
            raise UsageError(f"remove_branches: no branch of an addition {merge!r} can go; {known}.")
        pruning = pruning.without(found)
    return pruning


def _removable(pruning: Pruning) -> list[Branch]:
    """The branches that may go, those with the fewest spaces of their own first."""
    branches = find_branches(pruning.graph, pruning.spaces)
    return [branch for branch in branches if all(map(pruning.may_close, branch.spaces))]


def without_costly(pruning: Pruning, target_ms: float) -> Pruning:
    """Without the branches in whose time the others are worth more, the best one first, under a target.

    Raises:
        TargetError: there are some, and the target is below what is left without any of them.
    """
    if not _removable(pruning):
        return pruning
    best, widths = _meeting(pruning, target_ms)
    worth = best.worth(widths, target_ms)
    while branches := _removable(best):
        trials = []
        for branch in branches:
            trial, kept = best.without(branch), widths[best.left(branch)]
            trials.append((trial.worth(kept, target_ms), trial, kept))
        found, trial, kept = max(trials, key=lambda each: each[0])
        if found <= worth:
            break
        best, widths, worth = trial, kept, found
    return best


def _meeting(pruning: Pruning, target_ms: float) -> tuple[Pruning, np.ndarray]:
    """Widths that meet a target; if there are none, without branches, those first whose absence saves most."""
    while True:
        try:
            return pruning, pruning.shrunk(target_ms)[1]
        except TargetError:
            trials = [pruning.without(branch) for branch in _removable(pruning)]
            if not trials:
                raise
            pruning = min(trials, key=_narrowest_ms)


def _narrowest_ms(pruning: Pruning) -> float:
    plan = pruning.plan()
    assert plan is not None
    return float(plan.predict_ms(pruning.limits.lower))
