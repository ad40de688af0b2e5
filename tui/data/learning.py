"""What a campaign's measurements teach so far: learned again and again in a child process.

Learning needs scikit-learn, which never enters this process: ``fdi campaigns learn`` runs at
the lowest priority and leaves a profile in a file of its own. A campaign on the same computer
notices a disturbance by its reference probe.
"""

from __future__ import annotations

import asyncio
import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from fdi_tui.data.campaign import Campaign
from fdi_tui.data.profile_files import read_head
from fdi_tui.data.readings import Reading

from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_keras.profile import DeviceProfile

#: Fewest measurements to begin with, and by how much there must be more before it is done again.
FEWEST, GROWTH = 20, 1.25
#: With more than this it is not done by itself: it would take minutes (our choice).
MOST = 4_000
#: Parts of a campaign that is over from which the fall of its error is shown.
PARTS = (1.0, 0.25, 0.5, 0.75)
PATIENCE_S = 300.0


@dataclass
class Learned:
    """What was learned of one campaign so far.

    Attributes:
        errors: number of measurements and held-out error by kind, ascending.
        profile: learned from all measurements there were then.
        of: how many those were.
        problem: why it could not be learned the last time.
        version: grows with every change.
    """

    errors: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    profile: DeviceProfile | None = None
    of: int = 0
    problem: str = ""
    version: int = 0
    tried: set[int] = field(default_factory=set)

    def add(self, count: int, mape: dict[str, float]) -> None:
        self.errors = sorted([*(e for e in self.errors if e[0] != count), (count, mape)], key=lambda e: e[0])
        self.version += 1


class Learner:
    """Learns for the campaign that is looked at, one child at a time.

    Args:
        command: the command line.
        folder: where the learned profiles are kept.
    """

    def __init__(self, command: Sequence[str], folder: Path):
        self._command = [*_nicely(), *command]
        self._folder = folder
        self._known: dict[Path, Learned] = {}

    def learned(self, campaign: Campaign) -> Learned:
        """What is known by now."""
        return self._known.setdefault(campaign.path, Learned())

    async def step(self, campaign: Campaign, at_work: bool) -> bool:
        """Learn once more if it is worth it, which takes its time; whether it was."""
        learned = self.learned(campaign)
        have = len(campaign.readings)
        if learned.errors and learned.errors[-1][0] > have:
            learned.errors, learned.profile, learned.of = [], None, 0  # another campaign of this name
            learned.tried.clear()
        count = self._wanted(learned, have, at_work)
        if count is None:
            return False
        learned.tried.add(count)
        whole = count == have
        out = self._folder / f"{campaign.path.stem}{'' if whole else '.part'}.json"
        if not (whole and not at_work and await self._take_kept(learned, campaign, out)):
            await self._learn(learned, campaign.path, count, out, whole)
        return True

    def _wanted(self, learned: Learned, have: int, at_work: bool) -> int | None:
        if not FEWEST <= have <= MOST:
            return None
        if at_work:
            return have if have >= max(FEWEST, math.ceil(GROWTH * learned.of)) else None
        for part in PARTS:
            count = math.ceil(part * have)
            if count >= FEWEST and count not in learned.tried:
                return count
        return None

    async def _take_kept(self, learned: Learned, campaign: Campaign, out: Path) -> bool:
        """Use what an earlier visit learned from the same journal."""
        try:
            fresh = out.stat().st_mtime >= campaign.path.stat().st_mtime
        except OSError:
            return False
        head = read_head(out, True) if fresh else None
        if head is None or head.problem:
            return False
        await self._keep(learned, out, len(campaign.readings), dict(head.mape))
        return learned.profile is not None

    async def _learn(self, learned: Learned, journal: Path, count: int, out: Path, whole: bool) -> None:
        from fdi_tui.data.children import ask

        words = ["campaigns", "learn", str(journal), "--out", str(out), "--first", str(count), "--json"]
        try:
            answer = await ask([*self._command, *words], timeout_s=PATIENCE_S)
            document = msgspec.json.decode(answer.out) if answer.status == 0 else None
        except (OSError, msgspec.DecodeError) as error:
            learned.problem = clean(error, 200)
            return
        if document is None:
            lines = answer.err.strip().splitlines() or [f"status {answer.status}"]
            learned.problem = clean(lines[-1].removeprefix("fdi: error: "), 300)
            learned.version += 1
            if whole:
                learned.of = count  # do not try again with as good as the same
            return
        learned.problem = ""
        if whole:
            await self._keep(learned, out, count, document["mape"])
        else:
            learned.add(count, document["mape"])
            out.unlink(missing_ok=True)

    async def _keep(self, learned: Learned, out: Path, count: int, mape: dict[str, float]) -> None:
        from fdi_keras.errors import FdiError

        def load() -> DeviceProfile:
            from fdi_keras.profile import load_profile

            return load_profile(out)

        try:
            learned.profile = await asyncio.to_thread(load)
        except FdiError as error:
            learned.problem = str(error)
        learned.of = count
        learned.add(count, mape)


def predictions(readings: Sequence[Reading], learned: Learned | None) -> dict[int, float]:
    """What the model learned so far makes of measurements, in ms by index, with the cost of an invocation."""
    if learned is None or learned.profile is None:
        return {}
    import numpy as np

    from fdi_keras.operators import KINDS

    profile, found = learned.profile, {}
    for kind in {r.kind for r in readings} & set(profile.models):
        names = KINDS[kind].dimensions
        of_kind = [r for r in readings if r.kind == kind and all(name in r.dims for name in names)]
        dims = {name: np.array([r.dims[name] for r in of_kind], float) for name in names}
        if of_kind:
            times = profile.models[kind].predict_ms(dims) + profile.overhead_ms
            found.update({r.index: float(t) for r, t in zip(of_kind, times, strict=True)})
    return found


def _nicely() -> list[str]:
    program = shutil.which("nice")
    return [program, "-n", "19"] if program else []
