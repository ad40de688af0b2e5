"""The app: five rooms, what they share, and the settings."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from fdi_tui.data.children import Started
from fdi_tui.data.devices import Devices, watch_phones
from fdi_tui.keys import KEYS, Key, bindings, in_use, shown
from fdi_tui.responsiveness import Housekeeping
from fdi_tui.screens.room import Room, csv_text
from fdi_tui.settings import Settings, load_settings, save_settings, settings_path
from fdi_tui.sources import Sources
from fdi_tui.widgets.bar import StatusLine
from fdi_tui.widgets.filter import FilterLine
from rich.text import Text
from textual import events
from textual.app import App, SystemCommand
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen

from fdi_keras.errors import FdiError, StorageError
from fdi_keras.text import clean

ROOMS = ("devices", "campaign", "rules", "sessions", "profiles")
#: Groups of keys that belong to a kind of panel, wherever there is one.
PANELS = ("table", "plot", "tree")


class OurCommands(Provider):
    """Every key of the table that works in this room, for the command palette."""

    async def discover(self) -> Hits:
        for key, words in self._keys():
            yield DiscoveryHit(words, self._do(key), help=key.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for key, words in self._keys():
            score = matcher.match(f"{words} {key.help}")
            if score > 0:
                yield Hit(score, matcher.highlight(words), self._do(key), help=key.help)

    def _keys(self) -> Iterable[tuple[Key, str]]:
        app: Any = self.app
        groups = {"app", app.room}
        if app.rooms_screen is not None:
            groups |= {group for group in PANELS if app.rooms_screen.panel_of(group) is not None}
        for key in KEYS:
            if key.group in groups and key.id != "app.commands":
                yield key, f"{key.label} ({shown(in_use(key, app.settings.keys))})"

    def _do(self, key: Key) -> Callable[[], Any]:
        app: Any = self.app
        return lambda: app.do(key)


class FdiApp(App[None]):
    """The dashboard.

    Args:
        sources: where journals, profiles and devices are looked for.
        room: the one to begin with.
        settings_file: where settings are kept.
    """

    TITLE = "fdi"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS: ClassVar = {OurCommands}
    BINDINGS = bindings("app")

    CSS = """
    Screen { layout: vertical; }
    Screen.-tiny > * { display: none; }
    Screen.-flat > * { display: none; }
    Screen.-tiny > TooSmall { display: block; }
    Screen.-flat > TooSmall { display: block; }
    #foot { dock: bottom; height: 2; }
    #line { height: 1; layers: status filter; }
    #line StatusLine { layer: status; }
    #line FilterLine { layer: filter; }
    """

    def __init__(
        self, sources: Sources | None = None, room: str = "devices", settings_file: Path | None = None
    ):
        super().__init__()
        self.sources = sources or Sources.usual()
        self.held = False
        self.room = room
        self._settings_file = settings_file or settings_path()
        self._settings_are_ours = True
        self._trouble = ""
        try:
            self.settings = load_settings(self._settings_file)
        except FdiError as error:
            self.settings, self._settings_are_ours, self._trouble = Settings(), False, str(error)
        self.faults: list[BaseException] = []
        self.devices = Devices()
        self.vitals: dict[str, Any] = {}
        self.campaigns: list[Started] = []
        self._housekeeping = Housekeeping()
        for name in ROOMS:
            self.add_mode(name, partial(make_room, name))

    def on_mount(self) -> None:
        self._housekeeping.begin()
        self.set_keymap(self.settings.keys)
        if self.settings.theme in self.available_themes:
            self.theme = self.settings.theme
        else:
            self._trouble = (
                f"settings {self._settings_file}: at $.theme there is no theme {self.settings.theme!r}."
            )
        self.theme_changed_signal.subscribe(self, lambda theme: self._keep(theme=theme.name))
        self.switch_mode(self.room)
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """What can wait until the first frame is there."""
        if self._trouble:
            self.say(self._trouble, warning=True)
        self.run_worker(self._look_at_this_computer())
        self.run_worker(
            watch_phones(self.sources.command, self.devices.take_line, self.devices.forget_phones)
        )
        self.set_interval(0.5, self._look_after_children)
        self.set_interval(1.0, self._housekeeping.turn)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.InputEvent):
            self._housekeeping.pressed()
        await super().on_event(event)

    async def _look_at_this_computer(self) -> None:
        self.devices.take_local(await asyncio.to_thread(self.sources.computer))
        while True:
            self.vitals = await asyncio.to_thread(self.sources.vitals)
            await asyncio.sleep(3.0)

    # For rooms

    @property
    def rooms_screen(self) -> Room | None:
        """The room, whatever lies over it."""
        return next((screen for screen in reversed(self.screen_stack) if isinstance(screen, Room)), None)

    def start_campaign(self, arguments: list[str]) -> bool:
        """Start a campaign as a process of its own; says why when it cannot be."""
        try:
            child = Started([*self.sources.command, *arguments, "--json"], self.sources.state / "starts")
        except OSError as error:
            self.say(f"the campaign cannot be started: {error.strerror or error}.", warning=True)
            return False
        self.campaigns.append(child)
        self.say(f"Started: {shlex.join(['fdi', *arguments])}")
        return True

    def _look_after_children(self) -> None:
        for child in list(self.campaigns):
            answer = child.outcome()
            if answer is None:
                continue
            self.campaigns.remove(child)
            if answer.status not in (0, 130):
                last = next((line for line in reversed(answer.out.splitlines()) if line.strip()), "")
                self.say(f"A campaign ended: {last or f'status {answer.status}'}", warning=True)

    def on_unmount(self) -> None:
        self._housekeeping.end()
        for child in self.campaigns:
            child.abandon()

    def say(self, text: str, warning: bool = False) -> None:
        """A sentence on top of the room, for some seconds; it is data, not markup."""
        self.notify(clean(text, 600), severity="warning" if warning else "information", markup=False)

    def report_fault(self, error: Exception) -> None:
        """Name what went wrong in the status line; the room goes on."""
        self.faults.append(error)
        del self.faults[:-20]
        text = str(error) if isinstance(error, FdiError) else f"{type(error).__name__}: {error}"
        self.log.error(text)
        for line in self.screen.query(StatusLine):
            line.warning = f"not up to date: {text}"

    def copy(self, text: str) -> None:
        """Put a text into the clipboard of the terminal."""
        self.copy_to_clipboard(text)
        lines = text.count("\n") + 1
        self.say(f"Copied {f'{lines} lines' if lines > 1 else clean(text, 60)}.")

    def write_file(self, name: str, content: str) -> Path | None:
        """Write an export under a name with the date; says where, or why not."""
        folder = Path(self.settings.exports or ".").expanduser()
        stem, _, suffix = name.rpartition(".")
        path = folder / f"fdi-{stem}-{time.strftime('%Y%m%d-%H%M%S')}.{suffix}"
        number = 1
        try:
            folder.mkdir(parents=True, exist_ok=True)
            while path.exists():
                number += 1
                path = path.with_stem(f"{path.stem.partition('.')[0]}.{number}")
            path.write_text(content, encoding="utf-8", newline="")
        except OSError as error:
            self.say(f"{path} cannot be written: {error.strerror or error}.", warning=True)
            return None
        self.say(f"Written: {path.resolve()}")
        return path

    def do(self, key: Key) -> None:
        """Do what a key does, for the palette."""
        screen = self.rooms_screen
        target = self if key.group == "app" else screen
        if key.group in PANELS and screen is not None:
            target = screen.panel_of(key.group)
        if target is not None:
            self.call_later(self.run_action, key.action, target)

    def show_in(self, room: str, **what: Any) -> None:
        """Go to a room and show something in particular there."""
        self.action_room(room)

        def show() -> None:
            if isinstance(self.screen, Room) and room == self.screen.ROOM:
                self.screen.show(**what)

        self.call_after_refresh(show)

    # What keys do

    def action_room(self, name: str) -> None:
        if isinstance(self.screen, Room) and name != self.room:
            self.room = name
            self.switch_mode(name)

    def action_help(self) -> None:
        from fdi_tui.widgets.help import help_text
        from fdi_tui.widgets.panels import Reading

        if isinstance(self.screen, Room):
            text = help_text(self.room, self.screen.focused, self.settings.keys)
            self.push_screen(Reading("Help", text))

    def action_filter(self) -> None:
        if isinstance(self.screen, Room):
            panel = self.screen.focused_panel("set_filter")
            if panel is None:
                self.say("Nothing here can be filtered.")
            else:
                self.screen.query_one(FilterLine).open(panel)

    def action_pause_view(self) -> None:
        self.held = not self.held
        for line in self.screen.query(StatusLine):
            line.refresh()
        if not self.held and isinstance(self.screen, Room):
            self.screen.refresh_data()

    def action_zoom(self) -> None:
        screen = self.screen
        if screen.maximized is not None:
            screen.minimize()
        elif screen.focused is not None and isinstance(screen, Room):
            screen.maximize(screen.focused, container=False)

    def action_copy(self) -> None:
        text = self.screen.copied() if isinstance(self.screen, Room) else ""
        self.copy(text) if text else self.say("There is nothing to copy here.")

    def action_copy_command(self) -> None:
        text = self.screen.command() if isinstance(self.screen, Room) else ""
        self.copy(text) if text else self.say("The command line has no command for this.")

    def action_export(self) -> None:
        name, rows = self.screen.exported() if isinstance(self.screen, Room) else ("", [])
        if rows:
            self.write_file(f"{name}.csv", csv_text(rows))
        else:
            self.say("There is nothing to export here.")

    def action_picture(self) -> None:
        self.write_file(f"{self.room}.svg", self.export_screenshot(title="fdi"))

    def action_light(self) -> None:
        light = self.current_theme.dark
        self.theme = self.settings.light_theme if light else self.settings.dark_theme

    def action_commands(self) -> None:
        self.action_command_palette()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """Of textual's own commands the one that has no key here."""
        yield SystemCommand("Theme", "Choose among all themes.", self.action_change_theme)

    # Its own

    def _keep(self, **changes: Any) -> None:
        for name, value in changes.items():
            if getattr(self.settings, name) == value:
                continue
            setattr(self.settings, name, value)
            if not self._settings_are_ours:
                continue
            try:
                save_settings(self.settings, self._settings_file)
            except StorageError as error:
                self.say(str(error), warning=True)


def make_room(name: str) -> Room:
    """A room; its file is imported now."""
    from importlib import import_module

    module = import_module(f"fdi_tui.screens.{name}")
    room: Room = getattr(module, f"{name.capitalize()}Room")()
    return room


def plain(text: object, style: str = "") -> Text:
    """Text from elsewhere: cleaned, and never markup."""
    return Text(clean(text), style=style)
