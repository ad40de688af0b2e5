"""The room of profile files: the bundled ones and the user's own, and what can be done with them."""

from __future__ import annotations

import asyncio
import shlex
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from fdi_tui.data.profile_files import ProfileFile, ProfileFolders
from fdi_tui.keys import bindings
from fdi_tui.screens.room import Room
from fdi_tui.widgets.details import Details
from fdi_tui.widgets.panels import Confirm, Field, Form
from fdi_tui.widgets.table import Column, RowTable
from fdi_tui.words import age, count, error_style, percent
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from fdi_keras.errors import FdiError
from fdi_keras.text import clean

COLUMNS = [
    Column("mark", "", style=lambda _: "bold cyan"),
    Column("name", "profile"),
    Column("whose", "whose", style=lambda whose: "" if whose == "own" else "dim"),
    Column("device", "device"),
    Column("runtime", "runtime", wide=130),
    Column("age", "age", age, right=True),
    Column("kinds", "kinds", right=True, wide=100),
    Column("measurements", "measured", right=True),
    Column("error", "error", percent, right=True, style=error_style),
    Column("size", "kB", lambda size: f"{size / 1000:.0f}", right=True, wide=130),
    Column("problem", "problem", wide=100, style=lambda _: "red"),
]
KINDS = [
    Column("kind", "kind"),
    Column("error", "held-out error", percent, right=True, style=error_style),
]


