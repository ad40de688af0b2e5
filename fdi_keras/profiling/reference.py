"""The reference probe: it tells whether a device is as fast as it was.

A computer gets slower while it works: it warms up, or somebody else computes. When the reference takes more than
:data:`SLOWER` times its best, the campaign waits until it does not, and repeats what it measured since the
reference was last found good.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from fdi_keras.journal import Journal
from fdi_keras.profiling.patient_runner import Patience, PatientRunner
from fdi_keras.profiling.probes import build_probe
from fdi_keras.profiling.tally import Tally

REFERENCE = ("conv2d", {"height": 28, "width": 28, "in_channels": 32, "out_channels": 32, "kernel": 3})

#: The reference may take so many times its best before the campaign waits.
SLOWER = 1.10

#: A campaign that has just begun waits for a slow computer for so many seconds at least.
LEAST_PATIENCE_S = 5.0


class Reference:
    """Looks at the reference, closes what was measured since the last look, or has it repeated.

    Args:
        device: what executes it.
        journal: gets every look and every wait.
        tally: of the campaign.
        patience: for how long to wait for a computer that got slower.
        baseline_ms: its best time in earlier runs, None when there were none.
        got_faster: called when the device got faster than it was when the campaign began.
    """

    def __init__(
        self,
        device: PatientRunner,
        journal: Journal,
        tally: Tally,
        patience: Patience,
        baseline_ms: float | None,
        got_faster: Callable[[], None],
    ):
        self._device, self._journal, self._tally, self._patience = device, journal, tally, patience
        self._probe = build_probe(*REFERENCE)
        self._baseline = baseline_ms
        self._got_faster = got_faster

    def check(self, last: bool = False) -> None:
        """Close the block of measurements since the last check, or have it repeated.

        ``last``: the campaign is over when nothing has to be repeated; when its time
        is up nothing can be, and it does not wait.
        """
        took_ms = self._time()
        if self._baseline is not None and took_ms > SLOWER * self._baseline:
            if last and self._tally.time_is_up:
                self._warn("the reference was slow at the end: the last measurements may be too", took_ms)
                return
            self._tally.repeat_open(self._slowness(took_ms))
            took_ms = self._wait(took_ms)
        elif self._baseline is not None and took_ms * SLOWER < self._baseline:
            # The baseline itself was made while the computer was slow, and so was what it approved
            # and what was measured since.
            self._warn("the computer got faster", took_ms)
            self._tally.repeat_slower(SLOWER * took_ms, self._slowness(took_ms))
            self._got_faster()
        self._baseline = took_ms if self._baseline is None else min(self._baseline, took_ms)
        self._tally.close(took_ms)
        self._journal.write("reference", median_ms=took_ms, baseline_ms=self._baseline, good=True)
        self._journal.write("progress", **self._tally.counts(), timed_seconds=round(self._tally.timed_s, 3))

    def _wait(self, took_ms: float) -> float:
        """Wait until the reference is as fast as it was; returns its time then.

        After a while the slower speed is taken for the normal one: a hot laptop
        never gets as fast again as it was at the start. A campaign that has just begun
        has less patience, for what it would have to repeat took no longer.
        """
        assert self._baseline is not None
        begin = time.monotonic()
        patience_s = min(self._patience.slow_s, max(LEAST_PATIENCE_S, self._tally.seconds))
        while took_ms > SLOWER * self._baseline:
            ratio = took_ms / self._baseline
            waited = time.monotonic() - begin
            self._journal.write(
                "waiting",
                reason=self._slowness(took_ms),
                median_ms=took_ms,
                baseline_ms=self._baseline,
                waited_s=waited,
            )
            if waited >= patience_s:
                self._warn(f"the computer stayed {ratio:.2f} x slower; that is the new baseline", took_ms)
                self._baseline = took_ms
                break
            self._tally.tell("waiting", waiting=f"the computer is {ratio:.2f} x slower than it was")
            time.sleep(self._patience.pause_s)
            took_ms = self._time()
        return took_ms

    def _time(self) -> float:
        """Median of the reference in ms; of three readings when the first is suspicious."""
        took_ms = self._device.time_often(self._probe, times=1)
        if self._baseline is None or took_ms > SLOWER * self._baseline:
            took_ms = min(took_ms, self._device.time_often(self._probe, times=2))
        return took_ms

    def _slowness(self, took_ms: float) -> str:
        return f"the reference took {took_ms:.4g} ms, its baseline was {self._baseline:.4g} ms"

    def _warn(self, message: str, took_ms: float) -> None:
        self._journal.write("warning", message=message, median_ms=took_ms, baseline_ms=self._baseline)
