"""Campaigns as their journals tell them: one that is followed, and the list of all in a folder."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import NamedTuple

from fdi_tui.data.campaign import MOST_LINES, Campaign
from fdi_tui.data.numbers import MOST, number_or_none
from fdi_tui.data.tail import Ends, Event, Folder, Tail
from fdi_tui.data.writers import Standing

from fdi_keras.text import clean


class CampaignFollower:
    """A campaign whose journal is being followed, and its last lines as they came."""

    def __init__(self, path: Path):
        self.tail = Tail(path)
        self.campaign = Campaign(path)
        self.raw: deque[Event] = deque(maxlen=MOST_LINES)

    def read(self) -> bool:
        """Read what is new, a chunk at most; whether there is more."""
        news = self.tail.read()
        if news.restarted:
            self.campaign = Campaign(self.tail.path)
            self.raw.clear()
        for event in news.events:
            self.campaign.take(event)
        self.raw.extend(news.events)
        return news.more


class ListedCampaign(NamedTuple):
    """A row of the list, from the two ends of a journal."""

    path: Path
    name: str
    device: str
    runtime: str
    standing: Standing
    done: int | None
    total: int | None
    minutes: float | None
    failures: int | None
    seconds: float | None
    problem: str
    changed: float
    ending: str = ""


def listed(ends: Ends, now: float) -> ListedCampaign:
    """What the list says of a campaign; its counts are those that its journal told last."""
    campaign = Campaign(ends.path)
    problem = ends.problem
    if ends.first is not None:
        if not problem and ends.first.get("kind") != "campaign":
            problem = f"the journal of a {clean(ends.first.get('kind'), 40)}, not of a campaign"
        campaign.take(ends.first)
        for event in ends.last:
            if event != ends.first:
                campaign.take(event)
    told = ends.newest("progress", "finished", "failed", "interrupted", "resumed") or {}
    counts = [number_or_none(told.get(key), MOST) for key in ("measurements", "failures", "total", "seconds")]
    measured, failed, total, seconds = counts
    done = None
    if measured is not None:
        after = ends.last[ends.last.index(told) + 1 :]
        done = int(measured + (failed or 0)) + sum(e["event"] in ("measurement", "failure") for e in after)
    elif ends.first is not None and ends.size <= sum(1 for _ in ends.last) * 2000:
        done = campaign.done
    return ListedCampaign(
        ends.path,
        campaign.name,
        campaign.device,
        campaign.runtime,
        campaign.standing(now),
        done,
        campaign.budget or (int(total) if total is not None else None),
        campaign.minutes,
        None if failed is None else int(failed),
        seconds,
        problem,
        ends.changed,
        campaign.ending,
    )


class Campaigns:
    """All campaigns of a folder: those at work first, then the newest."""

    def __init__(self, folder: Path):
        self._folder = Folder(folder)

    def read(self, now: float) -> list[ListedCampaign]:
        rows = [listed(ends, now) for ends in self._folder.read()]
        return sorted(rows, key=lambda row: (not row.standing.at_work, -row.changed))
