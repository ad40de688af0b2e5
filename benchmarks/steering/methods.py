"""The ways of compression that are compared, each driven to the same measured time.

Every one gets the trained network and as many further epochs; those that train from scratch get the epochs of
the uncompressed network besides. What a method steers by is its own matter; how far it goes is decided by
timing on this computer, with recurrent layers as loops or unrolled, as is faster: of all networks, whoever made them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

import fdi_keras as fdi
from benchmarks.steering.tasks import Arrays, Task
from fdi_keras.compression.deepiot import compress_by_deepiot
from fdi_keras.compression.distillation import Lesson, lesson
from fdi_keras.compression.importance import Ranking, importance_by
from fdi_keras.compression.recipe import STEERING
from fdi_keras.compression.thinning import thin_to_time
from fdi_keras.compression.tuning import estimate_statistics, rising_and_falling, without_dropout
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.networks.branches import find_branches
from fdi_keras.networks.recurrent_export import in_form, longest_loop
from fdi_keras.profile import DeviceProfile
from fdi_keras.profile.counted import counting_profile

#: Share of the epochs in which a compressor network is trained; the rest fine-tunes. Gates get as many as ours.
SEARCHING = 0.4

#: A network is on target within this share; so many are tried.
NEAR, TRIES = 0.02, 9

#: Seconds of timing of a network that is only tried.
TRY_S = 0.3


@dataclass(frozen=True)
class Case:
    """What a method is given.

    Attributes:
        task, network, data: the task, its trained network, and what to learn from.
        profile: of this computer.
        target_ms: measured time to come to.
        seed: of everything random.
        folder: of :func:`steered` for this case: every stage, and what a run that was stopped goes on with.
    """

    task: Task
    network: keras.Model
    data: Arrays
    profile: DeviceProfile
    target_ms: float
    seed: int
    folder: Path

    def epochs(self, share: float) -> tuple[int, int]:
        """A share of the epochs, and the rest of them."""
        first = max(round(share * self.task.compress), 1)
        return first, self.task.compress - first


def steered(case: Case) -> keras.Model:
    """This library's recipe."""
    return _compressed(case, case.folder)


def keeping_branches(case: Case) -> keras.Model:
    """The same with all branches of additions."""
    graph = read_graph(case.network)
    if not find_branches(graph, find_channel_spaces(graph)):
        raise LookupError("no branch could go")
    return _compressed(case, case.folder / "keeping branches", remove_branches=False)


def found_from_scratch(case: Case) -> keras.Model:
    """The widths that the recipe found, trained from scratch."""
    found = keras.models.load_model(case.folder / "fine-tuned.keras")
    return _trained(keras.models.clone_model(found), case, case.task.train + case.task.compress)


def uniform_from_scratch(case: Case) -> keras.Model:
    """All widths scaled alike, trained from scratch."""
    return _trained(
        thin_to_time(case.network, case.target_ms, _time, NEAR), case, case.task.train + case.task.compress
    )


def deepiot_by_size(case: Case) -> keras.Model:
    """DeepIoT as published: steered by the number of parameters."""
    return _deepiot(case, counting_profile("parameters"))


def deepiot_by_time(case: Case) -> keras.Model:
    """DeepIoT steered by predicted time, as FastDeepIoT does."""
    return _deepiot(case, case.profile)


def flops_penalty(case: Case) -> keras.Model:
    """Gates under a penalty on FLOPs, as MorphNet has it."""
    return _gates_by(case, counting_profile("flops"))


def parameters_penalty(case: Case) -> keras.Model:
    """Gates under a penalty on the number of parameters."""
    return _gates_by(case, counting_profile("parameters"))


def multiples_of_8(case: Case) -> keras.Model:
    """Gates steered by predicted time, widths rounded to multiples of 8."""
    return _gates_by(case, case.profile, multiple_of=8)


def random_channels(case: Case) -> keras.Model:
    """Every space narrowed alike, to random channels."""
    return _ranked(case, "random")


def l1(case: Case) -> keras.Model:
    """Every space narrowed alike, to the filters of largest L1 norm."""
    return _ranked(case, "l1")


def taught_l1(case: Case) -> keras.Model:
    """The same, and the teacher and the mixtures of this library's recipe: what its widths add to them."""
    arguments = keras.saving.deserialize_keras_object(case.network.get_compile_config())
    found = lesson(case.network, *case.data, arguments["loss"], case.task.batch, case.task.compress)
    assert isinstance(found, Lesson)
    return _ranked(case, "l1", found)


def l2(case: Case) -> keras.Model:
    """Every space narrowed alike, to the filters of largest L2 norm."""
    return _ranked(case, "l2")


def scale(case: Case) -> keras.Model:
    """Every space narrowed alike, to the channels of largest batch normalization scale."""
    return _ranked(case, "scale")


METHODS: dict[str, Callable[[Case], keras.Model]] = {
    method.__name__: method
    for method in (
        steered,
        keeping_branches,
        found_from_scratch,
        uniform_from_scratch,
        deepiot_by_size,
        deepiot_by_time,
        flops_penalty,
        parameters_penalty,
        multiples_of_8,
        random_channels,
        l1,
        taught_l1,
        l2,
        scale,
    )
}


