"""What must not come between a key and the screen: Python's own housekeeping.

Going through the objects of an app in search of garbage took a quarter of a second every few
seconds, and a few hundredths in between; a thread that reads a journal may hold the interpreter
for as long as it is let. Both are put off or cut short here.
"""

from __future__ import annotations

import gc
import sys
import time

#: Seconds that a thread keeps the interpreter when another one, that of the screen, wants it (our choice).
SWITCH_S = 0.001
#: Objects after which the youngest are looked through: a fraction of a millisecond.
YOUNG = 1000
#: As good as never by itself.
NEVER = 1 << 30
#: Seconds without a key after which older objects are looked through, and seconds between two times.
QUIET_S, MIDDLE_EVERY_S, ALL_EVERY_S = 1.0, 2.0, 60.0
#: Lots of the youngest after which that is done although keys are being pressed: some million objects.
MOST_LOTS = 2000


def settle() -> None:
    """Spare the collector of garbage what stays: modules, widgets, styles, profiles.

    Whatever is let go of is freed as before; only cycles that are garbage at this moment are kept,
    once a room.
    """
    gc.freeze()


class Housekeeping:
    """Looks for cyclic garbage while nobody presses a key; holds from :meth:`begin` to :meth:`end`."""

    def __init__(self) -> None:
        self._before: tuple[tuple[int, int, int], float] | None = None
        self._pressed_at = self._middle_at = self._all_at = time.monotonic()

    def begin(self) -> None:
        """From now on."""
        self._before = (gc.get_threshold(), sys.getswitchinterval())
        gc.set_threshold(YOUNG, NEVER, NEVER)
        sys.setswitchinterval(SWITCH_S)

    def end(self) -> None:
        """As it was before."""
        if self._before is not None:
            gc.set_threshold(*self._before[0])
            sys.setswitchinterval(self._before[1])
            self._before = None

    def pressed(self) -> None:
        """A key was pressed just now, or the mouse moved."""
        self._pressed_at = time.monotonic()

    def turn(self) -> int | None:
        """To be called every second or so; the generation that was looked through, if one was."""
        now = time.monotonic()
        quiet = now - self._pressed_at >= QUIET_S
        if quiet and now - self._all_at >= ALL_EVERY_S:
            self._all_at = self._middle_at = now
            gc.collect()
            return 2
        if (quiet and now - self._middle_at >= MIDDLE_EVERY_S) or gc.get_count()[1] > MOST_LOTS:
            self._middle_at = now
            gc.collect(1)
            return 1
        return None
