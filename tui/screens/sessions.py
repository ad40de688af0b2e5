"""The room 'Sessions': compression sessions, running and past, from their journals."""

from __future__ import annotations

import asyncio
import shlex
import threading
import time
from pathlib import Path
from typing import Any

from fdi_tui.data.session import Session
from fdi_tui.data.sessions import Follower, Listed, SessionFolders
from fdi_tui.keys import bindings
from fdi_tui.screens.room import Room
from fdi_tui.screens.sessions_curves import session_series
from fdi_tui.screens.sessions_text import (
    happening_columns,
    happening_rows,
    metric_name,
    operator_columns,
    operator_rows,
    session_columns,
    session_row,
    sum_of,
    width_columns,
    width_rows,
)
from fdi_tui.widgets.bar import StatusLine
from fdi_tui.widgets.journal_lines import JournalLines
from fdi_tui.widgets.panels import Reading
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.table import RowTable
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable

#: Sessions on the same axes at most: as many as there are colors.
MOST_TOGETHER = 6
#: Plots; the terminal says how many of them there is room for.
PLOTS = 4
#: Seconds that a long journal may be read for before what is known of it is shown.
READING_S = 0.6
#: Seconds between two looks at the folder of sessions.
FOLDER_S = 1.0
#: Seconds between two drawings of curves that only grew: more often is only unrest.
REDRAWING_S = 0.5

ABOUT_OPERATORS = (
    "The operators of the network before compression, under the roofline of the device (Williams et al., 2009). "
    "What computes little for every byte waits for memory. 'At least' is the time that the roof allows, and 'of its "
    "roof' what the predicted time reaches of it."
)

VIEWS = ("curves", "widths", "done", "operators", "journal")


