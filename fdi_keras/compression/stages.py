"""Networks on the way of a compression, and what is told of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import keras

from fdi_keras.compression.budget_meter import BudgetMeter
from fdi_keras.networks.channel_spaces import ChannelSpaces, find_channel_spaces
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.latency import measure_interleaved, predict_latency
from fdi_keras.profile import DeviceProfile
from fdi_keras.profile.timed_on import runtime_of

#: Seconds of timing of each network.
MEASURE_S = 1.0


@dataclass(frozen=True)
class Stage:
    """A network on the way.

    Attributes:
        name: ``"original"``, ``"pruned"``, ``"grown"`` or ``"fine-tuned"``.
        parameters, flops: counts.
        predicted_ms: by the profile.
        measured_ms: on the device; ``None`` where none was named.
        metrics: of ``validation_data``, loss included; empty without.
        widths: of the channel spaces that the original has and that can be narrowed, by name; 0 where a branch went.
        budgets: what it takes of each further budget, in the budget's unit, by its words.
    """

    name: str
    parameters: int
    flops: float
    predicted_ms: float
    measured_ms: float | None
    metrics: dict[str, float]
    widths: dict[str, int]
    budgets: dict[str, float] = field(default_factory=dict)


def told_of(
    networks: Mapping[str, keras.Model],
    spaces: ChannelSpaces,
    meter: BudgetMeter,
    metrics: Callable[[keras.Model], dict[str, float]],
) -> list[Stage]:
    """What is told of networks, all of them timed in turns where the first budget names a device.

    Args:
        networks: by their stage's name.
        spaces: of the original.
        meter: of all budgets; the first is a latency.
        metrics: of a network.
    """
    profile, device = meter.budgets[0].profile, meter.budgets[0].device
    assert isinstance(profile, DeviceProfile)
    times: list[float | None] = [None] * len(networks)
    if device is not None:
        runtime = runtime_of(profile)
        measured = measure_interleaved(
            list(networks.values()), device, runtime.threads or 1, MEASURE_S, runtime
        )
        times = [each.median_ms for each in measured]
    stages = []
    for (name, network), took_ms in zip(networks.items(), times, strict=True):
        priced = predict_latency(network, profile)
        stages.append(
            Stage(
                name,
                int(network.count_params()),
                priced.flops,
                priced.total_ms,
                took_ms,
                metrics(network),
                widths_by(spaces, network),
                meter.further(network, MEASURE_S),
            )
        )
    return stages


def widths_by(spaces: ChannelSpaces, network: keras.Model) -> dict[str, int]:
    """A network's widths by the original's channel spaces, which may be called otherwise where a branch went.

    0 where nothing is left of a space.
    """
    left = {
        producer: space.width
        for space in find_channel_spaces(read_graph(network))
        for producer in space.producers
    }
    return {
        space.name: next((left[producer] for producer in space.producers if producer in left), 0)
        for space in spaces.prunable
    }
