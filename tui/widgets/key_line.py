"""The keys that work just now, on the lowest line.

Not textual's own footer: that takes down and mounts a widget for every key whenever the focus
moves, which is several layouts of the screen and the matching of all styles. This is one text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from rich.text import Text
from textual.widget import Widget

if TYPE_CHECKING:
    from textual import events
    from textual.app import RenderResult
    from textual.screen import Screen


class Shown(NamedTuple):
    """A key on the line: what it is called, what it does, how it is pressed, and whether it works everywhere."""

    name: str
    label: str
    key: str
    help: str
    everywhere: bool

    @property
    def text(self) -> str:
        return f" {self.name} {self.label} "


class KeyLine(Widget):
    """The keys of what is focused, of the room, and of everywhere; a click presses one.

    Where not all fit, those of everywhere stay and of the others the first.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {"key-line--key", "key-line--label"}

    DEFAULT_CSS = """
    KeyLine {
        height: 1;
        color: $footer-foreground;
        background: $footer-background;
        & > .key-line--key { color: $footer-key-foreground; text-style: bold; }
        & > .key-line--label { color: $footer-description-foreground; }
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._keys: list[Shown] = []

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def _bindings_changed(self, screen: Screen[Any]) -> None:
        # A terminal that loses the focus takes it from all widgets, for as long as it is away.
        if not self.app.app_focus:
            return
        keys = _active(screen)
        if keys != self._keys:
            self._keys = keys
            self.refresh()

    def shown(self) -> list[Shown]:
        """Those that there is room for."""
        left = self.size.width - sum(len(key.text) for key in self._keys if key.everywhere)
        fitting = []
        for key in self._keys:
            if not key.everywhere:
                left -= len(key.text)
            if key.everywhere or left >= 0:
                fitting.append(key)
        return fitting

    def render(self) -> RenderResult:
        key_style = self.get_component_rich_style("key-line--key", partial=True)
        label_style = self.get_component_rich_style("key-line--label", partial=True)
        line = Text(no_wrap=True, overflow="crop", end="")
        for key in self.shown():
            line.append(f" {key.name}", key_style).append(f" {key.label} ", label_style)
        return line

    def _at(self, x: int) -> Shown | None:
        end = 0
        for key in self.shown():
            end += len(key.text)
            if x < end:
                return key
        return None

    def on_mouse_move(self, event: events.MouseMove) -> None:
        key = self._at(event.x)
        told = key.help if key else None
        if told != self.tooltip:
            self.tooltip = told

    def on_click(self, event: events.Click) -> None:
        key = self._at(event.x)
        if key is not None:
            self.app.simulate_key(key.key)


def _active(screen: Screen[Any]) -> list[Shown]:
    """The keys of the footer that do something now; one of several keys of an action, the first."""
    found: dict[str, Shown] = {}
    for node, binding, enabled, tooltip in screen.active_bindings.values():
        if binding.show and enabled and binding.action not in found:
            name = screen.app.get_key_display(binding)
            found[binding.action] = Shown(
                name, binding.description, binding.key, tooltip or binding.description, node is screen.app
            )
    return list(found.values())
