"""The opponent that FastDeepIoT was measured against: a compressor network that learns which units to keep.

After Yao et al., "DeepIoT: compressing deep neural network structures for sensing systems with a
compressor-critic framework" (SenSys 2017), in our own words and terms:

- The compressor reads the weight matrix of every channel space: a learned bilinear map makes 64 numbers of
  it, an LSTM goes over the spaces in their order, a dense sigmoid for each space gives every unit a
  probability to be kept.
- One threshold for all spaces rises during the search. What lies below it is rarely kept at first, and
  never at the end; what is above stays, and the network is fine-tuned by whoever called.
- The network trains under masks drawn from the probabilities under the threshold. The compressor is trained
  by REINFORCE: masks under which the loss was lower than usual, by a moving average, become likelier.

Steered by the number of parameters as published, or, as FastDeepIoT does, by predicted time: both are a
profile here (see ``profile/counted.py``). Our choice, besides every number below:

- The threshold is found anew in every step so that the widths expected under it meet a falling budget.
- It is soft in proportion to how far the log odds of the units lie apart: a fixed softness would never tell
  apart those that differ less, and no unit would be chosen before the cut.
- A mask is drawn for a batch, not for an example, because gates act on kernels.
- A least share of every space stays before anything else, lest a space closes as a whole where the
  probabilities of two spaces differ by more than those within them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.controller import StrengthController
from fdi_keras.compression.gates import LIMIT
from fdi_keras.compression.prunable import prunable
from fdi_keras.compression.prune import prune
from fdi_keras.compression.targets import check_target
from fdi_keras.errors import UsageError
from fdi_keras.networks.channel_spaces import ChannelSpaces
from fdi_keras.networks.graph import read_graph
from fdi_keras.networks.latency_plan import LatencyPlan
from fdi_keras.networks.layer_operators import read_layer_operators
from fdi_keras.networks.layer_widths import axes_of
from fdi_keras.profile import DeviceProfile, load_profile

L = keras.layers

#: Numbers that the bilinear map makes of a matrix, and states of the LSTM.
CODE = 64

#: Of the compressor's optimizer.
RATE = 1e-3

#: How much of the usual loss is that of the last steps.
FORGETTING = 0.1

#: A loss counts as at most so many usual deviations from the usual one.
FARTHEST = 3.0

#: Within this distance of the threshold a unit is neither kept nor closed, at first and at the end, in
#: standard deviations of the log odds of all units.
SOFT, HARD = 1.0, 0.02

#: Log odds count as at least this far apart.
LEAST_DEVIATION = 0.1

#: Probabilities count as at least this far from 0 and 1.
CERTAIN = 1e-6

#: What puts the log odds of units that stay above those of all others.
LIFT = 30.0

#: Of a space stays this part of the share that would be left if all were narrowed alike to the target.
LEAST = 0.5

#: Halvings in which a share is found.
HALVINGS = 24

#: A threshold is found by splitting an interval so often into so many parts; costs are predicted for all at once.
SPLITS, PARTS = 6, 16


def compress_by_deepiot(
    model: keras.Model,
    cost: DeviceProfile | str,
    target: float,
    data: tuple[np.ndarray, np.ndarray],
    epochs: int,
    *,
    batch_size: int = 32,
    seed: int = 0,
    report: Callable[[str], None] | None = print,
    fits: Callable[[keras.Model], bool] | None = None,
) -> keras.Model:
    """Search with a compressor network, then cut. Fine-tuning is left to the caller.

    Args:
        model: a trained and compiled network; it is not changed.
        cost: what is steered: ``counting_profile("parameters")`` as published, or that of a device.
        target: in the units of ``cost``.
        data: arrays ``(x, y)``.
        epochs: of the search; the threshold reaches the target after seven tenths of them.
        batch_size: examples of a step.
        seed: of masks and of the order of examples.
        report: is told of every epoch; ``None``: nobody is.
        fits: decides at the end how much is cut, such as what a network takes on a device; ``None``: its
            cost is at most ``target``.

    Returns:
        A plain Keras model, the largest by the compressor's probabilities that fits.

    Raises:
        UsageError: the model is not compiled.
        TargetError: one unit in every space costs more.
    """
    if not getattr(model, "compiled", False):
        raise UsageError("compress_by_deepiot() takes loss and optimizer from the model: compile it first.")
    search = _Search(model, load_profile(cost) if isinstance(cost, str) else cost, target, seed)
    x, y = data
    steps = epochs * -(-len(x) // batch_size)
    for step, batch in enumerate(_batches(len(x), batch_size, epochs, search.rng)):
        loss = search.step(x[batch], y[batch], step / steps)
        if report is not None and (step + 1) % max(steps // epochs, 1) == 0:
            report(
                f"DeepIoT {(step + 1) * epochs // steps}/{epochs}: loss {loss:.4g}, cost {search.expected:.4g}"
            )
    return search.cut(fits)


class _Search:
    def __init__(self, model: keras.Model, cost: DeviceProfile, target: float, seed: int):
        self.rng = np.random.default_rng(seed)
        self.target = target
        self.model, self.gated = model, prunable(model)
        self.spaces = [space.name for space in self.gated.channel_spaces.prunable]
        self.widths = np.array([self.gated.gates[name].channels for name in self.spaces])
        self.gated.all_gates.trainable = False
        self.gated.compile(**keras.saving.deserialize_keras_object(model.get_compile_config()))
        self.cost = _Cost(model, self.gated.channel_spaces, self.spaces, cost)
        check_target(self.cost.plan, target, "units")
        self.least = LEAST * self._share_of_all()
        self.schedule = StrengthController(float(self.cost(self.widths)), target, 1.0)
        self.compressor = compressor_for([matrix.shape[1:] for matrix in self._matrices()])
        self.drawn = under_threshold(self.compressor)
        self.drawn.compile(keras.optimizers.Adam(RATE), _log_likelihood)
        self.usual: float | None = None
        self.variance = 0.0  # of the loss about the usual one
        self.expected = 0.0

    def step(self, x: Any, y: Any, progress: float) -> float:
        """One batch: a mask is drawn, the network learns under it, the compressor from its loss."""
        kept = self._kept()
        probability, threshold, soft = self._pressed(kept, progress)
        mask = self.rng.random(len(probability)) < probability
        self._close(mask)
        self.gated.reset_metrics()  # or the loss would be the mean of all steps so far
        loss = float(self.gated.train_on_batch(x, y, return_dict=True)["loss"])
        # The gradient of the expected loss is that of the log likelihood of the mask, times the loss. The
        # likelihood is that under the threshold: while the budget falls losses are higher than usual, and by
        # its probability without threshold every unit that the threshold closes would become likelier.
        advantage = np.array([self._advantage(loss)], "float32")
        inputs = self._matrices()
        inputs += [threshold[None].astype("float32"), np.array([[soft]], "float32")]
        self.drawn.train_on_batch(inputs, mask[None].astype("float32"), sample_weight=advantage)
        return loss

    def cut(self, fits: Callable[[keras.Model], bool] | None) -> keras.Model:
        """The network of the units above the lowest threshold at which it fits."""
        # Of equal ones some: ranks tell them apart.
        order = np.argsort(np.argsort(self._scores(self._kept()), kind="stable")).astype(float)
        for part in self._parts():  # the highest of a space always stays
            order[part.start + int(np.argmax(order[part]))] = np.inf
        low, high = 0, len(order) - 1
        levels = np.sort(order)
        while low < high:  # the fewest closed units
            middle = (low + high) // 2
            if self._fits(order >= levels[middle], fits):
                high = middle
            else:
                low = middle + 1
        self._close(order >= levels[low])
        return prune(self.gated)

    def _fits(self, mask: np.ndarray, fits: Callable[[keras.Model], bool] | None) -> bool:
        if fits is None:
            return bool(self.cost(self._counts(mask)) <= self.target)
        self._close(mask)
        return fits(prune(self.gated))

    def _share_of_all(self) -> float:
        """The share at which all spaces, narrowed alike, cost the target."""
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            share = (low + high) / 2
            above = self.cost(np.maximum(share * self.widths, 1.0)) > self.target
            low, high = (low, share) if above else (share, high)
        return low

    def _kept(self) -> np.ndarray:
        """The compressor's probability of every unit."""
        return np.asarray(keras.ops.convert_to_numpy(self.compressor.predict_on_batch(self._matrices())))[0]

    def _scores(self, kept: np.ndarray) -> np.ndarray:
        """What is compared with the threshold: the likeliest of each space come before all others."""
        scores = _log_odds(kept)
        for part in self._parts():
            count = math.ceil(self.least * (part.stop - part.start))
            scores[part.start + np.argsort(-kept[part], kind="stable")[:count]] += LIFT
        return scores

    def _pressed(self, kept: np.ndarray, progress: float) -> tuple[np.ndarray, np.ndarray, float]:
        """Probabilities under the threshold that the budget of this moment asks for, that of each unit, and
        its softness.
        """
        budget = self.schedule.scheduled(progress)
        soft = SOFT * (HARD / SOFT) ** progress * max(float(np.std(_log_odds(kept))), LEAST_DEVIATION)
        scores = self._scores(kept)
        low, high = -LIFT, 2 * LIFT
        for _ in range(SPLITS):
            levels = np.linspace(low, high, PARTS + 1)[1:]
            probability = kept / (1 + np.exp(np.clip((levels[:, None] - scores) / soft, -60, 60)))
            costs = self.cost(self._counts(probability))
            at = int(np.argmax(costs <= budget)) if costs[-1] <= budget else PARTS - 1
            low, high = levels[at] - (levels[1] - levels[0]), levels[at]
        self.expected = float(costs[at])
        return probability[at], levels[at] - scores + _log_odds(kept), soft

    def _advantage(self, loss: float) -> float:
        """How much lower than usual a loss is, in usual deviations."""
        if self.usual is None:
            self.usual = loss
        deviation = self.usual - loss
        self.usual -= FORGETTING * deviation
        self.variance += FORGETTING * (deviation**2 - self.variance)
        return float(np.clip(deviation / max(math.sqrt(self.variance), 1e-6), -FARTHEST, FARTHEST))

    def _close(self, mask: np.ndarray) -> None:
        logits = np.where(mask, LIMIT, -LIMIT)
        parts = zip(self.spaces, self._parts(), strict=True)
        self.gated.all_gates.set_logits({name: logits[part] for name, part in parts})

    def _counts(self, probability: np.ndarray) -> np.ndarray:
        """Units of each space, ``(..., spaces)``, from what is kept of each, ``(..., units)``."""
        counts = [np.sum(probability[..., part], axis=-1, dtype=float) for part in self._parts()]
        return np.maximum(np.stack(counts, axis=-1), 1.0)

    def _parts(self) -> list[slice]:
        ends = np.cumsum(self.widths)
        return [slice(int(end - width), int(end)) for end, width in zip(ends, self.widths, strict=True)]

    def _matrices(self) -> list[np.ndarray]:
        """Of each space the weights that make its units, ``(1, units, features)``."""
        found = []
        for name in self.spaces:
            producer = self.gated.channel_spaces[name].producers[0]
            kernel = keras.ops.convert_to_numpy(self.gated.get_layer(producer).weights[0])
            found.append(weight_matrix(self.model.get_layer(producer), np.asarray(kernel))[None])
        return found


