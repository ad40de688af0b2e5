"""The answer of a sweep as pictures and as one page of HTML. Needs matplotlib."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fdi_keras.devices.caches import SIMULATED
from fdi_keras.profile.roofline import Roofline
from fdi_keras.study.difference import cells, difference, in_words
from fdi_keras.study.explain import correlations, equal_pairs, fits
from fdi_keras.study.network import Swept
from fdi_keras.study.page import lines_picture, page, table


class Axis(NamedTuple):
    """A quantity in a unit."""

    attribute: str
    label: str
    unit: float


FLOPS = Axis("flops", "GFLOPs", 1e9)
TIME = Axis("measured_ms", "measured ms", 1.0)
MEMORY = Axis("memory_bytes", "memory access, MB", 1e6)
PARAMETERS = Axis("parameters", "parameters, millions", 1e6)
L1 = Axis("cache_references", "L1 accesses, millions", 1e6)
L1_MISSES = Axis("cache_misses", "L1 misses, millions", 1e6)

#: Pairs of networks of equal FLOPs that are told of.
PAIRS = 3

#: Pictures by the names of their files: what is drawn over what.
PICTURES = {
    "flops-time": (FLOPS, TIME),
    "memory-time": (MEMORY, TIME),
    "flops-memory": (FLOPS, MEMORY),
    "flops-parameters": (FLOPS, PARAMETERS),
    "flops-l1": (FLOPS, L1),
    "l1-time": (L1, TIME),
    "l1-misses-time": (L1_MISSES, TIME),
}


def write_pictures(networks: Sequence[Swept], folder: Path) -> list[Path]:
    """An SVG file for each picture whose quantities are known.

    Raises:
        UsageError: matplotlib is not installed.
    """
    written = []
    for name, (x, y) in PICTURES.items():
        if any(getattr(network, axis.attribute) is None for network in networks for axis in (x, y)):
            continue
        path = folder / f"{name}.svg"
        path.write_text(picture(networks, x, y))
        written.append(path)
    return written


def picture(networks: Sequence[Swept], x: Axis, y: Axis) -> str:
    """One quantity over another, a line for each family, as SVG.

    Raises:
        UsageError: matplotlib is not installed.
    """
    series: dict[str, list[tuple[float, float]]] = {}
    for network in networks:
        point = tuple(getattr(network, axis.attribute) / axis.unit for axis in (x, y))
        series.setdefault(network.family, []).append((point[0], point[1]))
    return lines_picture(series, _label(networks, x), _label(networks, y))


def _label(networks: Sequence[Swept], axis: Axis) -> str:
    """With a word where it is of a simulation."""
    simulated = axis in (L1, L1_MISSES) and any(network.caches_simulated for network in networks)
    return f"{axis.label} (simulated)" if simulated else axis.label


def cache_heads(networks: Sequence[Swept]) -> tuple[str, ...]:
    """Heads of :attr:`Swept.cache_cells`; none where nothing is known of caches."""
    heads = ("M L1 accesses", "M L1 misses", "M L2 misses") if cache_sources(networks) else ()
    if any(network.caches_simulated for network in networks):
        return tuple(f"{head}, simulated" for head in heads)
    return heads


def html_page(
    networks: Sequence[Swept], device: str, roofline: Roofline | None = None, warnings: Sequence[str] = ()
) -> str:
    """Everything on one page, pictures inside.

    Args:
        networks: that were swept.
        device: its name.
        roofline: of the device, where it is known.
        warnings: what to know of the predictions.

    Raises:
        UsageError: too few networks were measured, or matplotlib is not installed.
    """
    parts = [f"<p>{html.escape(text)}</p>" for text in (*warnings, *answer(networks))]
    for x, y in PICTURES.values():
        if all(getattr(network, axis.attribute) is not None for network in networks for axis in (x, y)):
            parts.append(f"<figure>{picture(networks, x, y)}</figure>")
    rows: list[Sequence[str]] = [
        (
            "network",
            "GFLOPs",
            "MB",
            "M params",
            "FLOPs a byte",
            "predicted ms",
            "measured ms",
            *cache_heads(networks),
        )
    ]
    rows += [
        (network.name, *network.cells, *(network.cache_cells if cache_sources(networks) else ()))
        for network in networks
    ]
    parts.append(table(rows))
    for pair in equal_pairs(networks, PAIRS):
        found = difference(pair, roofline)
        if found is not None:
            parts.append(f"<h2>{html.escape(f'{pair.slower.name} and {pair.faster.name}')}</h2>")
            parts.append(f"<p>{html.escape(in_words(found, pair.slower, pair.faster))}</p>")
            parts.append(table(cells(found)))
    return page(f"What explains the times of {len(networks)} networks on {device}", parts)


def _caveat(source: str) -> str:
    if not source.startswith(SIMULATED):
        return ""
    return " The simulated processor may lack the widest vectors of the real one, and LiteRT then has other kernels."


def cache_sources(networks: Sequence[Swept]) -> list[str]:
    """How the cache accesses of these networks came about; none where they are not known."""
    return list(dict.fromkeys(network.cache_source for network in networks if network.cache_source))


def explained_pairs(networks: Sequence[Swept], roofline: Roofline | None = None) -> list[dict[str, Any]]:
    """Networks of equal FLOPs and different times, operator by operator, as plain data."""
    return [
        {
            "slower": pair.slower.name,
            "faster": pair.faster.name,
            "times_as_long": pair.times_as_long,
            "memory_ratio": pair.memory_ratio,
            "difference": None if (found := difference(pair, roofline)) is None else found.to_dict(),
        }
        for pair in equal_pairs(networks, PAIRS)
    ]


def answer(networks: Sequence[Swept]) -> list[str]:
    """The finding in sentences.

    Raises:
        UsageError: too few networks were measured.
    """
    names = {"flops": "FLOPs", "memory_bytes": "memory access", "parameters": "parameters",
             "cache_references": "L1 accesses", "cache_misses": "L1 misses", "l2_misses": "L2 misses"}  # fmt: skip
    found = fits(networks)
    by_terms = {fit.terms: fit for fit in found}
    alone, both = by_terms["flops",], by_terms["flops", "memory_bytes"]
    best = min(found[:-1], key=lambda fit: fit.mape)
    verdict = "explain" if both.mape < 0.9 * best.mape else "do not explain"
    lines = [
        f"FLOPs alone predict a network that was left out within {alone.mape:.1%} on average, FLOPs and memory access "
        f"together within {both.mape:.1%}: together they {verdict} the time better than the best single quantity "
        f"({names[best.terms[0]]}, {best.mape:.1%}).",
        "Correlation with time, linear and by rank: "
        + ", ".join(
            f"{names[name]} {c.linear:.3f} and {c.rank:.3f}" for name, c in correlations(networks).items()
        )
        + ".",
        *(f"Cache accesses were {source}.{_caveat(source)}" for source in cache_sources(networks)),
    ]
    lines += [
        f"{pair.slower.name} takes {pair.times_as_long:.2f} times as long as {pair.faster.name} at the same FLOPs "
        f"({pair.slower.flops / 1e9:.3g} and {pair.faster.flops / 1e9:.3g} G); it moves {pair.memory_ratio:.2f} "
        f"times as many bytes. {_where(pair.slower, pair.faster)}"
        for pair in equal_pairs(networks, PAIRS)
    ]
    return lines


def _where(slower: Swept, faster: Swept) -> str:
    """Which kinds of operators the difference of predicted times lies in."""
    times = [
        {
            kind: row["predicted_ms"]
            for kind, row in network.kinds.items()
            if row.get("predicted_ms") is not None
        }
        for network in (slower, faster)
    ]
    if not all(times):
        return ""
    more = {
        kind: (times[0].get(kind) or 0.0) - (times[1].get(kind) or 0.0) for kind in {*times[0], *times[1]}
    }
    largest = sorted(more, key=lambda kind: -abs(more[kind]))[:3]
    return "Predicted difference: " + ", ".join(f"{kind} {more[kind]:+.3g} ms" for kind in largest) + "."
