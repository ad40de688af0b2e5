"""A runner whose device may go away or get hot meanwhile: it is waited for, and both are in the journal."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from fdi_keras.devices import Runner
from fdi_keras.errors import CampaignError, DeviceGoneError, MeasurementError
from fdi_keras.journal import Journal
from fdi_keras.profiling.tally import Tally

T = TypeVar("T")


@dataclass(frozen=True)
class Patience:
    """For how many seconds a campaign waits.

    Attributes:
        slow_s: for a computer that got slower, before that is taken for its normal speed.
        gone_s: for a phone that went away: it may be charged elsewhere, or somebody borrowed the cable.
        hot_s: for a phone that is too hot.
        pause_s: between two looks while waiting.
        reference_every_s: between two looks at the reference (our choice: what a slow-down costs at most).
    """

    slow_s: float = 60.0
    gone_s: float = 1800.0
    hot_s: float = 1800.0
    pause_s: float = 2.0
    reference_every_s: float = 20.0


class PatientRunner:
    """Asks a runner again when its device is back.

    Args:
        runner: what times the probes; it stays open.
        journal: is told when the device goes away and comes back, and why it is waited for.
        tally: of the campaign, whose time does not run while the device is away.
        patience: for how long.
    """

    def __init__(self, runner: Runner, journal: Journal, tally: Tally, patience: Patience):
        self.runner = runner
        self._journal, self._tally, self._patience = journal, tally, patience

    def ask(self, ask: Callable[[], T]) -> T:
        """What the device answers, however often it goes away meanwhile."""
        while True:
            try:
                return ask()
            except DeviceGoneError as error:
                self.await_device(error)

    def await_device(self, gone: DeviceGoneError) -> None:
        """Wait for a device that went away; CampaignError when it stays away."""
        self._journal.write("gone", reason=str(gone))
        begin = time.monotonic()
        while True:
            away_s = time.monotonic() - begin
            if away_s >= self._patience.gone_s:
                raise CampaignError(
                    f"the device has been away for {away_s / 60:.0f} minutes: {gone} What was measured is in "
                    f"{self._journal.path}. Attach it again and resume the campaign."
                )
            self._tally.tell("waiting", waiting=f"the device is away: {gone}")
            try:
                self.runner.reconnect()
            except DeviceGoneError as error:
                gone = error
                time.sleep(self._patience.pause_s)
            else:
                break
        away_s = time.monotonic() - begin
        self._tally.away_s += away_s
        self._journal.write("back", away_s=away_s)

    def cool_down(self) -> None:
        """Wait while the device says that its times cannot be trusted, and have repeated what it timed before."""
        reason = self.ask(self.runner.unsteady)
        if reason is None:
            return
        self._tally.repeat_open(reason)
        begin = time.monotonic()
        while reason is not None:
            waited = time.monotonic() - begin
            self._journal.write("waiting", reason=reason, waited_s=waited)
            if waited >= self._patience.hot_s:
                raise CampaignError(
                    f"the device has not become steady in {waited / 60:.0f} minutes: {reason}. What was "
                    f"measured is in {self._journal.path}. Let it cool, and resume the campaign."
                )
            self._tally.tell("waiting", waiting=reason)
            time.sleep(self._patience.pause_s)
            reason = self.ask(self.runner.unsteady)

    def time_often(self, model: bytes, times: int) -> float:
        """The fastest of several medians, in ms; a crash costs one of them.

        Raises:
            CampaignError: it never ran.
        """
        medians, reason = [], ""
        for _ in itertools.repeat(None, times + 2):
            try:
                medians.append(self.ask(lambda: self.runner.time(model)).median_ms)
            except MeasurementError as error:
                reason = str(error)
            if len(medians) == times:
                break
        if not medians:
            raise CampaignError(f"the device cannot execute even the reference probe: {reason}")
        return min(medians)
