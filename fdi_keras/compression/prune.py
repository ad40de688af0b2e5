"""To a plain, really smaller network: from a gated one, or from a trained one in one shot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import keras
import numpy as np

from fdi_keras.compression.branches import Pruning, without_closed, without_costly, without_named
from fdi_keras.compression.gated_model import PrunableModel
from fdi_keras.compression.gates import check_gates
from fdi_keras.compression.importance import Importance, Ranking, importance_by
from fdi_keras.compression.limits import Bound, Limits, exclude_layers
from fdi_keras.compression.regularizer import BudgetRegularizer, LatencyRegularizer
from fdi_keras.compression.rewiden import rewiden
from fdi_keras.compression.ungated import ungated
from fdi_keras.errors import NothingToPruneError, UsageError
from fdi_keras.networks.branches import without_emptied
from fdi_keras.networks.budget_plan import predictions
from fdi_keras.networks.budgets import Budget, checked_budgets, profiles_of
from fdi_keras.networks.channel_spaces import ChannelSpaces, find_channel_spaces
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.history import history_of, inherit
from fdi_keras.profile import DeviceProfile, load_profile
from fdi_keras.profile.unmeasured import warn_if_unmeasured


def prune(
    model: keras.Model,
    profile: DeviceProfile | str | None = None,
    target_ms: float | None = None,
    *,
    budgets: Budget | Sequence[Budget] | None = None,
    importance: Importance = "weights",
    exclude: str | Sequence[str] = (),
    min_channels: Bound = 1,
    multiple_of: Bound = 1,
    remove_branches: bool | str | Sequence[str] = False,
    seed: int = 0,
) -> keras.Model:
    """Remove channels: the closed ones of a gated network, or the least important ones of a trained network.

    Args:
        model: a network made by :func:`~fdi_keras.prunable`, trained or with gates set by hand; or
            a plain Keras model, which is pruned in one shot and needs ``target_ms``. A pruned network
            may be pruned again.
        profile: prices widths when ``target_ms`` is given; the compiled regularizer's unless given.
        target_ms: choose the widths so that the predicted latency is at most this, keeping the most
            importance and jumping to widths that the profile says are cheap. ``None``: exactly
            the closed channels are removed.
        budgets: in place of ``profile`` and ``target_ms``, several limits that all have to be kept.
        importance: which channels matter: ``"weights"`` (what drives and reads a channel, and its gate),
            ``"l1"`` or ``"l2"`` (norm of the filters that make it), ``"scale"`` (of its normalization),
            ``"random"``, values by channel space, or a function that returns these.
        exclude: names or patterns (``"stem_*"``) of layers whose channels all stay.
        min_channels: no space gets narrower; one number, or numbers by name or pattern of layers.
        multiple_of: widths are multiples of it, or what they were.
        remove_branches: also take away whole branches that only an ``Add`` reads, such as ``f`` of
            ``Add([x, f(x)])``, which then passes the others on: where all gates but one of a space that everything
            in the branch goes through have closed; and with ``target_ms`` where in the time of a branch more importance
            can be kept, or grown back, elsewhere. Names of additions: just a branch of each of them.
        seed: of ``"random"``.

    Returns:
        A plain Keras model (no class of this library inside) under the same layer names. Of a gated
        network without ``target_ms`` its output equals the gated model's at inference; where branches
        went, the gated model's with their output multiplied by 0.
        :func:`~fdi_keras.kept_channels` says which channels it has.

    Raises:
        UsageError: a plain model without a target, a target without a profile or beside budgets, or an argument
            that names no layer or no importance.
        NothingToPruneError: no channel of the model can be removed.
        TargetError: no widths meet the target, or keep the budgets.

    Example::

        small = fdi.prune(model)
        small = fdi.prune(trained_model, "this-computer.json", target_ms=2.0, importance="l2")
        small = fdi.prune(trained_model, budgets=[fdi.Budget("phone.json", ms=3), fdi.Budget(file_mb=2)])
    """
    if not isinstance(model, keras.Model):
        raise UsageError(f"prune() takes a Keras model, received {type(model).__name__}.")
    gated = model if isinstance(model, PrunableModel) else None
    if gated is None and target_ms is None and budgets is None:
        raise UsageError(
            f"prune() needs target_ms= for a model without gates: nothing says how much of {model.name!r} to "
            "remove. Or make it prunable and train it with a LatencyRegularizer first."
        )
    if not isinstance(remove_branches, bool | str | Sequence):
        raise UsageError(
            f"prune(remove_branches={remove_branches!r}): expected True, False, or names of additions."
        )
    prices, target = _prices(gated, profile, target_ms, budgets)
    graph = read_graph(model if gated is None else ungated(gated))
    spaces = find_channel_spaces(graph)
    exclude_layers(spaces, [*(gated.steering.excluded if gated else ()), *_listed(exclude)])
    if not spaces.prunable:
        raise NothingToPruneError(f"no channel of {model.name!r} can be removed:\n{spaces}")
    gates = _gates_of(gated) if gated else {}
    gates = {name: values for name, values in gates.items() if spaces[name].kept is None}
    raw = graph if gated is None else read_graph(ungated(gated, gates_open=True))
    whole = Pruning.of(
        graph,
        spaces,
        importance_by(importance, raw, spaces, {}, seed),
        prices,
        gates,
        Limits.of(spaces, min_channels, multiple_of),
    )
    left = whole
    if not isinstance(remove_branches, bool):
        left = without_named(whole, _listed(remove_branches))
    elif remove_branches:
        left = without_closed(whole)
        left = left if target is None else without_costly(left, target)
    wanted = left.limits.at_least(left.open_widths) if target is None else left.widths(target)
    ranking = left.ranking
    kept = {
        space.name: np.flatnonzero(left.gates[space.name] > 0)
        if space.name in left.gates and width == now
        else ranking.first(space.name, width)
        for space, width, now in zip(left.spaces, wanted, left.open_widths, strict=True)
        if space.name in ranking.order
    }
    small = rewiden(left.graph, left.spaces, kept)
    gone = [name for name in spaces.names if name not in left.renamed]
    kept |= {name: np.empty(0, int) for name in gone}
    history = inherit(small, model, kept, renamed=left.renamed)
    before, after = whole.plan(), left.plan()
    history.write(
        "prune",
        widths=dict(zip(left.spaces.names, wanted.astype(int).tolist(), strict=True))
        | dict.fromkeys(gone, 0),
        target_ms=target_ms,
        **({} if budgets is None else {"target_share": target}),
        **predictions(before, after, wanted),
        branches=list(left.gone),
    )
    return small


def _prices(
    gated: PrunableModel | None,
    profile: DeviceProfile | str | None,
    target_ms: float | None,
    budgets: Budget | Sequence[Budget] | None,
) -> tuple[DeviceProfile | Sequence[Budget] | None, float | None]:
    """What widths cost, and how much they may, as :class:`Pruning` takes it."""
    if budgets is not None:
        if profile is not None or target_ms is not None:
            raise UsageError("prune() takes budgets=, or profile= and target_ms=; not both.")
        checked = checked_budgets(budgets)
        warn_if_unmeasured(*profiles_of(checked))
        return checked, 1.0
    regularizer = None if gated is None else gated.regularizer
    if profile is None and isinstance(regularizer, BudgetRegularizer) and target_ms is None:
        return regularizer.budgets, None
    if profile is None and isinstance(regularizer, LatencyRegularizer):
        profile = regularizer.profile
    if isinstance(profile, str):
        profile = load_profile(profile)
    if target_ms is None:
        return profile, None
    if profile is None:
        raise UsageError(
            "prune(target_ms=...) needs a profile: pass profile=, or compile with a LatencyRegularizer."
        )
    if not (math.isfinite(target_ms) and target_ms > 0):
        raise UsageError(f"prune(target_ms={target_ms}): expected a positive number of milliseconds.")
    warn_if_unmeasured(profile)
    return profile, target_ms


def costly_branches(
    model: keras.Model, prices: DeviceProfile | Sequence[Budget], target_ms: float
) -> list[str]:
    """The channel spaces of branches in whose time a trained network could keep more of the others.

    Args:
        model: a plain Keras model; it is not changed.
        prices: what widths cost; of several budgets the target is 1.
        target_ms: that the network shall be pruned to.

    Raises:
        TargetError: the target is below what is left without any branch.
    """
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    whole = Pruning.of(graph, spaces, importance_by("weights", graph, spaces), prices)
    left = without_costly(whole, target_ms)
    return [name for name in spaces.names if name not in left.renamed]


def kept_channels(model: keras.Model) -> dict[str, list[int]]:
    """Which channels of the network that it was made from a pruned or grown network has, by channel space.

    Plain data, for a file beside the model: with it :func:`apply_widths` makes the same network again
    from the weights of the first one. A channel that is new, as growth without an origin makes them, is
    -1. Known as long as the model lives; a loaded model has none.
    """
    return {name: channels.tolist() for name, channels in history_of(model).original.items()}


def apply_widths(model: keras.Model, kept: Mapping[str, Sequence[int] | int]) -> keras.Model:
    """The network with these channels only, and their weights.

    Args:
        model: a built Sequential or functional model; it is not changed.
        kept: by channel space the numbers of the channels that stay (see :func:`kept_channels`), or how
            many of the most important ones. Spaces that are not named stay whole. No channel at all in every
            space of a branch takes the branch away.

    Returns:
        A plain Keras model under the same layer names.

    Raises:
        UsageError: there is no such space, it cannot be narrowed, or these are not its channels.

    Example::

        json.dump(fdi.kept_channels(small), open("widths.json", "w"))
        again = fdi.apply_widths(original, json.load(open("widths.json")))
    """
    graph = read_graph(model)
    graph, spaces, renamed = without_emptied(graph, find_channel_spaces(graph), dict(kept))
    ranking = Ranking.of(importance_by("weights", graph, spaces))
    channels = {}
    gone = {space.name for space in find_channel_spaces(read_graph(model))} - set(renamed)
    for name, wanted in kept.items():
        if name in gone:
            continue
        space = next((space for space in spaces if space.name == name), None)
        if space is None:
            raise UsageError(f"{model.name!r} has no channel space {name!r}; it has {_some(spaces)}.")
        listed = np.asarray(wanted, int)
        if not listed.ndim:
            count = int(listed)
            listed = ranking.first(name, count) if name in ranking.order else np.arange(count)
        chosen = np.unique(listed)
        if len(chosen) < len(listed) or not len(chosen) or chosen[0] < 0 or chosen[-1] >= space.width:
            raise UsageError(
                f"channels of {name!r} must be different numbers from 0 to {space.width - 1}, at least one; "
                f"received {len(listed)}, from {listed.min(initial=0)} to {listed.max(initial=0)}."
            )
        if space.kept is not None and len(chosen) < space.width:
            raise UsageError(f"channel space {name!r} cannot be narrowed: {space.kept}.")
        channels[name] = chosen
    small = rewiden(graph, spaces, channels)
    channels |= {name: np.empty(0, int) for name in gone}
    inherit(small, model, channels, renamed=renamed)
    return small


def _gates_of(model: PrunableModel) -> dict[str, np.ndarray]:
    check_gates(model.gates)
    return {name: gate.values() for name, gate in model.gates.items()}


def _listed(patterns: str | Sequence[str]) -> list[str]:
    return [patterns] if isinstance(patterns, str) else list(patterns)


def _some(spaces: ChannelSpaces) -> str:
    names = spaces.names
    return ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
