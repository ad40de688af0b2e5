"""Growing a pruned network to nearby time minima: more channels at no more time.

After Yao et al. (SenSys 2018, Algorithm 2), who expand layers to local minima of the
execution time after compression. Pricing the whole network at every step, the exchange
and the verification on the device are our choice.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.importance import Ranking, channel_importance
from fdi_keras.compression.prunable import PrunableModel, ungated
from fdi_keras.compression.rewiden import WeightMaker, axes_of, rewiden, take_channels
from fdi_keras.compression.width_search import WidthSearch
from fdi_keras.errors import UsageError
from fdi_keras.networks.channel_spaces import ChannelSpaces, find_channel_spaces
from fdi_keras.networks.graph import Call, Graph, read_graph
from fdi_keras.networks.history import history_of, inherit
from fdi_keras.networks.latency import measure_interleaved
from fdi_keras.networks.latency_plan import LatencyPlan
from fdi_keras.networks.layer_operators import read_layer_operators
from fdi_keras.profile import DeviceProfile, load_profile

#: A network may grow to this multiple of a space's width when no origin limits it (our choice).
REACH = 1.5

#: A candidate timed on the device is accepted up to this ratio to the network before it: what
#: repeated interleaved timings of one network differ by (our choice).
ACCEPTED_RATIO = 1.005

#: Seconds of timing for each of two candidates.
VERIFYING_S = 1.0

#: So many exchanges are timed before none is taken.
MOST_EXCHANGES = 5

#: New channels without an origin start with weights this small, relative to those there are.
SMALL = 1e-2


@dataclass(frozen=True)
class Change:
    """One space whose width changed; its text says what and why."""

    space: str
    before: int
    after: int
    before_ms: float
    after_ms: float
    reason: str

    def __str__(self) -> str:
        return (
            f"{self.space}: {self.before} -> {self.after}, {self.before_ms:.4g} -> {self.after_ms:.4g} ms: "
            f"{self.reason}"
        )


def grow(
    small: keras.Model,
    profile: DeviceProfile | str,
    origin: keras.Model | None = None,
    device: str | None = None,
    exchange: bool = False,
    report: Callable[[str], None] | None = print,
) -> keras.Model:
    """Widen a network where the profile says that it costs no time.

    Args:
        small: a plain Keras model, usually from :func:`~fdi_keras.prune`.
        profile: prices widths.
        origin: what ``small`` was pruned from (gated or plain). Channels that come back are then the
            most important of those that were cut, with their trained weights; no space grows
            beyond its width there. Without it new channels start small.
        device: time the candidates on this device and take only what is no slower in truth.
        exchange: also shrink spaces to a step below and spend the saved time where it keeps the most
            importance. Without it no space gets narrower.
        report: called with each change and why; ``None``: silent (the journal has it all the same).

    Returns:
        A plain Keras model; ``small`` itself is not changed. Its predicted time is never higher.

    Raises:
        UsageError: ``small`` still has gates, or ``origin`` is not what it was made from.

    Example::

        small = fdi.grow(fdi.prune(model), profile, origin=model)
    """
    if isinstance(small, PrunableModel):
        raise UsageError(
            f"grow() takes a pruned network; {small.name!r} still has gates: call fdi_keras.prune first."
        )
    profile = profile if isinstance(profile, DeviceProfile) else load_profile(profile)
    graph = read_graph(small)
    spaces = find_channel_spaces(graph)
    plan = LatencyPlan(read_layer_operators(graph), spaces, profile.models, profile.overhead_ms)
    source = _Origin.of(small, spaces, origin) if origin is not None else None
    now = plan.full_widths
    upper = (
        source.widths
        if source
        else np.array([_reach(s.width) if s.kept is None else s.width for s in spaces])
    )
    ranking = source.ranking if source else _own_ranking(graph, spaces, upper)
    search = WidthSearch(plan, ranking, np.where([s.kept is None for s in spaces], 1, now), upper)

    def build(widths: np.ndarray) -> tuple[keras.Model, dict[str, np.ndarray]]:
        return _rebuild(graph, spaces, widths, source, ranking)

    def ratio(base: np.ndarray, candidate: np.ndarray) -> float:
        """Measured time of one network in units of another's."""
        models = [build(widths)[0] for widths in (base, candidate)]
        first, second = measure_interleaved(models, device or "local", profile.runtime.threads, VERIFYING_S)
        return second.median_ms / first.median_ms

    wanted = search.exchange(now) if exchange else search.grow_free(now)
    if device is not None:
        verify = _verified_exchange if exchange else _verified_growth
        wanted = verify(search, now, wanted, ratio, report or (lambda text: None))
    grown, kept = build(wanted)
    history = inherit(grown, small, kept)
    changes = explain_changes(plan, now, wanted)
    for change in changes:
        if report is not None:
            report(str(change))
    if report is not None and not changes:
        report("grow: no width nearby costs no time; the network stays as it is")
    before, after = float(plan.predict_ms(now)), float(plan.predict_ms(wanted))
    history.write(
        "grow",
        widths=dict(zip(spaces.names, np.asarray(wanted, int).tolist(), strict=True)),
        predicted_before_ms=before,
        predicted_ms=after,
        exchange=exchange,
        changes=[str(c) for c in changes],
    )
    return grown


