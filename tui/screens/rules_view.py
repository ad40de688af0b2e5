"""What the room 'Rules' shows: a profile as a tree to walk, what is behind each rule, and curves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fdi_tui.data.chosen_profiles import ChosenProfiles
from fdi_tui.responsiveness import settle
from fdi_tui.screens.room import SETTLED_S, Room
from fdi_tui.screens.rules_text import (
    Setting,
    axis_time,
    comparison_columns,
    described,
    measurement_columns,
    measurement_rows,
    same_operator,
)
from fdi_tui.widgets.bar import StatusLine
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.roofline_plot import RooflinePlot
from fdi_tui.widgets.rule_tree import Place, RuleTree
from fdi_tui.widgets.table import RowTable
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Static

from fdi_keras.cli.words import count
from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_tui.data.roofs import Roofs

    from fdi_keras.profile import DeviceProfile

#: Seconds that the cursor has to stand still before the measurements below it are listed.
STANDING_S = 0.15

VIEWS = ("curve", "measurements", "roofline", "comparison")


class RulesView(Room):
    """A profile; another beside it when comparing."""

    DEFAULT_CSS = """
    RulesView #rules { height: 1fr; }
    RulesView RuleTree { width: 38%; border-right: vkey $panel-lighten-2; }
    RulesView #right { width: 1fr; }
    RulesView #described { height: auto; max-height: 45%; padding: 0 1; }
    RulesView #described Horizontal { height: auto; }
    RulesView #described Static { width: 1fr; height: auto; }
    RulesView #beside { display: none; border-left: vkey $panel-lighten-2; padding-left: 1; }
    RulesView.-comparing #beside { display: block; }
    RulesView.-comparing.-narrow #described Horizontal { layout: vertical; }
    RulesView.-narrow #beside { border-left: none; padding-left: 0; border-top: solid $panel-lighten-2; }
    RulesView Setting { height: auto; padding: 0 1; background: $boost; }
    RulesView #curve, RulesView #measurements, RulesView #comparison { display: none; height: 1fr; }
    RulesView #roofline, RulesView #roofs { display: none; height: 1fr; }
    RulesView #roofs { height: auto; padding: 0 1; background: $boost; }
    RulesView.-view-curve #curve, RulesView.-view-measurements #measurements { display: block; }
    RulesView.-view-comparison #comparison { display: block; }
    RulesView.-view-roofline #roofline, RulesView.-view-roofline #roofs { display: block; }
    RulesView.-view-roofline Setting { display: none; }
    RulesView.-short.-view-roofline #described { display: none; }
    RulesView.-tall #curve, RulesView.-tall #measurements { display: block; height: 3fr; }
    RulesView.-tall #measurements { height: 2fr; }
    RulesView.-tall.-view-comparison #measurements { display: none; }
    RulesView.-tall.-view-comparison #comparison { height: 2fr; }
    RulesView.-tall.-view-roofline #curve { display: none; }
    RulesView.-tall.-view-roofline #roofline { height: 3fr; }
    RulesView.-wide RuleTree { width: 34%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._chosen = ChosenProfiles()
        self._asked_kind = ""
        self._shown: Any = None
        self._place: Place | None = None
        self._dims: dict[str, int] = {}
        self._window: tuple[int, int] = (1, 2)
        self._listing: Timer | None = None
        self._listed: Any = None
        self._rows: dict[str, dict[str, Any]] = {}
        self._roofs: tuple[DeviceProfile, Roofs] | None = None

    def compose_room(self) -> ComposeResult:
        with Horizontal(id="rules"):
            yield RuleTree(id="tree")
            with Vertical(id="right"):
                with VerticalScroll(id="described"), Horizontal():
                    yield Static("reading ...", id="first", markup=False)
                    yield Static("", id="beside", markup=False)
                yield Setting(id="setting")
                yield Plot(id="curve", y_name="ms", y_text=axis_time, whole=True, empty="nothing to predict")
                yield Static("", id="roofs", markup=False)
                yield RooflinePlot(id="roofline")
                yield RowTable(measurement_columns(), name_of_export="measurements", id="measurements")
                yield RowTable(comparison_columns(), name_of_export="comparison", id="comparison")

    def on_mount(self) -> None:
        self.add_class("-view-curve")
        for plot in self.query(Plot):
            plot.ascii = self.app.settings.ascii
        self.query_one(RuleTree).focus()

    # Reading

    async def look(self) -> None:
        """Read the profile anew when its file, or the choice, is another one."""
        await asyncio.to_thread(self._chosen.read, self.app.sources.profiles)

    @property
    def _profile(self) -> DeviceProfile | None:
        return self._chosen.profile

    @property
    def _beside(self) -> DeviceProfile | None:
        return self._chosen.beside

    # Showing

    def refresh_data(self) -> None:
        status = self.query_one(StatusLine)
        status.warning = self._chosen.problem or self._chosen.caution
        profile = self._profile
        if profile is None:
            if self._chosen.problem:
                self.query_one("#first", Static).update(clean(self._chosen.problem))
            return
        runtime = profile.runtime
        measured = sum(model.error.measurements for model in profile.models.values())
        status.text = (
            f"{profile.name}: {profile.device.name}, {runtime.name} {runtime.version}, "
            f"{count(runtime.threads, 'thread')}, {count(len(profile.models), 'kind')}, {measured:,} measurements, "
            f"{profile.created[:10]}" + (f"; beside it {self._beside.name}" if self._beside else "")
        )
        if self._shown == (id(profile), id(self._beside), self._asked_kind):
            return
        self._shown = (id(profile), id(self._beside), self._asked_kind)
        self.set_class(self._beside is not None, "-comparing")
        self._show_profile(profile)

    def _show_profile(self, profile: DeviceProfile) -> None:
        from fdi_tui.data.profiles import rule_tree

        from fdi_keras.profile.compare import compare_profiles

        kind = self._asked_kind if self._asked_kind in profile.models else next(iter(profile.models))
        if self._place is not None and not self._asked_kind and self._place.kind in profile.models:
            kind = self._place.kind
        trees = {name: rule_tree(model) for name, model in profile.models.items()}
        self.query_one(RuleTree).show_models(profile.models, trees, kind)
        if self._beside is not None:
            rows = {c.kind: c._asdict() for c in compare_profiles(profile, self._beside)}
            self.query_one("#comparison", RowTable).show_rows(rows)
        self._stand(Place(kind, trees[kind]))
        self.set_timer(SETTLED_S, settle)  # its measurements are many small objects

    @on(RuleTree.Stood)
    def _stood(self, event: RuleTree.Stood) -> None:
        event.stop()
        if self._place is None or event.place is not self._place:
            self._stand(event.place)

    def _stand(self, place: Place) -> None:
        """Show a place in the tree."""
        from fdi_tui.data.profiles import usual_dims, varied_first

        if self._profile is None or place.kind not in self._profile.models:
            return
        before, self._place = self._place, place
        other_kind = before is None or before.kind != place.kind or not self._dims
        setting = self.query_one(Setting)
        if other_kind:
            setting.begin(self._profile.models[place.kind], varied_first(place.kind))
        if other_kind or not self._dims_are_in(place):
            self._dims = usual_dims(self._profile, place.kind, place.node.leaves)
            self._fit_window()
        self._describe()
        self._draw_curve()
        self._draw_roofline()
        if self._listing is not None:
            self._listing.stop()
        self._listing = self.set_timer(STANDING_S, self._list_measurements)

    def _dims_are_in(self, place: Place) -> bool:
        assert self._profile is not None
        return int(self._profile.models[place.kind].leaf_of(self._dims)[0]) in place.node.leaves

    def _describe(self) -> None:
        if self._profile is None or self._place is None:
            return
        wide = self.query_one("#right").size.width // (
            2 if self._beside and not self.has_class("-narrow") else 1
        )
        told = described(
            self._profile, self._place.kind, self._place.node.leaves, wide, self.app.settings.ascii
        )
        self.query_one("#first", Static).update(told)
        if self._beside is not None:
            there = same_operator(self._beside, self._place.kind, self._dims, wide, self.app.settings.ascii)
            self.query_one("#beside", Static).update(there)

    def _list_measurements(self) -> None:
        from fdi_tui.data.profiles import measurements_behind

        table = self.query_one("#measurements", RowTable)
        if self._profile is None or self._place is None or not table.display:
            return
        wanted = (id(self._profile), id(self._place.node))
        if wanted == self._listed:
            return
        self._listed = wanted
        behind = measurements_behind(self._profile, self._place.kind, self._place.node.leaves)
        rows = measurement_rows(behind)
        table.border_subtitle = None if behind is None else f"{len(rows)} of {len(behind)}, most off first"
        self._rows = rows
        table.show_rows(rows)

    # The curve

    def _fit_window(self) -> None:
        """The part of the dimension's range to look at first."""
        from fdi_tui.screens.rules_curve import first_window

        if self._profile is None or self._place is None:
            return
        vary = self.query_one(Setting).vary
        ends = self._profile.models[self._place.kind].ranges[vary]
        self._window = first_window(ends, self._dims[vary])
        self.query_one("#curve", Plot).reset()

    def _draw_curve(self) -> None:
        from fdi_tui.screens.rules_curve import curves, minima_marks

        if self._profile is None or self._place is None:
            return
        setting, plot = self.query_one(Setting), self.query_one("#curve", Plot)
        vary, (first, last) = setting.vary, self._window
        model = self._profile.models[self._place.kind]
        setting.show(self._dims, model.ranges)
        if not plot.display:
            return
        part, series = curves(self._profile, self._beside, self._place, self._dims, vary, self._window)
        marks = minima_marks(part, self._window, max(plot.size.width, 40))
        low, high = model.ranges[vary]
        plot.show(series, marks, x_name=vary, limits=(max(low, 1.0), high))
        if plot.window != (float(first), float(last)):
            with self.prevent(Plot.Viewed):
                plot.look_at(first, last)
        setting.tell([int(part.x[at]) for at in part.minima], [*part.outside])

    @on(Plot.Viewed, "#curve")
    def _viewed(self, event: Plot.Viewed) -> None:
        event.stop()
        self._window = (round(event.left), max(round(event.right), round(event.left) + 1))
        self._draw_curve()

    def _draw_roofline(self) -> None:
        from fdi_tui.data.roofs import Roofs

        plot = self.query_one(RooflinePlot)
        if self._profile is None or self._place is None or not plot.display:
            return
        if self._roofs is None or self._roofs[0] is not self._profile:
            self._roofs = (self._profile, Roofs(self._profile))
            plot.reset()
        kind, leaves = self._place.kind, self._place.node.leaves
        plot.show_roofs(self._roofs[1], kind, leaves)
        self.query_one("#roofs", Static).update(clean(self._roofs[1].said(kind, leaves), 600))

    def on_resize(self) -> None:
        self.call_after_refresh(self._describe)

    def _describe_beside(self) -> None:
        if self._beside is not None:
            self._describe()

    def _see(self, view: str) -> None:
        for each in VIEWS:
            self.set_class(each == view, f"-view-{each}")
        self.call_after_refresh(self._draw_curve)
        self.call_after_refresh(self._draw_roofline)
        self.call_after_refresh(self._list_measurements)
        if not isinstance(self.focused, RuleTree):
            self.query_one(f"#{view}").focus()
