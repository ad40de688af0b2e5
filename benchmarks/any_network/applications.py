"""Part 1: every family of keras.applications at random widths, saved, loaded, exported.

Weights are random, statistics of batch normalization too: equality does not depend on them, and nothing
has to be fetched. Each network has a process of its own and keeps its row. All are measured under
tensorflow, a third of them under the other backends too.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.any_network.backends import BACKENDS, measured
from benchmarks.any_network.settings import Settings
from benchmarks.report import Row

NETWORKS = (
    *("VGG16", "ResNet50", "ResNet50V2", "MobileNet", "MobileNetV2", "MobileNetV3Small", "MobileNetV3Large"),
    *("EfficientNetB0", "EfficientNetV2B0", "DenseNet121", "InceptionV3", "InceptionResNetV2", "Xception"),
    *("NASNetMobile", "ConvNeXtTiny"),
)

#: Those of them that every backend measures: of each way of building networks one.
EVERYWHERE = ("ResNet50V2", "MobileNetV2", "EfficientNetB0", "DenseNet121", "ConvNeXtTiny")

#: The smallest images that the networks take; the others get one of 64 pixels.
SIDES = {"InceptionV3": 75, "InceptionResNetV2": 75, "Xception": 71}
USUAL = 64

#: Largest relative difference of outputs, and smallest share of FLOPs in operators that can be narrowed.
EXACT, CUTTABLE = 1e-4, 0.95


def run(settings: Settings) -> list[Row]:
    rows = []
    for backend in BACKENDS:
        for name in NETWORKS if backend == "tensorflow" else EVERYWHERE:
            kept = settings.work / f"network-{name}{'' if backend == 'tensorflow' else f'-{backend}'}.json"
            found = measured("applications", backend, name, settings.seed, kept=kept)
            rows += _rows(name, backend, found)
    return rows


def _rows(name: str, backend: str, found: dict[str, Any]) -> list[Row]:
    usual = backend == "tensorflow"
    label = name if usual else f"{name} on {backend}"
    if "missing" in found:
        return [Row("1", label, "no error", found["missing"], None)]
    if "error" in found:
        return [Row("1", label, "no error", found["error"], False)]
    worst = max(found[key] for key in ("pruned", "loaded", "exported", "rebuilt"))
    smaller = found["parameters"] < 1 and found["flops"] < 1
    rows = [
        Row(
            "1",
            f"{label}: relative difference of outputs",
            f"<= {EXACT:g}; fewer parameters and FLOPs",
            f"pruned {found['pruned']:.1e}, loaded {found['loaded']:.1e}, exported {found['exported']:.1e}, built "
            f"again {found['rebuilt']:.1e}; {found['parameters']:.0%} of parameters, {found['flops']:.0%} of FLOPs",
            worst <= EXACT and smaller,
            found,
        )
    ]
    if usual:  # the same whatever the backend
        rows.append(
            Row(
                "1",
                f"{label}: FLOPs in operators whose widths can change",
                f">= {CUTTABLE:.0%}",
                f"{found['cuttable']:.1%}",
                found["cuttable"] >= CUTTABLE,
            )
        )
    return rows


def measure(name: str, seed: int) -> dict[str, Any]:
    """One network: prunable, random gates, prune, save, load, export, and built again from its widths."""
    import keras
    import numpy as np

    import fdi_keras as fdi

    side = SIDES.get(name, USUAL)
    model = getattr(keras.applications, name)(
        input_shape=(side, side, 3), weights=None, classes=10, classifier_activation=None
    )
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    gated = fdi.prunable(model)
    for gate in gated.gates.values():
        keep = rng.random(gate.channels) < rng.uniform(0.3, 0.9)
        keep[rng.integers(gate.channels)] = True
        gate.set_logits(np.where(keep, rng.uniform(0, 4, gate.channels), -6.0))
    images = rng.uniform(0, 255, (2, side, side, 3)).astype("float32")
    expected = gated.predict(images, verbose=0)
    small = fdi.prune(gated)
    opened = fdi.apply_widths(model, fdi.kept_channels(small))

    def off(found: Any, wanted: Any = expected) -> float:
        return float(np.abs(found - wanted).max() / np.abs(wanted).max())

    with tempfile.TemporaryDirectory() as folder:
        small.save(Path(folder) / "small.keras")
        loaded = keras.models.load_model(Path(folder) / "small.keras").predict(images, verbose=0)
        exported = _litert(fdi.export_litert(small), images)
    for (
        gate
    ) in gated.gates.values():  # open gates at full strength: what is built from the first weights alone
        gate.set_logits(np.where(gate.values() > 0, 6.0, -6.0))
    whole = gated.predict(images, verbose=0)
    return {
        "pruned": off(small.predict(images, verbose=0)),
        "loaded": off(loaded),
        "exported": off(exported),
        "rebuilt": off(opened.predict(images, verbose=0), whole),
        "parameters": small.count_params() / model.count_params(),
        "flops": _flops(small) / _flops(model),
        "cuttable": _cuttable(model),
        "spread": float(np.ptp(expected, axis=0).max() / np.abs(expected).max()),
    }


def _litert(content: bytes, images: Any) -> Any:
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (source,), (target,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for image in images:
        interpreter.set_tensor(source["index"], image[None])
        interpreter.invoke()
        found.append(interpreter.get_tensor(target["index"])[0])
    return np.stack(found)


def _flops(model: Any) -> float:
    from fdi_keras.networks import read_operators

    return sum(float(operator.explained["flops"]) for operator in read_operators(model))


def _cuttable(model: Any) -> float:
    """Share of a network's FLOPs in operators that read or make channels which can be removed."""
    from fdi_keras.networks import find_channel_spaces, read_graph
    from fdi_keras.networks.layer_operators import read_layer_operators

    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    free = {space.name for space in spaces.prunable}
    whole = cut = 0.0
    for operator in read_layer_operators(graph):
        flops = float(operator.operator.explained["flops"])
        whole += flops
        if any(free & set(spaces.counts(value)) for value in operator.channels.values()):
            cut += flops
    return cut / whole


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
