"""The room of campaigns: how far they are, what they measured, what was learned from it."""

from __future__ import annotations

import asyncio
import json
import shlex
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from fdi_tui.data.campaign import Campaign
from fdi_tui.data.campaigns import CampaignFollower, Campaigns, ListedCampaign
from fdi_tui.data.control import interrupt, resume_arguments
from fdi_tui.data.devices import row_of
from fdi_tui.data.learning import Learned, Learner
from fdi_tui.data.profiles import may_vary, usual_dims, varied_first
from fdi_tui.keys import bindings
from fdi_tui.screens.room import Room
from fdi_tui.widgets.meter import meter
from fdi_tui.widgets.panels import Confirm
from fdi_tui.widgets.picture import Series
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.table import Column, RowTable
from fdi_tui.widgets.times import TimesPlot
from fdi_tui.words import clock, error_style, percent, standing_style, standing_text, time_text
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import ContentSwitcher, Static

from fdi_keras.cli.words import dims_text
from fdi_keras.operators import KINDS
from fdi_keras.text import clean

#: Rows of measurements and of the log that are shown; the export has no more either.
MOST_ROWS = 300
PANELS = ("latest", "failures", "events", "errors", "log")
SETTLES_S = 20.0


def _moment(at: float) -> str:
    try:
        return datetime.fromtimestamp(at).strftime("%H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return "?"


def _off_style(off: float) -> str:
    return error_style(abs(off))


LIST = [
    Column("name", "campaign"),
    Column("state", "state", style=standing_style),
    Column("done", "done", right=True),
    Column("total", "of", right=True),
    Column("failures", "failed", right=True, style=lambda n: "yellow" if n else ""),
    Column("seconds", "took", clock, right=True, wide=100),
    Column("runtime", "runtime", wide=120),
    Column("ending", "reason", wide=100),
]
KINDS_COLUMNS = [
    Column("kind", "kind"),
    Column("bar", "", wide=100),
    Column("done", "done", right=True),
    Column("planned", "of", right=True),
    Column("failed", "failed", right=True, style=lambda n: "yellow" if n else ""),
    Column("error", "error", percent, right=True, style=error_style),
]
LATEST = [
    Column("at", "time", _moment),
    Column("kind", "kind"),
    Column("dims", "operator"),
    Column("median_ms", "measured", time_text, right=True),
    Column("spread", "spread", percent, right=True),
    Column("predicted_ms", "model", time_text, right=True, wide=100),
    Column("off", "off", lambda off: f"{100 * off:+.0f} %", right=True, style=_off_style, wide=100),
]
FAILURES = [
    Column("at", "time", _moment),
    Column("kind", "kind"),
    Column("dims", "operator"),
    Column("reason", "reason"),
]
EVENTS = [Column("at", "time", _moment), Column("what", "what"), Column("text", "")]
LOG = [Column("at", "time", _moment), Column("event", "event"), Column("data", "")]


class CampaignRoom(Room):
    """See the module."""

    TITLE = "Campaign"
    ROOM = "campaign"
    BINDINGS = bindings("campaign")
    EVERY_S: ClassVar[float] = 0.25

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
        self._rows: list[ListedCampaign] = []
        self._folder: Campaigns | None = None
        self._follower: CampaignFollower | None = None
        self._learner: Learner | None = None
        self._kind = ""
        self._vary: dict[str, str] = {}
        self._anchors: dict[tuple[int, str, str], dict[str, int]] = {}
        self._panel = "latest"
        self._looked = 0.0
        self._shown: tuple[Any, ...] = ()
        self._stopping: dict[Path, float] = {}
        self._wanted = ""

    def compose_room(self) -> ComposeResult:
        yield RowTable(
            LIST, name_of_export="campaigns", id="list", about="Campaigns: those at work, then the newest."
        )
        yield Static("", id="head", markup=False)
        with Horizontal(id="middle"):
            yield RowTable(
                KINDS_COLUMNS,
                name_of_export="kinds",
                id="kinds",
                about="Kinds of operators; the error is of the model learned so far, on measurements held out.",
            )
            yield TimesPlot(
                id="times", ascii=self.app.settings.ascii, empty="no measurement of this kind yet"
            )
        with Horizontal(id="below"):
            with ContentSwitcher(id="panels", initial="latest"):
                yield RowTable(
                    LATEST, name_of_export="measurements", id="latest", about="The latest measurements."
                )
                yield RowTable(
                    FAILURES, name_of_export="failures", id="failures", about="Probes that failed, and why."
                )
                yield RowTable(
                    EVENTS, name_of_export="events", id="events", about="Waits, warnings, repeats, restarts."
                )
                yield RowTable(LOG, name_of_export="log", id="log", about="The journal itself.")
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
        table.show_rows({str(row.path): self._list_row(row, now) for row in self._rows})
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

    def _list_row(self, row: ListedCampaign, now: float) -> dict[str, Any]:
        state = "unreadable" if row.problem else standing_text(row.standing, now)
        if row.path in self._stopping and row.standing.at_work:
            state = "stopping"
        done, failures = row.done, row.failures
        if self._follower is not None and self._follower.tail.path == row.path:
            done = self._follower.campaign.done
            failures = sum(self._follower.campaign.failed.values())
        total = row.total if row.total is not None else (f"{row.minutes:g} min" if row.minutes else None)
        return {
            "name": row.name,
            "state": state,
            "done": done,
            "total": total,
            "failures": failures,
            "seconds": row.seconds,
            "runtime": row.runtime,
            "ending": row.problem or row.ending,
        }

    def _show_campaign(self, now: float) -> None:
        follower = self._follower
        if follower is None:
            nothing = Text("There is no campaign yet: n starts one on this computer.", "dim")
            if self.query_one("#head", Static).content != nothing:
                self.query_one("#head", Static).update(nothing)
            for name in ("#kinds", "#latest", "#failures", "#events", "#log"):
                self.query_one(name, RowTable).show_rows({})
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
        self._show_errors(learned)

    def _show_head(self, campaign: Campaign, now: float) -> None:
        standing = campaign.standing(now)
        words = standing_text(standing, now)
        total, left, rate = campaign.total(now), campaign.left_s(now), campaign.rate_per_minute(now)
        at_work = standing.at_work
        line = Text(no_wrap=True, overflow="ellipsis")
        line.append(words, f"bold {standing_style(words)}").append("  ")
        if campaign.budget:
            share = campaign.done / campaign.budget
        elif campaign.minutes:
            share = campaign.seconds(now, at_work) / (60 * campaign.minutes)
        else:
            share = 0.0
        width = 20 if self.size.width < 100 else 40
        line.append(meter(share, width, self.app.settings.ascii), "green" if at_work else "dim")
        line.append(f" {100 * min(share, 1.0):.0f} %  {campaign.done}")
        line.append(f" of {'' if campaign.budget else 'about '}{total}" if total and at_work else "")
        line.append(f"  {rate:.0f}/min" if rate and at_work else "")
        line.append(f"  {clock(left)} left" if left is not None and at_work else "")
        line.append(f"  took {clock(campaign.seconds(now, at_work))}")
        second = Text("\n", no_wrap=True, overflow="ellipsis")
        if campaign.waiting and at_work:
            second.append(f"waits: {campaign.waiting}", "yellow")
        elif campaign.ending and not at_work:
            second.append(campaign.ending, "yellow")
        else:
            second.append(clean(campaign.device_name, 60), "dim")
            second.append(f"  {campaign.runtime}", "dim")
        second.append(self._heat(campaign))
        if campaign.waited_s >= 1:
            second.append(f"  waited {clock(campaign.waited_s)}")
        self.query_one("#head", Static).update(line + second, layout=False)  # its height is fixed

    def _heat(self, campaign: Campaign) -> str:
        device = self.app.devices.seen.get(campaign.device)
        if device is None:
            return ""
        row = row_of(device, self.app.vitals if device.kind == "computer" else {})
        parts = [f"{row['celsius']:.0f} °C" if row["celsius"] is not None else "", row["throttled"] or ""]
        return "".join(f"  {part}" for part in parts if part)

    def _show_kinds(self, campaign: Campaign, learned: Learned | None, now: float) -> None:
        at_work = campaign.standing(now).at_work
        planned = campaign.planned(campaign.total(now) if at_work else campaign.budget)
        error = learned.errors[-1][1] if learned and learned.errors else {}
        rows: dict[str, dict[str, Any]] = {}
        for kind in [*campaign.kinds, *(k for k in campaign.counts if k not in campaign.kinds)]:
            done, failed, of = campaign.counts[kind], campaign.failed[kind], planned.get(kind)
            bar = meter((done + failed) / of, 10, self.app.settings.ascii) if of else None
            rows[kind] = {
                "kind": kind,
                "bar": bar,
                "done": done,
                "planned": of,
                "failed": failed or None,
                "error": error.get(kind),
            }
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
        vary = self._vary.get(kind) or (varied_first(kind) if kind in KINDS else _first_dimension(readings))
        anchor: dict[str, int] = {}
        if profile is not None and kind in profile.models and kind in KINDS and learned is not None:
            key = (learned.version, kind, vary)
            if key not in self._anchors:
                self._anchors = {key: usual_dims(profile, kind)}
            anchor = self._anchors[key]
        elif readings:
            anchor = _most_alike(readings, vary)
        plot = self.query_one("#times", TimesPlot)
        plot.show_times(readings, vary, anchor, profile, kind, campaign.overhead_ms)

    def _show_panel(self, follower: CampaignFollower, learned: Learned | None) -> None:
        campaign = follower.campaign
        rows: dict[str, dict[str, Any]]
        if self._panel == "latest":
            latest = list(campaign.readings.values())[-MOST_ROWS:][::-1]
            predicted = _predictions(latest, learned)
            rows = {
                str(r.index): {
                    "at": r.at,
                    "kind": r.kind,
                    "dims": dims_text(r.dims),
                    "median_ms": r.median_ms,
                    "spread": r.iqr_ms / r.median_ms,
                    "predicted_ms": predicted.get(r.index),
                    "off": predicted[r.index] / r.median_ms - 1 if r.index in predicted else None,
                }
                for r in latest
            }
        elif self._panel == "failures":
            failures = list(campaign.failures.values())[-MOST_ROWS:][::-1]
            rows = {
                str(f.index): {"at": f.at, "kind": f.kind, "dims": dims_text(f.dims), "reason": f.reason}
                for f in failures
            }
        elif self._panel == "events":
            happenings = list(campaign.happenings)[-MOST_ROWS:]
            rows = {str(n): {"at": h.at, "what": h.what, "text": h.text} for n, h in enumerate(happenings)}
        elif self._panel == "log":
            rows = _log_rows(follower)
        else:
            return
        self.query_one(f"#{self._panel}", RowTable).show_rows(rows)

    def _show_errors(self, learned: Learned | None) -> None:
        plot = self.query_one("#errors", Plot)
        errors = learned.errors if learned else []
        if not errors:
            plot.show([])
            return
        x = np.array([count for count, _ in errors], float)
        kinds = sorted(errors[-1][1], key=lambda kind: -self._count(kind))
        series = [
            Series(kind, x, np.array([100 * mape.get(kind, np.nan) for _, mape in errors]), "line", number)
            for number, kind in enumerate(kinds[:5])
        ]
        plot.show(series, title="held-out error as it is learned again", limits=(0.0, float(x[-1])))

    def _count(self, kind: str) -> int:
        return self._follower.campaign.counts[kind] if self._follower else 0

    # What keys do

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
            self._stopping = {campaign.path: time.monotonic()}
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
            self._stopping = {}
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


def _first_dimension(readings: list[Any]) -> str:
    return next(iter(readings[-1].dims), "") if readings else ""


def _most_alike(readings: list[Any], vary: str) -> dict[str, int]:
    """Of the operators that differ in one dimension only, the latest of the largest group."""
    groups: Counter[tuple[tuple[str, int], ...]] = Counter()
    keys = [tuple((n, v) for n, v in r.dims.items() if n != vary) for r in readings]
    groups.update(keys)
    most = max(groups.values())
    at = next(i for i in range(len(keys) - 1, -1, -1) if groups[keys[i]] == most)
    return dict(readings[at].dims)


def _predictions(readings: list[Any], learned: Learned | None) -> dict[int, float]:
    """What the model learned so far makes of measurements, with the cost of an invocation."""
    if learned is None or learned.profile is None:
        return {}
    profile, found = learned.profile, {}
    for kind in {r.kind for r in readings} & set(profile.models):
        names = KINDS[kind].dimensions
        of_kind = [r for r in readings if r.kind == kind and all(name in r.dims for name in names)]
        dims = {name: np.array([r.dims[name] for r in of_kind], float) for name in names}
        if of_kind:
            times = profile.models[kind].predict_ms(dims) + profile.overhead_ms
            found.update({r.index: float(t) for r, t in zip(of_kind, times, strict=True)})
    return found


def _log_rows(follower: CampaignFollower) -> dict[str, dict[str, Any]]:
    rows: dict[str, dict[str, Any]] = {}
    events = list(follower.raw)[-MOST_ROWS:]
    first = follower.campaign.version - len(events)
    for number, event in enumerate(events, first):
        rest = {key: value for key, value in event.items() if key not in ("event", "time")}
        rows[str(number)] = {
            "at": event.get("time"),
            "event": clean(event["event"], 30),
            "data": clean(json.dumps(rest, ensure_ascii=False)[:2000]),
        }
    return dict(reversed(rows.items()))
