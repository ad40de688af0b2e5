"""Predicting and measuring the latency of whole networks."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from fdi_keras.devices import Runner, RuntimeChoice, open_runner
from fdi_keras.errors import ModelFileError, UnknownOperatorsError
from fdi_keras.execution_time import rule_text
from fdi_keras.execution_time.intervals import combined
from fdi_keras.networks.history import has_history, history_of
from fdi_keras.networks.tflite_operators import read_tflite_operators
from fdi_keras.operators import EXPLANATORY, KINDS, Operator
from fdi_keras.operators.kinds import BYTES
from fdi_keras.profile import DeviceProfile, load_profile


@dataclass(frozen=True)
class OperatorLatency:
    """One operator of a report.

    Attributes:
        name: of the layer, or of the output tensor in a ``.tflite`` file.
        kind: operator kind.
        predicted_ms: predicted time, fetching its weights from memory included where the network is too
            large for the caches; ``None`` when the profile does not know the operator.
        rule: the leaf rule that priced it, or why nothing did.
        dims: its dimensions.
        flops, memory_bytes, parameters: what explains it (2 FLOPs a multiply-accumulate).
        predicted_mj: predicted energy; ``None`` when it was not asked for or is not known.
        low_ms, high_ms: 90 % of measured times are expected between them; ``None`` where that is not known.
    """

    name: str
    kind: str
    predicted_ms: float | None
    rule: str
    dims: Mapping[str, int]
    flops: float
    memory_bytes: float
    parameters: float
    predicted_mj: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None


@dataclass(frozen=True)
class LatencyReport:
    """Predicted latency of a network; printing it gives a table.

    Attributes:
        total_ms: the operators added up, and the device's cost of one invocation. Operators that
            the profile does not know are *not* in it: look at ``coverage``.
        coverage: the smaller of the two shares below; 1.0 when every operator was priced.
        coverage_flops, coverage_memory: share of the network's FLOPs and memory access that was priced.
        operators: a row an operator, in order of execution.
        fetched_share: share of the weights that does not stay in the caches between two inferences.
        fetch_ms: how much of the total is due to that.
        warnings: a profile that was not measured, unknown operators, and dimensions outside what it measured,
            in words.
        profile: name of the profile.
        total_mj: predicted energy of one inference above idle, in mJ; ``None`` when it was not asked for.
        coverage_energy: as ``coverage``, of the operators whose energy is known; ``None`` without energy.
        low_ms, high_ms: between them the time of the operators in ``total_ms`` is expected, in nine of
            ten cases; how they come from those of the operators says
            ``fdi_keras.execution_time.intervals``. ``None`` for a profile without them: refit it.
    """

    total_ms: float
    coverage: float
    coverage_flops: float
    coverage_memory: float
    operators: list[OperatorLatency]
    fetched_share: float = 0.0
    fetch_ms: float = 0.0
    warnings: list[str] = field(default_factory=list)
    profile: str = ""
    total_mj: float | None = None
    coverage_energy: float | None = None
    low_ms: float | None = None
    high_ms: float | None = None

    @property
    def flops(self) -> float:
        return sum(o.flops for o in self.operators)

    @property
    def memory_bytes(self) -> float:
        return sum(o.memory_bytes for o in self.operators)

    @property
    def weight_bytes(self) -> float:
        return sum(BYTES * o.parameters for o in self.operators)

    @property
    def interval_text(self) -> str:
        """The interval in words, to stand behind the total; empty where it is not known."""
        if self.low_ms is None or self.high_ms is None:
            return ""
        return f" ({self.low_ms:.4g} to {self.high_ms:.4g} ms with 90 % confidence)"

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, as ``fdi predict --json`` prints it."""
        return asdict(self)

    def __str__(self) -> str:
        width = max((len(o.name) for o in self.operators), default=4)
        lines = [
            f"{o.name:<{width}}  {o.kind:<16}  "
            + ("   unknown" if o.predicted_ms is None else f"{o.predicted_ms:8.4f} ms")
            + f"  {o.rule}"
            for o in self.operators
        ]
        lines.append(
            f"total {self.total_ms:.4f} ms{self.interval_text}, {self.coverage:.1%} covered by profile {self.profile}"
        )
        if self.total_mj is not None:
            lines.append(f"energy {self.total_mj:.4g} mJ, {self.coverage_energy:.1%} covered")
        return "\n".join([*lines, *(f"warning: {w}" for w in self.warnings)])


