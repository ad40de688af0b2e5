"""What ``fdi compress`` ends with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fdi_keras.cli.console import plain
from fdi_keras.cli.plot import scatter
from fdi_keras.cli.tables import new_table

if TYPE_CHECKING:
    from rich.console import Console

    from fdi_keras.compression.recipe import Compressed


def print_stages(console: Console, result: Compressed) -> None:
    """A row for every network on the way, and where they lie."""
    table = new_table(title="Stages, timed in one interleaved run")
    table.add_column("stage")
    metrics = list(result.stages[0].metrics)
    for heading in ("params", "MFLOP", "predicted ms", "measured ms", *metrics):
        table.add_column(plain(heading), justify="right")
    for stage in result.stages:
        table.add_row(
            stage.name,
            f"{stage.parameters:,}",
            f"{stage.flops / 1e6:.1f}",
            f"{stage.predicted_ms:.4g}",
            "" if stage.measured_ms is None else f"{stage.measured_ms:.4g}",
            *(f"{stage.metrics[name]:.4g}" for name in metrics),
        )
    console.print(table)
    if result.stages[0].budgets:
        table = new_table(title="Further budgets")
        table.add_column("at most", no_wrap=True)
        for stage in result.stages:
            table.add_column(stage.name, justify="right")
        for budget in result.stages[0].budgets:
            table.add_row(plain(budget), *(f"{stage.budgets[budget]:.4g}" for stage in result.stages))
        console.print(table)
    if result.folder is not None:
        console.print(plain(f"Written to {result.folder}: fine-tuned.keras, fine-tuned.tflite, result.json"))


def print_front(console: Console, results: Sequence[Compressed], folder: Path) -> None:
    """What is left at what latency, the original among them."""
    from fdi_keras.study.front import metric_of, points

    metric = metric_of(results)
    if metric is not None:
        found = points(results, metric)
        marked = [(x, y, "o") for x, y in found[:-1]] + [(*found[-1], "x")]
        console.print(plain(f"{metric} over ms; x is the original"))
        for line in scatter(marked, width=min(console.width, 80)):
            console.print(plain(line))
    console.print(plain(f"Written to {folder}: front.html, and a folder for each target."))
