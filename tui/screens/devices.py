"""The room of devices: this computer and phones, hot-plugged, and what can be done with each."""

from __future__ import annotations

import asyncio
import shlex
import time
from typing import Any, ClassVar

from fdi_tui.data.devices import SeenDevice, lines_about, row_of
from fdi_tui.data.profile_files import ProfileFile, ProfileFolders, best_for
from fdi_tui.data.starting import profile_arguments, wrong_with
from fdi_tui.data.tail import Ends, Folder
from fdi_tui.data.writers import Writer
from fdi_tui.keys import bindings
from fdi_tui.screens.room import Room
from fdi_tui.widgets.details import Details
from fdi_tui.widgets.panels import Field, Form, Reading
from fdi_tui.widgets.table import Column, RowTable
from fdi_tui.words import age, count, error_style, percent, standing_style, standing_text
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll

from fdi_keras.text import clean

COLUMNS = [
    Column("id", "id"),
    Column("name", "device"),
    Column("state", "state", style=lambda state: "green" if state == "ready" else "yellow"),
    Column("soc", "processor", wide=140),
    Column("android", "Android", wide=110, right=True),
    Column("cores", "cores", "{:g}".format, wide=110, right=True),
    Column("battery", "battery", "{:g} %".format, right=True, wide=100),
    Column("celsius", "temp", "{:.0f} °C".format, right=True, wide=100),
    Column("throttled", "heat", style=lambda word: "red" if word.startswith("throttled") else "", wide=140),
    Column("campaign", "campaign", style=standing_style),
    Column("profile_age", "profile", age, right=True),
    Column("profile_error", "error", percent, right=True, style=error_style),
]


