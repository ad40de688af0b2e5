"""The room 'Rules': a profile as a tree to walk, what is behind each rule, and curves."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

from fdi_tui.keys import bindings
from fdi_tui.screens.rules_text import Setting
from fdi_tui.screens.rules_view import VIEWS, RulesView
from fdi_tui.widgets.choose import Choose
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.rule_tree import RuleTree
from fdi_tui.widgets.table import RowTable
from textual import on
from textual.widgets import DataTable


class RulesRoom(RulesView):
    """What its keys do to what is shown."""

    TITLE = "Rules"
    ROOM = "rules"
    EVERY_S = 1.0
    BINDINGS = bindings("rules")

    _dims: dict[str, int]

    # What keys do

    def action_view_next(self) -> None:
        views = VIEWS if self._beside is not None else VIEWS[:-1]
        now = next(view for view in VIEWS if self.has_class(f"-view-{view}"))
        self._see(views[(views.index(now) + 1) % len(views) if now in views else 0])

    def action_roofline(self) -> None:
        """The roofline, or back to the curve."""
        self._see("curve" if self.has_class("-view-roofline") else "roofline")

    def action_dimension_next(self) -> None:
        if self._place is not None:
            self.query_one(Setting).vary_next()
            self._fit_window()
            self._draw_curve()

    def action_setting_next(self) -> None:
        self.query_one(Setting).choose(1)

    def action_setting_before(self) -> None:
        self.query_one(Setting).choose(-1)

    def action_larger(self) -> None:
        self._step(1)

    def action_smaller(self) -> None:
        self._step(-1)

    def _step(self, steps: int) -> None:
        from fdi_tui.data.profiles import stepped

        if self._profile is None or self._place is None:
            return
        name = self.query_one(Setting).chosen
        model = self._profile.models[self._place.kind]
        self._dims = {**self._dims, name: stepped(model, name, self._dims[name], steps)}
        self._draw_curve()
        self._describe_beside()

    def action_type_in(self) -> None:
        """Ask for all dimensions at once."""
        if self._place is None or self._profile is None:
            return
        from fdi_tui.screens.rules_form import operator_form

        def done(values: dict[str, str] | None) -> None:
            if values is not None:
                self._dims |= {name: int(value) for name, value in values.items()}
                self._fit_window()
                self._draw_curve()
                self._describe_beside()

        self.app.push_screen(operator_form(self._profile.models[self._place.kind], self._dims), done)

    def action_take(self) -> None:
        """Show the curve through the measurement under the cursor."""
        table = self.query_one("#measurements", RowTable)
        row = self._rows.get(table.chosen or "") if self.focused is table else None
        if row is not None:
            self._dims = dict(row["dims"])
            self._fit_window()
            self._see("curve")
            self._draw_curve()

    @on(DataTable.RowSelected, "#measurements")
    def _row_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        self.action_take()

    @on(DataTable.RowSelected, "#comparison")
    def _kind_selected(self, event: DataTable.RowSelected) -> None:
        event.stop()
        kind = self.query_one("#comparison", RowTable).chosen
        if kind:
            self.query_one(RuleTree).go_to(kind)

    def action_choose(self) -> None:
        """Ask which profile to look at."""

        def done(name: str | None) -> None:
            if name is not None:
                self.show(profile=name, beside=self._chosen.asked_beside)

        self.app.push_screen(
            Choose("Which profile?", self._chosen.choices(self.app.sources.profiles), self._chosen.name), done
        )

    def action_compare(self) -> None:
        """Ask which profile to put beside this one; again: none."""
        if self._chosen.asked_beside is not None:
            self.show(profile=self._chosen.asked)
            return

        def done(name: str | None) -> None:
            if name is not None:
                self.show(profile=self._chosen.asked, beside=name)

        others = [
            choice
            for choice in self._chosen.choices(self.app.sources.profiles)
            if choice[0] != self._chosen.name
        ]
        if not others:
            self.app.say("There is no other profile to compare with: learn or import one first.")
            return
        self.app.push_screen(Choose(f"Which profile beside {self._chosen.name}?", others), done)

    def _choices(self) -> list[tuple[str, str, str]]:
        return self._chosen.choices(self.app.sources.profiles)

    # For the app and other rooms

    def show(
        self, profile: str | Path | None = None, beside: str | Path | None = None, kind: str = "", **_: Any
    ) -> None:
        """Show a profile (a name or file), perhaps another beside it, perhaps at a kind of operator."""
        chosen = self._chosen
        chosen.asked = profile if profile is not None else chosen.asked
        chosen.asked_beside = beside
        self._asked_kind = kind
        self.run_worker(self.bring_up_to_date(), group="show", exclusive=True)
        if beside is not None:
            self._see("comparison")
        elif self.has_class("-view-comparison"):
            self._see("curve")

    def command(self) -> str:
        if self._place is None:
            return ""
        if self._chosen.beside is not None and self.has_class("-view-comparison"):
            return shlex.join(["fdi", "compare", self._chosen.name, self._chosen.beside_name])
        parts = ["fdi", "rules", self._chosen.name, "--kind", self._place.kind]
        if isinstance(self.focused, Plot) and self.focused.id == "curve":
            setting = self.query_one(Setting)
            fixed = ",".join(f"{name}={value}" for name, value in self._dims.items() if name != setting.vary)
            first, last = self._window
            parts = ["fdi", "minima", self._chosen.name, "--kind", self._place.kind, "--set", fixed,
                     "--vary", f"{setting.vary}:{first}:{last}".replace(":", "=", 1)]  # fmt: skip
        return shlex.join(parts)
