"""The model class of gated networks: Keras's training with a penalty on predicted latency."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

from fdi_keras.compression.gates import STEP, ChannelGates, SpaceGates, Steering
from fdi_keras.compression.latency_metric import PredictedLatency
from fdi_keras.compression.limits import exclude_layers
from fdi_keras.compression.regularizer import BudgetRegularizer, LatencyRegularizer, Regularizer
from fdi_keras.compression.targets import check_target
from fdi_keras.compression.ungated import plain_graph, ungated
from fdi_keras.errors import UnknownOperatorsError, UsageError
from fdi_keras.networks.budget_plan import Priced, plan_of
from fdi_keras.networks.channel_spaces import ChannelSpaces, find_channel_spaces
from fdi_keras.networks.graph import Graph
from fdi_keras.profile.unmeasured import warn_if_unmeasured

ops = keras.ops


@keras.saving.register_keras_serializable(package="fdi_keras")
class PrunableModel(keras.Model):
    """A network with channel gates; made by :func:`~fdi_keras.prunable`.

    ``compile`` takes ``regularizer=`` beside Keras's own arguments; the penalty joins
    the loss in ``fit`` and ``evaluate``, and a metric ``latency_ms`` (``energy_mj``, ``budget_share``) appears: what
    the network is predicted to take at the widths that its gates are expected to leave, or at those that
    pruning now would keep, whichever is slower.
    """

    _latency_metric: Any

    @property
    def all_gates(self) -> ChannelGates:
        """The layer that holds the gates of all channel spaces."""
        return next(layer for layer in self.layers if isinstance(layer, ChannelGates))

    @property
    def gates(self) -> dict[str, SpaceGates]:
        """The gates by channel space."""
        found = (layer for layer in self.layers if isinstance(layer, ChannelGates))
        return {space: SpaceGates(layer, space) for layer in found for space in layer.widths}

    @property
    def steering(self) -> Steering:
        """The layer that holds strength, target and start latency."""
        return next(layer for layer in self.layers if isinstance(layer, Steering))

    @property
    def channel_spaces(self) -> ChannelSpaces:
        """All channel spaces, the kept ones with their reasons; print it."""
        if "spaces" not in self.__dict__:
            self._read()
        return self.__dict__["spaces"]

    @property
    def regularizer(self) -> Regularizer | None:
        """As given to ``compile``."""
        return self.__dict__.get("latency_regularizer")

    @property
    def metrics(self) -> list[Any]:
        metrics = super().metrics
        if self.latency_plan is None:  # compiled anew without a regularizer
            metrics = [m for m in metrics if m is not getattr(self, "_latency_metric", None)]
        return metrics

    @property
    def expected_metric(self) -> Any:
        """The metric that holds the predicted latency (or energy) as of the last step."""
        return self._latency_metric

    @property
    def inner_optimizer(self) -> Any:
        """The compiled optimizer, without the scaling of losses that half precision wraps around it."""
        optimizer = self.optimizer
        while hasattr(optimizer, "inner_optimizer"):
            optimizer = optimizer.inner_optimizer
        return optimizer

    @property
    def latency_plan(self) -> Priced | None:
        """What the regularizer penalises, predicted latency or the largest share of a budget, by widths."""
        return self.__dict__.get("plan")

    def compile(self, *args: Any, regularizer: Regularizer | None = None, **kwargs: Any) -> None:
        """``keras.Model.compile`` with one argument more.

        Args:
            regularizer: penalty on predicted latency or on budgets, or ``None``.

        Raises:
            UsageError: it is something else than a LatencyRegularizer or a BudgetRegularizer.
            UnknownOperatorsError: its profile knows none of the network's operators.
            TargetError: its target is below what one channel a layer would take.

        Warns:
            UnmeasuredProfileWarning: its profile was not measured.
        """
        if regularizer is not None and not isinstance(regularizer, (LatencyRegularizer, BudgetRegularizer)):
            raise UsageError(
                f"compile(regularizer=...) takes an fdi_keras.LatencyRegularizer or BudgetRegularizer, received "
                f"{type(regularizer).__name__}."
            )
        if regularizer is not None:
            warn_if_unmeasured(*regularizer.profiles)
        plan = None if regularizer is None else self._plan(regularizer)
        super().compile(*args, **kwargs)
        self.__dict__["jit_is_auto"] = kwargs.get("jit_compile", "auto") == "auto"
        # Plain attributes: Keras must neither track nor save these.
        self.__dict__["latency_regularizer"] = regularizer
        self.__dict__["plan"] = plan
        if regularizer is not None and plan is not None:
            if not hasattr(self, "_latency_metric"):
                self._latency_metric = PredictedLatency(regularizer.metric)
            self._latency_metric.name = regularizer.metric  # compiled anew for the other objective
            start = max(float(plan.predict_ms(plan.full_widths)), 1e-9)  # 0 where nothing is priced
            self.steering.start_ms.assign(start)
            self.steering.target_ms.assign(regularizer.target or 0.0)
            self.steering.goal_ms.assign(0.0)
            self.steering.control.assign(np.zeros(self.steering.control.shape, "float32"))
            self.steering.strength.assign(
                regularizer.first_strength if regularizer.strength is None else regularizer.strength
            )
        self.set_gate_step(STEP)
        optimizer = self.inner_optimizer
        if optimizer is not None and hasattr(optimizer, "exclude_from_weight_decay") and not optimizer.built:
            optimizer.exclude_from_weight_decay([self.all_gates.position])

    def set_gate_step(self, step: float) -> None:
        """Make gates move about ``step`` (in logits) an update under the compiled optimizer."""
        optimizer = self.inner_optimizer
        if optimizer is None:
            return
        rate = float(ops.convert_to_numpy(optimizer.learning_rate)) * _share_that_stays(optimizer)
        if isinstance(optimizer, ADAPTIVE):
            speed = step / max(rate, 1e-12)
        else:
            # A plain gradient step moves a logit by speed^2 x rate x gradient, and a gradient of the
            # penalty is about one over the number of channels. Our choice; the controller does the rest.
            momentum = float(getattr(optimizer, "momentum", 0.0) or 0.0)
            speed = (step * (1 - momentum) * self.all_gates.channels / max(rate, 1e-12)) ** 0.5
        self.all_gates.set_speed(speed)

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        loss = super().compute_loss(x, y, y_pred, sample_weight, training)
        plan = self.latency_plan
        if plan is None:
            return loss
        predicted = plan.expected_ms(self.widths())
        expected_ms, slower_ms = predicted[0], ops.stop_gradient(ops.max(predicted))
        self._latency_metric.update_state(slower_ms)
        steering = self.steering
        strength = ops.convert_to_tensor(steering.strength)
        if training and self.steps_per_execution > 1:
            # The strength is the same for all of them: it must not push beyond where they are to come to.
            goal = ops.convert_to_tensor(steering.goal_ms)
            towards = (slower_ms - goal) * strength
            strength = ops.where(ops.logical_or(goal <= 0, towards > 0), strength, 0.0)
        penalty = expected_ms * (strength / ops.convert_to_tensor(steering.start_ms))
        return loss + ops.cast(self._aggregate_additional_loss(penalty), loss.dtype)

    def widths(self) -> Any:
        """Widths of all channel spaces, kept ones included: float tensor ``(2, spaces)``.

        The first row is expected and has a gradient, the second is what pruning now would keep.
        """
        return self.all_gates.open_widths(*(self.__dict__.get("width_tensors") or self._width_arrays()))

    def _width_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """What :meth:`ChannelGates.open_widths` takes."""
        spaces, gated = self.channel_spaces, self.gates
        least = [1 if space.name in gated else space.width for space in spaces]
        return self.all_gates.members(spaces.names), np.array(least, "float32")

    def expected_widths(self) -> Any:
        """Expected width of each channel space: float tensor ``(spaces,)``."""
        return self.widths()[0]

    def without_gates(self) -> keras.Model:
        """The plain network at full width, the gates' values multiplied into its kernels."""
        return ungated(self)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """``keras.Model.fit``. A target needs a controller: without a LatencyCallback one is added."""
        from fdi_keras.compression.callback import LatencyCallback

        given = kwargs.get("callbacks")
        if isinstance(given, keras.callbacks.CallbackList):
            return super().fit(*args, **kwargs)
        callbacks = list(keras.tree.flatten(given or []))
        if self.regularizer is not None and not any(isinstance(c, LatencyCallback) for c in callbacks):
            kwargs["callbacks"] = callbacks = [*callbacks, LatencyCallback()]
        try:
            return super().fit(*args, **kwargs)
        except BaseException as error:
            for callback in callbacks:
                if isinstance(callback, LatencyCallback):
                    callback.interrupted(error)
            raise

    def make_train_function(self, force: bool = False) -> Any:
        """``keras.Model.make_train_function``; made anew where weights that were set changed the gates' speed."""
        return super().make_train_function(self.all_gates.follow_speed() or force)

    def get_compile_config(self) -> dict[str, Any]:
        config = super().get_compile_config()
        if config:
            config = _for_any_backend(config)
            if self.__dict__.get("jit_is_auto"):
                # Keras writes down what this backend decided; another one, which may load it, decides anew.
                config["jit_compile"] = "auto"
        if config and self.regularizer is not None:
            config["regularizer"] = keras.saving.serialize_keras_object(self.regularizer)
        return config

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))
        if self.optimizer is not None and self.built:
            self.optimizer.build(self.trainable_variables)

    def _read(self) -> Graph:
        graph = plain_graph(self)
        spaces = find_channel_spaces(graph)
        exclude_layers(spaces, self.steering.excluded)
        self.__dict__["spaces"] = spaces
        return graph

    def _plan(self, regularizer: Regularizer) -> Priced:
        plan = plan_of(regularizer.prices, self._read(), self.channel_spaces)
        if not plan.has_prices:
            kinds = ", ".join(sorted({o.kind for o in plan.uncovered}))
            names = ", ".join(repr(profile.name) for profile in regularizer.profiles)
            raise UnknownOperatorsError(
                f"profile {names} knows none of this network's operators ({kinds}). Profile "
                "the device with 'fdi profile' and without --kinds."
            )
        check_target(plan, regularizer.target, regularizer.unit)
        # Outside any graph, once for all steps.
        plan.prepare()
        self.__dict__["width_tensors"] = tuple(map(ops.convert_to_tensor, self._width_arrays()))
        return plan


