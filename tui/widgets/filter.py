"""The line that ``/`` opens: it filters the panel that had the focus, while one types."""

from __future__ import annotations

from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widget import Widget
from textual.widgets import Input, Label


class FilterLine(Horizontal):
    """Enter keeps the filter and goes back to the rows; escape removes it.

    Attributes:
        target: the panel that is filtered; it has ``set_filter(text)``.
    """

    DEFAULT_CSS = """
    FilterLine { height: 1; display: none; }
    FilterLine.-open { display: block; }
    FilterLine Label { width: auto; color: $text-accent; }
    FilterLine Input { padding: 0; background: $boost; }
    """

    def __init__(self) -> None:
        super().__init__()
        self.target: Any = None
        self._texts: dict[Any, str] = {}

    def compose(self) -> ComposeResult:
        yield Label("/", markup=False)
        yield Input(
            id="filter", placeholder="words that a row must have", select_on_focus=False, compact=True
        )

    def open(self, target: Widget) -> None:
        """Begin to filter a panel."""
        self.target = target
        self.add_class("-open")
        line = self.query_one(Input)
        line.value = self._texts.get(target, "")
        line.focus()

    def close(self, keep: bool) -> None:
        """Back to the rows."""
        target = self.target
        if target is None:
            return
        text = self.query_one(Input).value if keep else ""
        self._texts[target] = text
        target.set_filter(text)
        self.remove_class("-open")
        target.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.target is not None and self.has_class("-open"):
            self.target.set_filter(event.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self.close(keep=True)

    def on_key(self, event: Any) -> None:
        if event.key == "escape":
            event.stop()
            event.prevent_default()
            self.close(keep=False)
