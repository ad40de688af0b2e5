"""Modal panels: questions before stopping and deleting, small forms, long texts, help."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_tui.app import FdiApp

T = TypeVar("T")


class Panel(ModalScreen[T], Generic[T]):
    """What all modal panels look like; escape leaves with nothing."""

    app: FdiApp

    BINDINGS = [Binding("escape", "leave", "Back")]

    DEFAULT_CSS = """
    Panel { align: center middle; }
    Panel > #box {
        width: 90%; max-width: 100; height: auto; max-height: 90%;
        border: round $primary; background: $surface; padding: 0 1;
    }
    Panel .title { text-style: bold; color: $text-primary; }
    Panel Horizontal { height: auto; align-horizontal: right; }
    Panel Button { margin: 0 0 0 1; min-width: 10; }
    Panel Button:focus { text-style: reverse; }
    Panel Input { background: $boost; padding: 0 1; }
    Panel Input:focus { background: $primary-muted; }
    Panel .hint { color: $text-muted; }
    Panel .wrong { color: $text-error; }
    """

    def action_leave(self) -> None:
        self.dismiss(None)


class Confirm(Panel[bool]):
    """Asks before something that cannot be taken back: ``y`` does it, anything else does not."""

    BINDINGS = [
        Binding("y", "yes", "Yes"),
        Binding("n,escape,q", "no", "No"),
        Binding("left,right,h,l,tab", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, consequence: str, yes: str):
        super().__init__()
        self._question, self._consequence, self._yes = question, consequence, yes

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(clean(self._question), classes="title", markup=False)
            yield Static(clean(self._consequence), markup=False)
            with Horizontal():
                yield Button(Text(f"{self._yes} (y)"), id="yes", variant="error", compact=True)
                yield Button(Text("Back (n)"), id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("#no").focus()  # a stray enter changes nothing

    def on_button_pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

    def action_yes(self) -> None:
        self.dismiss(True)

    def action_no(self) -> None:
        self.dismiss(False)


@dataclass(frozen=True)
class Field:
    """A line of a form: its name, label, first value, and what may be said about it."""

    name: str
    label: str
    value: str = ""
    hint: str = ""


class Form(Panel[dict[str, str]]):
    """Asks for a few lines; enter in the last one, or the button, gives them all.

    ``check`` gets the values and returns what is wrong with them, or nothing.
    """

    def __init__(self, title: str, fields: Sequence[Field], button: str, check: Any = None, note: str = ""):
        super().__init__()
        self._title, self._fields, self._button, self._check, self._note = title, fields, button, check, note

    DEFAULT_CSS = """
    Form > #box { height: auto; }
    Form .row { height: 1; align-horizontal: left; }
    Form .row Label { width: 12; color: $text-muted; }
    Form .row Input { width: 1fr; }
    Form .hint { padding-left: 12; }
    """

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="box", can_focus=False):
            yield Static(clean(self._title), classes="title", markup=False)
            if self._note:
                yield Static(clean(self._note), classes="hint", markup=False)
            for field in self._fields:
                with Horizontal(classes="row"):
                    yield Label(field.label, markup=False)
                    yield Input(field.value, id=f"field-{field.name}", select_on_focus=False, compact=True)
                if field.hint:
                    yield Static(clean(field.hint), classes="hint", markup=False)
            yield Static("", id="wrong", classes="wrong", markup=False)
            with Horizontal():
                yield Button(Text(self._button), id="do", variant="primary", compact=True)
                yield Button(Text("Back (escape)"), id="no", compact=True)

    def on_mount(self) -> None:
        self.query_one("#wrong").display = False
        self.query(Input).first().focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        inputs = list(self.query(Input))
        if event.input is inputs[-1]:
            self._give()
        else:
            inputs[inputs.index(event.input) + 1].focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "do":
            self._give()
        else:
            self.dismiss(None)

    def _give(self) -> None:
        values = {f.name: self.query_one(f"#field-{f.name}", Input).value.strip() for f in self._fields}
        wrong = self._check(values) if self._check else ""
        if wrong:
            place = self.query_one("#wrong", Static)
            place.update(Text(clean(wrong)))
            place.display = True
            self.call_after_refresh(place.scroll_visible, animate=False)
            return
        self.dismiss(values)


class Reading(Panel[None]):
    """A text to read, scrolled with the usual keys; escape, enter or q goes back."""

    BINDINGS = [
        Binding("escape,enter,q,question_mark,f1", "leave", "Back"),
        Binding("j,down", "scroll(1)", show=False),
        Binding("k,up", "scroll(-1)", show=False),
        Binding("pagedown,ctrl+d,space", "scroll(10)", show=False),
        Binding("pageup,ctrl+u", "scroll(-10)", show=False),
        Binding("y", "copy", "Copy"),
    ]

    DEFAULT_CSS = """
    Reading > #box { height: auto; }
    Reading VerticalScroll { height: auto; max-height: 100%; }
    """

    def __init__(self, title: str, text: Text):
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="box"):
            yield Static(clean(self._title), classes="title", markup=False)
            yield Static(self._text, id="text", markup=False)

    def update(self, text: Text) -> None:
        """Show another text in its place, once what was waited for is there."""
        self._text = text
        if self.is_attached:
            self.query_one("#text", Static).update(text)

    def action_scroll(self, rows: int) -> None:
        self.query_one("#box").scroll_relative(y=rows, animate=False)

    def action_copy(self) -> None:
        self.app.copy(self._text.plain)
