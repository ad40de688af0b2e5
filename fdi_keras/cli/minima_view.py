"""What ``fdi minima`` shows: the curve, its minima marked, and a row for each of them."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fdi_keras.cli.console import plain
from fdi_keras.cli.curve import Curve
from fdi_keras.cli.plot import Mark, plot
from fdi_keras.cli.tables import new_table
from fdi_keras.cli.words import time_text
from fdi_keras.profile import DeviceProfile

STRICT = Mark("◆", "magenta")
FREE = Mark("●", "green")
ASCII = {STRICT: Mark("M", "magenta"), FREE: Mark("o", "green")}


def print_minima(out: Console, curve: Curve, profile: DeviceProfile) -> None:
    """The whole answer but its warnings."""
    strict, free = (STRICT, FREE) if _unicode(out) else (ASCII[STRICT], ASCII[FREE])
    fixed = ", ".join(f"{name} {value}" for name, value in curve.fixed.items())
    out.print(Text.assemble((f"{curve.kind} by {curve.vary}", "bold"), plain(f"  on {profile.device.name}")))
    out.print(Text(fixed, "dim"))
    out.print()
    marks = {at: strict if at in curve.strict else free for at in curve.minima}
    width = min(out.width, 160)
    height = 12 if out.height < 40 else 18
    for line in plot(curve.widths, curve.times_ms, marks, width, height, _unicode(out)):
        out.print(line, no_wrap=True, crop=True)
    if not curve.minima:
        out.print(
            "\nNo time minimum here: every step up costs time. A larger --free counts cheap channels as free."
        )
        return
    out.print(_table(curve, marks))
    out.print(
        Text.assemble(
            (strict.symbol, strict.style),
            (" strict: no slower than the next smaller width.  ", "dim"),
            (free.symbol, free.style),
            (f" a channel up to here costs at most {curve.free:g} of an average one (--free).", "dim"),
        )
    )


def _table(curve: Curve, marks: dict[int, Mark]) -> Table:
    table = new_table()
    table.add_column("")
    for name in (curve.vary, "time", "a channel", "next wider"):
        table.add_column(name, justify="right", no_wrap=True)
    for at in curve.minima:
        width, ms = curve.widths[at], curve.times_ms[at]
        following = f"{curve.times_ms[at + 1] / ms - 1:+.1%}" if at + 1 < len(curve.widths) else ""
        table.add_row(
            Text(marks[at].symbol, marks[at].style),
            str(width),
            time_text(ms),
            time_text(ms / width),
            following.replace("%", " %"),
        )
    return table


def _unicode(out: Console) -> bool:
    return out.encoding.lower().startswith("utf")
