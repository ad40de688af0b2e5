"""The opponent that FastDeepIoT was measured against: a compressor network that learns which units to keep.

After Yao et al., "DeepIoT: compressing deep neural network structures for sensing systems with a
compressor-critic framework" (SenSys 2017), in our own words and terms:

- The compressor reads the weight matrix of every channel space: a learned bilinear map makes 64 numbers of
  it, an LSTM goes over the spaces in their order, a dense sigmoid for each space gives every unit a
  probability to be kept.
- The network trains under masks drawn from these probabilities. The compressor is trained by REINFORCE:
  masks under which the loss was lower than usual, by a moving average, become likelier.
- A threshold on the probabilities rises during the search. At first it closes softly what lies below
  it, at the end it is a cut; what is above stays, and the network is fine-tuned by whoever called.

Steered by the number of parameters as published, or, as FastDeepIoT does, by predicted time: both are a
profile here (see ``profile/counted.py``). The threshold is found anew in every step so that the widths
expected under it meet a falling budget; this, the softness, and every number below are our choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from fdi_keras.compression.controller import StrengthController
from fdi_keras.compression.gated_model import check_target
from fdi_keras.compression.gates import LIMIT
from fdi_keras.compression.prunable import prunable
from fdi_keras.compression.prune import prune
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
FORGETTING = 0.05

#: Within this distance of the threshold a unit is neither kept nor closed, at first and at the end.
SOFT, HARD = 0.2, 0.005

#: Halvings in which a threshold is found.
HALVINGS = 24


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
        self.schedule = StrengthController(self.cost(self.widths), target, 1.0)
        self.compressor = compressor_for([matrix.shape for matrix in self._matrices()])
        self.compressor.compile(keras.optimizers.Adam(RATE), _log_likelihood)
        self.usual: float | None = None
        self.expected = 0.0

    def step(self, x: Any, y: Any, progress: float) -> float:
        """One batch: masks are drawn, the network learns under them, the compressor from its loss."""
        matrices = [matrix[None] for matrix in self._matrices()]
        kept = np.asarray(keras.ops.convert_to_numpy(self.compressor.predict_on_batch(matrices)))[0]
        probability = self._pressed(kept, progress)
        mask = self.rng.random(len(probability)) < probability
        self._close(mask)
        self.gated.reset_metrics()  # or the loss would be the mean of all steps so far
        loss = float(self.gated.train_on_batch(x, y, return_dict=True)["loss"])
        self.usual = loss if self.usual is None else self.usual + FORGETTING * (loss - self.usual)
        # The gradient of the expected loss is that of the log likelihood of the mask, times the loss.
        advantage = np.array([self.usual - loss], "float32")
        self.compressor.train_on_batch(matrices, mask[None].astype("float32"), sample_weight=advantage)
        return loss

    def cut(self, fits: Callable[[keras.Model], bool] | None) -> keras.Model:
        """The network of the units above the lowest threshold at which it fits."""
        matrices = [matrix[None] for matrix in self._matrices()]
        kept = np.asarray(keras.ops.convert_to_numpy(self.compressor.predict_on_batch(matrices)))[0]
        # The highest of a space always stays, and of equal ones some: ranks tell them apart.
        order = np.argsort(np.argsort(kept, kind="stable")) / len(kept)
        for part in self._parts():
            order[part.start + int(np.argmax(order[part]))] = 2.0
        low, high = 0, len(kept) - 1
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
            return self.cost(self._counts(mask)) <= self.target
        self._close(mask)
        return fits(prune(self.gated))

    def _pressed(self, kept: np.ndarray, progress: float) -> np.ndarray:
        """Probabilities under the threshold that the budget of this moment asks for."""
        budget = self.schedule.scheduled(progress)
        soft = SOFT * (HARD / SOFT) ** progress
        low, high = -1.0, 1.0 + 6 * SOFT
        for _ in range(HALVINGS):
            threshold = (low + high) / 2
            probability = kept / (1 + np.exp(np.clip((threshold - kept) / soft, -60, 60)))
            self.expected = self.cost(self._counts(probability))
            low, high = (threshold, high) if self.expected > budget else (low, threshold)
        return probability

    def _close(self, mask: np.ndarray) -> None:
        logits = np.where(mask, LIMIT, -LIMIT)
        parts = zip(self.spaces, self._parts(), strict=True)
        self.gated.all_gates.set_logits({name: logits[part] for name, part in parts})

    def _counts(self, probability: np.ndarray) -> np.ndarray:
        return np.maximum([float(np.sum(probability[part])) for part in self._parts()], 1.0)

    def _parts(self) -> list[slice]:
        ends = np.cumsum(self.widths)
        return [slice(int(end - width), int(end)) for end, width in zip(ends, self.widths, strict=True)]

    def _matrices(self) -> list[np.ndarray]:
        """Of each space the weights that make its units, ``(units, features)``."""
        found = []
        for name in self.spaces:
            producer = self.gated.channel_spaces[name].producers[0]
            kernel = keras.ops.convert_to_numpy(self.gated.get_layer(producer).weights[0])
            found.append(weight_matrix(self.model.get_layer(producer), np.asarray(kernel)))
        return found


class _Cost:
    """What a network costs, by the widths of its prunable spaces."""

    def __init__(self, model: keras.Model, spaces: ChannelSpaces, names: list[str], cost: DeviceProfile):
        self.plan = LatencyPlan(read_layer_operators(read_graph(model)), spaces, cost)
        self.places = [self.plan.names.index(name) for name in names]

    def __call__(self, widths: np.ndarray) -> float:
        full = self.plan.full_widths.copy()
        full[self.places] = np.round(widths)
        return float(self.plan.predict_ms(full))


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


def _log_likelihood(mask: Any, probability: Any) -> Any:
    """Minus the log of how likely a mask was: to be made larger where the loss was low."""
    ops = keras.ops
    probability = ops.clip(probability, 1e-6, 1 - 1e-6)
    return -ops.sum(mask * ops.log(probability) + (1 - mask) * ops.log(1 - probability), axis=-1)


def _batches(count: int, size: int, epochs: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    for _ in range(epochs):
        order = rng.permutation(count)
        for start in range(0, count, size):
            yield order[start : start + size]
