"""The room 'Rules': a profile as a tree to walk, what is behind each rule, and curves."""

from __future__ import annotations

import asyncio
import shlex
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from fdi_tui.keys import bindings
from fdi_tui.responsiveness import settle
from fdi_tui.screens.room import SETTLED_S, Room
from fdi_tui.screens.rules_text import Setting, axis_time, comparison_columns, described, measurement_columns
from fdi_tui.widgets.bar import StatusLine
from fdi_tui.widgets.choose import Choose
from fdi_tui.widgets.panels import Field, Form
from fdi_tui.widgets.picture import Mark, Series
from fdi_tui.widgets.plot import Plot
from fdi_tui.widgets.rule_tree import Place, RuleTree
from fdi_tui.widgets.table import RowTable
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import DataTable, Static

from fdi_keras.cli.words import count
from fdi_keras.errors import FdiError
from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_keras.profile import DeviceProfile

#: Measurements that are listed; those that are most off come first.
MOST_ROWS = 100
#: Minima are marked while the window has at most so many times its columns of channels.
CROWDED = 3
#: Times a curve reaches beyond the operator's own value at first.
AHEAD = 2
#: Channels that a curve shows at least at first.
LEAST_WINDOW = 128
#: Seconds that the cursor has to stand still before the measurements below it are listed.
STANDING_S = 0.15

VIEWS = ("curve", "measurements", "comparison")