class _Cost:
    """What a network costs, by the widths of its prunable spaces."""

    def __init__(self, model: keras.Model, spaces: ChannelSpaces, names: list[str], cost: DeviceProfile):
        self.plan = LatencyPlan(read_layer_operators(read_graph(model)), spaces, cost)
        self.places = [self.plan.names.index(name) for name in names]

    def __call__(self, widths: np.ndarray) -> np.ndarray:
        full = np.broadcast_to(self.plan.full_widths, (*widths.shape[:-1], len(self.plan.names))).copy()
        full[..., self.places] = np.round(widths)
        return self.plan.predict_ms(full)


def weight_matrix(layer: Any, kernel: np.ndarray) -> np.ndarray:
    """The weights by which a layer makes its units, ``(units, features)`` float32, of mean square 1."""
    axis = next(axis for axis in axes_of(layer, 0) if axis.role == "makes")
    rows = np.moveaxis(kernel, axis.number, 0).reshape(
        axis.blocks, kernel.shape[axis.number] // axis.blocks, -1
    )
    matrix = rows.transpose(1, 0, 2).reshape(rows.shape[1], -1)
    return matrix / max(float(np.sqrt(np.mean(matrix**2))), 1e-12)


def compressor_for(shapes: list[tuple[int, ...]]) -> keras.Model:
    """A network from weight matrices of these shapes to the probability of every unit, ``(1, units)``."""
    inputs = [keras.Input(shape) for shape in shapes]
    codes = []
    for matrix in inputs:
        right = L.Dense(CODE, use_bias=False)(matrix)
        codes.append(L.Permute((2, 1))(L.Dense(1, use_bias=False)(L.Permute((2, 1))(right))))
    sequence = L.Concatenate(axis=1)(codes) if len(codes) > 1 else codes[0]
    states = L.LSTM(CODE, return_sequences=True)(sequence)
    heads = [
        L.Dense(shape[0], "sigmoid", bias_initializer=keras.initializers.Constant(2.0))(states[:, i])
        for i, shape in enumerate(shapes)
    ]
    return keras.Model(inputs, L.Concatenate()(heads) if len(heads) > 1 else heads[0])


