"""A panel to choose one of some things from."""

from __future__ import annotations

from collections.abc import Sequence

from fdi_tui.widgets.panels import Panel
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from fdi_keras.text import clean


class Choose(Panel[str]):
    """Gives the chosen key, or None.

    Args:
        title: what is chosen, and what for.
        choices: key, name and a few words more, each.
        now: key of the one that the cursor stands on first.
    """

    BINDINGS = [
        Binding("escape,q", "leave", "Back"),
        Binding("j", "down", show=False),
        Binding("k", "up", show=False),
    ]

    DEFAULT_CSS = """
    Choose OptionList { height: auto; max-height: 20; border: none; padding: 0; }
    """

    def __init__(self, title: str, choices: Sequence[tuple[str, str, str]], now: str = ""):
        super().__init__()
        self._title, self._choices, self._now = title, list(choices), now

    def compose(self) -> ComposeResult:
        wide = max((len(clean(name, 40)) for _, name, _ in self._choices), default=0)
        with Vertical(id="box"):
            yield Static(clean(self._title), classes="title", markup=False)
            yield OptionList(
                *(
                    Option(
                        Text.assemble(f"{clean(name, 40):<{wide}}  ", (clean(more, 80), "dim")),
                    )
                    for _, name, more in self._choices
                )
            )

    def on_mount(self) -> None:
        options = self.query_one(OptionList)
        keys = [key for key, _, _ in self._choices]
        options.highlighted = keys.index(self._now) if self._now in keys else 0
        options.focus()

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        self.dismiss(self._choices[event.option_index][0])

    def action_down(self) -> None:
        self.query_one(OptionList).action_cursor_down()

    def action_up(self) -> None:
        self.query_one(OptionList).action_cursor_up()