class DevicesRoom(Room):
    """See the module."""

    TITLE = "Devices"
    ROOM = "devices"
    BINDINGS = bindings("devices")
    EVERY_S: ClassVar[float] = 0.5

    CSS = """
    DevicesRoom RowTable { height: auto; max-height: 50%; min-height: 4; }
    DevicesRoom #about { height: 1fr; border-top: solid $primary-muted; padding: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._profiles: list[ProfileFile] = []
        self._campaigns: list[Ends] = []
        self._looked = 0.0
        self._folder: Folder | None = None
        self._files: ProfileFolders | None = None

    def compose_room(self) -> ComposeResult:
        yield RowTable(
            COLUMNS,
            name_of_export="devices",
            id="devices",
            about="A row a device. The profile is the newest of your own that was made on it; its error is the "
            "median over its kinds of operators, on measurements that were held out.",
        )
        with VerticalScroll(id="about"):
            yield Details(id="details")

    def on_mount(self) -> None:
        self.query_one(RowTable).focus()

    async def look(self) -> None:
        if time.monotonic() - self._looked < 2.0 and self._looked:
            return
        self._looked = time.monotonic()
        sources = self.app.sources
        self._folder = self._folder or Folder(sources.campaigns)
        self._files = self._files or ProfileFolders(sources.profiles, sources.bundle)
        folder, files = self._folder, self._files

        def read() -> tuple[list[Ends], list[ProfileFile]]:
            return folder.read(), files.read()

        self._campaigns, self._profiles = await asyncio.to_thread(read)

    def refresh_data(self) -> None:
        devices = self.app.devices
        self.query_one("#devices", RowTable).show_rows({key: self._row(d) for key, d in devices.seen.items()})
        self._show_details()
        number = len(devices.seen) - 1
        news = f"   {devices.news[-1]}" if devices.news else ""
        self.say_status(f"{number} phone{'' if number == 1 else 's'}{news}", devices.problem)

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        self._show_details()

    def _row(self, device: SeenDevice) -> dict[str, Any]:
        row = row_of(device, self.app.vitals if device.kind == "computer" else {})
        profile = best_for(device.id, self._profiles)
        row["profile_age"] = None
        if profile is not None:
            row["profile_age"] = time.time() - profile.created if profile.created else None
            row["profile_error"] = profile.error
        row["campaign"] = self._campaign_of(device.id)
        return row

    def _campaign_of(self, device: str) -> str | None:
        for ends in self._campaigns:
            if ends.first is not None and ends.first.get("name") == device:
                writer = Writer()
                for event in (ends.first, *ends.last):
                    writer.take(event)
                text = standing_text(writer.standing(time.time()), time.time())
                return None if text == "finished" else text
        return None

    def _show_details(self) -> None:
        device = self._chosen()
        lines: list[tuple[str, str, str]] = []
        if device is not None:
            vitals = self.app.vitals if device.kind == "computer" else {}
            for name, words in lines_about(device, vitals):
                lines.append((name, words, "yellow" if name == "what to do" else ""))
            lines += self._profile_lines(device)
        elif not self.app.devices.seen:
            lines.append(("", "Looking at this computer and for phones ...", "dim"))
        self.query_one("#details", Details).show(lines)

    def _profile_lines(self, device: SeenDevice) -> list[tuple[str, str, str]]:
        of_it = [f for f in self._profiles if f.device_id == device.id and f.own and not f.problem]
        if not of_it:
            return [("profiles", "none yet: n starts a campaign, ten minutes are a good beginning", "")]
        lines = []
        for number, file in enumerate(of_it):
            old = age(time.time() - file.created) + " old" if file.created else "of unknown age"
            text = (
                f"{file.name}: {old}, {file.measurements} measurements, {count(len(file.mape), 'kind')}, "
                f"error {percent(file.error or 0.0)}, {file.runtime}"
            )
            lines.append(("" if number else "profiles", text, error_style(file.error or 0.0)))
        return lines

    def _chosen(self) -> SeenDevice | None:
        return self.app.devices.seen.get(self.query_one("#devices", RowTable).chosen or "")

    def command(self) -> str:
        device = self._chosen()
        return "fdi devices" if device is None else shlex.join(["fdi", "profile", "--device", device.id])

    # What keys do

    def action_start(self) -> None:
        device = self._chosen()
        if device is None:
            self.app.say("There is no device to start a campaign on.")
        elif not device.is_ready:
            self.app.say(f"{device.id} is not ready: {device.state}", warning=True)
        else:
            ask_for_campaign(self, device.id, device.kind == "phone")

    def action_look(self) -> None:
        device = self._chosen()
        if device is not None:
            self.app.show_in("campaign", device=device.id)

    def on_data_table_row_selected(self) -> None:
        self.action_look()  # enter in the table is textual's own key

    def action_connect(self) -> None:
        note = "The phone's settings show it under 'Wireless debugging' (Android 11 and later; pair first)."
        form = Form("Connect a phone over Wi-Fi", [Field("address", "HOST:PORT")], "Connect", _address, note)
        self.app.push_screen(form, lambda values: self._run("connect", values and [values["address"]]))

    def action_pair(self) -> None:
        fields = [Field("address", "HOST:PORT"), Field("code", "code", hint="six digits, in the same dialog")]
        note = "On the phone: 'Wireless debugging', 'Pair device with pairing code'. Keep the dialog open."
        form = Form("Pair with a phone", fields, "Pair", _address_and_code, note)
        self.app.push_screen(
            form, lambda values: self._run("pair", values and [values["address"], values["code"]])
        )

    def action_doctor(self) -> None:
        device = self._chosen()
        if device is not None:
            self._run("doctor", [device.id] if device.kind == "phone" else [])

    def _run(self, verb: str, arguments: list[str] | None) -> None:
        """Run a verb of the command line and show what it says; None: the form was left."""
        if arguments is None:
            return
        panel = Reading(shlex.join(["fdi", verb, *arguments]), Text("Wait a moment ...", "dim"))
        self.app.push_screen(panel)

        async def run() -> None:
            from fdi_tui.data.children import ask

            answer = await ask([*self.app.sources.command, verb, *arguments])
            said = "\n".join(clean(line) for line in (answer.out + answer.err).splitlines())
            panel.update(Text(said or "It said nothing."))

        panel.run_worker(run())


def ask_for_campaign(room: Room, device: str, phone: bool) -> None:
    """The form of a new campaign; what it is asked for starts at once."""
    fields = [
        Field("kinds", "kinds", "all", "kinds of operators, commas between: conv2d,dense"),
        Field("minutes", "minutes", "10"),
        Field("budget", "or number", "", "of measurements, in place of minutes"),
        Field("threads", "threads", "1"),
    ]
    if phone:
        fields += [
            Field("delegate", "delegate", "xnnpack", "xnnpack, none, gpu or nnapi"),
            Field("cores", "cores", "", "big, little, a hexadecimal mask, or nothing"),
            Field("precision", "precision", "float32", "float32 or float16"),
        ]
    form = Form(
        f"New campaign on {clean(device, 40)}",
        fields,
        "Start",
        wrong_with,
        "Leave the device alone meanwhile. An earlier campaign's journal is kept.",
    )

    def start(values: dict[str, str] | None) -> None:
        if values is not None and room.app.start_campaign(profile_arguments(device, values)):
            room.app.show_in("campaign", device=device)

    room.app.push_screen(form, start)


def _address(values: dict[str, str]) -> str:
    host, colon, port = values["address"].rpartition(":")
    if colon and host and port.isascii() and port.isdigit():
        return ""
    return f"HOST:PORT is expected, as in 192.168.1.20:41375; received {values['address']!r}."


def _address_and_code(values: dict[str, str]) -> str:
    return _address(values) or ("" if values["code"] else "The pairing code is missing.")