def _for_any_backend(config: Any) -> Any:
    """A configuration with optimizers by their public names: torch has classes of its own behind these.

    Keras writes down the class behind, which cannot be loaded where torch is not installed.
    """
    if not isinstance(config, dict):
        return config
    config = {key: _for_any_backend(value) for key, value in config.items()}
    if str(config.get("module")).startswith("keras.src.backend."):
        config |= {"module": "keras.optimizers", "registered_name": None}
    return config


#: Optimizers whose step does not scale with the gradient.
ADAPTIVE = (
    *(keras.optimizers.Adam, keras.optimizers.RMSprop, keras.optimizers.Adamax, keras.optimizers.Lion),
    *(keras.optimizers.Nadam, keras.optimizers.Adafactor, keras.optimizers.Lamb),
)


def _share_that_stays(optimizer: Any) -> float:
    """How much of a movement is left where averages take the place of the weights every so many steps.

    Of a weight that moves evenly for n steps an average with momentum m has moved n - m (1 - m^n) / (1 - m).
    """
    steps = optimizer.ema_overwrite_frequency if optimizer.use_ema else None
    momentum = optimizer.ema_momentum
    if not steps or momentum >= 1:
        return 1.0
    return float(1 - momentum * (1 - momentum**steps) / (steps * (1 - momentum)))
