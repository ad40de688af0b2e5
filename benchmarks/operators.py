"""What a Keras model becomes on LiteRT, read in two ways: ``python -m benchmarks.operators [NAME ...]``.

Every network of ``keras.applications``, with random weights and a small image, is read from its
layers and from the ``.tflite`` file that it is converted to. Both must give the same operators, all of
kinds that a profile can price. Takes about half an hour on two cores, nearly all of it in the
converter; each network runs in a process of its own and keeps its row, so that it can be resumed.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.report import Report, Row

#: The smallest images that the networks take; the others get one of 64 pixels.
SMALLEST = {
    **dict.fromkeys(("InceptionV3", "InceptionResNetV2"), 75),
    "Xception": 71,
}
USUAL = 64


def names() -> list[str]:
    """All networks of ``keras.applications``."""
    import keras

    found = vars(keras.applications).items()
    return sorted(name for name, value in found if callable(value) and name[0].isupper())


def compare(name: str) -> dict[str, Any]:
    """Read one network in both ways."""
    import keras
    import numpy as np

    import fdi_keras as fdi
    from fdi_keras.networks import read_operators

    side = SMALLEST.get(name, USUAL)
    model = getattr(keras.applications, name)(input_shape=(side, side, 3), weights=None, classes=10)
    rng = np.random.default_rng(0)
    for layer in model.layers:  # the converter drops what is zero, and folds what is one
        weights = layer.get_weights()
        layer.set_weights([(0.5 + rng.random(w.shape)).astype(w.dtype) for w in weights])
    began = time.perf_counter()
    from_layers = read_operators(model)
    seconds = time.perf_counter() - began
    from_file = read_operators(fdi.export_litert(model))
    first, second = (
        Counter((o.kind, tuple(sorted(o.dims.items()))) for o in operators)
        for operators in (from_layers, from_file)
    )
    unpriced = sorted({o.kind for o in (*from_layers, *from_file) if o.problem})
    return {
        "operators": sum(second.values()),
        "kinds": len({kind for kind, _ in second}),
        "only_layers": [f"{n} {kind} {dict(dims)}" for (kind, dims), n in (first - second).items()],
        "only_file": [f"{n} {kind} {dict(dims)}" for (kind, dims), n in (second - first).items()],
        "unpriced": unpriced,
        "read_ms": 1e3 * seconds,
    }


def row(name: str) -> Row:
    """One network in a process of its own: the converter keeps its memory."""
    code = f"import json; from benchmarks.operators import compare; print(json.dumps(compare({name!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    required = "the same operators, all of known kinds"
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        return Row(name, name, required, f"failed: {reason[:200]}", False)
    import json

    found = json.loads(done.stdout.strip().splitlines()[-1])
    differ = len(found["only_layers"]) + len(found["only_file"])
    passed = not differ and not found["unpriced"]
    text = f"{found['operators']} operators of {found['kinds']} kinds, read in {found['read_ms']:.0f} ms"
    if not passed:
        text += f"; {differ} differ, not priced: {', '.join(found['unpriced']) or 'none'}"
    return Row(name, name, required, text, passed, found)


def main() -> int:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="networks; all unless some are named")
    parser.add_argument("--again", action="store_true", help="run networks again that have results")
    results = Path(__file__).parent / "results" / "operators.json"
    parser.add_argument("--results", type=Path, default=results)
    args = parser.parse_args()
    report = Report(args.results)
    for name in args.names or names():
        report.part(name, lambda name=name: [row(name)], args.again)
    report.print()
    return int(any(r.passed is False for r in report.rows))


if __name__ == "__main__":
    sys.exit(main())
