"""What is left to time of a design, handed out in its order to whoever has time for it."""

from __future__ import annotations

import heapq
import threading
from collections.abc import Collection, Iterable, Iterator

from fdi_keras.profiling.design import Configuration, configurations
from fdi_keras.profiling.plan import Plan

#: A configuration of a design with its place in it.
Item = tuple[int, Configuration]


class Work:
    """The configurations of a plan that nobody has timed yet. Safe for several threads.

    Args:
        plan: how far the design goes.
        done: places in the design that need not be timed.

    Several phones of one model share one: each takes what it can do next, so that a fast
    phone does more, and what a phone that left had taken goes back.

    Example::

        >>> work = Work(Plan(["relu"], measurements=3), done=[1])
        >>> [index for index, _ in work.take(5)]
        [0, 2]
        >>> work.give_back([2])
        >>> [index for index, _ in work.take(5)]
        [2]
    """

    def __init__(self, plan: Plan, done: Collection[int] = ()):
        self._measurements = plan.measurements
        self._lock = threading.Lock()
        self._fresh: Iterator[Item] = enumerate(configurations(plan.kinds, plan.seed))
        self._taken: dict[int, Configuration] = {}
        self._returned: list[int] = []
        self._done = set(done)

    def take(self, count: int) -> list[Item]:
        """Up to ``count`` configurations, those that were given back first; none when nothing is left."""
        with self._lock:
            found: list[Item] = []
            while len(found) < count and self._returned:
                index = heapq.heappop(self._returned)
                found.append((index, self._taken[index]))
            while len(found) < count:
                item = self._next()
                if item is None:
                    break
                found.append(item)
            return found

    def give_back(self, indices: Iterable[int]) -> None:
        """Have configurations timed after all, or again: they come before all others."""
        with self._lock:
            for index in indices:
                self._look_up(index)
                if index not in self._returned:
                    heapq.heappush(self._returned, index)

    def _next(self) -> Item | None:
        for index, configuration in self._fresh:
            self._taken[index] = configuration
            if self._measurements is not None and index >= self._measurements:
                return None
            if index not in self._done:
                return index, configuration
        return None

    def _look_up(self, index: int) -> None:
        """Of a place that an earlier run took, the configuration is not known yet."""
        while index not in self._taken:
            place, configuration = next(self._fresh)
            self._taken[place] = configuration
            if place not in self._done and place != index:
                heapq.heappush(self._returned, place)
