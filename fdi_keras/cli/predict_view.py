"""The table of ``fdi predict``: where a network's time goes, and by which rule.

A rule is a long text that many operators of a network share. A row shows its number, as
in ``fdi rules``, and each rule that was used stands once below the table.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fdi_keras.cli.console import plain
from fdi_keras.cli.tables import new_table
from fdi_keras.cli.words import count, percent, time_text
from fdi_keras.execution_time import describe_rules
from fdi_keras.networks.latency import LatencyReport
from fdi_keras.operators.words import dims_text, short_name
from fdi_keras.profile import DeviceProfile
from fdi_keras.study.roofline import MEANING, Place, Roofline

#: From this width on a row has room for dimensions and a bar.
WIDE = 120
BAR = 10


def print_report(out: Console, report: LatencyReport, profile: DeviceProfile, model: str) -> None:
    """The whole report but its warnings."""
    numbers = _numbers(profile)
    out.print(_table(report, numbers, wide=out.width >= WIDE))
    out.print(_legend(report, numbers))
    out.print()
    out.print(
        Text.assemble(
            plain(model, "bold"),
            ": ",
            (f"{report.total_ms:.4g} ms", "bold green"),
            f" predicted{report.interval_text}, ",
            (percent(report.coverage), "green" if report.coverage >= 0.9995 else "yellow"),
            plain(f" covered by profile {report.profile} ({profile.device.name}, "),
            f"{count(profile.runtime.threads, 'thread')})",
        ),
    )
    out.print(
        Text(
            f"{count(len(report.operators), 'operator')}, {report.flops / 1e6:.4g} MFLOPs, "
            f"{report.memory_bytes / 1e6:.3g} MB of memory access; the total includes "
            f"{time_text(profile.overhead_ms)} for the invocation.",
            "dim",
        )
    )
    if report.total_mj is not None:
        out.print(
            Text.assemble(
                (f"{report.total_mj:.4g} mJ", "bold green"),
                f" for one inference above idle, {percent(report.coverage_energy or 0.0)} covered.",
            )
        )
    if report.fetched_share:
        out.print(
            Text(
                f"Its weights ({report.weight_bytes / 1e6:.3g} MB) are too large for the caches: "
                f"{percent(report.fetched_share)} of them are fetched from memory at every inference, "
                f"{time_text(report.fetch_ms)} of the total.",
                "dim",
            )
        )


def _table(report: LatencyReport, numbers: dict[tuple[str, str], int], wide: bool) -> Table:
    table = new_table()
    table.add_column("operator", max_width=48 if wide else 26, no_wrap=True, overflow="ellipsis")
    table.add_column("kind", no_wrap=True)
    if wide:
        table.add_column("dimensions", no_wrap=True)
    table.add_column("ms", justify="right", no_wrap=True)
    table.add_column("share", justify="right", no_wrap=True)
    if wide:
        table.add_column("", no_wrap=True, min_width=BAR)
    table.add_column("rule", justify="right", no_wrap=True)
    if report.total_mj is not None:
        table.add_column("mJ", justify="right", no_wrap=True)
    most = max((row.predicted_ms or 0.0 for row in report.operators), default=0.0)
    decimals = 5 if report.total_ms < 1 else 4 if report.total_ms < 10 else 3
    for row in report.operators:
        cells = [plain(short_name(row.name)), plain(row.kind)]
        if wide:
            cells.append(plain(dims_text(row.dims)))
        if row.predicted_ms is None:
            cells += [Text("unknown", "yellow"), Text("")]
        else:
            share = row.predicted_ms / report.total_ms if report.total_ms else 0.0
            cells += [Text(f"{row.predicted_ms:.{decimals}f}"), Text(percent(share))]
        if wide:
            cells.append(Text(_bar(row.predicted_ms or 0.0, most), "cyan"))
        number = numbers.get((row.kind, row.rule))
        cells.append(Text("" if number is None else f"#{number}", "dim"))
        if report.total_mj is not None:
            unknown = row.predicted_mj is None
            cells.append(Text("unknown", "yellow") if unknown else Text(f"{row.predicted_mj:.4g}"))
        table.add_row(*cells)
    return table


def print_roofline(out: Console, report: LatencyReport, roofline: Roofline, places: Sequence[Place]) -> None:
    """How the predicted time divides into operators that arithmetic limits, and that memory limits."""
    out.print()
    out.print(plain(roofline.text))
    table = new_table()
    table.add_column("operator", max_width=26, no_wrap=True, overflow="ellipsis")
    table.add_column("limit", no_wrap=True)
    for heading in ("FLOPs/B", "at best", "predicted", "of roof"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row, place in zip(report.operators, places, strict=True):
        known = row.predicted_ms
        table.add_row(
            plain(short_name(row.name)),
            Text(place.bound, "cyan" if place.bound == "compute" else "yellow"),
            f"{place.intensity:.1f}",
            time_text(place.roof_ms),
            "unknown" if known is None else time_text(known),
            "" if not known else percent(place.roof_ms / known),
        )
    out.print(table)
    for bound, meaning in MEANING.items():
        share = sum(
            row.predicted_ms or 0.0
            for row, place in zip(report.operators, places, strict=True)
            if place.bound == bound
        )
        out.print(plain(f"{percent(share / report.total_ms)} of the time is limited by {bound}: {meaning}."))


def _numbers(profile: DeviceProfile) -> dict[tuple[str, str], int]:
    """Number of each rule of the profile by kind and text, as ``fdi rules`` counts them."""
    return {
        (kind, rule.text): number
        for kind, model in profile.models.items()
        for number, rule in enumerate(describe_rules(model), 1)
    }


def _legend(report: LatencyReport, numbers: dict[tuple[str, str], int]) -> Table:
    """Each rule that priced an operator, in words."""
    used = {(row.kind, row.rule) for row in report.operators if row.predicted_ms is not None}
    legend = Table.grid(padding=(0, 2, 0, 0))
    legend.add_column(no_wrap=True)
    legend.add_column()
    for kind, rule in sorted(used, key=lambda key: (key[0], numbers.get(key, 0))):
        legend.add_row(plain(f"{kind} #{numbers.get((kind, rule), '?')}"), plain(rule, "dim"))
    return legend


def _bar(value: float, most: float) -> str:
    return "━" * round(BAR * value / most) if most else ""
