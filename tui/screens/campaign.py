"""The room of campaigns: how far they are, what they measured, what was learned from it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any, ClassVar

from fdi_tui.data.campaign import Campaign
from fdi_tui.data.campaigns import CampaignFollower, Campaigns
from fdi_tui.data.devices import row_of
from fdi_tui.data.learning import Learned, Learner, predictions
from fdi_tui.data.profiles import may_vary, usual_dims, varied_first
from fdi_tui.keys import bindings
from fdi_tui.screens import campaign_text as say
from fdi_tui.screens.campaign_keys import CampaignKeys
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.table import RowTable
from fdi_tui.widgets.times import TimesPlot, error_series, first_dimension, most_alike
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import ContentSwitcher, Static

from fdi_keras.operators import KINDS

PANELS = ("latest", "failures", "events", "errors", "log")


class CampaignRoom(CampaignKeys):
    """See the module."""

    TITLE = "Campaign"
    ROOM = "campaign"
    BINDINGS = bindings("campaign")
    EVERY_S: ClassVar[float] = 0.25

    _follower: CampaignFollower | None

    CSS = """
    CampaignRoom #list { height: auto; max-height: 5; min-height: 3; }
    CampaignRoom #head { height: 2; padding: 0 1; background: $boost; }
    CampaignRoom #middle { height: 3fr; }
    CampaignRoom #kinds { width: 38; }
    CampaignRoom #below { height: 2fr; }
    CampaignRoom #panels { width: 1fr; }
    CampaignRoom #errors { display: none; width: 1fr; }
    CampaignRoom.-panel-errors #errors { display: block; }
    CampaignRoom.-panel-errors #panels { display: none; }
    CampaignRoom.-tall #list { max-height: 8; }
    CampaignRoom.-normal #kinds { width: 52; }
    CampaignRoom.-wide #kinds { width: 60; }
    CampaignRoom.-wide #errors { display: block; }
    CampaignRoom.-wide #panels { display: block; width: 3fr; }
    CampaignRoom.-wide #errors { width: 2fr; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._folder: Campaigns | None = None
        self._learner: Learner | None = None
        self._kind = ""
        self._vary: dict[str, str] = {}
        self._anchors: dict[tuple[int, str, str], dict[str, int]] = {}
        self._panel = "latest"
        self._looked = 0.0
        self._shown: tuple[Any, ...] = ()
        self._wanted = ""

    def compose_room(self) -> ComposeResult:
        yield RowTable(
            say.LIST,
            name_of_export="campaigns",
            id="list",
            about="Campaigns: those at work, then the newest.",
        )
        yield Static("", id="head", markup=False)
        with Horizontal(id="middle"):
            yield RowTable(
                say.KINDS,
                name_of_export="kinds",
                id="kinds",
                about="Kinds of operators; the error is of the model learned so far, on measurements held out.",
            )
            yield TimesPlot(
                id="times", ascii=self.app.settings.ascii, empty="no measurement of this kind yet"
            )
        with Horizontal(id="below"):
            with ContentSwitcher(id="panels", initial="latest"):
                for name, (columns, export, about) in say.TABLES.items():
                    yield RowTable(columns, name_of_export=export, id=name, about=about)
            yield Plot(
                "held-out error as it is learned again",
                id="errors",
                x_name="measurements",
                y_text=lambda y: f"{y:.0f} %",
                ascii=self.app.settings.ascii,
                empty="not learned yet",
            )

    def on_mount(self) -> None:
        self.query_one("#list", RowTable).focus()
        self.run_worker(self._learn(), group="learn", exclusive=True)

    # Reading

    async def look(self) -> None:
        now = time.time()
        if self._folder is None:
            self._folder = Campaigns(self.app.sources.campaigns)
        folder = self._folder
        if time.monotonic() - self._looked >= 1.0 or not self._looked:
            self._looked = time.monotonic()
            self._rows = await asyncio.to_thread(folder.read, now)
        follower = self._follower
        if follower is not None:
            read, more = follower.read, True
            while more and self._follower is follower:
                more = await asyncio.to_thread(read)

    async def _learn(self) -> None:
        while True:
            follower = self._follower
            learned = False
            if follower is not None and self.is_current and not self.app.held:
                if self._learner is None:
                    self._learner = Learner(self.app.sources.command, self.app.sources.state / "learning")
                at_work = follower.campaign.standing(time.time()).at_work
                try:
                    learned = await self._learner.step(follower.campaign, at_work)
                except Exception as error:  # the room goes on without a curve
                    self.app.report_fault(error)
            await asyncio.sleep(0.05 if learned else 1.0)

    @property
    def _learned(self) -> Learned | None:
        if self._learner is None or self._follower is None:
            return None
        return self._learner.learned(self._follower.campaign)

    # Showing

    def show(self, **what: Any) -> None:
        self._wanted = str(what.get("device", ""))

    def refresh_data(self) -> None:
        now = time.time()
        table = self.query_one("#list", RowTable)
        followed = self._follower
        table.show_rows(
            {
                str(row.path): say.list_row(
                    row,
                    followed.campaign if followed is not None and followed.tail.path == row.path else None,
                    row.path in self._stopping,
                    now,
                )
                for row in self._rows
            }
        )
        if self._wanted:
            found = next((row for row in self._rows if row.device == self._wanted), None)
            if found is not None:
                table.choose(str(found.path))
                self._wanted = ""
        self._follow_chosen()
        self._show_campaign(now)

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        if event.table.id == "list":
            self._follow_chosen()
        elif event.table.id == "kinds" and event.key:
            self._kind = event.key
            self._show_times()

    def _follow_chosen(self) -> None:
        chosen = self.query_one("#list", RowTable).chosen
        path = Path(chosen) if chosen else None
        if path == (self._follower.tail.path if self._follower else None):
            return
        self._follower = CampaignFollower(path) if path else None
        self._kind, self._shown = "", ()

    def _show_campaign(self, now: float) -> None:
        follower = self._follower
        if follower is None:
            nothing = Text("There is no campaign yet: n starts one on this computer.", "dim")
            if self.query_one("#head", Static).content != nothing:
                self.query_one("#head", Static).update(nothing)
            for name in ("kinds", *say.TABLES):
                self.query_one(f"#{name}", RowTable).show_rows({})
            self.say_status("")
            return
        campaign, learned = follower.campaign, self._learned
        self._show_head(campaign, now)
        problem = follower.tail.problem
        status = f"journal {follower.tail.path}"
        if learned is not None and learned.problem:
            status = f"not learned: {learned.problem}"
        self.say_status(status, f"this journal: {problem}" if problem else "")
        shown = (follower, campaign.version, learned.version if learned else 0, self._panel, self.size)
        if shown == self._shown:
            return
        self._shown = shown
        self._show_kinds(campaign, learned, now)
        self._show_times()
        self._show_panel(follower, learned)
        self._show_errors(campaign, learned)

    def _show_head(self, campaign: Campaign, now: float) -> None:
        width = 20 if self.size.width < 100 else 40
        text = say.head_text(campaign, self._heat(campaign), now, width, self.app.settings.ascii)
        self.query_one("#head", Static).update(text, layout=False)  # its height is fixed

    def _heat(self, campaign: Campaign) -> str:
        device = self.app.devices.seen.get(campaign.device)
        if device is None:
            return ""
        row = row_of(device, self.app.vitals if device.kind == "computer" else {})
        parts = [f"{row['celsius']:.0f} °C" if row["celsius"] is not None else "", row["throttled"] or ""]
        return "".join(f"  {part}" for part in parts if part)

    def _show_kinds(self, campaign: Campaign, learned: Learned | None, now: float) -> None:
        error = learned.errors[-1][1] if learned and learned.errors else {}
        rows = say.kind_rows(campaign, error, now, self.app.settings.ascii)
        table = self.query_one("#kinds", RowTable)
        table.show_rows(rows)
        if not self._kind:
            self._kind = table.chosen or ""

    def _show_times(self) -> None:
        follower, kind = self._follower, self._kind
        if follower is None or not kind:
            return
        campaign, learned = follower.campaign, self._learned
        profile = learned.profile if learned else None
        readings = campaign.of_kind(kind)
        vary = self._vary.get(kind) or (varied_first(kind) if kind in KINDS else first_dimension(readings))
        anchor: dict[str, int] = {}
        if profile is not None and kind in profile.models and kind in KINDS and learned is not None:
            key = (learned.version, kind, vary)
            if key not in self._anchors:
                self._anchors = {key: usual_dims(profile, kind)}
            anchor = self._anchors[key]
        elif readings:
            anchor = most_alike(readings, vary)
        plot = self.query_one("#times", TimesPlot)
        plot.show_times(readings, vary, anchor, profile, kind, campaign.overhead_ms)

    def _show_panel(self, follower: CampaignFollower, learned: Learned | None) -> None:
        campaign = follower.campaign
        if self._panel == "latest":
            latest = say.latest_of(campaign)
            rows = say.latest_rows(latest, predictions(latest, learned))
        elif self._panel == "failures":
            rows = say.failure_rows(campaign)
        elif self._panel == "events":
            rows = say.event_rows(campaign)
        elif self._panel == "log":
            rows = say.log_rows(follower)
        else:
            return
        self.query_one(f"#{self._panel}", RowTable).show_rows(rows)

    def _show_errors(self, campaign: Campaign, learned: Learned | None) -> None:
        errors = learned.errors if learned else []
        ends = (0.0, float(errors[-1][0])) if errors else None
        self.query_one("#errors", Plot).show(error_series(errors, campaign.counts), limits=ends)

    # What keys do

    def action_panel_next(self) -> None:
        wide = self.has_class("-wide")
        panels = [name for name in PANELS if not (wide and name == "errors")]
        at = panels.index(self._panel) if self._panel in panels else 0
        self._set_panel(panels[(at + 1) % len(panels)])

    def action_raw(self) -> None:
        self._set_panel("latest" if self._panel == "log" else "log")

    def _set_panel(self, name: str) -> None:
        self._panel = name
        self.set_class(name == "errors", "-panel-errors")
        if name != "errors":
            self.query_one("#panels", ContentSwitcher).current = name
        self.refresh_data()
        self.query_one(f"#{name}").focus()

    def action_kind_next(self) -> None:
        self._move_kind(1)

    def action_kind_before(self) -> None:
        self._move_kind(-1)

    def _move_kind(self, steps: int) -> None:
        table = self.query_one("#kinds", RowTable)
        keys = table.keys_shown
        if keys:
            at = keys.index(self._kind) if self._kind in keys else 0
            table.choose(keys[(at + steps) % len(keys)])

    def action_dimension_next(self) -> None:
        kind = self._kind
        if kind in KINDS:
            names = may_vary(kind)
            at = names.index(self._vary.get(kind, varied_first(kind)))
            self._vary[kind] = names[(at + 1) % len(names)]
            self.query_one("#times", TimesPlot).reset()
            self._show_times()
