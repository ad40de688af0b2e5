"""What all rooms share: their frame, following data, filter, zoom, copy and export."""

from __future__ import annotations

import asyncio
import csv
import io
from typing import TYPE_CHECKING, Any, ClassVar

from fdi_tui.responsiveness import settle
from fdi_tui.widgets.bar import RoomBar, StatusLine, TooSmall
from fdi_tui.widgets.filter import FilterLine
from fdi_tui.widgets.key_line import KeyLine
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.reactive import Reactive
from textual.screen import Screen
from textual.widget import Widget

if TYPE_CHECKING:
    from fdi_tui.app import FdiApp

#: Smaller terminals show one sentence.
LEAST_COLUMNS, LEAST_ROWS = 60, 16


#: Seconds after which what a room is made of is all there.
SETTLED_S = 2.0


class Room(Screen[None]):
    """A room.

    A room overrides :meth:`compose_room`, :meth:`look` (read, off the event loop where it takes
    long), :meth:`refresh_data` (show what was read), and what of :meth:`show`, :meth:`command`
    and the actions it has.

    Attributes:
        ROOM: its name in keys and settings.
        EVERY_S: seconds between two looks.
    """

    app: FdiApp

    ROOM: ClassVar[str] = ""
    EVERY_S: ClassVar[float] = 0.25
    ALLOW_IN_MAXIMIZED_VIEW = "#foot"
    #: Textual draws the whole screen again when the focus moves; here only what has it shows that it has.
    focused: Reactive[Widget | None] = Reactive(None, repaint=False)
    HORIZONTAL_BREAKPOINTS = [(0, "-tiny"), (LEAST_COLUMNS, "-narrow"), (100, "-normal"), (160, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (LEAST_ROWS, "-short"), (34, "-tall")]

    def compose(self) -> ComposeResult:
        yield RoomBar(self.ROOM)
        yield from self.compose_room()
        with Vertical(id="foot"):
            with Container(id="line"):
                yield StatusLine()
                yield FilterLine()
            yield KeyLine()
        yield TooSmall(LEAST_COLUMNS, LEAST_ROWS)

    def compose_room(self) -> ComposeResult:
        """Widgets of the room, from top to bottom."""
        raise NotImplementedError(f"{type(self).__name__} has no compose_room()")

    def on_mount(self) -> None:
        self.run_worker(self._follow(), group="follow", exclusive=True)
        self.set_timer(SETTLED_S, settle)

    async def _follow(self) -> None:
        while True:
            if self.is_current:
                await self.bring_up_to_date()
            await asyncio.sleep(self.EVERY_S)

    async def bring_up_to_date(self) -> None:
        """Look, and show it unless the view is held. What goes wrong is said, and the room goes on."""
        try:
            await self.look()
            # What was read may come when the room is being taken down already.
            if not self.app.held and self.query(StatusLine):
                self.refresh_data()
        except Exception as error:  # odd data must not end the dashboard
            self.app.report_fault(error)

    async def look(self) -> None:
        """Read what is new."""

    def refresh_data(self) -> None:
        """Show what was read."""

    def say_status(self, text: str, warning: str = "") -> None:
        """The status line below the room."""
        line = self.query_one(StatusLine)
        line.text, line.warning = text, warning

    def show(self, **what: Any) -> None:
        """Show something in particular, for another room that sends its user here."""

    def command(self) -> str:
        """The command line that shows or does the same as the row under the cursor; empty: none."""
        return ""

    # What the keys of everywhere do here

    def focused_panel(self, method: str) -> Any | None:
        """The focused widget, its nearest ancestor, or else the first of the room, that has a method."""
        node = self.focused
        while isinstance(node, Widget):
            if hasattr(node, method):
                return node
            node = node.parent if isinstance(node.parent, Widget) else None
        return next((w for w in self.query(Widget) if hasattr(w, method) and w.display), None)

    def panel_of(self, group: str) -> Widget | None:
        """The focused panel, or else the first that is shown, that has a group of keys."""
        shown = [w for w in self.query(Widget) if getattr(w, "GROUP", "") == group and w.is_on_screen]
        return self.focused if self.focused in shown else next(iter(shown), None)

    def on_filter_line_kept(self, event: FilterLine.Kept) -> None:
        event.stop()
        self.query_one(StatusLine).filters = event.texts

    def copied(self) -> str:
        """Text for the clipboard."""
        panel = self.focused_panel("copied")
        return panel.copied() if panel else ""

    def exported(self) -> tuple[str, list[list[Any]]]:
        """Name and rows, heads first, of what the focused panel shows."""
        panel = self.focused_panel("exported")
        return panel.exported() if panel else ("", [])


def csv_text(rows: list[list[Any]]) -> str:
    """Rows as CSV (RFC 4180)."""
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
