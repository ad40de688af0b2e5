"""Several compressions of one network: what accuracy is left at what latency."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from fdi_keras.compression.recipe import Compressed
from fdi_keras.compression.stages import Stage
from fdi_keras.networks.latency import predict_latency
from fdi_keras.profile import DeviceProfile
from fdi_keras.study.page import lines_picture, page, table


def metric_of(results: Sequence[Compressed]) -> str | None:
    """The metric that a front is drawn of: the first that is not the loss; None without validation data."""
    names = [name for name in results[0].stages[0].metrics if name != "loss"]
    return next(iter(names), next(iter(results[0].stages[0].metrics), None))


def time_of(stage: Stage) -> float:
    """Measured where it was, else predicted, in ms."""
    return stage.predicted_ms if stage.measured_ms is None else stage.measured_ms


def points(results: Sequence[Compressed], metric: str) -> list[tuple[float, float]]:
    """Time in ms and metric of what came out of each, the fastest first, the original last."""
    ends = [result.stages[-1] for result in results]
    stages = [*sorted(ends, key=time_of), results[0].stages[0]]
    return [(time_of(stage), stage.metrics[metric]) for stage in stages]


def write_front(results: Sequence[Compressed], profile: DeviceProfile, folder: Path) -> None:
    """``front.html`` with every stage, width and rule, and ``front.svg`` where there is a metric.

    Raises:
        UsageError: matplotlib is not installed.
    """
    parts = [f"<p>{html.escape(profile.caution)}</p>"] if profile.caution else []
    metric = metric_of(results)
    if metric is not None:
        picture = lines_picture({metric: points(results, metric)}, "ms", metric, from_zero=False)
        (folder / "front.svg").write_text(picture)
        parts.append(f"<figure>{picture}</figure>")
    for result in results:
        parts += [f"<h2>{time_of(result.stages[-1]):.4g} ms</h2>", _stages(result), _widths(result)]
        parts.append(_rules(result, profile))
    title = f"{results[0].model.name} on {profile.device.name}: accuracy against latency"
    (folder / "front.html").write_text(page(title, parts))


def _stages(result: Compressed) -> str:
    metrics, budgets = list(result.stages[0].metrics), list(result.stages[0].budgets)
    heads = ("params", "MFLOP", "predicted ms", "measured ms")
    rows: list[Sequence[str]] = [("stage", *heads, *budgets, *metrics)]
    rows += [
        (
            stage.name,
            f"{stage.parameters:,}",
            f"{stage.flops / 1e6:.1f}",
            f"{stage.predicted_ms:.4g}",
            "" if stage.measured_ms is None else f"{stage.measured_ms:.4g}",
            *(f"{stage.budgets[name]:.4g}" for name in budgets),
            *(f"{stage.metrics[name]:.4g}" for name in metrics),
        )
        for stage in result.stages
    ]
    return table(rows)


def _widths(result: Compressed) -> str:
    first, *others = result.stages
    rows: list[Sequence[str]] = [("channel space", *(stage.name for stage in result.stages))]
    rows += [
        (space, str(width), *(str(stage.widths.get(space, "")) for stage in others))
        for space, width in first.widths.items()
    ]
    return table(rows)


def _rules(result: Compressed, profile: DeviceProfile) -> str:
    report = predict_latency(result.model, profile)
    rows: list[Sequence[str]] = [("operator", "kind", "predicted ms", "rule")]
    rows += [
        (row.name, row.kind, "" if row.predicted_ms is None else f"{row.predicted_ms:.4g}", row.rule)
        for row in report.operators
    ]
    return f"<details><summary>{html.escape('operators and their rules')}</summary>{table(rows)}</details>"
