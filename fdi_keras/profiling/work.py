"""What is left to time of a design, handed out in its order to whoever has time for it."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Collection, Iterable, Iterator

import msgspec

from fdi_keras.profiling.design import Configuration, configurations
from fdi_keras.profiling.plan import Plan

#: A configuration of a design with its place in it.
Item = tuple[int, Configuration]


class Work:
    """The configurations of a plan that nobody has timed yet. Safe for several threads.

    Args:
        plan: how far the design goes.
        done: places in the design that need not be timed.
        elsewhere: likewise, those that an earlier profile has.

    What is taken is either finished or given back. Whoever finds nothing left waits for what
    others still have: they may give it back.

    Example::

        >>> work = Work(Plan(["relu"], measurements=3), done=[1])
        >>> [index for index, _ in work.take(5)]
        [0, 2]
        >>> work.give_back([2])
        >>> [index for index, _ in work.take(5)]
        [2]
    """

    def __init__(self, plan: Plan, done: Collection[int] = (), elsewhere: Collection[int] = ()):
        self._measurements = plan.measurements
        self._elsewhere = len(elsewhere)
        self._changed = threading.Condition()
        self._fresh: Iterator[Item] = enumerate(configurations(plan.kinds, plan.seed))
        self._known: dict[int, Configuration] = {}
        self._returned: list[int] = []
        self._out: dict[int, int] = {}  # taken and not yet finished, by the thread that took it
        self._done = {*done, *elsewhere}
        #: Kinds of which more measurements no longer help, with the reason in words.
        self.settled: dict[str, str] = {}

    @property
    def total(self) -> int | None:
        """How many there are to time in all; None where only time ends a campaign."""
        return None if self._measurements is None else self._measurements - self._elsewhere

    def take(self, count: int) -> list[Item]:
        """Up to ``count`` configurations, those that were given back first; none when all is finished."""
        with self._changed:
            while True:
                found = [item for item in (self._next() for _ in range(count)) if item is not None]
                self._out |= {index: threading.get_ident() for index, _ in found}
                if found or not self._others_have_some():
                    return found
                self._changed.wait(1.0)

    def finish(self, index: int, ms: float | None = None) -> None:
        """It has a result: the time in ms of its operator alone, or None when it failed."""
        with self._changed:
            self._out.pop(index, None)
            self._changed.notify_all()

    def give_back(self, indices: Iterable[int]) -> None:
        """Have configurations timed after all, or again: they come before all others."""
        with self._changed:
            for index in indices:
                self._look_up(index)
                self._out.pop(index, None)
                if index not in self._returned:
                    heapq.heappush(self._returned, index)
            self._changed.notify_all()

    def _others_have_some(self) -> bool:
        return any(thread != threading.get_ident() for thread in self._out.values())

    def _next(self) -> Item | None:
        if self._returned:
            index = heapq.heappop(self._returned)
            return index, self._known[index]
        return self._fresh_item()

    def _fresh_item(self) -> Item | None:
        """The next that nobody had yet."""
        if self._measurements is not None and len(self._known) >= self._measurements:
            return None
        for index, configuration in self._fresh:
            self._known[index] = configuration
            if index not in self._done:
                return index, configuration
            if self._measurements is not None and index + 1 >= self._measurements:
                return None
        return None

    def _look_up(self, index: int) -> None:
        """Of a place that an earlier run took, the configuration is not known yet."""
        while index not in self._known:
            place, configuration = next(self._fresh)
            self._known[place] = configuration
            if place not in self._done and place != index:
                heapq.heappush(self._returned, place)


class Share(Work):
    """What one of several devices times: first some of its own, then what it takes of the common work.

    Args:
        plan: as of the common work.
        common: what the devices share.
        own: the first so many configurations of the design, which every device times, so
            that it shows whether they agree.
        done: places that this device has timed.
    """

    def __init__(self, plan: Plan, common: Work, own: int, done: Collection[int] = ()):
        measurements = own if plan.measurements is None else min(own, plan.measurements)
        super().__init__(msgspec.structs.replace(plan, measurements=measurements), done)
        self._common = common
        self._own = range(measurements)

    def take(self, count: int) -> list[Item]:
        return super().take(count) or self._common.take(count)

    def finish(self, index: int, ms: float | None = None) -> None:
        if index in self._own:
            super().finish(index, ms)
        else:
            self._common.finish(index, ms)

    def give_back(self, indices: Iterable[int]) -> None:
        indices = list(indices)
        super().give_back(index for index in indices if index in self._own)
        self._common.give_back(index for index in indices if index not in self._own)
