"""What a campaign has: what was measured, what failed, what has to be measured again, and how long it takes.

Measurements since the last look at the reference are open: that look closes them, or has them repeated.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from fdi_keras.journal import Journal
from fdi_keras.profiling.plan import Plan
from fdi_keras.profiling.records import Measurement, Records
from fdi_keras.profiling.work import Work

#: A measurement is repeated for a slow reference at most so often, or a restless computer never ends it.
MAX_REPEATS = 2

Stage = Literal["preparing", "weights", "measuring", "waiting", "energy", "learning", "finished"]


@dataclass(frozen=True)
class CampaignProgress:
    """Where a campaign stands, as given to its progress callback.

    Attributes:
        stage: what is being done now.
        done: configurations measured or failed, those of earlier runs included.
        total: how many there will be; an estimate when the campaign is limited by time.
        failures: how many of ``done`` failed.
        kind: of the last configuration.
        seconds: this run has taken.
        rate_per_minute: configurations of this run per minute.
        eta_s: seconds that are left, None while unknown.
        waiting: why the campaign waits, None while it does not.
        last: the last measurement, None at first.
        settled: of how many kinds more measurements no longer help.
    """

    stage: Stage
    done: int = 0
    total: int | None = None
    failures: int = 0
    kind: str = ""
    seconds: float = 0.0
    rate_per_minute: float = 0.0
    eta_s: float | None = None
    waiting: str | None = None
    last: Measurement | None = None
    settled: int = 0


Progress = Callable[[CampaignProgress], None]


class Tally:
    """The counts of one run of a campaign, written to its journal and told to its progress callback.

    Args:
        plan: how far the campaign goes.
        work: what is left of it; what has to be repeated is given back.
        journal: gets every result before the next one is counted.
        records: of the runs before, None for the first.
        progress: is told.

    Attributes:
        failures_in_a_row: since the last measurement.
        away_s: seconds for which the device was away, which the campaign's time does not count.
        timed_s: seconds for which the device executed probes.
    """

    def __init__(
        self, plan: Plan, work: Work, journal: Journal, records: Records | None, progress: Progress | None
    ):
        self._plan, self._work, self._journal, self._progress = plan, work, journal, progress
        self._begin = time.monotonic()
        self._earlier_s = records.seconds if records else 0.0
        #: Index in the design -> closing reference of its block, None while the block is open.
        self._done: dict[int, float | None] = {}
        self._failed: set[int] = set(records.failures) if records else set()
        self._repeats: dict[int, int] = dict(records.repeats) if records else {}
        self._redo: set[int] = set()
        if records:
            self._done = dict.fromkeys(records.measurements)
            self._done.update(records.verified)
            # Superseded before the kill and not yet measured again.
            self._redo = set(records.repeats) - set(self._done) - self._failed
        self._ran = 0
        self._last: Measurement | None = None
        self._settled: set[str] = set()
        self.failures_in_a_row = 0
        self.away_s = self.timed_s = 0.0

    @property
    def seconds(self) -> float:
        """Since the campaign began, the runs before included."""
        return self._earlier_s + self._own_seconds

    @property
    def time_is_up(self) -> bool:
        limit = self._plan.minutes
        return limit is not None and self.seconds - self.away_s >= 60 * limit

    @property
    def has_to_repeat(self) -> bool:
        """Whether something that was measured has to be measured again."""
        return bool(self._redo)

    def add(self, measurement: Measurement) -> None:
        self._redo.discard(measurement.index)
        self._journal.write("measurement", **msgspec.structs.asdict(measurement))
        self._done[measurement.index] = None
        self._ran += 1
        self.failures_in_a_row = 0
        self._last = measurement

    def add_failure(self, index: int, kind: str, dims: Mapping[str, int], reason: str) -> None:
        self._redo.discard(index)
        self._journal.write("failure", index=index, kind=kind, dims=dims, reason=reason)
        self._failed.add(index)
        self.failures_in_a_row += 1

    def close(self, reference_ms: float) -> None:
        """What is open was measured at the speed that this look at the reference found."""
        for index, closed in self._done.items():
            if closed is None:
                self._done[index] = reference_ms

    def repeat_open(self, reason: str) -> None:
        """Have what is open measured again."""
        self._repeat([index for index, closed in self._done.items() if closed is None], reason)

    def repeat_slower(self, reference_ms: float, reason: str) -> None:
        """The same, and what was closed while the reference took longer than this."""
        slow = [index for index, closed in self._done.items() if closed is None or closed > reference_ms]
        self._repeat(slow, reason)

    def _repeat(self, indices: Sequence[int], reason: str) -> None:
        """Have measurements repeated, unless they were repeated often enough."""
        again = [i for i in indices if self._repeats.get(i, 0) < MAX_REPEATS]
        if not again:
            return
        self._journal.write("superseded", indices=again, reason=reason)
        for index in again:
            del self._done[index]
            self._repeats[index] = self._repeats.get(index, 0) + 1
        self._redo.update(again)
        self._work.give_back(again)

    def note_settled(self) -> None:
        """Write down kinds of which more measurements no longer help."""
        for kind, reason in self._work.settled.items():
            if kind not in self._settled:
                self._settled.add(kind)
                self._journal.write("settled", kind=kind, reason=reason)

    def counts(self) -> dict[str, Any]:
        return {
            "measurements": len(self._done),
            "failures": len(self._failed),
            "total": self._total(),
            "seconds": round(self.seconds, 3),
        }

    def tell(self, stage: Stage, kind: str = "", waiting: str | None = None) -> None:
        """Tell whoever wants to know what is being done now."""
        if self._progress is None:
            return
        done, total, rate = len(self._done) + len(self._failed), self._total(), self._rate()
        self._progress(
            CampaignProgress(
                stage=stage,
                done=done,
                total=total,
                failures=len(self._failed),
                kind=kind,
                seconds=self._own_seconds,
                rate_per_minute=60 * rate,
                eta_s=max(0, total - done) / rate if rate and total is not None else None,
                waiting=waiting,
                last=self._last,
                settled=len(self._settled),
            )
        )

    @property
    def _own_seconds(self) -> float:
        return time.monotonic() - self._begin

    def _total(self) -> int | None:
        done, rate = len(self._done) + len(self._failed), self._rate()
        limits = []
        if self._work.total is not None:
            limits.append(self._work.total)
        if self._plan.minutes is not None and rate:
            left_s = max(0.0, 60 * self._plan.minutes - self.seconds + self.away_s)
            limits.append(done + round(rate * left_s))
        return min(limits) if limits else None

    def _rate(self) -> float:
        """Measurements of this run per second; 0 while too few to tell."""
        return self._ran / self._own_seconds if self._ran >= 5 else 0.0
