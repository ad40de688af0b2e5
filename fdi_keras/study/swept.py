"""Networks at many widths: what each computes and moves, and how long it takes.

After Jo, Hong and Shin, who vary the width multiplier of VGG-16, ResNet-50 and MobileNet on phones.
"""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import keras

from fdi_keras.devices import RuntimeChoice, open_runner
from fdi_keras.devices.caches import CacheSizes, check_sizes
from fdi_keras.errors import ModelFileError, StorageError, UsageError
from fdi_keras.networks.export import export_litert, load_model
from fdi_keras.profile import DeviceProfile, load_profile
from fdi_keras.study.families import FAMILIES, family
from fdi_keras.study.network import Swept, swept_network
from fdi_keras.study.scaling import scaled
from fdi_keras.study.timing import Kept, count_caches, time_in_turns

#: Multipliers are as precise as this many digits after the point.
DIGITS = 6

#: Where a sweep keeps what it has.
JOURNAL = "sweep.jsonl"


def parse_widths(text: str) -> list[float]:
    """Multipliers written as ``first:last:step``, or one by one with commas between.

    Raises:
        UsageError: it is neither, or a multiplier is not positive.

    >>> parse_widths("0.25:1:0.25"), parse_widths("0.5, 2")
    ([0.25, 0.5, 0.75, 1.0], [0.5, 2.0])
    """
    try:
        if ":" in text:
            first, last, step = (float(part) for part in text.split(":"))
            if step <= 0:
                raise ValueError
            found = [first + step * i for i in range(int((last - first) / step + 1e-6) + 1)]
        else:
            found = [float(part) for part in text.split(",")]
    except (ValueError, OverflowError):
        raise UsageError(
            f"widths {text!r}: expected first:last:step, as in 0.25:3:0.25, or numbers with commas between."
        ) from None
    if not found or not all(0 < width < math.inf for width in found):
        raise UsageError(f"widths {text!r}: expected multipliers above 0, at least one.")
    return [round(width, DIGITS) for width in found]


def sweep(
    models: Sequence[Any],
    widths: Sequence[float] | None = None,
    *,
    profile: DeviceProfile | str | None = None,
    device: str | None = "local",
    threads: int = 1,
    seconds: float = 3.0,
    counters: bool = False,
    cache_sizes: CacheSizes | None = None,
    folder: str | os.PathLike[str] | None = None,
    report: Callable[[str], None] = print,
) -> list[Swept]:
    """Build networks at several widths, count what they do, and time them in turns.

    Args:
        models: names of built-in families (``"vgg16"``, ``"resnet50"``, ``"mobilenet"``), paths of
            ``.keras`` files, or Keras models; the latter are scaled by their channel spaces.
        widths: multipliers of all widths; left out: for a built-in family those of the study, for
            others 0.25 to 1 by 0.25.
        profile: predicts each network too.
        device: times them, as ``fdi devices`` lists it; ``None`` for none.
        threads: of the runtime.
        seconds: of timing for each network, in three rounds.
        counters: count cache accesses and misses: with simpleperf on phones; on this computer with perf,
            or, where it has no counters, simulate them with cachegrind, which takes long.
        cache_sizes: of the simulated caches; left out: an L1 of 32 KB and an L2 of 1 MB.
        folder: keeps the networks as ``.tflite`` and what was measured; a sweep that was stopped goes on there.
        report: is told what happens, a line at a time.

    Returns:
        A row for each network, families in order, narrow ones first.

    Raises:
        UsageError: no models, an unknown family, a width that is not positive, counters without a device, or
            caches that cannot be simulated.
        ModelFileError: a file that cannot be read.
        ExportError, MeasurementError, DeviceNotFoundError.

    Example::

        networks = fdi.sweep(["vgg16", "mobilenet"], [0.25, 0.5, 1.0], folder="study")
    """
    if not models:
        raise UsageError(
            "sweep() needs at least one model or family; families are " + ", ".join(FAMILIES) + "."
        )
    if counters and device is None:
        raise UsageError("cache accesses are counted on a device: name one, or do without counters.")
    cache_sizes = cache_sizes or CacheSizes()
    check_sizes(cache_sizes)
    if isinstance(profile, str):
        profile = load_profile(profile)
    plan = [
        (name, multiplier, build)
        for name, build, usual in map(_source, models)
        for multiplier in sorted(usual if widths is None else widths)
    ]
    with _folder(folder) as place, closing(Kept(place / JOURNAL)) as kept:
        paths = {}
        for name, multiplier, build in plan:
            path = place / f"{name}-{multiplier:g}.tflite"
            if not path.exists():
                part = path.with_suffix(".part")
                part.write_bytes(export_litert(build(multiplier)))
                part.replace(path)
                report(f"{name} {multiplier:g}: built, {path.stat().st_size / 1e6:.1f} MB")
            paths[name, multiplier] = path
        if device is not None:
            with open_runner(device, RuntimeChoice(threads=threads)) as runner:
                time_in_turns(runner, device, paths, seconds, kept, report)
                if counters:
                    count_caches(runner, device, paths, cache_sizes, kept, report)
        return [
            swept_network(*key, path, profile, kept.times.get(key, ()), kept.caches.get(key))
            for key, path in paths.items()
        ]


def _source(model: Any) -> tuple[str, Callable[[float], keras.Model], list[float]]:
    """The name of a family, how to build it at a width, and its usual widths."""
    if isinstance(model, str) and model in FAMILIES:
        known = family(model)
        first, last, step = known.widths
        return model, known.build, parse_widths(f"{first}:{last}:{step}")
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        if path.suffix not in (".keras", ".h5") or not path.exists():
            raise ModelFileError(
                f"{path}: expected a .keras file that is there, or a family: {', '.join(FAMILIES)}."
            )
        return path.stem, _scaling(load_model(path, compile=False)), [0.25, 0.5, 0.75, 1.0]
    if isinstance(model, keras.Model):
        return model.name, _scaling(model), [0.25, 0.5, 0.75, 1.0]
    raise UsageError(
        f"sweep() takes families, .keras files and Keras models; received {type(model).__name__}."
    )


def _scaling(model: keras.Model) -> Callable[[float], keras.Model]:
    return lambda multiplier: scaled(model, multiplier)


@contextmanager
def _folder(folder: str | os.PathLike[str] | None) -> Iterator[Path]:
    if folder is None:
        with tempfile.TemporaryDirectory(prefix="fdi-sweep-") as name:
            yield Path(name)
        return
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot make folder {path}: {error.strerror}. Name another.") from error
    yield path
