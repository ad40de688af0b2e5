"""What the room 'Rules' says in words: a place in the tree, the same operator elsewhere, the settings of a curve."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fdi_tui.widgets.bars import bar
from fdi_tui.widgets.table import Column
from rich.text import Text
from textual.widgets import Static

from fdi_keras.cli.words import borrowed_text, count, error_style, percent, time_text
from fdi_keras.operators.words import dims_text
from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_tui.data.profiles import Behind

    from fdi_keras.execution_time import TimeModel
    from fdi_keras.profile import DeviceProfile

#: Measurements that are listed.
MOST_ROWS = 100
#: Time minima that are named below a curve.
MOST_NAMED = 10


def described(profile: DeviceProfile, kind: str, leaves: list[int], width: int, ascii: bool) -> Text:
    """A part of the tree of a kind: its rule in words, or how good it is, and what its time is made of."""
    from fdi_tui.data.profiles import measurements_behind

    from fdi_keras.execution_time import accounts, rule_text

    model = profile.models[kind]
    whole = len(leaves) == len(model.tree.leaves)
    text = Text()
    if (len(leaves) == 1 and not whole) or len(model.tree.leaves) == 1:
        rule = rule_text(model.tree, leaves[0])
        text.append("when ", "dim").append(" and ".join(rule.conditions) or "always").append("\n")
        text.append("time ", "dim").append(rule.formula, "bold").append("\n")
        if not profile.caution:
            text.append(f"{count(rule.samples, 'measurement')}, error ", "dim")
            text.append(percent(rule.mape), error_style(rule.mape))
    else:
        rules = [model.tree.leaves[leaf].leaf for leaf in leaves]
        samples = sum(leaf.samples for leaf in rules)
        error = sum(leaf.samples * leaf.mape for leaf in rules) / max(samples, 1)
        text.append(kind, "bold").append(
            f"  {count(len(leaves), 'rule')}, {count(samples, 'measurement')}, error "
        )
        text.append(percent(error), error_style(error))
    if profile.caution:
        return text.append(clean(profile.caution, 400), "yellow")
    if whole:
        text.append("\nheld-out error ", "dim").append(
            percent(model.error.mape), error_style(model.error.mape)
        )
        text.append(f", {percent(model.error.within_10)} within 10 %", "dim")
        if model.borrowed:
            text.append(f"\nalso learned from {borrowed_text(model.borrowed)}", "dim")
    behind = measurements_behind(profile, kind, leaves)
    if behind is None:
        text.append("\nThe measurements were not saved with this profile.", "dim")
        return text
    wide = min(max(width - 24, 8), 40)
    for part, share in accounts(model, behind.dims).items():
        text.append(f"\n{part:<10} ").append(bar(share, wide, ascii), "bold").append(f" {percent(share):>6}")
    return text


def same_operator(
    profile: DeviceProfile, kind: str, dims: Mapping[str, int], width: int, ascii: bool
) -> Text:
    """The rule of another profile by which the operator of the curve is priced."""
    text = Text.assemble((f"{profile.name}: ", "bold"), (dims_text(dims), "dim"), "\n")
    if kind not in profile.models:
        return text.append(f"does not know {kind}: it was not measured.")
    leaf = int(profile.models[kind].leaf_of(dims)[0])
    return text.append_text(described(profile, kind, [leaf], width, ascii))


class Setting(Static):
    """The operator whose time the curve shows: one dimension varies, the chosen one is changed by keys.

    Attributes:
        vary: the dimension of the x axis.
        chosen: the dimension that keys make larger and smaller.
    """

    def __init__(self, id: str | None = None):
        super().__init__("", id=id, markup=False)
        self.vary = self.chosen = ""
        self._names: list[str] = []
        self._may_vary: list[str] = []
        self._dims: Mapping[str, int] = {}
        self._ranges: Mapping[str, tuple[float, float]] = {}
        self._told = Text()

    def begin(self, model: TimeModel, vary: str) -> None:
        """Another kind of operator."""
        from fdi_tui.data.profiles import may_vary, told_dimensions

        self._names = told_dimensions(model)
        self._may_vary = [name for name in may_vary(model.kind) if name in self._names]
        self.vary = vary
        self.chosen = next((name for name in self._names if name != vary), vary)
        self._told = Text()

    def vary_next(self) -> None:
        """Vary the next dimension that counts something."""
        self.vary = self._may_vary[(self._may_vary.index(self.vary) + 1) % len(self._may_vary)]
        if self.chosen == self.vary:
            self.choose(1)
        self._write()

    def choose(self, steps: int) -> None:
        """Choose another dimension to change."""
        others = [name for name in self._names if name != self.vary]
        at = others.index(self.chosen) if self.chosen in others else -1
        if others:
            self.chosen = others[(at + steps) % len(others)]
        self._write()

    def show(self, dims: Mapping[str, int], ranges: Mapping[str, tuple[float, float]]) -> None:
        """Show the dimensions of the operator."""
        self._dims, self._ranges = dims, ranges
        self._write()

    def tell(self, minima: list[int], outside: list[str]) -> None:
        """Name the time minima of the curve, and what of it was never measured."""
        self._told = Text()
        if minima:
            named = ", ".join(map(str, minima[:MOST_NAMED]))
            more = f" and {len(minima) - MOST_NAMED} more" if len(minima) > MOST_NAMED else ""
            self._told.append(f"\ntime minima at {named}{more}", "dim")
        for text in outside:
            self._told.append(f"\n{text} measured: the curve extrapolates", "yellow")
        self._write()

    def _write(self) -> None:
        line = Text()
        for name in self._names:
            value = self._dims.get(name, 0)
            low, high = self._ranges.get(name, (value, value))
            beyond = "" if low <= value <= high or name == self.vary else "!"
            if name == self.vary:
                line.append(f"{name} →", "bold underline")
            else:
                line.append(f"{name} {value}{beyond}", "reverse" if name == self.chosen else "")
            line.append("  ")
        line.rstrip()
        self.update(line.append_text(self._told))


def axis_time(ms: float) -> str:
    """A time on an axis.

    >>> axis_time(0.0), axis_time(0.05)
    ('0', '50 us')
    """
    return time_text(ms) if ms else "0"


def measurement_columns() -> list[Column]:
    """Of the table of measurements behind a rule."""
    return [
        Column("measured_ms", "measured", text=time_text, right=True),
        Column("predicted_ms", "predicted", text=time_text, right=True),
        Column("off", "off", text=_off_text, right=True, style=lambda off: error_style(abs(off))),
        Column("dims", "operator", text=dims_text),
    ]


def measurement_rows(behind: Behind | None) -> dict[str, dict[str, Any]]:
    """A row a measurement, those that are most off first."""
    if behind is None:
        return {}
    first = behind.first(MOST_ROWS)
    columns = {name: column.astype(int).tolist() for name, column in first.dims.items()}
    times = zip(first.measured_ms.tolist(), first.predicted_ms.tolist(), first.off.tolist(), strict=True)
    return {
        str(at): {
            "dims": {name: column[at] for name, column in columns.items()},
            "measured_ms": measured,
            "predicted_ms": predicted,
            "off": off,
        }
        for at, (measured, predicted, off) in enumerate(times)
    }


def _off_text(off: float) -> str:
    return f"{100 * off:+.1f} %"


def comparison_columns() -> list[Column]:
    """Of the table of two profiles beside each other."""
    return [
        Column("kind", "kind"),
        Column("first_error", "error", text=percent, right=True, style=error_style),
        Column("second_error", "beside", text=percent, right=True, style=error_style),
        Column("ratio", "beside / this", text=lambda ratio: f"{ratio:.2f} x", right=True),
        Column("low", "quarter below", text=lambda ratio: f"{ratio:.2f} x", right=True, wide=100),
        Column("high", "quarter above", text=lambda ratio: f"{ratio:.2f} x", right=True, wide=100),
        Column("operators", "operators", right=True, wide=100),
    ]
