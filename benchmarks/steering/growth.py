"""Part 3: what growth does to a steered network before it is fine-tuned.

A network that the recipe has steered is pruned, and fine-tuned as it is, grown where that is free, and at the best
widths of no more predicted time. Each is fine-tuned alike.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from benchmarks.report import Row
from benchmarks.steering.records import growth_path
from benchmarks.steering.runs import accuracy, case_of
from benchmarks.steering.settings import Settings

#: Of the uncompressed network's time, where no shares are chosen.
SHARE = 0.25

#: The grown network's measured time, in units of the other's.
SLOWER = 1.01

GROWN = {"grown where it is free": {}, "at the best widths": {"exchange": True}}


def run(settings: Settings) -> list[Row]:
    rows = []
    for name in settings.tasks:
        found = [
            _kept(settings, name, seed)
            for seed in settings.seeds
            if not settings.known or growth_path(settings.work, name, seed).exists()
        ]
        for how in GROWN if found else ():
            gained = float(np.mean([each[how]["accuracy"] - each["accuracy"] for each in found]))
            ratios = [each[how]["ratio"] for each in found]
            changed = sum(each[how]["changed"] for each in found)
            passed = gained >= 0 and max(ratios) <= SLOWER
            rows.append(
                Row("3", f"{name}, {how}", f"not less accurate than ungrown (mean over seeds), <= {SLOWER} x the time",
                    f"{100 * gained:+.2f} points, {max(ratios):.3f} x the time at most, {changed} of {len(found)} "
                    "networks changed", passed if settings.judged else None, {"seeds": found})
            )  # fmt: skip
    return rows


def _kept(settings: Settings, name: str, seed: int) -> dict[str, Any]:
    path = growth_path(settings.work, name, seed)
    if not path.exists():
        path.write_text(json.dumps(_measured(settings, name, seed)))
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def _measured(settings: Settings, name: str, seed: int) -> dict[str, Any]:
    import keras

    import fdi_keras as fdi
    from benchmarks.steering.methods import steered, tuned
    from fdi_keras.compression.recipe import STEERING

    case, test = case_of(settings, name, seed, settings.shares[0] if settings.shares else SHARE)
    keras.utils.set_random_seed(1000 * seed + 1)
    if not (case.folder / "gated.keras").exists():
        steered(case)
    gated = keras.models.load_model(case.folder / "gated.keras")
    pruned = fdi.prune(gated)
    networks = {
        how: fdi.grow(pruned, case.profile, origin=gated, device="local", report=None, **options)
        for how, options in GROWN.items()
    }
    epochs = case.epochs(STEERING)[1]

    def learned(network: Any) -> float:
        keras.utils.set_random_seed(1000 * seed + 2)
        return accuracy(tuned(network, case, epochs), test)

    times = fdi.measure_interleaved([pruned, *networks.values()], seconds=2.0)
    found: dict[str, Any] = {"task": name, "seed": seed, "processor": settings.processor}
    found["accuracy"] = learned(pruned)
    for (how, network), took in zip(networks.items(), times[1:], strict=True):
        changed = [w.shape for w in network.weights] != [w.shape for w in pruned.weights]
        found[how] = {
            "accuracy": learned(network) if changed else found["accuracy"],
            "ratio": took.median_ms / times[0].median_ms,
            "changed": changed,
        }
    print(f"  {name}, seed {seed}: {found}", flush=True)
    return found
