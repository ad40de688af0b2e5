"""What a gated network is predicted to take, as a metric of its training."""

from __future__ import annotations

from typing import Any

import keras

ops = keras.ops

#: In the place of a predicted latency, until a step computes it.
NOT_COMPUTED = -1.0


class PredictedLatency(keras.metrics.Metric):
    """Reports the last value it was given."""

    def __init__(self, name: str):
        super().__init__(name=name)
        self.value = self.add_variable(
            shape=(),
            initializer=keras.initializers.Constant(NOT_COMPUTED),
            aggregation="only_first_replica",
            name="value",
        )

    def update_state(self, value: Any) -> None:
        self.value.assign(ops.cast(value, self.value.dtype))

    def reset_state(self) -> None:
        self.value.assign(NOT_COMPUTED)

    def result(self) -> Any:
        return ops.convert_to_tensor(self.value)
