"""Part 5: how long and how much memory it takes to build ResNet50 again at other widths."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.any_network.settings import Settings
from benchmarks.report import Row

SECONDS, TIMES_MODEL, REPEATS = 5.0, 3.0, 5


def run(settings: Settings) -> list[Row]:
    command = [sys.executable, "-m", "benchmarks.any_network.rebuilding", str(settings.seed)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    seconds = sorted(found["seconds"])
    row = Row(
        "5",
        "rebuilding ResNet50",
        f"<= {SECONDS:g} s",
        f"{seconds[len(seconds) // 2]:.2f} s (largest of {len(seconds)}: {seconds[-1]:.2f} s)",
        seconds[-1] <= SECONDS,
        found,
    )
    if found["peak_bytes"] is None:
        return [row, Row("5", "memory of it", f"<= {TIMES_MODEL:g} x the model", "not known here", None)]
    ratio = found["peak_bytes"] / found["model_bytes"]
    return [
        row,
        Row("5", "memory of it", f"<= {TIMES_MODEL:g} x the model", f"{ratio:.2f} x", ratio <= TIMES_MODEL),
    ]


def measure(seed: int) -> dict[str, Any]:
    import keras
    import numpy as np

    import fdi_keras as fdi
    from fdi_keras.networks import find_channel_spaces, read_graph

    model = keras.applications.ResNet50(weights=None)
    rng = np.random.default_rng(seed)
    spaces = find_channel_spaces(read_graph(model)).prunable
    fdi.apply_widths(model, {})  # what is loaded at first use is no part of it
    seconds, peaks = [], []
    for _ in range(REPEATS):
        kept = {s.name: np.flatnonzero(rng.random(s.width) < 0.9).tolist() or [0] for s in spaces}
        before = _memory(reset=True)
        began = time.perf_counter()
        small = fdi.apply_widths(model, kept)
        seconds.append(time.perf_counter() - began)
        after = _memory()
        peaks.append(None if before is None or after is None else after - before)
        del small
    known = [peak for peak in peaks if peak is not None]
    return {
        "seconds": seconds,
        "peak_bytes": max(known) if known else None,
        "model_bytes": 4 * model.count_params(),
    }


def _memory(reset: bool = False) -> int | None:
    """The largest memory of this process since the last reset, in bytes; None where the system does not tell."""
    try:
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        return None


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