def _deepiot(case: Case, cost: DeviceProfile) -> keras.Model:
    searching, tuning = case.epochs(SEARCHING)
    searched = compress_by_deepiot(
        case.network, cost, _cost_of_uniform(case, cost), case.data, searching,
        batch_size=case.task.batch, seed=case.seed, report=None,
        fits=lambda network: _time(network) <= case.target_ms * (1 + NEAR),
    )  # fmt: skip
    return tuned(searched, case, tuning)


def _compressed(case: Case, folder: Path, **options: Any) -> keras.Model:
    """By the recipe; a run that was stopped goes on to the target that it had."""
    begun = folder / "run.json"
    target_ms = json.loads(begun.read_text())["target_ms"] if begun.exists() else case.target_ms
    result = fdi.compress(
        case.network, case.profile, target_ms, case.data, case.task.compress,
        batch_size=case.task.batch, folder=folder, report=lambda _: None, **options,
    )  # fmt: skip
    return result.model


def steered_gates(case: Case, cost: DeviceProfile) -> fdi.PrunableModel:
    """The gated network, steered to what the uniformly thinned one costs."""
    gated = fdi.prunable(case.network)
    start = fdi.predict_latency(case.network, cost).total_ms
    wanted = min(_cost_of_uniform(case, cost), 0.98 * start)
    arguments = keras.saving.deserialize_keras_object(case.network.get_compile_config())
    gated.compile(**arguments, regularizer=fdi.LatencyRegularizer(cost, target_ms=wanted))
    gated.fit(*case.data, case.task.batch, epochs=case.epochs(STEERING)[0], verbose=0)
    return gated


def _gates_by(case: Case, cost: DeviceProfile, **pruning: Any) -> keras.Model:
    gated = steered_gates(case, cost)
    start = fdi.predict_latency(case.network, cost).total_ms

    def build(share: float) -> keras.Model | None:
        try:
            # As in ours; MorphNet loses layers, too, whose channels have all closed.
            pruned = fdi.prune(gated, cost, target_ms=share * start, remove_branches=True, **pruning)
        except fdi.errors.TargetError:
            return None
        return (
            fdi.grow(pruned, cost, origin=gated, target_ms=share * start, report=None)
            if not pruning
            else pruned
        )

    return tuned(_on_target(build, case.target_ms), case, case.epochs(STEERING)[1])


def _ranked(case: Case, criterion: str, taught: Lesson | None = None) -> keras.Model:
    graph = read_graph(case.network)
    spaces = find_channel_spaces(graph)
    ranking = Ranking.of(importance_by(criterion, graph, spaces, {}, case.seed))

    def build(share: float) -> keras.Model:
        kept = {
            space.name: np.sort(ranking.first(space.name, max(1, round(share * space.width)))).tolist()
            for space in spaces.prunable
        }
        return fdi.apply_widths(case.network, kept)

    return tuned(_on_target(build, case.target_ms), case, case.task.compress, taught)


def _on_target(build: Callable[[float], keras.Model | None], target_ms: float) -> keras.Model:
    """The network nearest to a measured time among those of a share between 0 and 1."""
    low, high = 0.0, 1.0
    best: tuple[float, keras.Model] | None = None
    for _ in range(TRIES):
        share = (low + high) / 2
        network = build(share)
        took = math.inf if network is None else _time(network)
        if network is not None and (best is None or abs(took - target_ms) < best[0]):
            best = (abs(took - target_ms), network)
        if best is not None and best[0] <= NEAR * target_ms:
            break
        # What cannot be built is too narrow, not too slow.
        low, high = (low, share) if took > target_ms and network is not None else (share, high)
    if best is None:
        raise LookupError("no network could be built")
    return best[1]


def _cost_of_uniform(case: Case, cost: DeviceProfile) -> float:
    """What the uniformly thinned network of the target's time costs: how far a search by another cost goes."""
    thin = thin_to_time(case.network, case.target_ms, _time, NEAR)
    return fdi.predict_latency(thin, cost).total_ms


def _trained(network: keras.Model, case: Case, epochs: int, taught: Lesson | None = None) -> keras.Model:
    arguments = keras.saving.deserialize_keras_object(case.network.get_compile_config())
    examples, batch = case.data, case.task.batch
    if taught is not None:
        arguments |= {"loss": taught.loss, "metrics": None}
        examples, batch = taught.examples, None
    network.compile(**arguments)
    rate = float(keras.ops.convert_to_numpy(network.optimizer.learning_rate))
    schedule = keras.callbacks.LearningRateScheduler(
        lambda epoch, _: rate * rising_and_falling((epoch + 0.5) / epochs)
    )
    with without_dropout(network) if taught is not None and taught.is_mixed else nullcontext():
        network.fit(*examples, batch_size=batch, epochs=epochs, verbose=0, callbacks=[schedule])
    return network


def tuned(network: keras.Model, case: Case, epochs: int, taught: Lesson | None = None) -> keras.Model:
    """A cut network, trained on."""
    estimate_statistics(network, case.data[0], case.task.batch)
    return _trained(network, case, epochs, taught)


def _time(network: keras.Model) -> float:
    return min(each.median_ms for each in fdi.measure_interleaved(forms(network), seconds=TRY_S))


def forms(network: keras.Model) -> list[keras.Model]:
    """The network as it is, and with its recurrent layers in the other form."""
    if not longest_loop(network):
        return [network]
    others = (in_form(network, unroll) for unroll in (False, True))
    return [network, *(other for other in others if other is not network)]
