"""An active design: what is timed next is what a model of the times so far is least sure about.

The endless design (see ``design.py``) is read ahead, several candidates for each that will be
timed. A committee of randomised regression trees, fitted to the times measured so far, predicts
every candidate; the wider its members disagree, the likelier a candidate is chosen. So steps and dips
that the committee has not understood get measurements, and smooth regions few. (Our choice; query by
committee, drawn at random in proportion to the variance rather than greedily, which picks the same
corner again and again.)

A fifth of the groups of the design never has a say: its rows are timed as they come, for
the error that is reported, and neither the committee nor the choice sees them.
"""

from __future__ import annotations

import itertools
import threading
import zlib
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

import numpy as np

from fdi_keras.loading import load
from fdi_keras.operators import KINDS
from fdi_keras.profiling.design import Configuration, check_kinds, kind_order
from fdi_keras.profiling.plan import Plan
from fdi_keras.profiling.records import Records
from fdi_keras.profiling.work import Item, Work

#: One of so many groups is set aside for the error.
HELD_OUT_OF = 5

#: So many are chosen at a time: the committee is fitted anew for each such round.
ROUND = 64

#: The design is read ahead so many candidates for one that is timed.
CANDIDATES = 5

#: A kind has so many measurements before the committee has a say.
FEWEST = 100

#: Trees of the committee.
MEMBERS = 40

#: Candidates of a kind that were not chosen are kept up to this number, the latest.
MOST_CANDIDATES = 600

#: Kind, configurations of it that were timed, and their times in ms, to why these are enough.
Enough = Callable[[str, Sequence[Configuration], np.ndarray], str | None]

#: Multiples of channel counts that the committee may ask for.
DIVISORS = (4, 8, 16, 32)


def is_held_out(kind: str, group: int, seed: int = 0) -> bool:
    """Whether a group of a design is set aside for the error; the same for every campaign of that seed."""
    return zlib.crc32(f"{seed}/{kind}/{group}".encode()) % HELD_OUT_OF == 0


class ActiveWork(Work):
    """What is left to time of a plan, chosen by what was timed so far. See :class:`Work`.

    Args:
        plan: ``measurements`` is how many to time in all.
        done: places in the design that were timed or have failed.
        times: time in ms of places that were timed.
        elsewhere: places that an earlier profile has; their times are in ``times`` too.
        first: places that are timed before all others.
        enough: says of a kind, from all of it that was timed and the times in ms, why more would not
            help, or None while it would; by default it always would.
        beside: choose the next ones in a thread, while the device times what is left of those before; for
            computers that have a core left.
    """

    def __init__(
        self,
        plan: Plan,
        done: Collection[int] = (),
        times: Mapping[int, float] | None = None,
        elsewhere: Collection[int] = (),
        first: Collection[int] = (),
        enough: Enough | None = None,
        beside: bool = False,
    ):
        super().__init__(plan, done, elsewhere)
        self._seed = plan.seed
        self._times = dict(times or {})
        self._taken = len(done)
        self._queue: deque[Item] = deque()
        self._rounds = 0
        self._kinds = check_kinds(plan.kinds)
        self._turns = itertools.islice(kind_order(self._kinds), len(done), None)
        self._enough = enough
        self._beside = beside
        self._next_round: _Round | None = None
        #: By kind: candidates to choose from, and those that are timed as they come.
        self._open: dict[str, dict[int, Configuration]] = defaultdict(dict)
        self._set_aside: dict[str, deque[Item]] = defaultdict(deque)
        self._chosen: Counter[tuple[str, bool]] = Counter()
        last = max([*self._done, *first], default=-1)
        while len(self._known) <= last:
            self._candidate()
        for place in self._done:
            known = self._known[place]
            self._chosen[known.kind, is_held_out(known.kind, known.group, self._seed)] += 1
        for place in first:
            self._withdraw(place)
        self.give_back(first)

    @property
    def total(self) -> int | None:
        return self._measurements

    def finish(self, index: int, ms: float | None = None) -> None:
        with self._changed:
            if ms is not None:
                self._times[index] = ms
        super().finish(index)

    def _fresh_item(self) -> Item | None:
        if self._measurements is not None and self._taken >= self._measurements:
            return None
        while not self._queue:
            if self._next_round is None:
                self._settle()
                if len(self.settled) == len(self._kinds):
                    return None
                self._next_round = _Round(self._round, self._times)
            self._queue.extend(self._next_round.result())
            self._next_round = None
        if self._beside and self._next_round is None and len(self._queue) <= ROUND // 2:
            self._settle()
            if len(self.settled) < len(self._kinds):
                self._next_round = _Round(self._round, self._times)
        self._taken += 1
        return self._queue.popleft()

    def _round(self, times: Mapping[int, float]) -> list[Item]:
        """The next ones, in the order of their kinds in the design."""
        for _ in range(CANDIDATES * ROUND):
            self._candidate()
        self._rounds += 1
        turns = list(itertools.islice((kind for kind in self._turns if kind not in self.settled), ROUND))
        found = {kind: deque(self._choose(kind, count, times)) for kind, count in Counter(turns).items()}
        return [found[kind].popleft() for kind in turns if found[kind]]

    def _settle(self) -> None:
        """Ask of each kind whether it has enough."""
        if self._enough is None:
            return
        timed: dict[str, list[int]] = defaultdict(list)
        for place in self._times:
            if place in self._known and self._known[place].kind not in self.settled:
                timed[self._known[place].kind].append(place)
        for kind, places in timed.items():
            times = np.array([self._times[place] for place in places])
            usable = np.flatnonzero(times > 0)
            reason = self._enough(kind, [self._known[places[at]] for at in usable], times[usable])
            if reason is not None:
                self.settled[kind] = reason
                self._open.pop(kind, None)
                self._set_aside.pop(kind, None)

    def _candidate(self) -> None:
        """Read one more of the design; a candidate unless it is done."""
        index, configuration = next(self._fresh)
        kind = configuration.kind
        if kind in self.settled:
            return
        self._known[index] = configuration
        if index not in self._done:
            if is_held_out(kind, configuration.group, self._seed):
                self._set_aside[kind].append((index, configuration))
            else:
                self._open[kind][index] = configuration

    def _withdraw(self, place: int) -> None:
        """It is no candidate any more."""
        kind = self._known[place].kind
        self._open[kind].pop(place, None)
        self._set_aside[kind] = deque(item for item in self._set_aside[kind] if item[0] != place)

    def _choose(self, kind: str, count: int, times: Mapping[int, float]) -> list[Item]:
        """So many of a kind: of those set aside their share as they come, of the others by the committee."""
        found: list[Item] = []
        candidates, aside = self._open[kind], self._set_aside[kind]
        for _ in range(count):
            share = self._chosen[kind, True] + 0.5 < (sum(self._both(kind)) + 1) / HELD_OUT_OF
            self._chosen[kind, bool(share and aside)] += 1
            if share and aside:
                found.append(aside.popleft())
        places = self._by_doubt(kind, min(count - len(found), len(candidates)), times)
        found += [(place, candidates.pop(place)) for place in places]
        for place in list(candidates)[:-MOST_CANDIDATES]:
            del candidates[place]
        return found

    def _both(self, kind: str) -> tuple[int, int]:
        return self._chosen[kind, True], self._chosen[kind, False]

    def _by_doubt(self, kind: str, count: int, known: Mapping[int, float]) -> list[int]:
        """Places of candidates, drawn in proportion to the variance of what the committee says."""
        candidates = self._open[kind]
        learned = [
            place
            for place in known
            if self._known_as(place, kind) and not is_held_out(kind, self._known[place].group, self._seed)
        ]
        if len(learned) < FEWEST or count >= len(candidates):
            return list(candidates)[:count]
        committee = load("sklearn.ensemble").ExtraTreesRegressor(
            MEMBERS, min_samples_leaf=2, bootstrap=True, random_state=self._rounds
        )
        times = np.array([known[place] for place in learned])
        committee.fit(
            _columns(kind, [self._known[place] for place in learned]),
            np.log(np.maximum(times, 1e-3 * np.median(times))),
        )
        columns = _columns(kind, list(candidates.values()))
        said = np.stack([member.predict(columns) for member in committee.estimators_])
        doubt = said.var(axis=0) + 1e-9
        rng = np.random.default_rng([self._seed, self._rounds, zlib.crc32(kind.encode())])
        drawn = rng.choice(len(doubt), count, replace=False, p=doubt / doubt.sum())
        places = list(candidates)
        return [places[at] for at in sorted(drawn)]

    def _known_as(self, place: int, kind: str) -> bool:
        return place in self._known and self._known[place].kind == kind