@dataclass(frozen=True)
class MeasuredLatency:
    """Measured time of a network.

    Attributes:
        median_ms, iqr_ms, min_ms: median, quartile distance and minimum of one inference with batch size 1.
        runs: how many inferences were timed.
        device, threads, runtime: where and with what.
    """

    median_ms: float
    iqr_ms: float
    min_ms: float
    runs: int
    device: str = "local"
    threads: int = 1
    runtime: str = ""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.median_ms:.4g} ms (quartile distance {self.iqr_ms:.2g} ms, {self.runs} runs)"


def predict_latency(
    model: Any, profile: DeviceProfile | str | os.PathLike[str], energy: bool = False
) -> LatencyReport:
    """Predict a network's latency from a profile, operator by operator.

    Args:
        model: a Keras model (a gated one is read as it would be pruned: all its operators at
            full width), or the path of a ``.keras`` or ``.tflite`` file.
        profile: a profile, its path, or the name of a bundled one.
        energy: predict the energy of an inference too, ``total_mj`` of the report.

    Raises:
        UnknownOperatorsError: the profile knows none of the operators.
        EnergyUnknownError: energy was asked for, and the profile was made without measuring any.
        ModelFileError, UnsupportedModelError: the model cannot be read.
        ProfileError: the profile cannot be read.

    Example::

        print(fdi.predict_latency(model, "this-computer.json"))
    """
    if not isinstance(profile, DeviceProfile):
        profile = load_profile(os.fspath(profile))
    if not energy:
        return price_operators(read_operators(model), profile)
    energies = profile.of_energy()  # before the model is read: it may not know any
    operators = read_operators(model)
    return _with_energy(price_operators(operators, profile), price_operators(operators, energies))


def read_operators(model: Any) -> list[Operator]:
    """The operators LiteRT executes for a Keras model or a ``.keras`` or ``.tflite`` file."""
    if isinstance(model, bytes):
        return read_tflite_operators(model)
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        if path.suffix == ".tflite":
            return read_tflite_operators(path)
        model = _load_keras(path)
    from fdi_keras.networks.graph import read_graph
    from fdi_keras.networks.layer_operators import read_layer_operators

    return [o.operator for o in read_layer_operators(read_graph(_without_gates(model)))]


