"""Learning from the network before compression as well as from the labels.

After Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (2015): what the larger
network says of an example tells more than its label, the more so the softer it is said. Of examples that it has learned
by heart it says little more than the label; it is therefore asked about mixtures of two examples as well (mixup: Zhang
et al., 2018; with a teacher: Beyer et al., "Knowledge distillation: a good teacher is patient and consistent", 2022).
Where the task is no classification the target itself is drawn towards what the larger network says (our choice).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import keras
import numpy as np

ops = keras.ops

#: How much the larger network counts beside the labels, and how soft its words are (our choice).
SHARE, TEMPERATURE = 0.5, 3.0

#: Share of the examples that stay unmixed, and so many mixtures of each, one an epoch, in turn (our choice).
UNMIXED, MIXTURES = 0.5, 4

#: Bytes of what the teacher says, of all mixtures: outputs of many numbers get fewer (our choice).
MOST_BYTES = 2**30

#: Examples that the teacher is asked about at once.
ASKED_AT_ONCE = 256

#: Probabilities below it are as good as none.
LEAST = 1e-7

#: Losses of classes, of yes and no, and of numbers, by the name Keras gives to their functions.
CLASSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")
NUMBERS = ("mean_squared_error", "mean_absolute_error", "binary_crossentropy", "huber")


class Lesson(NamedTuple):
    """What a student is trained with in the place of the data and the loss.

    Attributes:
        examples: what ``fit`` takes, as its arguments: ``(x, y)`` or a dataset.
        loss: for ``compile``.
        scores_labels: whether metrics of the labels can read the targets.
        is_mixed: whether some of the examples are mixtures of two.
    """

    examples: tuple[Any, ...]
    loss: Any
    scores_labels: bool
    is_mixed: bool = False


def lesson(teacher: keras.Model, x: Any, y: Any, loss: Any, batch_size: int, epochs: int) -> Lesson | str:
    """What the teacher says of the examples, joined to their labels.

    Args:
        teacher: the network before compression, with one output.
        x, y: arrays, examples first.
        loss: as given to ``compile``.
        batch_size: of the lesson.
        epochs: for which it shall last: no more mixtures are made; 0 for none at all.

    Returns:
        The lesson, or why there can be none.
    """
    name = _name_of(loss)
    if not isinstance(y, np.ndarray) or len(teacher.outputs) != 1:
        return "it learns from arrays with one output"
    if name not in (*CLASSES, *NUMBERS):
        return f"nothing is known of how to teach the loss {name!r}"
    if name in NUMBERS:
        said = np.asarray(teacher.predict(x, batch_size=batch_size, verbose=0), "float32")
        labels = np.asarray(y, "float32").reshape(said.shape)
        return Lesson((x, (1 - SHARE) * labels + SHARE * said), loss, True)
    shape: Any = tuple(teacher.outputs[0].shape[1:])
    labels = np.asarray(y, "float32") if name == CLASSES[1] else _one_hot(y, shape[-1])
    sizes: Any = labels.shape[1:]
    if len(sizes) != len(shape) or any(
        size not in (None, own) for size, own in zip(shape, sizes, strict=True)
    ):
        return f"its outputs have shape {shape}, the labels {sizes}"
    logits = bool(getattr(loss, "from_logits", False) or getattr(loss, "_fn_kwargs", {}).get("from_logits"))
    taught = TaughtLoss(shape[-1], logits)
    examples = TaughtExamples(teacher, x, labels, taught, batch_size, epochs)
    return Lesson((examples,), taught, False, examples.is_mixed)


class TaughtExamples(keras.utils.PyDataset):
    """Batches of examples, some of them mixed, with their labels and what a teacher says of them.

    In each epoch an example is there once: as it is, or as the weighted mean with another one, the weight
    uniform between 0 and 1. Inputs that are no floating-point numbers cannot be mixed, and stay as they are.

    Args:
        teacher: is asked about everything beforehand, once.
        x: arrays, examples first.
        labels: ``(examples, ..., classes)``, one-hot.
        loss: that targets are for.
        batch_size: examples of a batch.
        epochs: no more mixtures are made; 0 for none at all.
    """

    def __init__(
        self, teacher: keras.Model, x: Any, labels: np.ndarray, loss: TaughtLoss, batch_size: int, epochs: int
    ):
        # Batches of threads of their own: of those that TensorFlow's pipelines make, 2.21 tunes how, and every
        # epoch lasts until its tuner wakes, after 10 ms x (2^n - 1).
        super().__init__(workers=2)
        self.x = keras.tree.map_structure(np.asarray, x)
        self.labels, self.batch_size, self.epoch = labels, batch_size, 0
        # As Keras's own shuffling, reproducible with keras.utils.set_random_seed.
        self._rng = np.random.default_rng(np.random.randint(2**31))
        are_numbers = all(np.issubdtype(part.dtype, np.floating) for part in keras.tree.flatten(self.x))
        most = min(MIXTURES, epochs, max(MOST_BYTES // labels.nbytes, 1)) if are_numbers else 0
        self.is_mixed = most > 0
        unmixed = [UNMIXED] * most or [1.0]
        self._mixtures = [self._heard(self._mixture(share), teacher, loss) for share in unmixed]
        self._order = self._rng.permutation(len(labels))

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.batch_size)

    def __getitem__(self, index: int) -> tuple[Any, np.ndarray]:
        mixture = self._mixtures[self.epoch % len(self._mixtures)]
        chosen = self._order[index * self.batch_size : (index + 1) * self.batch_size]
        labels = _mean(self.labels, mixture, chosen)
        return self._inputs(mixture, chosen), np.concatenate([labels, mixture.said[chosen]], axis=-1)

    def on_epoch_end(self) -> None:
        self.epoch += 1
        self._order = self._rng.permutation(len(self.labels))

    def _mixture(self, unmixed: float) -> _Mixture:
        count = len(self.labels)
        weight = np.where(self._rng.random(count) < unmixed, 1.0, self._rng.random(count))
        return _Mixture(self._rng.permutation(count), weight.astype("float32"), np.zeros_like(self.labels))

    def _heard(self, mixture: _Mixture, teacher: keras.Model, loss: TaughtLoss) -> _Mixture:
        """The mixture with what the teacher says of it."""
        for start in range(0, len(self.labels), ASKED_AT_ONCE):
            part = np.arange(start, min(start + ASKED_AT_ONCE, len(self.labels)))
            said = np.asarray(teacher.predict_on_batch(self._inputs(mixture, part)), "float32")
            mixture.said[part] = _softened(said if loss.from_logits else np.log(np.maximum(said, LEAST)))
        return mixture

    def _inputs(self, mixture: _Mixture, chosen: np.ndarray) -> Any:
        return keras.tree.map_structure(lambda part: _mean(part, mixture, chosen), self.x)


class _Mixture(NamedTuple):
    """By example: the other one, the weight of the first, and what the teacher says of the two as one."""

    partner: np.ndarray
    weight: np.ndarray
    said: np.ndarray


def _mean(values: np.ndarray, mixture: _Mixture, chosen: np.ndarray) -> np.ndarray:
    weight = mixture.weight[chosen]
    if np.all(weight == 1):
        return values[chosen]
    weight = weight.reshape(-1, *[1] * (values.ndim - 1))
    return weight * values[chosen] + (1 - weight) * values[mixture.partner[chosen]]


@keras.saving.register_keras_serializable(package="fdi_keras")
class TaughtLoss(keras.losses.Loss):
    """Cross entropy with the labels, and with what a larger network says of the same example.

    Args:
        classes: how many; targets are the labels, one-hot, and beside them the softened probabilities.
        from_logits: predictions are no probabilities yet.
    """

    def __init__(self, classes: int, from_logits: bool = False, name: str = "taught", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.classes, self.from_logits = classes, from_logits

    def call(self, y_true: Any, y_pred: Any) -> Any:
        labels, said = y_true[..., : self.classes], y_true[..., self.classes :]
        logits = y_pred if self.from_logits else ops.log(ops.maximum(y_pred, LEAST))
        own = -ops.sum(labels * ops.log_softmax(logits, axis=-1), axis=-1)
        taught = -ops.sum(said * ops.log_softmax(logits / TEMPERATURE, axis=-1), axis=-1)
        return (1 - SHARE) * own + SHARE * TEMPERATURE**2 * taught

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "from_logits": self.from_logits}


@keras.saving.register_keras_serializable(package="fdi_keras")
class TaughtAccuracy(keras.metrics.MeanMetricWrapper):
    """Accuracy on the labels in the targets of a :class:`TaughtLoss`."""

    def __init__(self, classes: int, name: str = "accuracy", **kwargs: Any):
        super().__init__(self._matches, name=name, **kwargs)
        self.classes = classes

    def _matches(self, y_true: Any, y_pred: Any) -> Any:
        return keras.metrics.categorical_accuracy(y_true[..., : self.classes], y_pred)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype, "classes": self.classes}


def _softened(logits: np.ndarray) -> np.ndarray:
    scaled = logits / TEMPERATURE
    raised = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def _one_hot(y: np.ndarray, classes: int) -> np.ndarray:
    labels = np.asarray(y, int)
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    return np.eye(classes, dtype="float32")[labels]


def _name_of(loss: Any) -> str:
    """The name of the function that Keras takes a loss for; "?" when it is none of its own."""
    try:
        found = keras.losses.get(loss)
    except ValueError:
        return "?"
    function = getattr(found, "fn", found)
    return getattr(function, "__name__", "?")
