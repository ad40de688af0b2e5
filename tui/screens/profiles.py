"""The room 'Profiles'."""

from __future__ import annotations

from fdi_tui.keys import bindings
from fdi_tui.screens.room import Room
from fdi_tui.widgets.table import Column, RowTable
from textual.app import ComposeResult


class ProfilesRoom(Room):
    """See the module."""

    TITLE = "Profiles"
    ROOM = "profiles"
    BINDINGS = bindings("profiles")

    def compose_room(self) -> ComposeResult:
        yield RowTable([Column("name", "name")], name_of_export="profiles")
