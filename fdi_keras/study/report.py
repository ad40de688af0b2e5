"""The answer of a sweep as pictures and as one page of HTML. Needs matplotlib."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fdi_keras.errors import UsageError
from fdi_keras.study.explain import correlations, equal_pairs, fits
from fdi_keras.study.swept import Swept


class Axis(NamedTuple):
    """A quantity in a unit."""

    attribute: str
    label: str
    unit: float


FLOPS = Axis("flops", "GFLOPs", 1e9)
TIME = Axis("measured_ms", "measured ms", 1.0)
MEMORY = Axis("memory_bytes", "memory access, MB", 1e6)
PARAMETERS = Axis("parameters", "parameters, millions", 1e6)
CACHE = Axis("cache_references", "cache references, millions", 1e6)

#: Pictures by the names of their files: what is drawn over what.
PICTURES = {
    "flops-time": (FLOPS, TIME),
    "memory-time": (MEMORY, TIME),
    "flops-memory": (FLOPS, MEMORY),
    "flops-parameters": (FLOPS, PARAMETERS),
    "flops-cache": (FLOPS, CACHE),
}

MARKERS = "os^Dvph"


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
    figure, axes = _figure()
    for number, name in enumerate(dict.fromkeys(network.family for network in networks)):
        mine = [network for network in networks if network.family == name]
        points = [[getattr(network, axis.attribute) / axis.unit for network in mine] for axis in (x, y)]
        axes.plot(*points, marker=MARKERS[number % len(MARKERS)], label=name, linewidth=1, markersize=5)
    axes.set_xlabel(x.label)
    axes.set_ylabel(y.label)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    written = io.StringIO()
    figure.savefig(written, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]


def _figure() -> tuple[Any, Any]:
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError('pictures need matplotlib: pip install "fdi-keras[plots]".') from error
    from matplotlib.figure import Figure

    # Text stays text, and the same data make the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fdi"})
    figure = Figure(figsize=(5.2, 3.6))
    return figure, figure.subplots()


def html_page(networks: Sequence[Swept], device: str) -> str:
    """Everything on one page, pictures inside.

    Raises:
        UsageError: too few networks were measured, or matplotlib is not installed.
    """
    parts = [f"<h1>What explains the times of {len(networks)} networks on {html.escape(device)}</h1>"]
    parts += [f"<p>{html.escape(text)}</p>" for text in answer(networks)]
    for x, y in PICTURES.values():
        if all(getattr(network, axis.attribute) is not None for network in networks for axis in (x, y)):
            parts.append(f"<figure>{picture(networks, x, y)}</figure>")
    rows = [("network", "GFLOPs", "MB", "M params", "FLOPs a byte", "predicted ms", "measured ms")]
    rows += [
        (
            network.name,
            f"{network.flops / 1e9:.3f}",
            f"{network.memory_bytes / 1e6:.1f}",
            f"{network.parameters / 1e6:.2f}",
            f"{network.intensity:.1f}",
            "" if network.predicted_ms is None else f"{network.predicted_ms:.4g}",
            "" if network.measured_ms is None else f"{network.measured_ms:.4g}",
        )
        for network in networks
    ]
    head, *body = (
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    parts.append(f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>")
    style = (
        "body{font:15px sans-serif;max-width:60em;margin:2em auto}figure{display:inline-block;margin:.5em}"
        "td{padding:.1em .8em;text-align:right}td:first-child{text-align:left}thead{font-weight:bold}"
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>Memory study</title><style>{style}</style>"
        f"<body>{''.join(parts)}</body></html>\n"
    )


def answer(networks: Sequence[Swept]) -> list[str]:
    """The finding in sentences.

    Raises:
        UsageError: too few networks were measured.
    """
    names = {"flops": "FLOPs", "memory_bytes": "memory access", "parameters": "parameters",
             "cache_references": "cache references", "cache_misses": "cache misses"}  # fmt: skip
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
    ]
    lines += [
        f"{pair.slower.name} takes {pair.times_as_long:.2f} times as long as {pair.faster.name} at the same FLOPs "
        f"({pair.slower.flops / 1e9:.3g} and {pair.faster.flops / 1e9:.3g} G); it moves {pair.memory_ratio:.2f} "
        f"times as many bytes. {_where(pair.slower, pair.faster)}"
        for pair in equal_pairs(networks, 3)
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