class RulesRoom(Room):
    """A profile; another beside it when comparing."""

    TITLE = "Rules"
    ROOM = "rules"
    EVERY_S = 1.0
    BINDINGS = bindings("rules")

    DEFAULT_CSS = """
    RulesRoom #rules { height: 1fr; }
    RulesRoom RuleTree { width: 38%; border-right: vkey $panel-lighten-2; }
    RulesRoom #right { width: 1fr; }
    RulesRoom #described { height: auto; max-height: 45%; padding: 0 1; }
    RulesRoom #described Horizontal { height: auto; }
    RulesRoom #described Static { width: 1fr; height: auto; }
    RulesRoom #beside { display: none; border-left: vkey $panel-lighten-2; padding-left: 1; }
    RulesRoom.-comparing #beside { display: block; }
    RulesRoom.-comparing.-narrow #described Horizontal { layout: vertical; }
    RulesRoom.-narrow #beside { border-left: none; padding-left: 0; border-top: solid $panel-lighten-2; }
    RulesRoom Setting { height: auto; padding: 0 1; background: $boost; }
    RulesRoom #curve, RulesRoom #measurements, RulesRoom #comparison { display: none; height: 1fr; }
    RulesRoom.-view-curve #curve, RulesRoom.-view-measurements #measurements { display: block; }
    RulesRoom.-view-comparison #comparison { display: block; }
    RulesRoom.-tall #curve, RulesRoom.-tall #measurements { display: block; height: 3fr; }
    RulesRoom.-tall #measurements { height: 2fr; }
    RulesRoom.-tall.-view-comparison #measurements { display: none; }
    RulesRoom.-tall.-view-comparison #comparison { height: 2fr; }
    RulesRoom.-wide RuleTree { width: 34%; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._asked: str | Path | None = None
        self._asked_kind = ""
        self._asked_beside: str | Path | None = None
        self._files: dict[str, tuple[Path, float]] = {}
        self._profile: DeviceProfile | None = None
        self._beside: DeviceProfile | None = None
        self._problem = ""
        self._reading = threading.Lock()
        self._shown: Any = None
        self._place: Place | None = None
        self._dims: dict[str, int] = {}
        self._window: tuple[int, int] = (1, LEAST_WINDOW)
        self._listing: Timer | None = None
        self._listed: Any = None
        self._rows: dict[str, dict[str, Any]] = {}

    def compose_room(self) -> ComposeResult:
        with Horizontal(id="rules"):
            yield RuleTree(id="tree")
            with Vertical(id="right"):
                with VerticalScroll(id="described"), Horizontal():
                    yield Static("reading ...", id="first", markup=False)
                    yield Static("", id="beside", markup=False)
                yield Setting(id="setting")
                yield Plot(id="curve", y_name="ms", y_text=axis_time, whole=True, empty="nothing to predict")
                yield RowTable(measurement_columns(), name_of_export="measurements", id="measurements")
                yield RowTable(comparison_columns(), name_of_export="comparison", id="comparison")

    def on_mount(self) -> None:
        self.add_class("-view-curve")
        self.query_one(Plot).ascii = self.app.settings.ascii
        self.query_one(RuleTree).focus()

    # Reading

    async def look(self) -> None:
        """Read the profile anew when its file, or the choice, is another one."""
        await asyncio.to_thread(self._read)

    def _read(self) -> None:
        with self._reading:  # one at a time: a look that was cancelled goes on in its thread
            self._read_profiles()

    def _read_profiles(self) -> None:
        try:
            from fdi_keras.profile import load_profile

            wanted = {"first": self._asked if self._asked is not None else self._usual()}
            if self._asked_beside is not None:
                wanted["second"] = self._asked_beside
            found: dict[str, DeviceProfile | None] = {"first": self._profile, "second": None}
            for place, name in wanted.items():
                file = self._file_of(name)
                if self._files.get(place) != file:
                    found[place] = load_profile(file[0])
                    self._files[place] = file
                elif place == "second":
                    found[place] = self._beside
            self._profile, self._beside, self._problem = found["first"], found["second"], ""
        except FdiError as error:
            self._problem = str(error)

    def _usual(self) -> Path:
        """The newest of the user's own profiles, else one that was installed with the library."""
        from fdi_keras.profile import bundled_profiles, find_profile

        own = sorted(self.app.sources.profiles.glob("*.json"), key=lambda path: -path.stat().st_mtime)
        return own[0] if own else find_profile((bundled_profiles() or ["local"])[0])

    def _file_of(self, name: str | Path) -> tuple[Path, float]:
        from fdi_keras.profile import find_profile

        own = self.app.sources.profiles / f"{name}.json"
        path = own if isinstance(name, str) and own.is_file() else find_profile(name)
        return path, path.stat().st_mtime

    # Showing

    def refresh_data(self) -> None:
        status = self.query_one(StatusLine)
        status.warning = self._problem
        profile = self._profile
        if profile is None:
            if self._problem:
                self.query_one("#first", Static).update(clean(self._problem))
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
        from fdi_tui.data.profiles import compare, rule_tree

        kind = self._asked_kind if self._asked_kind in profile.models else next(iter(profile.models))
        if self._place is not None and not self._asked_kind and self._place.kind in profile.models:
            kind = self._place.kind
        trees = {name: rule_tree(model) for name, model in profile.models.items()}
        self.query_one(RuleTree).show_models(profile.models, trees, kind)
        if self._beside is not None:
            rows = {c.kind: c._asdict() for c in compare(profile, self._beside)}
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
            from fdi_tui.screens.rules_text import same_operator

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
        rows: dict[str, dict[str, Any]] = {}
        if behind is not None:
            first = behind.first(MOST_ROWS)
            columns = {name: column.astype(int).tolist() for name, column in first.dims.items()}
            for at, (measured, predicted, off) in enumerate(
                zip(first.measured_ms.tolist(), first.predicted_ms.tolist(), first.off.tolist(), strict=True)
            ):
                dims = {name: column[at] for name, column in columns.items()}
                rows[str(at)] = {"dims": dims, "measured_ms": measured, "predicted_ms": predicted, "off": off}
        table.border_subtitle = None if behind is None else f"{len(rows)} of {len(behind)}, most off first"
        self._rows = rows
        table.show_rows(rows)

    # The curve

    def _fit_window(self) -> None:
        """The part of the dimension's range to look at first."""
        if self._profile is None or self._place is None:
            return
        vary = self.query_one(Setting).vary
        low, high = (int(end) for end in self._profile.models[self._place.kind].ranges[vary])
        wanted = max(AHEAD * self._dims[vary], LEAST_WINDOW)
        self._window = (max(low, 1), max(min(high, wanted), max(low, 1) + 1))
        plot = self.query_one(Plot)
        plot.reset()

    def _draw_curve(self) -> None:
        from fdi_tui.data.profiles import curve, measured_near

        if self._profile is None or self._place is None:
            return
        kind, setting, plot = self._place.kind, self.query_one(Setting), self.query_one(Plot)
        vary, (first, last) = setting.vary, self._window
        model = self._profile.models[kind]
        setting.show(self._dims, model.ranges)
        if not plot.display:
            return
        dims = {name: value for name, value in self._dims.items() if name != vary}
        part = curve(model, dims, vary, first, last)
        name = clean(self._profile.name, 24)
        series = [
            Series(f"predicted, {name}" if self._beside else "predicted", part.x, part.times_ms, "steps", 0)
        ]
        if self._beside is not None and kind in self._beside.models:
            there = curve(self._beside.models[kind], dims, vary, first, last)
            series.append(Series(clean(self._beside.name, 24), there.x, there.times_ms, "steps", 1))
        if len(part.x) and self._place.node.is_leaf and len(model.tree.leaves) > 1:
            inside = np.isin(model.leaf_of({**dims, vary: part.x}), self._place.node.leaves)
            series.append(Series("this rule", part.x, np.where(inside, part.times_ms, np.nan), "steps", 2))
        near_x, near_ms = measured_near(self._profile, kind, self._dims, vary)
        inside = (near_x >= first) & (near_x <= last)
        series.append(Series(f"{inside.sum()} measured", near_x[inside], near_ms[inside], "dots", 3))
        marks: list[Mark] = []
        if last - first <= CROWDED * max(plot.size.width, 40):
            marks = [
                Mark(
                    float(part.x[at]),
                    float(part.times_ms[at]),
                    "●" if at in part.strict else "○",
                    "@",
                    at in part.strict,
                )
                for at in part.minima
            ]
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

    def on_resize(self) -> None:
        self.call_after_refresh(self._describe)

    # What keys do

    def action_view_next(self) -> None:
        views = VIEWS if self._beside is not None else VIEWS[:2]
        now = next(view for view in VIEWS if self.has_class(f"-view-{view}"))
        self._see(views[(views.index(now) + 1) % len(views) if now in views else 0])

    def _see(self, view: str) -> None:
        for each in VIEWS:
            self.set_class(each == view, f"-view-{each}")
        self.call_after_refresh(self._draw_curve)
        self.call_after_refresh(self._list_measurements)
        if not isinstance(self.focused, RuleTree):
            self.query_one(f"#{view}").focus()

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

    def _describe_beside(self) -> None:
        if self._beside is not None:
            self._describe()

    def action_type_in(self) -> None:
        """Ask for all dimensions at once."""
        if self._place is None or self._profile is None:
            return
        model = self._profile.models[self._place.kind]
        fields = [Field(name, name, str(value)) for name, value in self._dims.items()]
        ranges = ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in model.ranges.items())

        def done(values: dict[str, str] | None) -> None:
            if values is not None:
                self._dims = {name: int(value) for name, value in values.items()}
                self._fit_window()
                self._draw_curve()
                self._describe_beside()

        form = Form(
            f"An operator of kind {self._place.kind}",
            fields,
            "Show",
            check=_wrong,
            note=f"Measured: {ranges}",
        )
        self.app.push_screen(form, done)

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
                self.show(profile=name, beside=self._asked_beside)

        self.app.push_screen(Choose("Which profile?", self._choices(), self._profile_name()), done)

    def action_compare(self) -> None:
        """Ask which profile to put beside this one; again: none."""
        if self._asked_beside is not None:
            self.show(profile=self._asked)
            return

        def done(name: str | None) -> None:
            if name is not None:
                self.show(profile=self._asked, beside=name)

        others = [choice for choice in self._choices() if choice[0] != self._profile_name()]
        if not others:
            self.app.say("There is no other profile to compare with: learn or import one first.")
            return
        self.app.push_screen(Choose(f"Which profile beside {self._profile_name()}?", others), done)

    def _profile_name(self) -> str:
        file = self._files.get("first")
        return file[0].stem if file else ""

    def _choices(self) -> list[tuple[str, str, str]]:
        from fdi_keras.profile import bundled_profiles

        own = sorted(path.stem for path in self.app.sources.profiles.glob("*.json"))
        bundled = [name for name in bundled_profiles() if name not in own]
        return [
            *((name, name, "yours") for name in own),
            *((name, name, "came with fdi") for name in bundled),
        ]

    # For the app and other rooms

    def show(
        self, profile: str | Path | None = None, beside: str | Path | None = None, kind: str = "", **_: Any
    ) -> None:
        """Show a profile (a name or file), perhaps another beside it, perhaps at a kind of operator."""
        self._asked = profile if profile is not None else self._asked
        self._asked_beside = beside
        self._asked_kind = kind
        self.run_worker(self.bring_up_to_date(), group="show", exclusive=True)
        if beside is not None:
            self._see("comparison")
        elif self.has_class("-view-comparison"):
            self._see("curve")

    def command(self) -> str:
        if self._place is None:
            return ""
        parts = ["fdi", "rules", self._profile_name(), "--kind", self._place.kind]
        if isinstance(self.focused, Plot):
            setting = self.query_one(Setting)
            fixed = ",".join(f"{name}={value}" for name, value in self._dims.items() if name != setting.vary)
            first, last = self._window
            parts = ["fdi", "minima", self._profile_name(), "--kind", self._place.kind, "--set", fixed,
                     "--vary", f"{setting.vary}:{first}:{last}".replace(":", "=", 1)]  # fmt: skip
        return shlex.join(parts)


def _wrong(values: dict[str, str]) -> str:
    from fdi_keras.cli.curve import MAY_BE_ZERO, SWITCHES

    for name, text in values.items():
        least, most = (0 if name in MAY_BE_ZERO else 1), (1 if name in SWITCHES else 1_000_000)
        if not text.isascii() or not text.isdigit() or not least <= int(text[:9]) <= most or len(text) > 9:
            return f"{name} must be a whole number from {least} to {most}; received {clean(text, 30)!r}."
    return ""
