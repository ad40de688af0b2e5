"""What ``fdi sweep`` shows: a table, two plots, and the answer."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from fdi_keras.cli.console import plain
from fdi_keras.cli.plot import scatter
from fdi_keras.cli.tables import new_table
from fdi_keras.study.swept import Swept

#: Letters of families in plots.
LETTERS = "abcdefghijklmnopqrstuvwxyz"


def print_sweep(out: Console, networks: Sequence[Swept], said: Sequence[str]) -> None:
    """A row a network, times in ms; time over FLOPs and over memory access, and what follows from it."""
    families = list(dict.fromkeys(network.family for network in networks))
    letter = {name: LETTERS[i % len(LETTERS)] for i, name in enumerate(families)}
    table = new_table()
    table.add_column("network", no_wrap=True)
    for heading in ("GFLOPs", "MB", "M params", "FLOPs/B", "predicted", "measured"):
        table.add_column(heading, justify="right", no_wrap=True)
    for network in networks:
        table.add_row(plain(f"{letter[network.family]} {network.name}"), *network.cells)
    out.print(table)
    timed = [network for network in networks if network.measured_ms is not None]
    if len(timed) > 1:
        for what, unit, heading in (("flops", 1e9, "GFLOPs"), ("memory_bytes", 1e6, "memory access, MB")):
            points = [
                (getattr(network, what) / unit, network.measured_ms or 0.0, letter[network.family])
                for network in timed
            ]
            out.print(plain(f"measured time in ms over {heading}"))
            for line in scatter(points, width=min(out.width, 90)):
                out.print(plain(line))
    for text in said:
        out.print(plain(text))
