"""Part 3: operators on six phones measured by others, 5 folds by configuration, beside a random forest.

The data are those of Li, Paolieri and Golubchik (EdgeSys 2024), TFLite's GPU delegate. Rows of one
configuration are one here, with their median time.
"""

from __future__ import annotations

import csv
import gzip
from collections import defaultdict
from pathlib import Path

import numpy as np

from benchmarks.execution_time.settings import Settings
from benchmarks.report import Row
from fdi_keras.execution_time import configuration_folds, out_of_fold_predictions
from fdi_keras.operators import KINDS
from fdi_keras.operators.windows import output_size

FILE = "phone_gpu_operators.csv.gz"
OPERATORS = {"conv2d": "conv2d", "dwconv2d": "depthwise_conv2d", "dense": "dense"}
LEAVES, FOLDS, ENOUGH_PHONES = 24, 5, 5

#: One fused kernel that the data count twice.
TWICE = "depthwise_conv_plus_1x1_conv"

Dims = dict[str, int]


def run(settings: Settings) -> list[Row]:
    path = settings.data / FILE
    if not path.exists():
        return [Row("3", "phones measured by others", "the data", f"skipped: no {path}", None)]
    rows = []
    by_kind = read(path)
    for kind, phones in by_kind.items():
        errors: dict[str, tuple[float, float]] = {}
        for phone, (dims, times) in phones.items():
            fold = configuration_folds(dims, FOLDS, settings.seed)
            ours = out_of_fold_predictions(kind, dims, times, fold, seed=settings.seed, max_leaves=LEAVES)
            forest = out_of_fold_predictions(kind, dims, times, fold, regressor=_forest(settings.seed))
            errors[phone] = _mape(ours, times), _mape(forest, times)
        below = sum(ours < forest for ours, forest in errors.values())
        listed = ", ".join(f"{phone} {ours:.1%}/{forest:.1%}" for phone, (ours, forest) in errors.items())
        count = max(len(times) for _, times in phones.values())
        rows.append(
            Row(
                "3",
                f"{kind} on {len(phones)} phones, at most {LEAVES} leaves, {count} configurations",
                f"below the random forest's on >= {ENOUGH_PHONES}",
                f"on {below}: {listed}",
                below >= ENOUGH_PHONES,
                {phone: {"ours": a, "random_forest": b} for phone, (a, b) in errors.items()},
            )
        )
    return rows


def _mape(predicted: np.ndarray, times: np.ndarray) -> float:
    return float(np.abs(predicted / times - 1).mean())


def _forest(seed: int) -> object:
    from sklearn.compose import TransformedTargetRegressor
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(300, random_state=seed, n_jobs=2)
    return TransformedTargetRegressor(forest, func=np.log, inverse_func=np.exp)


def read(path: Path) -> dict[str, dict[str, tuple[dict[str, np.ndarray], np.ndarray]]]:
    """Columns of dimensions ``(n,)`` and times ``(n,)`` in ms, by kind and phone."""
    times: dict[tuple[str, str], dict[tuple[int, ...], list[float]]] = defaultdict(lambda: defaultdict(list))
    with gzip.open(path, "rt", newline="") as file:
        for row in csv.DictReader(file):
            if row["op"] in OPERATORS and not row["algo"].startswith(TWICE):
                kind = OPERATORS[row["op"]]
                dims = _dims(kind, row)
                if dims is not None:
                    times[kind, row["device"]][tuple(KINDS[kind].complete(dims).values())].append(
                        float(row["latency_ms"])
                    )
    found: dict[str, dict[str, tuple[dict[str, np.ndarray], np.ndarray]]] = defaultdict(dict)
    for (kind, phone), configurations in times.items():
        table = np.array(list(configurations), float)
        columns = {name: table[:, i] for i, name in enumerate(KINDS[kind].dimensions)}
        found[kind][phone] = columns, np.array([np.median(each) for each in configurations.values()])
    return found


def _dims(kind: str, row: dict[str, str]) -> Dims | None:
    """The dimensions of one row; None for a window that is not square or does not fit the output."""
    number = {
        name: int(float(row[name])) for name in ("h", "w", "cin", "cout", "out_h", "n_fused") if row[name]
    }
    activation = int(number.get("n_fused", 0) > 0)
    if kind == "dense":
        return {
            "rows": 1,
            "in_channels": number["cin"],
            "out_channels": number["cout"],
            "activation": activation,
        }
    kernel, stride = int(float(row["kernel"])), int(float(row["stride"]))
    fitting = [
        same for same in (0, 1) if int(output_size(number["h"], kernel, stride, same)) == number["out_h"]
    ]
    if not fitting:
        return None
    window = {"kernel": kernel, "stride": stride, "padding": fitting[0], "activation": activation}
    sides = {"height": number["h"], "width": number["w"]}
    if kind == "conv2d":
        return {**sides, "in_channels": number["cin"], "out_channels": number["cout"], **window}
    return {**sides, "channels": number["cout"], **window}
