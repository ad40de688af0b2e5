"""What a report of this benchmark says, as a table and a picture for the documents."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.steering.settings import ABLATIONS, DEEPIOT, LOST, OURS
from benchmarks.steering.shares import least_time, more_than

#: What the picture calls tasks, and the points of accuracy that it shows; what lost more stands at its lower edge.
PANELS = {
    "images-vgg": ("VGG-like, CIFAR-10", -6.0, 6.0),
    "images-mobilenet": ("MobileNetV2-like, CIFAR-10", -6.0, 6.0),
    "images-resnet": ("small ResNet, Fashion-MNIST", -6.0, 6.0),
    "activity": ("convolutions and GRU, activity", -2.5, 2.0),
    "speech": ("convolutions and LSTM, spoken digits", -2.5, 2.0),
}

#: Shares of the time at which the picture has a mark.
MARKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5)


def runs_of(report: dict[str, Any]) -> list[dict[str, Any]]:
    """All runs that ended with a network."""
    return [row["details"] for row in report["rows"] if row["part"] == "1" and "accuracy" in row["details"]]


def points_of(runs: Sequence[dict[str, Any]]) -> list[tuple[float, list[float]]]:
    """Of runs of one method on one task: measured share of the time, and points of accuracy gained with each seed."""
    found = []
    for share in sorted({run["share"] for run in runs}, reverse=True):
        here = [run for run in runs if run["share"] == share]
        took = _mean(run["measured_ms"] / run["start_ms"] for run in here)
        found.append((took, [100 * (run["accuracy"] - run["start_accuracy"]) for run in here]))
    return found


def table_cells(report: dict[str, Any]) -> list[list[str]]:
    """What every method keeps at which measured time, and the least time at which it loses half a point at most."""
    runs = runs_of(report)
    tasks, methods = (list(dict.fromkeys(run[key] for run in runs)) for key in ("task", "method"))
    before = {task: _mean(run["start_accuracy"] for run in runs if run["task"] == task) for task in tasks}
    rows = [["", *(f"{task}, {before[task]:.1%} before" for task in tasks)]]
    for method in methods:
        cells = []
        for task in tasks:
            mine = [run for run in runs if (run["task"], run["method"]) == (task, method)]
            points = []
            for took, gained in points_of(mine):
                spread = f" ({min(gained):+.1f} to {max(gained):+.1f})" if len(gained) > 1 else ""
                points.append(f"{_mean(gained):+.1f}{spread} at {took:.3f}")
            least = least_time(mine)
            bold = f"**{least:.3f}**" if least else f"**above {more_than(mine):.3f}**" if mine else ""
            cells.append(f"{bold}: {'; '.join(points)}" if mine else "")
        rows.append([method.replace("_", " "), *cells])
    return rows


def seeds_in_words(report: dict[str, Any]) -> str:
    """How many seeds the points of a report are the mean of."""
    counts = Counter((run["task"], run["method"], run["share"]) for run in runs_of(report))
    fewest, most = min(counts.values()), max(counts.values())
    return f"{most} seed{'s' if most > 1 else ''}" if fewest == most else f"{fewest} to {most} seeds"


def picture(report: dict[str, Any]) -> str:
    """A panel a task, as SVG: points of accuracy gained over the share of the measured time, a line a method."""
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    # Text stays text, and the same data make the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fdi"})
    runs = runs_of(report)
    tasks = [task for task in PANELS if any(run["task"] == task for run in runs)]
    methods = [m for m in dict.fromkeys(run["method"] for run in runs) if m not in ABLATIONS]
    looks = {
        method: {"color": "#8b949e", "linewidth": 0.8, "marker": ".", "alpha": 0.8} for method in methods
    }
    looks[DEEPIOT] = {"color": "#bc4c00", "linewidth": 1.6, "marker": "s", "markersize": 4}
    looks[OURS] = {"color": "#0969da", "linewidth": 2.2, "marker": "o", "markersize": 5}

    figure = Figure(figsize=(10.5, 5.6), layout="constrained")
    panels = figure.subplots(2, 3, sharex="row").flat
    for axes, task in zip(panels, tasks, strict=False):
        title, lowest, highest = PANELS[task]
        axes.axhline(-100 * LOST, color="#57606a", linewidth=0.8, linestyle=":")
        for method in [m for m in looks if m in methods]:
            points = points_of([run for run in runs if (run["task"], run["method"]) == (task, method)])
            if not points:
                continue
            took = [at for at, _ in points]
            axes.plot(took, [max(_mean(gained), lowest) for _, gained in points], **looks[method])
            if method in (OURS, DEEPIOT):
                low, high = ([max(of(gained), lowest) for _, gained in points] for of in (min, max))
                axes.vlines(took, low, high, color=looks[method]["color"], linewidth=1)
        axes.set_title(title, fontsize=10, loc="left")
        axes.set_xscale("log")
        axes.set_ylim(lowest - (highest - lowest) / 40, highest)
        axes.grid(alpha=0.3)
        axes.tick_params(labelsize=9)
    for axes in figure.axes:  # after all of a row are drawn: marks beyond its points would widen it
        limits = axes.get_xlim()
        axes.set_xticks(MARKS, [f"{mark:.0%}" for mark in MARKS])
        axes.set_xticks([], minor=True)
        axes.set_xlim(limits)
    for axes in figure.axes[len(tasks) :]:
        axes.set_axis_off()
    names = {OURS: "fdi.compress", DEEPIOT: "DeepIoT, by size"}
    others = len(set(methods) - set(names))
    handles = [Line2D([], [], **looks[method], label=label) for method, label in names.items()]
    handles.append(
        Line2D(
            [], [], color="#8b949e", linewidth=0.8, marker=".", label=f"{others} other ways, one line each"
        )
    )
    handles.append(Line2D([], [], color="#57606a", linewidth=0.8, linestyle=":", label="half a point lost"))
    figure.axes[-1].legend(handles=handles, frameon=False, loc="center", fontsize=10)
    figure.supxlabel("share of the uncompressed network's measured time", fontsize=10)
    figure.supylabel("points of accuracy gained", fontsize=10)
    written = io.StringIO()
    figure.savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]


def _mean(values: Iterable[float]) -> float:
    listed = list(values)
    return sum(listed) / len(listed)
