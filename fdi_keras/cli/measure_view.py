"""What ``fdi measure`` shows: the time of a network, and on a phone where it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from fdi_keras.cli.console import plain
from fdi_keras.cli.tables import new_table
from fdi_keras.cli.words import count, percent

if TYPE_CHECKING:
    from fdi_keras.devices.benchmark_model import OperatorProfile
    from fdi_keras.devices.caches import CacheCounts
    from fdi_keras.networks.latency import MeasuredLatency

TABLE = (
    "By the tool's own profiler, which slows the run: the shares are what to look at. Operators of equal name are "
    "one row."
)


def print_measured(
    out: Console,
    name: str,
    measured: MeasuredLatency,
    table: OperatorProfile | None,
    cache: CacheCounts | None,
) -> None:
    """The latency, and what else was measured."""
    if table is not None:
        _print_table(out, table)
    out.print(
        Text.assemble(
            plain(name, "bold"),
            ": ",
            (f"{measured.median_ms:.4g} ms", "bold green"),
            " median of ",
            f"{count(measured.runs, 'run')}, quartile distance {measured.iqr_ms:.2g} ms, "
            f"fastest {measured.min_ms:.4g} ms\n",
            plain(
                f"on {measured.device} with {measured.runtime}, {count(measured.threads, 'thread')}", "dim"
            ),
        )
    )
    if cache is not None:
        share = cache.misses / cache.references if cache.references else 0.0
        out.print(
            f"{cache.references:,.0f} cache references an inference, {cache.misses:,.0f} of them missed "
            f"({percent(share)}), {cache.source}."
        )


def _print_table(out: Console, table: OperatorProfile) -> None:
    shown = new_table()
    shown.add_column("operator", max_width=40, no_wrap=True, overflow="ellipsis")
    shown.add_column("name", max_width=32, no_wrap=True, overflow="ellipsis")
    for title in ("ms", "share", "called"):
        shown.add_column(title, justify="right", no_wrap=True)
    for row in table.rows:
        numbers = (f"{row.avg_ms:.4f}", percent(row.share), str(row.times_called))
        shown.add_row(plain(row.kind), plain(row.name), *numbers)
    out.print(shown)
    out.print(Text(TABLE, "dim"))
