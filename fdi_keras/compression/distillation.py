"""Learning from the network before compression as well as from the labels.

After Hinton, Vinyals, Dean, "Distilling the knowledge in a neural network" (2015): what the larger
network says of an example tells more than its label, the more so the softer it is said. Where the
task is no classification the target itself is drawn towards what the larger network says (our choice).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
import numpy as np

ops = keras.ops

#: How much the larger network counts beside the labels, and how soft its words are (our choice).
SHARE, TEMPERATURE = 0.5, 3.0

#: Probabilities below it are as good as none.
LEAST = 1e-7

#: Losses of classes, of yes and no, and of numbers, by the name Keras gives to their functions.
CLASSES = ("sparse_categorical_crossentropy", "categorical_crossentropy")
NUMBERS = ("mean_squared_error", "mean_absolute_error", "binary_crossentropy", "huber")


class Lesson(NamedTuple):
    """What a student is trained with in the place of the labels and the loss.

    Attributes:
        y: targets, first axis as of the labels.
        loss: for ``compile``.
        scores_labels: whether metrics of the labels can read ``y``.
    """

    y: np.ndarray
    loss: Any
    scores_labels: bool


def lesson(teacher: keras.Model, x: Any, y: Any, loss: Any, batch_size: int) -> Lesson | str:
    """What the teacher says of all examples, joined to their labels.

    Args:
        teacher: the network before compression, with one output.
        x, y: arrays, examples first.
        loss: as given to ``compile``.
        batch_size: of the teacher's predictions.

    Returns:
        The lesson, or why there can be none.
    """
    name = _name_of(loss)
    if not isinstance(y, np.ndarray) or len(teacher.outputs) != 1:
        return "it learns from arrays with one output"
    if name not in (*CLASSES, *NUMBERS):
        return f"nothing is known of how to teach the loss {name!r}"
    said = np.asarray(teacher.predict(x, batch_size=batch_size, verbose=0), "float32")
    if name in NUMBERS:
        labels = np.asarray(y, "float32").reshape(said.shape)
        return Lesson((1 - SHARE) * labels + SHARE * said, loss, True)
    classes = said.shape[-1]
    labels = np.asarray(y, "float32") if name == CLASSES[1] else _one_hot(y, classes)
    if labels.shape != said.shape:
        return f"its outputs have shape {said.shape[1:]}, the labels {labels.shape[1:]}"
    logits = bool(getattr(loss, "from_logits", False) or getattr(loss, "_fn_kwargs", {}).get("from_logits"))
    softened = _softened(said if logits else np.log(np.maximum(said, LEAST)))
    return Lesson(np.concatenate([labels, softened], axis=-1), TaughtLoss(classes, logits), False)


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
