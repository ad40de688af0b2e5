"""The line that ``/`` opens: it filters the panel that had the focus, while one types."""

from __future__ import annotations

from typing import Any

from fdi_tui.keys import bindings
from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, Label


class FilterInput(Input):
    """Where the words are typed, with the keys of the group "filter"."""

    BINDINGS = bindings("filter")

    class Left(Message):
        """The line is done with."""

        def __init__(self, keep: bool):
            super().__init__()
            self.keep = keep

    def watch_has_focus(self, _has_focus: bool) -> None:
        """Its looks do not depend on it: the line is shown while it has the focus."""

    def action_keep(self) -> None:
        self.post_message(self.Left(keep=True))

    def action_drop(self) -> None:
        self.post_message(self.Left(keep=False))


class FilterLine(Horizontal):
    """Lies over the status line while it is open, so that nothing else is moved by it.

    Attributes:
        target: the panel that is filtered; it has ``set_filter(text)``.
    """

    DEFAULT_CSS = """
    FilterLine { height: 1; display: none; }
    FilterLine Label { width: 1; color: $text-accent; }
    FilterLine Input { padding: 0; background: $boost; width: 1fr; }
    """

    class Kept(Message):
        """What panels are filtered by has changed."""

        def __init__(self, texts: tuple[str, ...]):
            super().__init__()
            self.texts = texts

    def __init__(self) -> None:
        super().__init__()
        self.target: Any = None
        self._texts: dict[Widget, str] = {}

    def compose(self) -> ComposeResult:
        yield Label("/", markup=False)
        yield FilterInput(
            id="filter", placeholder="words that a row must have", select_on_focus=False, compact=True
        )

    def open(self, target: Widget) -> None:
        """Begin to filter a panel."""
        self.target = target
        self.display = True
        line = self.query_one(Input)
        line.value = self._texts.get(target, "")
        line.focus()

    def close(self, keep: bool) -> None:
        """Back to the rows."""
        target = self.target
        if target is not None:
            self._done(keep)
            target.focus()

    def _done(self, keep: bool) -> None:
        text = self.query_one(Input).value.strip() if keep else ""
        self._texts[self.target] = text
        self.target.set_filter(text)
        self.display = False
        self.post_message(self.Kept(tuple(text for text in self._texts.values() if text)))

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.target is not None and self.display:
            self.target.set_filter(event.value)

    def on_descendant_blur(self) -> None:
        # By a click or tab somewhere else; a terminal that loses the focus gives it back later.
        if self.display and self.app.app_focus:
            self._done(keep=True)

    def on_filter_input_left(self, event: FilterInput.Left) -> None:
        event.stop()
        self.close(event.keep)
