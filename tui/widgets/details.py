"""Names and texts below one another; the texts of long ones stay beside their names."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text
from textual.widgets import Static

from fdi_keras.text import clean


class Details(Static):
    """Draws again only what changed."""

    def __init__(self, id: str | None = None):
        super().__init__("", id=id, markup=False)
        self.lines: list[tuple[str, str, str]] = []

    def show(self, lines: Sequence[tuple[str, str, str]]) -> None:
        """Show lines of a name, a text, and its style."""
        if list(lines) == self.lines:
            return
        self.lines = list(lines)
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="dim", no_wrap=True)
        grid.add_column(overflow="fold")
        for name, text, style in self.lines:
            grid.add_row(Text(clean(name, 30)), Text(clean(text, 2000), style))
        self.update(grid)

    def copied(self) -> str:
        return "\n".join(f"{name}\t{text}" for name, text, _ in self.lines)
