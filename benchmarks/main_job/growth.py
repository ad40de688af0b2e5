"""Part 4: growth and exchange, measured."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np

from benchmarks.main_job.settings import Settings
from benchmarks.report import Row

MOST = 1.01


def run(settings: Settings) -> list[Row]:
    return [*_grown(settings), _synthetic(), *_exchanged(settings)]


def _grown(settings: Settings) -> list[Row]:
    """Random prunings of a trained network, grown; pruned and grown in one interleaved run."""
    import fdi_keras as fdi
    from fdi_keras.networks import find_channel_spaces, measure_interleaved, read_graph
    from fdi_keras.networks.history import history_of

    profile = fdi.load_profile(str(settings.profile))
    rng = np.random.default_rng(settings.seed)
    ratios, narrower, changed = [], 0, 0
    for trial in range(5):
        network = _trained(settings.seed + trial, (37, 53, 70))
        gated = fdi.prunable(network)
        for gate in gated.gates.values():
            open_count = rng.integers(max(gate.channels // 3, 1), gate.channels + 1)
            gate.set_logits(np.where(rng.permutation(gate.channels) < open_count, 6.0, -6.0))
        pruned = fdi.prune(gated)
        grown = fdi.grow(pruned, profile, origin=gated, device="local", report=None)
        before = {s.name: s.width for s in find_channel_spaces(read_graph(pruned))}
        after = {s.name: s.width for s in find_channel_spaces(read_graph(grown))}
        narrower += sum(after[n] < w for n, w in before.items())
        changed += sum(after[n] > w for n, w in before.items())
        assert set(history_of(grown).kept) >= set(gated.gates)
        first, second = measure_interleaved([pruned, grown], seconds=2)
        ratios.append(second.median_ms / first.median_ms)
        print(f"    trial {trial}: grown / pruned {ratios[-1]:.4f}", flush=True)
    return [
        Row("4", "no space narrower after growth", "0", f"{narrower} narrower, {changed} wider in 5 networks",
            narrower == 0),
        Row("4", "grown / pruned, measured", f"<= {MOST}", f"median {np.median(ratios):.4f}, largest {max(ratios):.4f}",
            max(ratios) <= MOST, {"ratios": ratios}),
    ]  # fmt: skip


def _synthetic() -> Row:
    """The tests in which the minima are known beforehand."""
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "--no-cov",
        "tests/compression/test_growth_finds_known_minima.py",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    last = done.stdout.strip().splitlines()[-1] if done.stdout.strip() else done.stderr[-200:]
    return Row("4", "synthetic devices: every known minimum found", "tests pass", last, done.returncode == 0)


def _exchanged(settings: Settings) -> list[Row]:
    """Thresholding to 60 % of the predicted time, then the exchange at no more time."""
    import fdi_keras as fdi
    from fdi_keras.compression.importance import channel_importance
    from fdi_keras.networks import measure_interleaved, read_graph
    from fdi_keras.networks.history import history_of

    profile = fdi.load_profile(str(settings.profile))
    gains, ratios, details = [], [], []
    for trial in range(3):
        network = _trained(settings.seed + trial, (37, 53, 70))
        gated = fdi.prunable(network)
        importance = channel_importance(read_graph(network), gated.channel_spaces)
        pruned = _thresholded(
            gated, importance, 0.6 * fdi.predict_latency(network, profile).total_ms, profile
        )
        exchanged = fdi.grow(pruned, profile, origin=gated, exchange=True, device="local", report=None)
        before, after = (_kept_share(history_of(m).kept, importance) for m in (pruned, exchanged))
        first, second = measure_interleaved([pruned, exchanged], seconds=2)
        gains.append(after - before)
        ratios.append(second.median_ms / first.median_ms)
        details.append({"kept_by_threshold": before, "kept_by_exchange": after, "time_ratio": ratios[-1]})
        print(f"    trial {trial}: {details[-1]}", flush=True)
    return [
        Row("4", "importance kept, exchange against thresholding", "more, at no more measured time",
            f"{100 * np.median(gains):+.1f} points of importance (least {100 * min(gains):+.1f}) at "
            f"{np.median(ratios):.3f} x the time (largest {max(ratios):.3f})",
            min(gains) > 0 and max(ratios) <= MOST, {"trials": details}),
    ]  # fmt: skip


def _thresholded(gated: Any, importance: dict[str, np.ndarray], target_ms: float, profile: Any) -> Any:
    """Close all channels below one threshold on their share of their space, as common tools do."""
    import fdi_keras as fdi

    relative = {name: values * len(values) for name, values in importance.items()}
    low, high = 0.0, max(v.max() for v in relative.values())
    for _ in range(30):
        threshold = (low + high) / 2
        for name, gate in gated.gates.items():
            keep = relative[name] >= min(threshold, relative[name].max())
            gate.set_logits(np.where(keep, 6.0, -6.0))
        pruned = fdi.prune(gated)
        took = fdi.predict_latency(pruned, profile).total_ms
        low, high = (threshold, high) if took > target_ms else (low, threshold)
    return pruned


def _kept_share(kept: dict[str, np.ndarray], importance: dict[str, np.ndarray]) -> float:
    """Mean over spaces of the share of importance that is kept."""
    return float(np.mean([values[kept[name]].sum() for name, values in importance.items()]))


def _trained(seed: int, widths: tuple[int, int, int]) -> Any:
    """A small network with widths off this computer's steps, trained on digits."""
    import keras

    from fdi_keras.cli.demo_network import digits, residual_network

    keras.utils.set_random_seed(seed)
    x, y, _, _ = digits(seed)
    network = residual_network((32, 32, 1), 10, widths)
    network.compile(keras.optimizers.Adam(2e-3), "sparse_categorical_crossentropy")
    network.fit(x, y, 64, epochs=4, verbose=0)
    return network