class ProfilesRoom(Room):
    """See the module."""

    TITLE = "Profiles"
    ROOM = "profiles"
    BINDINGS = bindings("profiles")
    EVERY_S: ClassVar[float] = 1.0

    CSS = """
    ProfilesRoom #profiles { height: 1fr; }
    ProfilesRoom #below { height: 1fr; border-top: solid $primary-muted; }
    ProfilesRoom #about { width: 1fr; padding: 0 1; }
    ProfilesRoom #kinds { width: 38; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._files: list[ProfileFile] = []
        self._folders: ProfileFolders | None = None
        self._marked = ""
        self._verdicts: dict[str, tuple[int, str]] = {}

    def compose_room(self) -> ComposeResult:
        yield RowTable(
            COLUMNS,
            name_of_export="profiles",
            id="profiles",
            about="Profile files. The error is the median over a profile's kinds of operators, on measurements "
            "that were held out. An own profile is found before a bundled one of the same name.",
        )
        with Horizontal(id="below"):
            with VerticalScroll(id="about"):
                yield Details(id="details")
            yield RowTable(KINDS, name_of_export="kinds", id="kinds", about="Kinds of operators it knows.")

    def on_mount(self) -> None:
        self.query_one("#profiles", RowTable).focus()

    async def look(self) -> None:
        folders = self._folders = self._folders or ProfileFolders(
            self.app.sources.profiles, self.app.sources.bundle
        )
        self._files = await asyncio.to_thread(folders.read)

    def refresh_data(self) -> None:
        now = time.time()
        rows = {file.key: self._row(file, now) for file in self._files}
        self.query_one("#profiles", RowTable).show_rows(rows)
        self._show_details()
        own = sum(file.own for file in self._files)
        self.say_status(
            f"{own} own, {len(self._files) - own} with fdi-keras; yours are in {self.app.sources.profiles}"
        )

    def on_row_table_chosen(self, event: RowTable.Chosen) -> None:
        if event.table.id == "profiles":
            self._show_details()

    def on_data_table_row_selected(self, event: Any) -> None:
        if event.data_table.id == "profiles":
            self.action_rules()

    def _row(self, file: ProfileFile, now: float) -> dict[str, Any]:
        return {
            "mark": "*" if file.key == self._marked else " ",
            "name": file.name,
            "whose": "own" if file.own else "hidden" if file.shadowed else "bundled",
            "device": file.device_name or (file.problem and "unreadable") or None,
            "runtime": file.runtime,
            "age": now - file.created if file.created is not None else None,
            "kinds": len(file.mape) or None,
            "measurements": "nothing" if file.caution else file.measurements or None,
            "error": file.error,
            "size": file.size,
            "problem": file.problem or None,
        }

    def _show_details(self) -> None:
        file = self._chosen()
        lines: list[tuple[str, str, str]] = []
        errors = {}
        if file is not None:
            lines = [
                ("file", str(file.path), ""),
                ("device", file.device_name, ""),
                ("id", file.device_id, ""),
                ("runtime", file.runtime, ""),
                ("measured", f"{file.measurements} operators" if file.measurements else "", ""),
                ("energy", "measured too" if file.energy else "", ""),
                ("problem", file.problem, "red"),
                ("caution", file.caution, "yellow"),
                (
                    "note",
                    "an own profile of the same name is found before it" if file.shadowed else "",
                    "yellow",
                ),
                *(("warning", text, "yellow") for text in file.warnings[:20] if text != file.caution),
            ]
            size, verdict = self._verdicts.get(file.key, (0, ""))
            if verdict and size == file.size:
                lines.append(("validated", verdict, "green" if verdict.startswith("nothing") else "red"))
            errors = {
                clean(kind, 40): {"kind": kind, "error": None if file.caution else error}
                for kind, error in file.mape.items()
            }
        elif not self._files:
            lines = [("", "There is no profile yet: start a campaign in the room of devices.", "")]
        self.query_one("#details", Details).show([line for line in lines if line[1]])
        self.query_one("#kinds", RowTable).show_rows(errors)

    def _chosen(self) -> ProfileFile | None:
        chosen = self.query_one("#profiles", RowTable).chosen
        return next((file for file in self._files if file.key == chosen), None)

    def _said(self, file: ProfileFile) -> str:
        """As commands take it."""
        return str(file.path) if file.shadowed else file.name

    def command(self) -> str:
        file = self._chosen()
        return "fdi profiles" if file is None else shlex.join(["fdi", "rules", self._said(file)])

    # What keys do

    def action_rules(self) -> None:
        file = self._chosen()
        if file is not None and self._is_readable(file):
            self.app.show_in("rules", profile=file.path)

    def action_mark(self) -> None:
        file = self._chosen()
        if file is not None:
            self._marked = "" if self._marked == file.key else file.key
            self.refresh_data()

    def action_compare(self) -> None:
        file = self._chosen()
        if file is None or not self._is_readable(file):
            return
        if not self._marked or self._marked == file.key:
            self.app.say("Mark another profile with m first: this one is shown beside it.")
        else:
            self.app.show_in("rules", profile=file.path, compare=Path(self._marked))

    def action_rename(self) -> None:
        file = self._own("renamed")
        if file is None:
            return
        form = Form(
            f"Rename profile {clean(file.name, 60)}", [Field("name", "new name", file.name)], "Rename"
        )

        def renamed(values: dict[str, str] | None) -> None:
            if values is not None:
                from fdi_keras.profile.manage import rename_profile

                self._do(lambda: f"Renamed to {rename_profile(file.path, values['name']).stem}.")

        self.app.push_screen(form, renamed)

    def action_export_file(self) -> None:
        file = self._chosen()
        if file is None:
            return
        fields = [Field("to", "to", f"{file.name}.json", "a path, or another name in your profile folder")]

        def written(values: dict[str, str] | None) -> None:
            if values is not None and values["to"]:
                from fdi_keras.profile.manage import copy_profile

                self._do(lambda: f"Written to {copy_profile(file.path, values['to']).resolve()}")

        self.app.push_screen(Form(f"Write a copy of {clean(file.name, 60)}", fields, "Write"), written)

    def action_delete(self) -> None:
        file = self._own("deleted")
        if file is None:
            return
        what = f"{file.measurements} measurements" if file.measurements else "the file"
        consequence = f"{file.path}: {what} would be gone; the journal of its campaign stays."

        def answered(yes: bool | None) -> None:
            if yes:
                from fdi_keras.profile.manage import delete_profile

                self._do(lambda: f"Deleted {delete_profile(file.path)}")

        self.app.push_screen(
            Confirm(f"Delete profile {clean(file.name, 60)}?", consequence, "Delete"), answered
        )

    def action_validate(self) -> None:
        file = self._chosen()
        if file is None:
            return

        def check() -> str:
            from fdi_keras.profile import load_profile

            try:
                profile = load_profile(file.path)
            except FdiError as error:
                return str(error)
            return f"nothing is wrong with it, {count(len(profile.models), 'kind')}"

        async def validate() -> None:
            self._verdicts[file.key] = (file.size, await asyncio.to_thread(check))
            self.refresh_data()

        self.run_worker(validate())

    def _is_readable(self, file: ProfileFile) -> bool:
        if file.problem:
            self.app.say(f"{file.name} cannot be shown: {file.problem}", warning=True)
        return not file.problem

    def _own(self, done: str) -> ProfileFile | None:
        file = self._chosen()
        if file is not None and not file.own:
            self.app.say(
                f"{file.name} came with fdi-keras and cannot be {done}; w writes a copy.", warning=True
            )
            return None
        return file

    def _do(self, act: Callable[[], str]) -> None:
        try:
            self.app.say(act())
        except FdiError as error:
            self.app.say(str(error), warning=True)
        self.run_worker(self.bring_up_to_date())
