"""What ``fdi sweep`` shows: a table, two plots, the answer, and pairs of networks operator by operator."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from fdi_keras.cli.console import plain
from fdi_keras.cli.plot import scatter
from fdi_keras.cli.tables import new_table
from fdi_keras.profile.roofline import Roofline
from fdi_keras.study.difference import cells, difference, in_words
from fdi_keras.study.explain import equal_pairs
from fdi_keras.study.network import Swept
from fdi_keras.study.report import PAIRS, cache_heads, cache_sources

#: Letters of families in plots.
LETTERS = "abcdefghijklmnopqrstuvwxyz"

#: From this width on a row of a pair has room for everything.
WIDE = 120

#: A name of a layer is broken where it is longer.
LONGEST = 36

#: What narrower terminals leave out.
WIDE_ONLY = ("layer", "MFLOPs", "MB")


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
    if cache_sources(networks):
        caches = new_table()
        caches.add_column("network", no_wrap=True)
        for heading in cache_heads(networks):
            caches.add_column(heading, justify="right")
        for network in networks:
            caches.add_row(plain(f"{letter[network.family]} {network.name}"), *network.cache_cells)
        out.print(caches)
        for source in cache_sources(networks):
            out.print(plain(f"Cache accesses of one inference, {source}."))
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


def print_pairs(out: Console, networks: Sequence[Swept], roofline: Roofline | None) -> None:
    """Networks of equal FLOPs and different times: the few operators that make most of the difference."""
    for pair in equal_pairs(networks, PAIRS):
        found = difference(pair, roofline)
        if found is None:
            continue
        out.print()
        out.print(plain(in_words(found, pair.slower, pair.faster)))
        heads, *rows = cells(found)
        shown = [at for at, head in enumerate(heads) if out.width >= WIDE or head not in WIDE_ONLY]
        table = new_table()
        for at in shown:
            words = heads[at] in ("layer", "operator", "bound")
            table.add_column(heads[at], justify="left" if words else "right", max_width=LONGEST)
        for row in rows:
            table.add_row(*(plain(row[at]) for at in shown))
        out.print(table)
