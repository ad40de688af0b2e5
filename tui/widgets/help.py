"""Help: what the focused panel is, and the keys that work here, as the user has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fdi_tui.keys import GROUPS, in_use, keys_of, shown
from rich.text import Text

#: Room: what it is for, in a few sentences.
ROOMS = {
    "devices": "Devices that models can be timed on: this computer, and phones over adb as they are "
    "plugged in and out. A device that is not ready says what to do about it.",
    "campaign": "Profiling campaigns, as they run, from their journals. The dots are measured times; the "
    "line is what the model learned so far makes of them. Campaigns are processes of their own: leaving "
    "the dashboard does not stop them.",
    "rules": "What a profile has learned: conditions, and for each leaf a formula with the measurements behind it.",
    "sessions": "Compression sessions of Keras trainings, in any process of this computer, from their journals.",
    "profiles": "Profile files: those that came with fdi, and your own.",
}


def help_text(room: str, panel: Any, remapped: Mapping[str, str]) -> Text:
    """Help for a room and its focused panel."""
    text = Text()
    text.append(ROOMS.get(room, ""), "")
    text.append("\n")
    told = getattr(panel, "about", "") or getattr(panel, "HELP", "")
    if told:
        text.append("\nHere: ", "bold").append(told).append("\n")
    own = getattr(panel, "GROUP", "table")
    groups = [room, own, "app"]
    for group in groups:
        keys = keys_of(group)
        if not keys:
            continue
        text.append(f"\n{GROUPS[group]}\n", "bold")
        for key in keys:
            text.append(f"  {shown(in_use(key, remapped)):<14} ", "bold")
            text.append(f"{key.help}\n")
    return text
