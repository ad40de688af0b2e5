"""What ``fdi compare`` shows: two profiles kind by kind, and where within a kind they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fdi_keras.cli.console import plain
from fdi_keras.cli.rules_view import profile_head
from fdi_keras.cli.tables import new_table
from fdi_keras.cli.words import error_style, percent
from fdi_keras.profile import DeviceProfile
from fdi_keras.profile.compare import KindComparison, Region

#: Ratios whose distance from 1 is less say "alike" (our choice: the models' own errors are larger).
ALIKE = 0.05

MEANING = (
    "time: the second's predicted time divided by the first's, median over the operators that either measured "
    "and that lie within the ranges of both; middle half: its quartiles. Both are predictions: differences below "
    "the held-out errors mean nothing."
)


def print_comparison(
    out: Console,
    profiles: Sequence[DeviceProfile],
    kinds: Sequence[KindComparison],
    divided: Mapping[str, Sequence[Region]],
) -> None:
    """Both heads, the table of kinds, and the regions of each kind that has several."""
    for number, profile in zip(("first ", "second "), profiles, strict=True):
        out.print(Text.assemble((number, "bold cyan"), profile_head(profile)))
    out.print()
    out.print(_kinds_table(profiles, kinds))
    out.print(Text(MEANING, "dim"))
    for found in kinds:
        regions = divided[found.kind]
        if len(regions) > 1:
            out.print()
            out.print(Text(f"{found.kind}: where they differ", "bold"))
            out.print(_regions_table(regions))


def _kinds_table(profiles: Sequence[DeviceProfile], kinds: Sequence[KindComparison]) -> Table:
    table = new_table()
    table.add_column("kind", no_wrap=True)
    for name in ("time", "middle half", "operators", "first's error", "second's"):
        table.add_column(name, justify="right", no_wrap=True)
    for found in kinds:
        if found.ratio is None or found.low is None or found.high is None:
            both = all(found.kind in profile.models for profile in profiles)
            why = "no common range" if both else "not in both"
            middle = [plain(why, "dim"), plain(""), plain("")]
        else:
            middle = [
                _ratio(found.ratio),
                plain(f"{found.low:.2f}-{found.high:.2f}", "dim"),
                plain(str(found.operators)),
            ]
        table.add_row(plain(found.kind), *middle, _error(found.first_error), _error(found.second_error))
    return table


def _regions_table(regions: Sequence[Region]) -> Table:
    table = new_table()
    table.add_column("when")
    for name in ("time", "middle half", "operators"):
        table.add_column(name, justify="right", no_wrap=True)
    for region in regions:
        table.add_row(
            plain(" and ".join(region.conditions) or "always"),
            _ratio(region.ratio),
            plain(f"{region.low:.2f}-{region.high:.2f}", "dim"),
            str(region.operators),
        )
    return table


def _ratio(ratio: float) -> Text:
    style = "dim" if abs(ratio - 1) < ALIKE else "red" if ratio > 1 else "green"
    return Text(f"{ratio:.2f} x", style)


def _error(error: float | None) -> Text:
    return Text("-", "dim") if error is None else Text(percent(error), error_style(error))