def under_threshold(compressor: keras.Model) -> keras.Model:
    """Of the compressor's probabilities, those under which masks are drawn.

    Besides the matrices it takes the threshold of every unit, ``(1, units)``, and its softness, ``(1, 1)``,
    both in log odds.
    """
    kept = compressor.output
    threshold, soft = keras.Input((kept.shape[-1],)), keras.Input((1,))
    inside = keras.ops.clip(kept, CERTAIN, 1 - CERTAIN)
    log_odds = keras.ops.log(inside / (1 - inside))
    return keras.Model(
        [*compressor.inputs, threshold, soft], kept * keras.ops.sigmoid((log_odds - threshold) / soft)
    )


def _log_odds(probability: np.ndarray) -> np.ndarray:
    inside = np.clip(probability.astype(float), CERTAIN, 1 - CERTAIN)
    return np.log(inside / (1 - inside))


def _log_likelihood(mask: Any, probability: Any) -> Any:
    """Minus the log of how likely a mask was: to be made larger where the loss was low."""
    ops = keras.ops
    probability = ops.clip(probability, CERTAIN, 1 - CERTAIN)
    return -ops.sum(mask * ops.log(probability) + (1 - mask) * ops.log(1 - probability), axis=-1)


def _batches(count: int, size: int, epochs: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, count, size):
            yield order[start : start + size]
