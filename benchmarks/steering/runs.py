"""Part 1: every method on every task, at the targets between which it begins to lose accuracy; results are kept as they
come."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.report import Row
from benchmarks.steering.records import run_path
from benchmarks.steering.settings import FOLLOWED, OURS, Settings
from benchmarks.steering.shares import first_share, least_time, next_share
from benchmarks.steering.tasks import QUICK_TASKS, TASKS, Arrays, Task

if TYPE_CHECKING:
    from benchmarks.steering.methods import Case


#: What a run is one of.
KEYS = ("task", "method", "seed")

#: Processes in which networks are timed together, and seconds for each in each.
ROUNDS, TIMING_S = 3, 1.5


def run(settings: Settings) -> list[Row]:
    if settings.known:
        if settings.together:
            time_together(settings)
        found = known(settings)
        if not found:
            sys.exit(f"nothing of this has been run in {settings.work} yet; without --known it is.")
        return [_row(each) for each in found]
    rows = []
    for name in settings.tasks:
        for method in settings.methods:
            runs: list[dict[str, Any]] = []
            ladder = _ladder(settings, name, method)
            ours = None if method in FOLLOWED else least_time(_known_of(settings, name, OURS))
            first = first_share(_known_of(settings, name, method), ladder, ours)
            while (share := next_share(runs, ladder, first, ours)) is not None:
                for seed in settings.seeds:
                    path = run_path(settings.work, name, seed, share, method)
                    if not path.exists():
                        _one(settings, name, seed, share, method, path)
                    runs.append(json.loads(path.read_text()))
            rows += [_row(found) for found in runs]
    if not settings.together:
        return rows
    time_together(settings)
    return [_row(found) for found in known(settings)]


def known(settings: Settings) -> list[dict[str, Any]]:
    """All runs of the chosen tasks, methods and seeds so far, task by task, method by method, the widest first."""
    runs = [json.loads(path.read_text()) for path in settings.work.glob("*-*-*-*.json")]
    chosen = (settings.tasks, settings.methods, settings.seeds)
    return sorted(
        (each for each in runs if all(each[key] in of for key, of in zip(KEYS, chosen, strict=True))),
        key=lambda each: (
            *(of.index(each[key]) for key, of in zip(KEYS, chosen, strict=True)),
            -each["share"],
        ),
    )


def _known_of(settings: Settings, name: str, method: str) -> list[dict[str, Any]]:
    return known(replace(settings, tasks=(name,), methods=(method,)))


def _ladder(settings: Settings, name: str, method: str) -> list[float]:
    """The shares that may be tried; what trains our networks from scratch needs to have them."""
    ladder = settings.shares or (TASKS | QUICK_TASKS)[name].shares
    return [
        share
        for share in ladder
        if method != "found_from_scratch"
        or all(
            (_folder(settings, name, seed, share) / "fine-tuned.keras").exists() for seed in settings.seeds
        )
    ]


def _folder(settings: Settings, name: str, seed: int, share: float) -> Path:
    """Of what :func:`~benchmarks.steering.methods.steered` does."""
    return settings.work / f"{name}-{seed}-{share:g}-stages"


def _row(found: dict[str, Any]) -> Row:
    what = f"{found['task']}, seed {found['seed']}, {found['share']:.1%} of the time, {found['method']}"
    if "error" in found:
        return Row("1", what, "reported", found["error"], None, found)
    measured = f"{found['accuracy']:.2%} at {found['measured_ms'] / found['start_ms']:.3f} of the time"
    return Row("1", what, "reported", f"{measured} (uncompressed {found['start_accuracy']:.2%})", None, found)


def _one(settings: Settings, name: str, seed: int, share: float, method: str, path: Path) -> None:
    import keras

    import fdi_keras as fdi
    from benchmarks.steering.methods import METHODS, forms

    began = time.monotonic()
    case, test = case_of(settings, name, seed, share)
    network = case.network
    keras.utils.set_random_seed(1000 * seed + 1)
    found: dict[str, Any] = {"task": name, "seed": seed, "share": share, "method": method}
    found["processor"] = settings.processor
    try:
        small = METHODS[method](case)
    except (fdi.errors.FdiError, LookupError) as error:
        found["error"] = str(error)
    else:
        found_forms = forms(small)
        start_ms, *times = timed_in_turns([network, *found_forms])
        measured_ms, small = min(zip(times, found_forms, strict=True), key=lambda pair: pair[0])
        small.save(path.with_suffix(".keras"))
        path.with_suffix(".tflite").write_bytes(fdi.export_litert(small))
        found |= {
            "start_ms": start_ms,
            "measured_ms": measured_ms,
            "start_accuracy": accuracy(network, test),
            "accuracy": accuracy(small, test),
            "parameters": small.count_params(),
            "seconds": time.monotonic() - began,
        }
    path.write_text(json.dumps(found))
    print(f"  {_row(found).row}: {_row(found).measured}; {time.monotonic() - began:.0f} s", flush=True)


def timed_in_turns(networks: Sequence[Any]) -> list[float]:
    """Medians in milliseconds of networks, timed in turns.

    Of three processes the middle counts: they differ by up to 1.5 %, although each times several copies.
    """
    import fdi_keras as fdi

    rounds = [fdi.measure_interleaved(networks, seconds=TIMING_S) for _ in range(ROUNDS)]
    times: list[float] = np.median([[took.median_ms for took in each] for each in rounds], axis=0).tolist()
    return times


def time_together(settings: Settings) -> None:
    """Time the networks of every training anew, in turns in one run, beside the uncompressed one.

    Networks that are not there any more keep their times.
    """
    for name in settings.tasks:
        for seed in settings.seeds:
            start = settings.work / f"{name}-{seed}.keras"
            paths = sorted(settings.work.glob(f"{name}-{seed}-*-*.tflite"))
            if not paths or not start.exists():
                continue
            start_ms, *times = timed_in_turns([start, *paths])
            for path, measured_ms in zip(paths, times, strict=True):
                record = path.with_suffix(".json")
                found = json.loads(record.read_text())
                found |= {"start_ms": start_ms, "measured_ms": measured_ms, "together": True}
                record.write_text(json.dumps(found))
            print(f"  {name}, seed {seed}: {len(paths)} networks timed in turns", flush=True)


def case_of(settings: Settings, name: str, seed: int, share: float) -> tuple[Case, Arrays]:
    """What methods are given, and what to test on."""
    import fdi_keras as fdi
    from benchmarks.steering.methods import Case

    task = (TASKS | QUICK_TASKS)[name]
    learn, test = task.load(settings.data)
    network = _uncompressed(settings, name, task, seed, learn)
    start_ms = fdi.measure_latency(network, seconds=settings.timing_s).median_ms
    profile = fdi.load_profile(settings.profile)
    case = Case(
        task, network, learn, profile, share * start_ms, seed, _folder(settings, name, seed, share)
    )  # fmt: skip
    return case, test


def _uncompressed(settings: Settings, name: str, task: Task, seed: int, learn: Any) -> Any:
    import keras

    from fdi_keras.compression.tuning import rising_and_falling

    path = settings.work / f"{name}-{seed}.keras"
    if not path.exists():
        keras.utils.set_random_seed(seed)
        network = task.build()
        rate = float(keras.ops.convert_to_numpy(network.optimizer.learning_rate))
        schedule = keras.callbacks.LearningRateScheduler(
            lambda epoch, _: rate * rising_and_falling((epoch + 0.5) / task.train)
        )
        network.fit(*learn, task.batch, epochs=task.train, verbose=0, callbacks=[schedule])
        network.optimizer.learning_rate = rate
        part = path.with_name(f"part-{path.name}")
        network.save(part)
        part.replace(path)
    return keras.models.load_model(path)


def accuracy(network: Any, test: Any) -> float:
    """Share of the examples whose class is predicted."""
    x, y = test
    return float(np.mean(np.argmax(network.predict(x, batch_size=500, verbose=0), axis=-1) == y))
