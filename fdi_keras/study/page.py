"""Pictures as SVG, and pages of HTML that hold them. Pictures need matplotlib."""

from __future__ import annotations

import html
import io
from collections.abc import Mapping, Sequence
from typing import Any

from fdi_keras.errors import UsageError

MARKERS = "os^Dvph"

STYLE = (
    "body{font:15px sans-serif;max-width:60em;margin:2em auto}figure{display:inline-block;margin:.5em}"
    "td{padding:.1em .8em;text-align:right}td:first-child{text-align:left}thead{font-weight:bold}"
)


def lines_picture(
    series: Mapping[str, Sequence[tuple[float, float]]], x_label: str, y_label: str, from_zero: bool = True
) -> str:
    """Points by name of their series, joined by lines, as SVG.

    Args:
        series: ``(x, y)`` points in the order in which they are joined.
        x_label, y_label: of the axes.
        from_zero: both axes begin at 0; else the upright one where the points do.

    Raises:
        UsageError: matplotlib is not installed.
    """
    figure, axes = _figure()
    for number, (name, points) in enumerate(series.items()):
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(*zip(*points, strict=True), marker=marker, label=name, linewidth=1, markersize=5)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.set_xlim(left=0)
    if from_zero:
        axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    written = io.StringIO()
    figure.savefig(written, format="svg", bbox_inches="tight", metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]


def table(rows: Sequence[Sequence[str]]) -> str:
    """A table of texts, the first row its head."""
    head, *body = (
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><thead>{head}</thead><tbody>{''.join(body)}</tbody></table>"


def page(title: str, parts: Sequence[str]) -> str:
    """A whole document; ``parts`` are HTML, the title is text."""
    shown = html.escape(title)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{shown}</title><style>{STYLE}</style>"
        f"<body><h1>{shown}</h1>{''.join(parts)}</body></html>\n"
    )


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
