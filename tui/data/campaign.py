"""A campaign as its journal tells it, event by event, while it runs or long after."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Mapping
from pathlib import Path

from fdi_tui.data.readings import (
    LONGEST_NAME,
    Failed,
    Happening,
    Reading,
    amount,
    dict_of,
    failure_of,
    moment_of,
    reading_of,
    text_of,
)
from fdi_tui.data.tail import Event
from fdi_tui.data.writers import Standing, Writer

from fdi_keras.text import clean

#: Measurements and other things that are kept of one campaign; of more, the latest (our choice).
MOST_READINGS = 20_000
MOST_LINES = 2_000
#: The rate is that of the last seconds, so that it follows a change of kinds.
RATE_OVER_S = 60.0
#: Share by which an estimated number of measurements must differ before it is divided among kinds anew.
LITTLE = 0.02


class Campaign:
    """What is known of a campaign; texts in it are cleaned, numbers finite.

    Attributes:
        path: the journal.
        device, device_name, runtime, threads: what is measured, in words.
        kinds: asked for; empty while unknown.
        budget, minutes: its limits; None: no such limit.
        readings: by index, those that count.
        failures: by index.
        happenings: waits, warnings, restarts, newest last.
        waiting: why it waits now; empty while it does not.
        waited_s: all waits together.
        overhead_ms: of an invocation.
        seconds: all runs together, as the journal said last.
        ending: why it failed or was interrupted.
        version: grows with every change.
    """

    def __init__(self, path: Path):
        self.path = path
        self.writer = Writer()
        self.device = self.device_name = self.runtime = ""
        self.threads = 1
        self.delegate, self.cores, self.precision = "xnnpack", "", "float32"
        self.kinds: list[str] = []
        self.budget: int | None = None
        self.minutes: float | None = None
        self.seed = 0
        self.design_version: object = None
        self.readings: dict[int, Reading] = {}
        self.failures: dict[int, Failed] = {}
        self.counts: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.happenings: deque[Happening] = deque(maxlen=MOST_LINES)
        self.waiting = ""
        self.waited_s = 0.0
        self.overhead_ms = 0.0
        self.ending = ""
        self.version = 0
        self._planned: tuple[list[str], int, dict[str, int]] = (
            [],
            0,
            {},
        )  # of which kinds, of how many, what
        self._wait_s = 0.0
        self._times_weights = False
        self._told_s: tuple[float, float] | None = None  # seconds as told, and when
        self._ends: deque[float] = deque(maxlen=4096)  # times of measurements, for the rate

    @property
    def name(self) -> str:
        return clean(self.path.stem, LONGEST_NAME)

    def take(self, event: Event) -> None:
        """Account for an event, whatever is in it."""
        self.version += 1
        self.writer.take(event)
        name = event["event"]
        if name not in ("waiting", "reference", "progress", "warning", "superseded"):
            self._end_wait()
        handler = _HANDLERS.get(name)
        if handler is not None:
            handler(self, event)

    # What is asked of it

    def standing(self, now: float) -> Standing:
        return self.writer.standing(now)

    @property
    def done(self) -> int:
        """Configurations measured or failed."""
        return sum(self.counts.values()) + sum(self.failed.values())

    def rate_per_minute(self, now: float) -> float | None:
        """Of the last minute; None while too few to tell."""
        recent = [at for at in self._ends if at > now - RATE_OVER_S]
        if len(recent) < 5:
            return None
        return 60.0 * (len(recent) - 1) / max(now - recent[0], 1e-3)

    def seconds(self, now: float, at_work: bool) -> float:
        """All runs together."""
        if self._told_s is None:
            begin = self.writer.began
            return max(now - begin, 0.0) if at_work and begin is not None else 0.0
        told, at = self._told_s
        return told + (max(now - at, 0.0) if at_work else 0.0)

    def left_s(self, now: float) -> float | None:
        """Seconds that are left, by the limit that is met first; None while unknown."""
        left = []
        rate = self.rate_per_minute(now)
        if self.budget is not None and rate:
            left.append(60.0 * max(self.budget - self.done, 0) / rate)
        if self.minutes is not None:
            left.append(max(60.0 * self.minutes - self.seconds(now, True), 0.0))
        return min(left) if left else None

    def total(self, now: float) -> int | None:
        """How many there will be; estimated by the rate where time is the limit."""
        totals = [] if self.budget is None else [self.budget]
        rate, left = self.rate_per_minute(now), self.left_s(now)
        if self.minutes is not None and rate and left is not None:
            totals.append(self.done + round(rate * left / 60.0))
        return min(totals) if totals else None

    def planned(self, total: int | None) -> dict[str, int]:
        """How many of each kind there will be; empty while that is unknown, or for another design."""
        from fdi_keras.errors import UsageError
        from fdi_keras.profiling.design import DESIGN_VERSION, planned

        if total is None or self.design_version != DESIGN_VERSION or not self.kinds:
            return {}
        kinds, before, known = self._planned
        # An estimate that moves with the rate would be designed again several times a second.
        far = abs(total - before) > (0 if total == self.budget else LITTLE * before)
        if kinds != self.kinds or far:
            try:
                known = planned(self.kinds, min(total, MOST_READINGS))
            except UsageError:
                known = {}
            self._planned = (list(self.kinds), total, known)
        return known

    def of_kind(self, kind: str) -> list[Reading]:
        return [reading for reading in self.readings.values() if reading.kind == kind]

    # Events

    def _started(self, event: Event) -> None:
        if self.device:
            self.happenings.append(Happening(moment_of(event), "started", "started again"))
        device, runtime = dict_of(event.get("device")), dict_of(event.get("runtime"))
        self.device = text_of(device.get("id")) or text_of(event.get("name"))
        self.device_name = text_of(device.get("name"))
        self.delegate, self.cores, self.precision = (
            text_of(runtime.get(key)) for key in ("delegate", "cores", "precision")
        )
        self.threads = int(amount(runtime.get("threads")) or 1)
        words = [self.delegate, self.precision if self.precision != "float32" else "", self.cores]
        words.append(f"{self.threads} threads" if self.threads != 1 else "")
        version = text_of(runtime.get("version"))[:12]
        self.runtime = f"{text_of(runtime.get('name'))} {version} ({', '.join(filter(None, words))})"
        self._plan(event)

    def _plan(self, event: Event) -> None:
        plan = dict_of(event.get("plan"))
        kinds = plan.get("kinds")
        self.kinds = [text_of(kind) for kind in kinds[:100]] if isinstance(kinds, list) else []
        budget, minutes = amount(plan.get("measurements")), amount(plan.get("minutes"))
        self.budget = int(budget) if budget is not None and budget > 0 else None
        self.minutes = minutes if minutes is not None and minutes > 0 else None
        self.seed = int(amount(plan.get("seed")) or 0)
        self.design_version = plan.get("design_version")

    def _resumed(self, event: Event) -> None:
        self._plan(event)
        self.ending = ""
        if self._told_s is not None:
            self._told_s = (self._told_s[0], moment_of(event))
        self.happenings.append(
            Happening(moment_of(event), "resumed", f"with {self.done} configurations done")
        )

    def _measurement(self, event: Event) -> None:
        reading = reading_of(event)
        if reading is None:
            return
        self._forget(reading.index)
        self.readings[reading.index] = reading
        self.counts[reading.kind] += 1
        self._ends.append(reading.at)
        if len(self.readings) > MOST_READINGS:
            del self.readings[next(iter(self.readings))]  # still counted

    def _failure(self, event: Event) -> None:
        failure = failure_of(event)
        if failure is None:
            return
        self._forget(failure.index)
        self.failures[failure.index] = failure
        self.failed[failure.kind] += 1
        if len(self.failures) > MOST_LINES:
            del self.failures[next(iter(self.failures))]

    def _superseded(self, event: Event) -> None:
        indices = event.get("indices")
        indices = [i for i in indices if isinstance(i, int)] if isinstance(indices, list) else []
        for index in indices:
            self._forget(index)
        text = f"{len(indices)} measurements are repeated: {clean(event.get('reason', ''), 200)}"
        self.happenings.append(Happening(moment_of(event), "repeat", text))

    def _waiting(self, event: Event) -> None:
        reason = clean(event.get("reason", ""), 300) or "it does not say why"
        if not self.waiting:
            self.happenings.append(Happening(moment_of(event), "waiting", reason))
        self.waiting = reason
        self._wait_s = max(self._wait_s, amount(event.get("waited_s")) or 0.0)

    def _gone(self, event: Event) -> None:
        self.waiting = f"the device is away: {clean(event.get('reason', ''), 200)}"
        self.happenings.append(Happening(moment_of(event), "gone", clean(event.get("reason", ""), 300)))

    def _back(self, event: Event) -> None:
        away = amount(event.get("away_s")) or 0.0
        self.happenings.append(Happening(moment_of(event), "back", f"after {away:.0f} s"))

    def _reference(self, event: Event) -> None:
        if event.get("good") is True:
            self._end_wait()

    def _warning(self, event: Event) -> None:
        self.happenings.append(Happening(moment_of(event), "warning", clean(event.get("message", ""), 400)))

    def _settled(self, event: Event) -> None:
        text = f"of {clean(event.get('kind', ''), 60)}: {clean(event.get('reason', ''), 300)}"
        self.happenings.append(Happening(moment_of(event), "enough", text))

    def _overhead(self, event: Event) -> None:
        self.overhead_ms = amount(event.get("overhead_ms")) or 0.0

    def _cold_weights(self, event: Event) -> None:
        if not self._times_weights:
            self._times_weights = True
            text = "layers whose weights leave the caches are timed first"
            self.happenings.append(Happening(moment_of(event), "weights", text))

    def _progress(self, event: Event) -> None:
        seconds = amount(event.get("seconds"))
        if seconds is not None:
            self._told_s = (seconds, moment_of(event))

    def _ended(self, event: Event) -> None:
        self._progress(event)
        self.ending = clean(event.get("reason", ""), 600)
        if self.ending:
            self.happenings.append(Happening(moment_of(event), event["event"], self.ending))

    def _forget(self, index: int) -> None:
        before = self.readings.pop(index, None)
        if before is not None:
            self.counts[before.kind] -= 1
        failed = self.failures.pop(index, None)
        if failed is not None:
            self.failed[failed.kind] -= 1

    def _end_wait(self) -> None:
        self.waiting = ""
        self.waited_s += self._wait_s
        self._wait_s = 0.0


_HANDLERS: Mapping[str, Callable[[Campaign, Event], None]] = {
    "started": Campaign._started,
    "resumed": Campaign._resumed,
    "measurement": Campaign._measurement,
    "failure": Campaign._failure,
    "superseded": Campaign._superseded,
    "waiting": Campaign._waiting,
    "gone": Campaign._gone,
    "back": Campaign._back,
    "reference": Campaign._reference,
    "warning": Campaign._warning,
    "settled": Campaign._settled,
    "overhead": Campaign._overhead,
    "cold_weights": Campaign._cold_weights,
    "progress": Campaign._progress,
    "finished": Campaign._ended,
    "failed": Campaign._ended,
    "interrupted": Campaign._ended,
}