def explain_changes(plan: LatencyPlan, before: np.ndarray, after: np.ndarray) -> list[Change]:
    """Each space whose width differs, with its effect when changed after those before it, and why."""
    widths, found = np.array(before, float), []
    for i in map(int, np.flatnonzero(np.asarray(before) != np.asarray(after))):
        old_ms = float(plan.predict_ms(widths))
        old_rules = dict(plan.rules(widths, i))
        widths[i] = after[i]
        new_ms = float(plan.predict_ms(widths))
        changed = [
            f"{layer}: {rule.split(':')[0]}"
            for layer, rule in plan.rules(widths, i)
            if old_rules.get(layer) != rule
        ]
        if new_ms < old_ms * (1 - 1e-9) and after[i] > before[i]:
            why = "faster"
        elif after[i] > before[i]:
            why = "free" if new_ms <= old_ms * (1 + 1e-9) else "spends time saved elsewhere"
        else:
            why = "saves time to spend elsewhere"
        reason = f"{why}; {changed[0]}" if changed else f"{why} within the same leaf"
        found.append(Change(plan.names[i], int(before[i]), int(after[i]), old_ms, new_ms, reason))
    return found


@dataclass
class _Origin:
    """The network that a pruned one came from, its channels numbered as there."""

    weights: dict[str, list[np.ndarray]]
    ranking: Ranking
    widths: np.ndarray
    kept: dict[str, np.ndarray]
    graph: Graph
    spaces: ChannelSpaces

    @classmethod
    def of(cls, small: keras.Model, spaces: ChannelSpaces, origin: keras.Model) -> _Origin:
        gated = isinstance(origin, PrunableModel)
        plain = ungated(origin, gates_open=True) if gated else origin
        graph = read_graph(plain)
        theirs = find_channel_spaces(graph)
        if theirs.names != spaces.names:
            missing = sorted(set(spaces.names) ^ set(theirs.names))
            raise UsageError(
                f"origin {origin.name!r} is not what {small.name!r} was made from: channel spaces "
                f"{', '.join(missing[:4])} are not in both. Pass the model that prune() was called with."
            )
        gates = {n: g.values() for n, g in origin.gates.items()} if gated else {}
        kept = _kept_channels(small, spaces, theirs, gates)
        # What is there comes before what could come back.
        ranking = Ranking.of(channel_importance(graph, theirs), kept)
        widths = np.array([s.width for s in theirs], float)
        weights = {
            call.name: call.layer.get_weights() for call in graph.calls if hasattr(call.layer, "get_weights")
        }
        return cls(weights, ranking, widths, kept, graph, theirs)


