"""Part 5: is the width that the model recommends really among the best of its neighbourhood?

Layers are swept one channel at a time, all widths in random order, twice: which width of a neighbourhood
is best is read off the first sweep, what it and the recommended one cost off the second. In one sweep
alone the best of thirty would look better than it is. Widths are judged by their time for each channel,
as in growing: of a wider layer that costs no more than its share, more is left.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping

import numpy as np

from benchmarks.execution_time.settings import Settings
from benchmarks.report import Row
from fdi_keras.devices import RuntimeChoice, open_runner
from fdi_keras.execution_time import latency_curve
from fdi_keras.profiling import build_probe
from fdi_keras.profiling.shapes import BASES

#: How many layers of each kind, and the channels that are swept.
LAYERS = (("conv2d", "out_channels", 12), ("conv2d", "in_channels", 6), ("depthwise_conv2d", "channels", 6),
          ("dense", "out_channels", 3), ("dense", "in_channels", 3))  # fmt: skip

#: Widths of a sweep, how far a neighbourhood reaches to either side, and how many are looked at a layer.
WIDTHS, REACH, NEIGHBOURHOODS = np.arange(1, 161), 16, 40

#: Most time of a layer at its widest, in ms: two sweeps of all layers in ten minutes.
SLOWEST_MS, LEAST_MS = 1.5, 0.01

#: Seconds of timing a width and sweep.
BUDGET_S = 0.05

LIMIT = 0.02


def run(settings: Settings) -> list[Row]:
    layers = drawn(settings)
    folder = settings.work / "sweeps"
    folder.mkdir(parents=True, exist_ok=True)
    choice = RuntimeChoice(threads=settings.whole.runtime.threads, delegate=settings.whole.runtime.delegate)
    rows: list[Row] = []
    costs: dict[str, list[float]] = {"ms a channel": [], "ms": []}
    for number, (kind, vary, dims) in enumerate(layers):
        path = folder / f"{settings.seed}-{number}.json"
        if not path.exists():
            path.write_text(json.dumps(sweep(kind, vary, dims, choice, settings.seed + number)))
        first, second = (np.array(times) for times in json.loads(path.read_text()))
        predicted = settings.whole.overhead_ms + latency_curve(
            settings.whole.models[kind], dims, vary, WIDTHS
        )
        listed = []
        for name, weight in (("ms a channel", WIDTHS), ("ms", np.ones(len(WIDTHS)))):
            cost = _cost(predicted / weight, first / weight, second / weight, settings.seed + number)
            costs[name].append(cost)
            listed.append(f"{cost:+.2%} {name}")
        text = ", ".join(f"{name} {value}" for name, value in dims.items())
        rows.append(Row("5", f"{kind} by {vary}: {text}", "reported", "; ".join(listed), None))
    for name, each in costs.items():
        rows.append(
            Row(
                "5",
                f"recommended against best measured width, {len(each)} layers, {name}",
                f"<= {LIMIT:.0%} more on average",
                f"{np.mean(each):+.2%} (worst layer {max(each):+.1%})",
                bool(np.mean(each) <= LIMIT),
            )
        )
    return rows


def drawn(settings: Settings) -> list[tuple[str, str, dict[str, int]]]:
    """Layers as networks have them; how long they may take is asked of the profile."""
    rng = random.Random(f"sweeps {settings.seed}")
    found = []
    for kind, vary, count in LAYERS:
        model, taken = settings.whole.models[kind], 0
        while taken < count:
            dims = {name: value for name, value in BASES[kind](rng).items() if name != vary}
            longest = float(model.predict_ms({**dims, vary: int(WIDTHS[-1])})[0])
            usual = not any(dims.get(name) for name in ("kernel_width", "stride_width"))
            if LEAST_MS <= longest <= SLOWEST_MS and usual and dims.get("dilation", 1) == 1:
                found.append((kind, vary, dims))
                taken += 1
    return found


def sweep(
    kind: str, vary: str, dims: Mapping[str, int], choice: RuntimeChoice, seed: int
) -> list[list[float]]:
    """Times in ms of all widths, twice."""
    times = np.zeros((2, len(WIDTHS)))
    order = [(turn, at) for turn in range(2) for at in range(len(WIDTHS))]
    random.Random(seed).shuffle(order)
    with open_runner("local", choice) as runner:
        for turn, at in order:
            probe = build_probe(kind, {**dims, vary: int(WIDTHS[at])})
            times[turn, at] = runner.time(probe, budget_s=BUDGET_S).median_ms
    return times.tolist()


def _cost(predicted: np.ndarray, first: np.ndarray, second: np.ndarray, seed: int) -> float:
    """How much more the recommended width costs than the best, as a fraction, on average."""
    rng = np.random.default_rng(seed)
    more = []
    for centre in rng.integers(0, len(WIDTHS), NEIGHBOURHOODS):
        near = np.arange(max(0, centre - REACH), min(len(WIDTHS), centre + REACH + 1))
        recommended, best = (near[np.argmin(each[near])] for each in (predicted, first))
        more.append(second[recommended] / second[best] - 1)
    return float(np.mean(more))