class _Round:
    """The next choice being made in a thread of its own, from the times that are known now."""

    def __init__(self, choose: Callable[[Mapping[int, float]], list[Item]], times: Mapping[int, float]):
        self._choose, self._times = choose, dict(times)
        self._items: list[Item] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self) -> list[Item]:
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._items

    def _run(self) -> None:
        try:
            self._items = self._choose(self._times)
        except BaseException as error:
            self._error = error


def work_of(
    plan: Plan,
    records: Records | None,
    elsewhere: Mapping[int, float] | None = None,
    first: Collection[int] = (),
    enough: Enough | None = None,
    beside: bool = False,
) -> Work:
    """What is left to time of a plan after a campaign's records.

    Args:
        plan: active or not.
        records: of the campaign that goes on; None at its beginning.
        elsewhere: places that an earlier profile has, with their times in ms.
        first: places that are timed before all others, wherever they stand.
        enough, beside: of an active plan, see :class:`ActiveWork`.
    """
    done, times = set[int](), dict(elsewhere or {})
    if records is not None:
        done = {*records.measurements, *records.failures}
        times |= times_of(records)
    if plan.active:
        before = [place for place in first if place not in done]
        return ActiveWork(plan, done, times, elsewhere or (), before, enough, beside)
    return Work(plan, done, elsewhere or ())


def times_of(records: Records) -> dict[int, float]:
    """Times in ms by place, without the cost of an invocation."""
    overhead_ms = records.overhead_ms or 0.0
    return {place: m.median_ms - overhead_ms for place, m in records.measurements.items()}


def _columns(kind: str, configurations: Iterable[Configuration]) -> np.ndarray:
    """What the committee sees of n operators: logarithms of all features, and multiples of the channels."""
    rows = [configuration.dims for configuration in configurations]
    dims = {name: np.array([row[name] for row in rows], float) for name in KINDS[kind].dimensions}
    multiples = [dims[name] % divisor == 0 for name in KINDS[kind].channels for divisor in DIVISORS]
    return np.column_stack([np.log1p(KINDS[kind].matrix(dims)), *multiples])