def price_operators(operators: Sequence[Operator], profile: DeviceProfile) -> LatencyReport:
    """The latency report of a list of operators."""
    rows: list[OperatorLatency] = []
    warnings: dict[str, None] = dict.fromkeys([profile.caution] if profile.caution else [])
    covered, total = np.zeros(2), np.zeros(2)
    fetch = profile.weight_fetch
    explanations = _explanations(operators)
    share = 0.0
    if fetch is not None:
        share = float(fetch.share(sum(BYTES * explained["parameters"] for explained in explanations)))
    fetch_ms = 0.0
    spreads: list[tuple[tuple[str, int], float, float, float]] | None = []
    prices = _prices(operators, profile, share)
    for at, (operator, explained) in enumerate(zip(operators, explanations, strict=True)):
        predicted = low = high = None
        memory = sum(explained[m] for m in ("memory_in", "memory_out")) + BYTES * explained["parameters"]
        size = np.array([explained["flops"], memory])
        total += size
        model = profile.models.get(operator.kind)
        problem = operator.problem or (
            None if model else f"the profile has no time model for {operator.kind}"
        )
        if problem is None and model is not None:
            cached_ms, predicted, leaf, ends, rule = prices[at]
            fetch_ms += predicted - cached_ms
            if ends is None:
                spreads = None
            else:
                low, high = predicted * ends[0], predicted * ends[1]
                if spreads is not None:
                    spreads.append(((operator.kind, leaf), predicted, low, high))
            covered += size
            for text in model.out_of_range(operator.dims):
                warnings[
                    f"{operator.name} ({operator.kind}): {text} measured; the prediction extrapolates"
                ] = None
        else:
            rule = f"unknown: {problem}"
            warnings[f"{operator.name} ({operator.kind}) is not in the total: {problem}"] = None
        rows.append(
            OperatorLatency(
                operator.name,
                operator.kind,
                predicted,
                rule,
                dict(operator.dims),
                explained["flops"],
                memory,
                explained["parameters"],
                low_ms=low,
                high_ms=high,
            )
        )
    known = [row.predicted_ms for row in rows if row.predicted_ms is not None]
    if rows and not known:
        kinds = ", ".join(sorted({row.kind for row in rows}))
        raise UnknownOperatorsError(
            f"profile {profile.name!r} knows none of the network's operators ({kinds}); it knows "
            f"{', '.join(profile.models)}. Profile the device with these kinds: fdi profile --kinds ..."
        )
    total_ms = profile.overhead_ms + sum(known)
    below, above = combined(spreads) if spreads is not None else (None, None)
    shares = np.divide(covered, total, out=np.ones(2), where=total > 0)
    return LatencyReport(
        total_ms=total_ms,
        coverage=float(shares.min()),
        coverage_flops=float(shares[0]),
        coverage_memory=float(shares[1]),
        operators=rows,
        fetched_share=share,
        fetch_ms=fetch_ms,
        warnings=list(warnings),
        profile=profile.name,
        low_ms=None if below is None else total_ms - below,
        high_ms=None if above is None else total_ms + above,
    )


def _explanations(operators: Sequence[Operator]) -> list[dict[str, float]]:
    """The explanatory variables of each operator; those of a kind are computed together."""
    found: dict[int, dict[str, float]] = {}
    places: dict[tuple[str, tuple[str, ...]], list[int]] = {}
    for i, operator in enumerate(operators):
        if operator.kind in KINDS and operator.dims:
            places.setdefault((operator.kind, tuple(operator.dims)), []).append(i)
        else:
            found[i] = operator.explained
    for (kind, names), rows in places.items():
        dims = {name: np.array([operators[i].dims[name] for i in rows], float) for name in names}
        for i, values in zip(rows, KINDS[kind].explain(dims).tolist(), strict=True):
            found[i] = dict(zip(EXPLANATORY, values, strict=True))
    return [found[i] for i in range(len(operators))]


class _Price(NamedTuple):
    """What a time model says of one operator: its time with weights in the caches, and where that is from.

    ``predicted_ms`` is the time with what fetching its weights adds.
    """

    cached_ms: float
    predicted_ms: float
    leaf: int
    ends: tuple[float, float] | None
    rule: str


def _prices(operators: Sequence[Operator], profile: DeviceProfile, share: float) -> dict[int, _Price]:
    """The price of each operator that can have one, by position; operators of a kind together.

    Args:
        share: of the network's weights that is fetched.
    """
    fetch = profile.weight_fetch
    found: dict[int, _Price] = {}
    for kind, model in profile.models.items():
        places = [i for i, o in enumerate(operators) if o.kind == kind and not o.problem]
        if not places:
            continue
        complete = [KINDS[kind].complete(operators[i].dims) for i in places]
        dims = {name: np.array([each[name] for each in complete], float) for name in KINDS[kind].dimensions}
        times, leaves = model.price(dims)
        totals = times
        if fetch is not None and share:
            totals = fetch.total_ms(fetch.rate(kind, dims), times, KINDS[kind].weight_bytes(dims), share)
        ends = None if model.tree.intervals is None else model.tree.intervals.tolist()
        rules = {leaf: rule_text(model.tree, leaf).text for leaf in set(leaves.tolist())}
        columns = (column.tolist() for column in (times, totals, leaves))
        for place, time, total, leaf in zip(places, *columns, strict=True):
            found[place] = _Price(time, total, leaf, None if ends is None else tuple(ends[leaf]), rules[leaf])
    return found


