"""Draws the documents' pictures and fills in their measured numbers, from real data alone.

    python docs/make_pictures.py PROFILE [--demo fdi-demo/results.json] [--measure]

* ``docs/pictures/steps.svg``: a convolution's time over its output channels, as measured on this
  computer and as PROFILE (a file, or a name) predicts it. The measurement, some 20 seconds, is kept
  in ``steps.json`` beside it; ``--measure`` makes it anew.
* ``docs/pictures/demo.svg``: the table that ``fdi demo`` ended with.
* ``docs/pictures/learning.svg``: error against measurements, by ``python -m benchmarks.execution_time``.
* ``docs/pictures/memory-*.svg``, and the numbers in ``docs/memory.md``: by ``python -m benchmarks.memory_study``.
* ``docs/pictures/steering.svg``, and the tables in ``docs/method.md``: by ``python -m benchmarks.steering``.
* ``docs/results.md``: every row of ``benchmarks/results/*.json``.
* The parts of README.md between ``<!-- begin NAME -->`` and ``<!-- end NAME -->``.

What has no data yet is left as it is.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
README = DOCS.parent / "README.md"
RESULTS = DOCS.parent / "benchmarks" / "results"

DIMS = {"in_channels": 64, "kernel": 3, "height": 28, "width": 28}
WIDTHS = list(range(1, 129))

#: Times that differ by less than this share are one plateau.
ALIKE = 0.03

#: Colors of a picture on its own background, so that it can be read on a page of either.
STYLE = """
.paper { fill: #ffffff } .grid { stroke: #e1e4e8 } .axis { stroke: #57606a } text { fill: #24292f }
.points circle { fill: #0969da } .model { stroke: #bc4c00 } .minimum { fill: #1a7f37 }
@media (prefers-color-scheme: dark) {
  .paper { fill: #161b22 } .grid { stroke: #30363d } .axis { stroke: #8b949e } text { fill: #e6edf3 }
  .points circle { fill: #58a6ff } .model { stroke: #f0883e } .minimum { fill: #3fb950 }
}
text { font: 13px sans-serif }
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profile", help="profile of this computer, a file or a name")
    parser.add_argument(
        "--demo", type=Path, default=Path("fdi-demo/results.json"), help="what fdi demo wrote"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the benchmarks' results")
    parser.add_argument("--measure", action="store_true", help="measure the convolution anew")
    arguments = parser.parse_args()

    draw_steps(arguments.profile, arguments.measure)
    if arguments.demo.exists():
        draw_demo(json.loads(arguments.demo.read_text()))
    files = sorted(arguments.results.glob("*.json"), key=lambda path: path.stem)
    reports = {path.stem: json.loads(path.read_text()) for path in files}
    if "execution_time" in reports:
        draw_learning(reports["execution_time"])
    if "memory_study" in reports:
        draw_memory(reports["memory_study"])
    # One file of results a processor: steering.json, steering-xeon.json.
    of_steering = [report for name, report in reports.items() if benchmark_of(name) == "steering"]
    if of_steering:
        fill_in(DOCS / "method.md", "steering", "\n\n".join(map(steering_table, of_steering)))
        draw_steering(of_steering)
    if reports:
        (DOCS / "results.md").write_text(results_page(reports))
        fill_in(README, "results", short_results(reports))


# A convolution's steps


def draw_steps(profile_name: str, again: bool) -> None:
    from fdi_keras.cli.curve import predicted_curve
    from fdi_keras.cli.minima import FREE
    from fdi_keras.profile import load_profile

    profile = load_profile(profile_name)
    curve = predicted_curve(profile.models["conv2d"], DIMS, "out_channels", WIDTHS, FREE)
    kept = DOCS / "pictures" / "steps.json"
    if again or not kept.exists():
        kept.write_text(json.dumps(measured_steps(profile.overhead_ms)) + "\n")
    data = json.loads(kept.read_text())
    minima = [(curve.widths[at], 1000 * curve.times_ms[at]) for at in curve.minima]
    points = list(zip(data["widths"], [1000 * ms for ms in data["times_ms"]], strict=True))
    line = list(zip(curve.widths, [1000 * ms for ms in curve.times_ms], strict=True))
    heading = f"3x3 convolution, 28x28, 64 channels in, on {data['device']}, {data['runtime']}, 1 thread"
    (DOCS / "pictures" / "steps.svg").write_text(plot_svg(points, line, minima, heading))
    fill_in(README, "steps", steps_text(points, minima))


def measured_steps(overhead_ms: float) -> dict[str, Any]:
    """Times of all widths without the cost of an invocation, in random order, so that drift is no slope."""
    from fdi_keras.devices import open_device
    from fdi_keras.profiling import build_probe

    order = random.Random(0).sample(WIDTHS, len(WIDTHS))
    device = open_device("local")
    times: dict[int, list[float]] = {width: [] for width in WIDTHS}
    with device.open() as runner:
        runtime = f"{runner.runtime.name} {runner.runtime.version}"
        for _ in range(2):
            for width in order:
                probe = build_probe("conv2d", {**DIMS, "out_channels": width})
                times[width].append(runner.time(probe, budget_s=0.08).median_ms)
    return {
        "device": device.info.name,
        "runtime": runtime,
        "dims": DIMS,
        "widths": WIDTHS,
        "times_ms": [round(max(min(times[w]) - overhead_ms, 1e-6), 6) for w in WIDTHS],
    }


def steps_text(points: Sequence[tuple[int, float]], minima: Sequence[tuple[int, float]]) -> str:
    """The largest step relative to what is before it, in words."""
    us = dict(points)
    low = max((w for w in us if w >= 32 and w + 1 in us), key=lambda w: us[w + 1] / us[w])
    first = last = low + 1
    while last + 1 in us and abs(us[last + 1] / us[first] - 1) <= ALIKE:
        last += 1
    plateau = ""
    if last > first:
        off = max(abs(us[w] / us[first] - 1) for w in range(first, last + 1))
        plateau = (
            f", and every width up to {last} takes the same within {off:.1%}. Cutting {last} channels to {first} "
            f"removes {1 - first / last:.0%} of the weights and next to no time; one channel more, and "
            f"{1 - us[low] / us[first]:.0%} of the time is gone"
        )
    widths = ", ".join(str(width) for width, _ in minima if width >= 8)
    return (
        f"Measured (picture above): with {low} output channels this convolution takes {us[low]:.0f} us, with "
        f"{first} it takes {us[first]:.0f} us{plateau}. The widths to stand on, as the learned model names "
        f"them: {widths}."
    )


def plot_svg(
    points: Sequence[tuple[int, float]],
    line: Sequence[tuple[int, float]],
    minima: Sequence[tuple[int, float]],
    heading: str,
) -> str:
    """Time in microseconds over channels: measured points, predicted line, minima as triangles."""
    width, height, left, right, top, bottom = 860, 420, 64, 16, 56, 48
    most_x = max(x for x, _ in points)
    step = nice_step(max(y for _, y in (*points, *line)))
    most_y = step * (int(max(y for _, y in (*points, *line)) / step) + 1)

    def at(x: float, y: float) -> tuple[str, str]:
        return (
            f"{left + x / most_x * (width - left - right):.1f}",
            f"{height - bottom - y / most_y * (height - top - bottom):.1f}",
        )

    parts = []
    for x in range(0, most_x + 1, 16):
        px, _ = at(x, 0)
        parts.append(f'<line class="grid" x1="{px}" y1="{top}" x2="{px}" y2="{height - bottom}"/>')
        parts.append(f'<text x="{px}" y="{height - bottom + 18}" text-anchor="middle">{x}</text>')
    for y in range(0, most_y + 1, step):
        _, py = at(0, y)
        parts.append(f'<line class="grid" x1="{left}" y1="{py}" x2="{width - right}" y2="{py}"/>')
        parts.append(f'<text x="{left - 8}" y="{py}" dy="4" text-anchor="end">{y}</text>')
    x0, y0 = at(0, 0)
    parts.append(f'<path class="axis" fill="none" d="M{x0} {top}V{y0}H{width - right}"/>')
    path = "M" + "L".join(" ".join(at(x, y)) for x, y in line)
    parts.append(f'<path class="model" fill="none" stroke-width="2" d="{path}"/>')
    circles = "".join('<circle cx="{}" cy="{}" r="2.4"/>'.format(*at(x, y)) for x, y in points)
    parts.append(f'<g class="points">{circles}</g>')
    for x, y in minima:
        px, py = map(float, at(x, y))
        corners = f"{px:.1f},{py + 6:.1f} {px - 5:.1f},{py + 16:.1f} {px + 5:.1f},{py + 16:.1f}"
        parts.append(f'<polygon class="minimum" points="{corners}"/>')
        if x >= 8:  # below, labels would cover each other
            parts.append(f'<text x="{px:.1f}" y="{py + 30:.1f}" text-anchor="middle">{x}</text>')
    legend = (
        f'<g class="points"><circle cx="{left + 14}" cy="38" r="3"/></g>'
        f'<text x="{left + 24}" y="42">measured</text>'
        f'<line class="model" stroke-width="2" x1="{left + 104}" y1="38" x2="{left + 128}" y2="38"/>'
        f'<text x="{left + 134}" y="42">learned model</text>'
        f'<polygon class="minimum" points="{left + 244},33 {left + 239},43 {left + 249},43"/>'
        f'<text x="{left + 256}" y="42">time minimum of the model</text>'
    )
    middle = (top + height - bottom) / 2
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{escaped(heading)}</title>\n<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{width}" height="{height}" rx="6"/>\n'
        f'<text x="{left}" y="22" style="font-weight: bold">{escaped(heading)}</text>\n{legend}\n'
        + "\n".join(parts)
        + f'\n<text x="{(left + width - right) / 2}" y="{height - 10}" text-anchor="middle">output channels</text>\n'
        f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">time in us</text>\n</svg>\n'
    )


def nice_step(most: float) -> int:
    """Distance of grid lines: 1, 2 or 5 times a power of ten, at most eight lines.

    >>> nice_step(830.0), nice_step(90.0)
    (200, 20)
    """
    power = 1
    while True:
        for factor in (1, 2, 5):
            if most / (factor * power) <= 8:
                return factor * power
        power *= 10


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


# The demo's table


def draw_demo(result: dict[str, Any]) -> None:
    from fdi_keras.cli.demo import stage_table

    shown = stage_table(result["stages"])
    columns = [[str(column.header), *map(str, column.cells)] for column in shown.columns]
    svg = table_svg(f"fdi demo: {str(shown.title)[:1].lower()}{str(shown.title)[1:]}", columns)
    (DOCS / "pictures" / "demo.svg").write_text(svg)
    fill_in(README, "demo", "![The table that the demo ends with](docs/pictures/demo.svg)")


def table_svg(heading: str, columns: Sequence[Sequence[str]]) -> str:
    """A table, its heads first in each column; the first column is text, the others numbers."""
    letter, line, margin = 7.8, 26, 18
    widths = [letter * max(map(len, column)) + 24 for column in columns]
    rows = len(columns[0])
    width, height = round(sum(widths) + 2 * margin), 44 + line * rows + margin
    parts = []
    right = float(margin)
    for number, (column, wide) in enumerate(zip(columns, widths, strict=True)):
        left, right = right, right + wide
        x, anchor = (left, "start") if number == 0 else (right, "end")
        for row, cell in enumerate(column):
            weight = ' style="font-weight: bold"' if row == 0 else ""
            y = 44 + line * row + 18
            parts.append(f'<text x="{x:.1f}" y="{y}" text-anchor="{anchor}"{weight}>{escaped(cell)}</text>')
    for row in range(1, rows):
        kind, y = ("axis" if row == 1 else "grid"), 44 + line * row
        parts.append(f'<line class="{kind}" x1="{margin}" y1="{y}" x2="{width - margin}" y2="{y}"/>')
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{escaped(heading)}</title>\n<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{width}" height="{height}" rx="6"/>\n'
        f'<text x="{margin}" y="30">{escaped(heading)}</text>\n' + "\n".join(parts) + "\n</svg>\n"
    )


# Learning curves

#: Kinds that have a panel, and ends of its axes: measurements, error.
CURVES = ("conv2d", "depthwise_conv2d", "dense")
FEW, MANY, LEAST, MOST = 40, 4000, 0.02, 0.4


def draw_learning(report: dict[str, Any]) -> None:
    curves = {
        (row["row"].split(",")[0], row["row"].split(", ")[1]): row["details"]["curve"]
        for row in report["rows"]
        if row["part"] == "7" and "curve" in row["details"]
    }
    if curves:
        (DOCS / "pictures" / "learning.svg").write_text(learning_svg(curves))


def draw_memory(report: dict[str, Any]) -> None:
    """Pictures of the memory study, its table and its answer."""
    from fdi_keras.study.explain import correlations, fits
    from fdi_keras.study.network import Swept
    from fdi_keras.study.report import PICTURES, answer, picture

    found = next((r["details"]["networks"] for r in report["rows"] if "networks" in r["details"]), None)
    if found is None:
        return
    networks = [Swept(**each) for each in found]
    lines = []
    for name, (x, y) in PICTURES.items():
        if any(getattr(network, axis.attribute) is None for network in networks for axis in (x, y)):
            continue
        (DOCS / "pictures" / f"memory-{name}.svg").write_text(picture(networks, x, y))
        lines.append(f"![{y.label} over {x.label}](pictures/memory-{name}.svg)")
    told = [
        f"Measured on {report['date']}, {report['machine']}.",
        "",
        *lines,
        "",
        *_paragraphs(answer(networks)),
    ]
    errors = [
        [" and ".join(fit.terms), f"{fit.constant_ms:.3g}", f"{fit.mape:.1%}"] for fit in fits(networks)
    ]
    told += table(("time from", "constant, ms", "error on networks left out"), errors)
    related = [[name, f"{c.linear:.3f}", f"{c.rank:.3f}"] for name, c in correlations(networks).items()]
    told += ["", *table(("quantity", "linear correlation with time", "rank correlation"), related)]
    rows = [[network.name, *network.cells] for network in networks]
    head = ("network", "GFLOPs", "MB", "parameters, M", "FLOPs a byte", "predicted ms", "measured ms")
    told += ["", *table(head, rows), *_pairs(report)]
    fill_in(DOCS / "memory.md", "study", "\n".join(told))


def _pairs(report: dict[str, Any]) -> list[str]:
    """Networks of equal FLOPs and different times, operator by operator."""
    from fdi_keras.study.difference import Difference, Part, cells

    found = next((r["details"]["pairs"] for r in report["rows"] if "pairs" in r["details"]), ())
    lines = []
    for pair in found:
        parts = tuple(Part(**part) for part in pair["difference"]["parts"])
        difference = Difference(**{**pair["difference"], "parts": parts})
        head, *rows = cells(difference)
        lines += [
            "",
            f"{pair['slower']} less {pair['faster']}, {difference.total:+.3g} ms predicted, of which "
            f"{difference.by_flops:+.2g} ms for its FLOPs; what each operator adds beyond those:",
            "",
            *table(head, [list(row) for row in rows]),
        ]
    return lines


def _paragraphs(texts: Sequence[str]) -> list[str]:
    return [line for text in texts for line in (text, "")]


def learning_svg(curves: dict[tuple[str, str], list[list[float]]]) -> str:
    """A panel a kind, both axes logarithmic: what was chosen as a line, what came as it came in points."""
    wide, tall, left, top, between = 210, 190, 52, 66, 30
    width, height = left + len(CURVES) * (wide + between), top + tall + 52

    def at(panel: int, count: float, error: float) -> tuple[str, str]:
        x = math.log(count / FEW) / math.log(MANY / FEW)
        y = math.log(min(max(error, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
        return f"{left + panel * (wide + between) + x * wide:.1f}", f"{top + tall * (1 - y):.1f}"

    parts = []
    for panel, kind in enumerate(CURVES):
        begin = left + panel * (wide + between)
        for count in (50, 150, 500, 1500):
            x, _ = at(panel, count, MOST)
            parts.append(f'<line class="grid" x1="{x}" y1="{top}" x2="{x}" y2="{top + tall}"/>')
            parts.append(f'<text x="{x}" y="{top + tall + 18}" text-anchor="middle">{count}</text>')
        for error in (0.02, 0.05, 0.1, 0.2, 0.4):
            _, y = at(panel, FEW, error)
            parts.append(f'<line class="grid" x1="{begin}" y1="{y}" x2="{begin + wide}" y2="{y}"/>')
            if not panel:
                parts.append(
                    f'<text x="{begin - 8}" y="{y}" dy="4" text-anchor="end">{100 * error:.0f} %</text>'
                )
        parts.append(f'<text x="{begin}" y="{top - 8}" style="font-weight: bold">{kind}</text>')
        for way in ("active", "plain"):
            points = [at(panel, count, error) for count, _, error in curves.get((kind, way), ())]
            if way == "active" and points:
                path = "M" + "L".join(" ".join(point) for point in points)
                parts.append(f'<path class="model" fill="none" stroke-width="2" d="{path}"/>')
            circles = "".join(f'<circle cx="{x}" cy="{y}" r="3"/>' for x, y in points)
            parts.append(f'<g class="points">{circles}</g>' if way == "plain" else "")
    heading = "Held-out error after so many measurements of a kind"
    legend = (
        f'<line class="model" stroke-width="2" x1="{left}" y1="40" x2="{left + 24}" y2="40"/>'
        f'<text x="{left + 30}" y="44">chosen where the model is least sure</text>'
        f'<g class="points"><circle cx="{left + 290}" cy="40" r="3"/></g>'
        f'<text x="{left + 300}" y="44">as they come</text>'
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">\n'
        f"<title>{heading}</title>\n<style>{STYLE}</style>\n"
        f'<rect class="paper" width="{width}" height="{height}" rx="6"/>\n'
        f'<text x="{left}" y="22" style="font-weight: bold">{heading}</text>\n{legend}\n'
        + "\n".join(filter(None, parts))
        + f'\n<text x="{width / 2}" y="{height - 12}" text-anchor="middle">measurements of the kind</text>\n</svg>\n'
    )


# The benchmarks


def results_page(reports: dict[str, Any]) -> str:
    text = [
        "# Measured results",
        "",
        "Written by `docs/make_pictures.py` from what the benchmarks wrote; do not edit. Rows that failed stay "
        "in the table.",
    ]
    for name, report in reports.items():
        processors = processors_of(report)
        heading = [
            "",
            f"## `python -m benchmarks.{benchmark_of(name)}`{', ' if processors else ''}{processors}",
        ]
        text += [*heading, "", f"{report['date']}, {report['machine']}.", ""]
        text += table(
            ("part", "what", "required", "measured", ""),
            [[row[k] for k in ("part", "row", "required", "measured", "verdict")] for row in report["rows"]],
        )
        text += networks_table(report) + opponents_table(report)
    return "\n".join(text) + "\n"


def benchmark_of(name: str) -> str:
    """The benchmark that wrote a file of results; what a dash parts from it says on which computer."""
    return name.partition("-")[0]


def processors_of(report: dict[str, Any]) -> str:
    """What runs were timed on, where it is known."""
    return ", ".join(
        dict.fromkeys(row["details"]["processor"] for row in report["rows"] if "processor" in row["details"])
    )


def networks_table(report: dict[str, Any]) -> list[str]:
    """The networks of the steering benchmark."""
    details = next((r["details"] for r in report["rows"] if "uniform" in r["details"]), None)
    if details is None:
        return []
    epochs = details.get("epochs", {})
    rows = [
        [
            name,
            f"{d['parameters']:,}",
            f"{d['predicted_ms']:.3f}",
            f"{d['measured_ms']:.3f}",
            f"{d['iqr_ms']:.3f}",
            f"{d['accuracy']:.2%}",
        ]
        for name, d in details.items()
        if isinstance(d, dict) and "measured_ms" in d
    ]
    trained = " + ".join(f"{n} {what}" for what, n in epochs.items())
    return [
        "",
        f"### Steered, and uniformly thinned to the same time (epochs: {trained}; uniform: {sum(epochs.values())})",
        "",
        *table(
            ("network", "parameters", "predicted ms", "measured ms", "quartile distance", "accuracy"), rows
        ),
    ]


def opponents_table(report: dict[str, Any]) -> list[str]:
    """Held-out errors beside those of other regressors."""
    found = [r for r in report["rows"] if {"others", "paper_form_mape"} <= set(r["details"])]
    if not found:
        return []
    others = list(found[0]["details"]["others"])
    rows = []
    for row in found:
        details = row["details"]
        kind = row["row"].split()[2]
        rows.append(
            [
                kind,
                str(details["measurements"]),
                row["measured"].split()[0],
                f"{details['paper_form_mape']:.1%}",
                *(f"{details['others'][name]:.1%}" for name in others),
            ]
        )
    return [
        "",
        "### Held-out error (MAPE) on the same folds",
        "",
        *table(("kind", "measurements", "this model", "form paper", *others), rows),
    ]


def steering_table(report: dict[str, Any]) -> str:
    """What every method keeps at which measured time, and the least time at which it loses half a point at most."""
    head, *rows = steering().table_cells(report)
    told = (
        f"Measured on {report['date']}, {processors_of(report)}, {steering().seeds_in_words(report)}. Bold: the least "
        "share of the uncompressed network's measured time at which at most half a point of accuracy is lost "
        "(between two points along the logarithm of the time; above: more is lost at every share that was tried). Then "
        "the points of accuracy gained or lost at each share, of several seeds the mean (and the range)."
    )
    return "\n".join([told, "", *table(head, rows)])


def draw_steering(reports: Sequence[dict[str, Any]]) -> None:
    """A picture of the processor with most runs."""
    report = max(reports, key=lambda report: len(steering().runs_of(report)))
    (DOCS / "pictures" / "steering.svg").write_text(steering().picture(report))
    picture = "![Accuracy over the measured time that is left, five tasks](docs/pictures/steering.svg)"
    fill_in(README, "steering", f"{picture}\n\n{steering_text(report)}")


def steering_text(report: dict[str, Any]) -> str:
    """What is saved against whom, with what is missing of it."""
    measured = {row["row"]: row["measured"] for row in report["rows"] if row["part"] == "2"}
    told = [
        f"{whom}: {measured[row]}"
        for row, whom in (
            ("further saving against DeepIoT by size, median task", "against DeepIoT steered by size"),
            ("saving against the best of the others, median task", "against the best of the other ways"),
        )
        if row in measured
    ]
    return (
        f"Measured on {report['date']}, {processors_of(report)}, {steering().seeds_in_words(report)}. Time that "
        f"`fdi.compress` saves where at most half a point of accuracy is lost, on the median task (below zero: it "
        f"takes more), {'; '.join(told)}. "
        "What is compared, and every number: [docs/method.md](docs/method.md#9-opponents)."
    )


def steering() -> Any:
    """The benchmark's own words; benchmarks are no part of what is installed."""
    sys.path.insert(0, str(DOCS.parent))
    from benchmarks.steering import summary

    return summary


def short_results(reports: dict[str, Any]) -> str:
    """The rows of the main job for the README."""
    report = reports.get("main_job") or next(iter(reports.values()))
    rows = [[r["row"], r["required"], r["measured"], r["verdict"]] for r in report["rows"]]
    return "\n".join(
        [
            f"By `python -m benchmarks.main_job` on {report['date']}; details in [docs/results.md](docs/results.md).",
            "",
            *table(("what", "required", "measured", ""), rows),
        ]
    )


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a markdown table; a bar in a cell stays a bar."""
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *cells)]


def fill_in(path: Path, name: str, content: str) -> None:
    """Replace what stands between the two marks of a part."""
    begin, end = f"<!-- begin {name} -->", f"<!-- end {name} -->"
    before, found, rest = path.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise SystemExit(f"{path} has no marks {begin} and {end}")
    path.write_text(f"{before}{begin}\n{content}\n{end}{after}")


if __name__ == "__main__":
    main()
