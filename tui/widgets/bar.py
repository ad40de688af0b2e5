"""The lines above and below every room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fdi_tui.keys import keys_of
from rich.text import Text
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_tui.app import FdiApp
    from textual.app import RenderResult


class RoomBar(Widget):
    """The names of the rooms with their keys; a click goes there."""

    app: FdiApp

    DEFAULT_CSS = """
    RoomBar { dock: top; height: 1; background: $panel; color: $foreground; }
    """

    def __init__(self, room: str):
        super().__init__()
        self._room = room

    def render(self) -> RenderResult:
        line = Text(no_wrap=True, overflow="ellipsis")
        for key in keys_of("app"):
            if not key.argument:
                continue
            line.append(f" {key.keys} {key.label} ", "reverse bold" if key.argument == self._room else "")
        return line

    def on_click(self, event: object) -> None:
        x, at = event.x, 0  # type: ignore[attr-defined]
        for key in keys_of("app"):
            if key.argument:
                at += len(f" {key.keys} {key.label} ")
                if x < at:
                    self.app.action_room(key.argument)
                    return


class StatusLine(Widget):
    """One line: what is going on in this room, whether the view is held, and what its panels are filtered by."""

    app: FdiApp

    DEFAULT_CSS = """
    StatusLine { height: 1; background: $boost; color: $text-muted; }
    StatusLine.-warning { color: $text-warning; }
    """

    text = reactive("")
    warning = reactive("")
    filters: reactive[tuple[str, ...]] = reactive(())

    def render(self) -> RenderResult:
        line = Text(no_wrap=True, overflow="ellipsis")
        if self.app.held:
            line.append(" HELD ", "reverse")
            line.append(" ")
        for words in self.filters:
            line.append(f" /{clean(words, 30)} ", "reverse")
            line.append(" ")
        line.append(clean(self.warning or self.text, 400))
        return line

    def watch_warning(self, warning: str) -> None:
        self.set_class(bool(warning), "-warning")


class TooSmall(Static):
    """Shown alone when the terminal has no room for anything else."""

    DEFAULT_CSS = """
    TooSmall { display: none; }
    """

    def __init__(self, columns: int, rows: int):
        super().__init__(
            f"This terminal is too small: fdi needs {columns} columns and {rows} rows.", markup=False
        )