def _with_energy(report: LatencyReport, energies: LatencyReport) -> LatencyReport:
    """A report of times with the numbers of one whose milliseconds are millijoule."""
    return replace(
        report,
        operators=[
            replace(row, predicted_mj=energy.predicted_ms)
            for row, energy in zip(report.operators, energies.operators, strict=True)
        ],
        warnings=[*report.warnings, *(f"energy: {text}" for text in energies.warnings)],
        total_mj=energies.total_ms,
        coverage_energy=energies.coverage,
    )


def measure_latency(
    model: Any,
    device: str = "local",
    threads: int = 1,
    seconds: float = 2.0,
    runtime: RuntimeChoice | None = None,
) -> MeasuredLatency:
    """Time a network on a device, for real, with batch size 1 and float32.

    Args:
        model: a Keras model, or the path of a ``.keras`` or ``.tflite`` file.
        device: id of the device, as ``fdi devices`` lists it.
        threads: threads of the runtime.
        seconds: how long to keep measuring.
        runtime: how a phone shall execute the network; its threads are those above.

    Raises:
        DeviceNotFoundError, MeasurementError, ExportError, ModelFileError.
    """
    return measure_interleaved([model], device, threads, seconds, runtime)[0]


def measure_interleaved(
    models: Sequence[Any],
    device: str = "local",
    threads: int = 1,
    seconds: float = 2.0,
    runtime: RuntimeChoice | None = None,
    contents: Sequence[bytes] | None = None,
) -> list[MeasuredLatency]:
    """Time several networks in turns, so that a drift of the device hits all alike.

    Args:
        models: as in :func:`measure_latency`.
        seconds: for each network.
        runtime: as there.
        contents: of the ``.tflite`` files of the models, where they were exported before; ``None``:
            each is converted.
    """
    if contents is None:
        contents = [as_litert(model) for model in models]
    choice = msgspec.structs.replace(runtime or RuntimeChoice(), threads=threads)
    with open_runner(device, choice) as runner:
        measured = time_networks(runner, contents, device, seconds)
    # A session also keeps what was timed beside its network, mostly the network before compression.
    beside = [
        {"model": _name_of(model), "median_ms": result.median_ms}
        for model, result in zip(models, measured, strict=True)
        if not has_history(model)
    ]
    for model, result in zip(models, measured, strict=True):
        if has_history(model):
            history_of(model).write("measured", **result.to_dict(), **({"beside": beside} if beside else {}))
    return measured


def _name_of(model: Any) -> str:
    if isinstance(model, (str, os.PathLike)):
        return Path(model).name
    return str(getattr(model, "name", "a model"))


def time_networks(
    runner: Runner, contents: Sequence[bytes], device: str, seconds: float
) -> list[MeasuredLatency]:
    """Time networks in turns on an opened device; each for ``seconds``."""
    runtime = runner.runtime
    return [
        MeasuredLatency(t.median_ms, t.iqr_ms, t.min_ms, t.runs, device, runtime.threads, runtime.text)
        for t in runner.time_interleaved(contents, rounds=20, budget_s=seconds)
    ]


def as_litert(model: Any) -> bytes:
    """A model as the content of a ``.tflite`` file, converted where it is a Keras model."""
    if isinstance(model, bytes):
        return model
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        if path.suffix == ".tflite":
            read_tflite_operators(path)  # a clear error for what is no model
            return path.read_bytes()
        model = _load_keras(path)
    from fdi_keras.networks.export import litert_to_time

    return litert_to_time(_without_gates(model))


def _load_keras(path: Path) -> Any:
    if path.suffix not in (".keras", ".h5"):
        raise ModelFileError(f"{path}: expected a .keras or .tflite file.")
    from fdi_keras.networks.export import load_model

    # Only read: an optimizer may be one that this backend does not have.
    return load_model(path, compile=False)


def _without_gates(model: Any) -> Any:
    """The plain network; of a gated one, without what pruning would remove from the graph: its gates."""
    plain = getattr(model, "without_gates", None)
    return model if plain is None else plain()
