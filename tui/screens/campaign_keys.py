"""What keys do to a campaign: start, pause, stop, continue, learn."""

from __future__ import annotations

import shlex
import time
from pathlib import Path

from fdi_tui.data.campaign import Campaign
from fdi_tui.data.campaigns import CampaignFollower, ListedCampaign
from fdi_tui.data.control import interrupt, resume_arguments
from fdi_tui.screens.room import Room
from fdi_tui.widgets.panels import Confirm


class CampaignKeys(Room):
    """The part of the room that acts on the campaign under the cursor."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[ListedCampaign] = []
        self._follower: CampaignFollower | None = None
        self._stopping: set[Path] = set()

    def command(self) -> str:
        follower = self._follower
        return "" if follower is None else shlex.join(["fdi", *resume_arguments(follower.campaign)])

    def action_start(self) -> None:
        from fdi_tui.screens.devices import ask_for_campaign

        device = (self._follower.campaign.device if self._follower else "") or "local"
        seen = self.app.devices.seen.get(device)
        ask_for_campaign(self, device, seen is not None and seen.kind == "phone")

    def action_suspend(self) -> None:
        """Pause what runs, or let what was paused go on."""
        if self._follower is None:
            return
        if self._follower.campaign.standing(time.time()).at_work:
            self._interrupt("Paused: z or c goes on with it.")
        else:
            self.action_resume()

    def action_stop(self) -> None:
        follower = self._follower
        if follower is None:
            return
        campaign = follower.campaign
        if not campaign.standing(time.time()).at_work:
            self.app.say(f"{campaign.name} does not run.")
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._interrupt("Stopped; c goes on with it, L learns a profile from what it measured.")

        question = f"Stop the campaign {campaign.name}?"
        consequence = f"It has measured {campaign.done}; nothing of that is lost, and it can be continued."
        self.app.push_screen(Confirm(question, consequence, "Stop"), answered)

    def _interrupt(self, done: str) -> None:
        if self._follower is None:
            return
        campaign = self._follower.campaign
        reason = interrupt(campaign, time.time())
        if reason:
            self.app.say(f"{campaign.name} cannot be stopped: {reason}", warning=True)
        else:
            self._stopping = {campaign.path}
            self.app.say(done)

    def action_resume(self) -> None:
        if self._follower is None:
            return
        campaign = self._follower.campaign
        standing = campaign.standing(time.time())
        if standing.at_work or standing.state == "elsewhere":
            where = f"on {standing.host}" if standing.state == "elsewhere" else "already"
            self.app.say(f"{campaign.name} runs {where}.", warning=True)
        elif standing.state == "finished":
            self.app.say(
                "It has finished: n starts another, or extend it with 'fdi profile --resume --minutes M'."
            )
        elif not self._is_latest(campaign):
            self.app.say(
                "This is an earlier journal: only the latest of a device can be continued.", warning=True
            )
        else:
            self._stopping = set()
            self.app.start_campaign(resume_arguments(campaign))

    def _is_latest(self, campaign: Campaign) -> bool:
        """Whether ``--resume`` would find it: kept journals have a date in their name."""
        others = [row for row in self._rows if row.path != campaign.path and row.device == campaign.device]
        return not any(campaign.path.stem.startswith(f"{row.path.stem}.") for row in others)

    def action_learn(self) -> None:
        if self._follower is None:
            return
        stem = self._follower.campaign.path.stem

        async def learn() -> None:
            from fdi_tui.data.children import ask

            answer = await ask([*self.app.sources.command, "campaigns", "learn", stem], timeout_s=600)
            said = (answer.out or answer.err).strip().removeprefix("fdi: error: ")
            self.app.say(said.splitlines()[0] if said else "learned", warning=answer.status != 0)

        self.app.say("Learning from what was measured ...")
        self.run_worker(learn())