def _kept_channels(
    small: keras.Model, spaces: ChannelSpaces, theirs: ChannelSpaces, gates: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """For each space the original channels that ``small`` still has."""
    recorded = history_of(small).kept
    kept = {}
    for space in spaces:
        if space.name in recorded:
            candidates = recorded[space.name]
        elif space.name in gates and space.kept is None:
            candidates = np.flatnonzero(gates[space.name] > 0)
        else:
            candidates = np.arange(theirs[space.name].width)
        if len(candidates) != space.width:
            raise UsageError(
                f"which channels of {space.name!r} were kept is not known: {small.name!r} has {space.width}, "
                f"origin's gates leave {len(candidates)} open. Grow the model that prune() returned before saving "
                "it, or leave origin= out."
            )
        kept[space.name] = np.asarray(candidates)
    return kept


def _own_ranking(graph: Graph, spaces: ChannelSpaces, upper: np.ndarray) -> Ranking:
    """Ranking without an origin: a new channel is worth as much as the least of those there are."""
    found = channel_importance(graph, spaces)
    for i, space in enumerate(spaces):
        if space.name in found:
            values = found[space.name]
            extra = max(int(upper[i]) - len(values), 0)
            values = np.concatenate([values, np.full(extra, values.min())])
            found[space.name] = values / values.sum()
    return Ranking.of(found, {space.name: np.arange(space.width) for space in spaces})


def _reach(width: int) -> int:
    # Narrow spaces reach at least the next few small multiples.
    return max(int(width * REACH), width + 4)


def _rebuild(
    graph: Graph,
    spaces: ChannelSpaces,
    widths: np.ndarray,
    source: _Origin | None,
    ranking: Ranking,
) -> tuple[keras.Model, dict[str, np.ndarray]]:
    """The network at other widths, and which original channels it then has."""
    channels: dict[str, np.ndarray] = {}
    kept: dict[str, np.ndarray] = {}
    for i, space in enumerate(spaces):
        width = int(widths[i])
        there = source.kept[space.name] if source else np.arange(space.width)
        if space.name not in ranking.order or width == space.width:
            kept[space.name] = there
            continue
        chosen = ranking.first(space.name, width)
        kept[space.name] = chosen
        position = {int(c): p for p, c in enumerate(there)}
        channels[space.name] = np.array([position.get(int(c), -1) for c in chosen])
    maker = _regained(source, kept) if source else _fresh(np.random.default_rng(0))
    return rewiden(graph, spaces, channels, maker), kept


def _regained(source: _Origin, kept: dict[str, np.ndarray]) -> WeightMaker:
    """Weights of ``small`` where it has them, trained weights of the origin where a channel comes back."""
    originals = {call.name: call for call in source.graph.calls}

    def make(
        call: Call, weights: list[np.ndarray], into: np.ndarray | None, out: np.ndarray | None
    ) -> list[np.ndarray]:
        old_call = originals[call.name]
        old_in = _positions(source.spaces, old_call.inputs[0], kept)
        old_out = _positions(source.spaces, old_call.outputs[0], kept)
        made = []
        for number, weight in enumerate(weights):
            back = take_channels(call.layer, number, source.weights[call.name][number], old_in, old_out)
            made.append(_overlay(call.layer, number, weight, back, into, out))
        return made

    return make


def _positions(spaces: ChannelSpaces, value: int, kept: dict[str, np.ndarray]) -> np.ndarray | None:
    """Where on the origin's axis of a value the kept channels stand."""
    numbers = spaces.of_value[value]
    if numbers is None:
        return None
    alive = np.zeros(spaces.total, bool)
    for name, channels in kept.items():
        alive[spaces.numbers(name)[channels]] = True
    return np.flatnonzero(alive[numbers])


def _fresh(rng: np.random.Generator) -> WeightMaker:
    """Weights of ``small``, and small random ones where a channel is new."""

    def make(
        call: Call, weights: list[np.ndarray], into: np.ndarray | None, out: np.ndarray | None
    ) -> list[np.ndarray]:
        made = []
        for number, weight in enumerate(weights):
            axis_in, axis_out = axes_of(call.layer, number)
            shape = list(weight.shape)
            if axis_in is not None and into is not None:
                shape[axis_in] = len(into)
            if axis_out is not None and out is not None:
                shape[axis_out] = len(out)
            if weight.ndim == 1:  # biases, and the statistics of a normalization: like the average channel
                new = np.full(shape, weight.mean())
            else:
                new = rng.normal(0.0, SMALL * max(float(weight.std()), 1e-3), shape)
            made.append(_overlay(call.layer, number, weight, new.astype(weight.dtype), into, out))
        return made

    return make


def _overlay(
    layer: Any,
    number: int,
    weight: np.ndarray,
    onto: np.ndarray,
    into: np.ndarray | None,
    out: np.ndarray | None,
) -> np.ndarray:
    """``onto`` with the entries that ``weight`` has (indices not -1) put in their new places."""
    axis_in, axis_out = axes_of(layer, number)
    target: list[Any] = [np.arange(n) for n in onto.shape]
    origin: list[Any] = [np.arange(n) for n in weight.shape]
    for axis, index in ((axis_in, into), (axis_out, out)):
        if axis is not None and index is not None:
            target[axis] = np.flatnonzero(index >= 0)
            origin[axis] = index[index >= 0]
    result = onto.copy()
    result[np.ix_(*target)] = weight[np.ix_(*origin)]
    return result


Ratio = Callable[[np.ndarray, np.ndarray], float]
Report = Callable[[str], None]


def _verified_growth(
    search: WidthSearch, now: np.ndarray, wanted: np.ndarray, ratio: Ratio, report: Report
) -> np.ndarray:
    """The part of the wanted changes that is no slower on the device.

    First all together; if that is slower, one space after the other.
    """
    if np.array_equal(now, wanted) or ratio(now, wanted) <= ACCEPTED_RATIO:
        return wanted
    accepted = np.array(now, float)
    for i in np.flatnonzero(now != wanted):
        trial = accepted.copy()
        trial[i] = wanted[i]
        slower = ratio(accepted, trial)
        if slower <= ACCEPTED_RATIO:
            accepted = trial
        else:
            report(
                f"{search.plan.names[i]}: {int(now[i])} -> {int(wanted[i])} was predicted to cost no time, but "
                f"measured {slower:.3f} x: not taken"
            )
    return accepted


def _verified_exchange(
    search: WidthSearch, now: np.ndarray, wanted: np.ndarray, ratio: Ratio, report: Report
) -> np.ndarray:
    """An exchange that is no slower on the device: its budget shrinks by what it measured too much."""
    budget = float(search.plan.predict_ms(now))
    for _ in range(MOST_EXCHANGES):
        if np.array_equal(now, wanted):
            return now
        slower = ratio(now, wanted)
        if slower <= ACCEPTED_RATIO:
            return wanted
        report(
            f"an exchange was predicted to cost no time, but measured {slower:.3f} x: trying a smaller one"
        )
        budget *= 0.998 / slower
        wanted = search.exchange(search.shrink(now, budget), budget)
    report("no exchange was found that is no slower on the device; the widths stay as they are")
    return now