class SessionsRoom(Room):
    """Sessions above, below what is known of the one under the cursor."""

    TITLE = "Sessions"
    ROOM = "sessions"
    BINDINGS = bindings("sessions")

    DEFAULT_CSS = """
    SessionsRoom #sessions { height: auto; max-height: 30%; min-height: 3; }
    SessionsRoom #below { height: 1fr; }
    SessionsRoom #curves { width: 1fr; height: 1fr; }
    SessionsRoom #told { width: 1fr; height: 1fr; }
    SessionsRoom .plots { height: 1fr; }
    SessionsRoom #plots-1 { display: none; }
    SessionsRoom.-tall #plots-1 { display: block; }
    SessionsRoom #plot-1, SessionsRoom #plot-2, SessionsRoom #plot-3 { display: none; }
    SessionsRoom #journal, SessionsRoom #operators { display: none; }
    SessionsRoom.-narrow #curves, SessionsRoom.-narrow #told { display: none; }
    SessionsRoom.-short #curves, SessionsRoom.-short #told { display: none; }
    SessionsRoom.-view-curves #curves { display: block; }
    SessionsRoom.-view-widths #told, SessionsRoom.-view-done #told { display: block; }
    SessionsRoom.-narrow.-view-widths #done, SessionsRoom.-narrow.-view-done #widths { display: none; }
    SessionsRoom.-short.-view-widths #done, SessionsRoom.-short.-view-done #widths { display: none; }
    SessionsRoom.-view-journal #below, SessionsRoom.-view-operators #below { display: none; }
    SessionsRoom.-view-operators #operators { display: block; height: 1fr; }
    SessionsRoom.-view-journal #journal { display: block; }
    SessionsRoom.-tall #plot-1 { display: block; }
    SessionsRoom.-wide #plot-2, SessionsRoom.-wide.-tall #plot-3 { display: block; }
    SessionsRoom #told { border-left: vkey $panel-lighten-2; }
    SessionsRoom #done { border-top: solid $panel-lighten-2; }
    SessionsRoom.-narrow #told, SessionsRoom.-short #told { border-left: none; }
    SessionsRoom.-narrow #done, SessionsRoom.-short #done { border-top: none; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._folders: SessionFolders | None = None
        self._list: list[Listed] = []
        self._looked = 0.0
        self._followed: dict[Path, Follower] = {}
        self._chosen: Path | None = None
        self._pinned: Path | None = None
        self._beside: list[Path] = []
        self._metric = 0
        self._reading = threading.Lock()
        self._drawn: Any = None
        self._drawn_news = 0
        self._drawn_at = 0.0
        self._wanted = ""

    def compose_room(self) -> ComposeResult:
        yield RowTable(session_columns(), name_of_export="sessions", id="sessions")
        with Horizontal(id="below"):
            with Vertical(id="curves"):
                for row in range(PLOTS // 2):
                    with Horizontal(classes="plots", id=f"plots-{row}"):
                        for column in range(2):
                            number = row + 2 * column
                            yield Plot(id=f"plot-{number}", x_name="epoch", whole=True)
            with Vertical(id="told"):
                yield RowTable(width_columns(), name_of_export="widths", id="widths")
                yield RowTable(happening_columns(), name_of_export="done", id="done")
        yield RowTable(operator_columns(), name_of_export="operators", about=ABOUT_OPERATORS, id="operators")
        yield JournalLines(id="journal")

    def on_mount(self) -> None:
        self.add_class("-view-curves")
        for plot in self.query(Plot):
            plot.ascii = self.app.settings.ascii
        self.query_one("#sessions").focus()

    # Reading

    async def look(self) -> None:
        """Read what is new: the list now and then, what is followed always."""
        await asyncio.to_thread(self._read)

    def _read(self) -> None:
        # One at a time: a look that was cancelled goes on in its thread.
        with self._reading:
            self._read_until(time.monotonic() + READING_S)

    def _read_until(self, until: float) -> None:
        if self._folders is None:
            self._folders = SessionFolders([self.app.sources.sessions])
        if time.monotonic() - self._looked >= FOLDER_S:
            self._list = self._folders.read()
            self._looked = time.monotonic()
        for path in self._together():
            follower = self._followed.setdefault(path, Follower(path))
            follower.read()
            while follower.behind and time.monotonic() < until:
                follower.read()
        for path in [path for path in self._followed if path not in self._together()]:
            del self._followed[path]

    def _together(self) -> list[Path]:
        """The sessions on the axes: the one under the cursor first."""
        found = [self._chosen, self._pinned, *self._beside]
        return list(dict.fromkeys(path for path in found if path is not None))[:MOST_TOGETHER]

    # Showing

    def refresh_data(self) -> None:
        if self._reading.locked():
            return  # another look has begun, and shows what it finds
        now = time.time()
        rows = {}
        for listed in self._list:
            follower = self._followed.get(listed.path)
            ours = follower if follower is not None and follower.changed and not follower.behind else None
            mark = (
                "pinned" if listed.path == self._pinned else "beside" if listed.path in self._beside else ""
            )
            rows[str(listed.path)] = session_row(listed, ours.session if ours else None, mark, now)
        table = self.query_one("#sessions", RowTable)
        table.show_rows(rows)
        if self._wanted and self._wanted in rows:
            table.choose(self._wanted)
            self._wanted = ""
        self._say(now)
        self._draw()

    def _say(self, now: float) -> None:
        status = self.query_one(StatusLine)
        status.warning = ""
        follower = self._followed.get(self._chosen) if self._chosen else None
        if not self._list:
            status.text = (
                f"No session in {self.app.sources.sessions} yet; LatencyCallback(session='name') writes one."
            )
        elif follower is None:
            status.text = f"{len(self._list)} sessions in {self.app.sources.sessions}"
        elif follower.tail.problem:
            status.warning = f"{follower.tail.path.name}: {follower.tail.problem}"
        else:
            reading = "reading ... " if follower.behind else ""
            status.text = reading + sum_of(follower.session, now)

    @on(RowTable.Chosen, "#sessions")
    def _session_chosen(self, event: RowTable.Chosen) -> None:
        event.stop()
        path = Path(event.key) if event.key else None
        if path != self._chosen:
            self._chosen = path
            self._look_now()

    def _look_now(self) -> None:
        """Read and show without waiting for the next turn."""
        self.run_worker(self.bring_up_to_date(), group="look", exclusive=True)

    def _draw(self) -> None:
        """Draw what changed; while a journal is being read, after it."""
        if self._reading.locked():
            return
        followers = [self._followed[path] for path in self._together() if path in self._followed]
        if not followers or followers[0].tail.path != self._chosen:
            return
        # Not the size of the screen: a panel that was just shown has its own only after the next layout.
        wide = self.query_one("#widths").size.width
        displays = tuple(plot.display for plot in self.query(Plot))
        what = (
            [follower.tail.path for follower in followers],
            self._pinned, self._metric, self._view, displays, wide, self.app.settings.ascii,
        )  # fmt: skip
        news = sum(follower.changed for follower in followers)
        soon = time.monotonic() < self._drawn_at + REDRAWING_S
        if what == self._drawn and (news == self._drawn_news or soon):
            return
        self._drawn, self._drawn_news, self._drawn_at = what, news, time.monotonic()
        first = followers[0].session
        self._draw_plots(first, followers)
        for name, rows in (
            ("widths", width_rows(first, min(max(wide - 60, 10), 40), self.app.settings.ascii)),
            ("done", happening_rows(first)),
            ("operators", operator_rows(first)),
        ):
            table = self.query_one(f"#{name}", RowTable)
            if table.is_on_screen or table.display:
                table.show_rows(rows)
        lines = self.query_one(JournalLines)
        if lines.display:
            lines.show(first.path)

    def _draw_plots(self, first: Session, followers: list[Follower]) -> None:
        metrics = first.metrics
        for number in range(PLOTS):
            plot = self.query_one(f"#plot-{number}", Plot)
            if not plot.display:
                continue
            metric = metrics[(self._metric + number) % len(metrics)]
            shown = [(each.session, each.tail.path == self._pinned) for each in followers]
            series = session_series(shown, metric)
            text = first.axis_text if metric == "value" else None
            plot.y_name = f"{first.quantity}_{first.unit.lower()}" if metric == "value" else metric
            plot.speak(text)
            plot.show(series, title=metric_name(first, metric))

    # What keys do

    @property
    def _view(self) -> str:
        return next((view for view in VIEWS if self.has_class(f"-view-{view}")), VIEWS[0])

    def action_view_next(self) -> None:
        view = VIEWS[(VIEWS.index(self._view) + 1) % len(VIEWS)]
        inside = self.focused is not None and self.focused.id != "sessions"
        for each in VIEWS:
            self.set_class(each == view, f"-view-{each}")
        if inside:
            self.query_one({"curves": "#plot-0"}.get(view, f"#{view}")).focus()
        self.call_after_refresh(self._draw)

    def action_metric_next(self) -> None:
        self._metric += 1
        self._draw()

    def action_metric_before(self) -> None:
        self._metric -= 1
        self._draw()

    def action_overlay(self) -> None:
        """Put the session under the cursor on the axes of the others, or take it away."""
        if self._chosen is None:
            return
        if self._chosen in self._beside:
            self._beside.remove(self._chosen)
        elif len(self._beside) < MOST_TOGETHER - 2:
            self._beside.append(self._chosen)
        else:
            self.app.say(f"There are {MOST_TOGETHER - 2} sessions beside already; take one away first.")
        self._look_now()

    @on(DataTable.RowSelected, "#sessions")
    def _row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_overlay()

    @on(DataTable.RowSelected, "#widths,#done,#operators,#journal")
    def _text_selected(self, event: DataTable.RowSelected) -> None:
        """Show all of a row: reasons are longer than a line."""
        event.stop()
        table = event.data_table
        text = table.whole_row() if isinstance(table, RowTable) else ""
        if text:
            self.app.push_screen(Reading("All of this row", Text(text)))

    def action_pin(self) -> None:
        """Keep the session under the cursor on the axes; again: no more."""
        self._pinned = None if self._chosen == self._pinned else self._chosen
        self._look_now()

    # For the app and other rooms

    def show(self, session: str | Path | None = None, **_: Any) -> None:
        """Put the cursor on a session: its journal, or its name."""
        if session is not None:
            path = session if isinstance(session, Path) else self.app.sources.sessions / f"{session}.jsonl"
            self._wanted = str(path)

    def command(self) -> str:
        return shlex.join(["fdi", "sessions", self._chosen.stem]) if self._chosen else ""
