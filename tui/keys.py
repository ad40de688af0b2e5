"""The one table of keys: bindings, footer, help, command palette and docs/dashboard.md come from it.

Every key has a name by which a user's settings give it other keys. Keys are letters and
signs that every terminal and tmux passes on; combinations with ctrl are only ever second.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from textual.binding import Binding, BindingType


@dataclass(frozen=True)
class Key:
    """A key.

    Attributes:
        id: its name in the settings; group and action.
        keys: as textual spells them, commas between.
        label: one or two words, for the footer and the palette.
        help: one sentence.
        footer: whether the footer has room for it.
        argument: given to the action.
    """

    id: str
    keys: str
    label: str
    help: str
    footer: bool = False
    argument: str = ""

    @property
    def group(self) -> str:
        return self.id.partition(".")[0]

    @property
    def action(self) -> str:
        """The method ``action_...`` of whatever has the group's keys.

        >>> Key("app.room_rules", "3", "Rules", "", argument="rules").action
        "room('rules')"
        """
        name = self.id.partition(".")[2]
        if not self.argument:
            return name
        return f"{name.removesuffix(f'_{self.argument}')}('{self.argument}')"


#: Group: who has its keys, in words.
GROUPS = {
    "app": "Everywhere",
    "filter": "In the filter line",
    "table": "In a table",
    "devices": "Devices",
    "campaign": "Campaign",
    "rules": "Rules",
    "sessions": "Sessions",
    "profiles": "Profiles",
    "plot": "In a plot",
    "tree": "In the tree",
}


def _up_and_down(group: str, what: str, first: str, last: str) -> tuple[Key, ...]:
    """Keys that move a cursor through rows or lines; ``first`` and ``last`` are the actions that go to the ends."""
    return (
        Key(f"{group}.cursor_down", "j,down", "Down", f"One {what} down."),
        Key(f"{group}.cursor_up", "k,up", "Up", f"One {what} up."),
        Key(f"{group}.{first}", "g,home", "First", f"To the first {what}."),
        Key(f"{group}.{last}", "G,end", "Last", f"To the last {what}."),
        Key(f"{group}.page_down", "ctrl+d,pagedown", "Page down", "One page down."),
        Key(f"{group}.page_up", "ctrl+u,pageup", "Page up", "One page up."),
    )


KEYS = (
    Key("app.room_devices", "1", "Devices", "Devices that models can be timed on.", argument="devices"),
    Key("app.room_campaign", "2", "Campaign", "Profiling campaigns, as they run.", argument="campaign"),
    Key("app.room_rules", "3", "Rules", "What a profile has learned.", argument="rules"),
    Key("app.room_sessions", "4", "Sessions", "Compression sessions.", argument="sessions"),
    Key("app.room_profiles", "5", "Profiles", "Profile files.", argument="profiles"),
    Key("app.help", "question_mark,f1", "Help", "Keys, and help for what is focused.", footer=True),
    Key("app.filter", "slash", "Filter", "Show only rows that have all these words.", footer=True),
    Key("app.pause_view", "space,p", "Hold", "Hold the view still while data keep coming; again: go on."),
    Key("app.zoom", "f", "Zoom", "The focused panel on the whole screen; again or escape: back."),
    Key("app.copy", "y", "Copy", "Copy the row or rule under the cursor, also over ssh (OSC 52)."),
    Key("app.copy_command", "Y", "Copy command", "Copy the command of the command line that shows the same."),
    Key("app.export", "e", "Export", "Write what the focused panel shows to a CSV file."),
    Key("app.picture", "E", "Picture", "Write the screen to an SVG file."),
    Key("app.light", "T", "Light/dark", "Change between a light and a dark theme."),
    Key("app.commands", "colon,ctrl+p", "Commands", "All commands, found by typing a part of their name."),
    Key("app.quit", "q", "Quit", "Leave; campaigns go on. Ctrl-Q does it from anywhere.", footer=True),
    Key("filter.keep", "enter", "Keep", "Keep the filter, and go back to the rows.", footer=True),
    Key("filter.drop", "escape", "All rows", "Take the filter away, and go back to the rows.", footer=True),
    *_up_and_down("table", "row", first="scroll_top", last="scroll_bottom"),
    Key("table.cursor_left", "h,left", "Left", "Scroll to the left."),
    Key("table.cursor_right", "l,right", "Right", "Scroll to the right."),
    Key("table.sort_next", "s", "Sort", "Sort by the next column."),
    Key("table.sort_turn", "S", "Turn", "Sort the other way round."),
    Key("devices.start", "n", "New campaign", "Start a campaign on this device.", footer=True),
    Key("devices.look", "enter", "Look", "The campaigns of this device."),
    Key("devices.connect", "c", "Connect", "Attach a phone over Wi-Fi.", footer=True),
    Key("devices.pair", "P", "Pair", "Make this computer known to a phone, for Wi-Fi.", footer=True),
    Key("devices.doctor", "d", "Doctor", "Check what a campaign on this device needs.", footer=True),
    Key("campaign.start", "n", "New", "Start a campaign on the same device.", footer=True),
    Key("campaign.suspend", "z", "Pause", "Pause the campaign, or let it go on.", footer=True),
    Key("campaign.stop", "x", "Stop", "Stop the campaign, after asking; nothing is lost.", footer=True),
    Key("campaign.resume", "c", "Continue", "Go on with what was stopped or died.", footer=True),
    Key("campaign.raw", "v", "Log", "The journal itself, line by line.", footer=True),
    Key("campaign.panel_next", "o", "Panel", "Latest, failures, events, errors, log: the next.", footer=True),
    Key("campaign.learn", "L", "Learn", "Learn a profile from what was measured so far, and save it."),
    Key("campaign.kind_next", "right_square_bracket", "Next kind", "Plot the next kind of operator."),
    Key("campaign.kind_before", "left_square_bracket", "Kind before", "Plot the kind before."),
    Key("campaign.dimension_next", "d", "Dimension", "Plot the times against the next dimension."),
    Key("rules.choose", "o", "Profile", "Look at another profile.", footer=True),
    Key("rules.compare", "c", "Compare", "Another profile beside this one; again: without.", footer=True),
    Key("rules.view_next", "v", "View", "Curve, measurements, roofline, or the comparison.", footer=True),
    Key(
        "rules.roofline",
        "R",
        "Roofline",
        "Probes under what the device reaches; again: back.",
        footer=True,
    ),
    Key("rules.dimension_next", "d", "Dimension", "The curve over the next dimension.", footer=True),
    Key(
        "rules.setting_next", "right_square_bracket", "Next setting", "Go to the next dimension that is set."
    ),
    Key("rules.setting_before", "left_square_bracket", "Setting before", "Go to the dimension before it."),
    Key("rules.larger", "greater_than_sign,full_stop", "Larger", "Make the chosen dimension larger."),
    Key("rules.smaller", "less_than_sign,comma", "Smaller", "Make the chosen dimension smaller."),
    Key("rules.type_in", "equals_sign", "Set", "Type in all dimensions of the operator."),
    Key("rules.take", "enter", "Take", "The operator of this measurement for the curve."),
    Key(
        "sessions.overlay",
        "m,enter",
        "Beside",
        "Show this session on the same axes, or no more.",
        footer=True,
    ),
    Key("sessions.pin", "b", "Pin", "Keep this session on the axes as the one to beat.", footer=True),
    Key(
        "sessions.view_next",
        "v",
        "View",
        "Curves, widths, what was done, operators under the roofline, or the journal itself.",
        footer=True,
    ),
    Key("sessions.metric_next", "right_square_bracket", "Next curve", "Plot the next quantity.", footer=True),
    Key("sessions.metric_before", "left_square_bracket", "Curve before", "Plot the quantity before."),
    Key("profiles.rules", "enter", "Rules", "What this profile has learned."),
    Key("profiles.mark", "m", "Mark", "Mark it, to compare it with another."),
    Key("profiles.compare", "c", "Compare", "This profile beside the marked one.", footer=True),
    Key("profiles.rename", "r", "Rename", "Give it another name.", footer=True),
    Key("profiles.export_file", "w", "Copy to", "Write a copy to a place of your choice.", footer=True),
    Key("profiles.delete", "x", "Delete", "Delete it, after asking.", footer=True),
    Key("profiles.validate", "v", "Check", "Check all of its file.", footer=True),
    Key("plot.cursor_right", "l,right", "Right", "The cursor to the next point."),
    Key("plot.cursor_left", "h,left", "Left", "The cursor to the point before."),
    Key("plot.far_right", "L,shift+right", "Far right", "The cursor ten points on."),
    Key("plot.far_left", "H,shift+left", "Far left", "The cursor ten points back."),
    Key("plot.zoom_in", "plus", "Closer", "Show half as much, around the cursor.", footer=True),
    Key("plot.zoom_out", "minus", "Farther", "Show twice as much.", footer=True),
    Key("plot.pan_right", "n", "On", "Half a plot further on."),
    Key("plot.pan_left", "N", "Back", "Half a plot back."),
    Key("plot.fit", "0", "All", "Show all, without a cursor.", footer=True),
    *_up_and_down("tree", "line", first="first", last="last"),
    Key("tree.fold", "h,left", "Fold", "Fold; what is folded: go to the one above."),
    Key("tree.unfold", "l,right", "Unfold", "Unfold; what is unfolded: go to the first below."),
    Key("tree.toggle_node", "enter", "Fold/unfold", "Fold or unfold."),
)


def keys_of(group: str) -> list[Key]:
    """Keys of a group, in their order."""
    return [key for key in KEYS if key.group == group]


def bindings(group: str) -> list[BindingType]:
    """The ``BINDINGS`` of what has the keys of a group."""
    from textual.binding import Binding

    return [_binding(Binding, key) for key in keys_of(group)]


def _binding(kind: type[Binding], key: Key) -> Binding:
    return kind(key.keys, key.action, key.label, show=key.footer, tooltip=key.help, id=key.id)


#: Signs that people write otherwise than textual.
_SIGNS = {
    "question_mark": "?",
    "slash": "/",
    "colon": ":",
    "right_square_bracket": "]",
    "left_square_bracket": "[",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "comma": ",",
    "full_stop": ".",
    "less_than_sign": "<",
    "greater_than_sign": ">",
    "pageup": "PgUp",
    "pagedown": "PgDn",
}


def shown(keys: str) -> str:
    """Keys as people write them.

    >>> shown("question_mark,f1"), shown("ctrl+d,pagedown")
    ('? F1', 'Ctrl-D PgDn')
    """
    return " ".join(_shown_one(key.strip()) for key in keys.split(","))


def _shown_one(key: str) -> str:
    if key in _SIGNS:
        return _SIGNS[key]
    if len(key) == 1:
        return key
    return "-".join(_SIGNS.get(part, part.capitalize()) for part in key.split("+"))


def markdown(group: str) -> str:
    """The keys of a group as the table that docs/dashboard.md has of them."""
    rows = [f"| `{shown(key.keys)}` | {key.label} | {key.help} | `{key.id}` |" for key in keys_of(group)]
    head = ["| keys | | what it does | name in the settings |", "|---|---|---|---|"]
    return "\n".join([f"### {GROUPS[group]}", "", *head, *rows]).replace("`|`", "`\\|`")


def in_use(key: Key, remapped: Mapping[str, str]) -> str:
    """The keys of an entry after the user's changes."""
    return remapped.get(key.id, key.keys)
