"""Attention with masks: of the channels that it reads, and of its heads."""

from __future__ import annotations

from typing import Any, ClassVar

import keras

ops = keras.ops


class _MaskedProjection(keras.layers.EinsumDense):
    """A projection whose kernel is multiplied by a mask along what it reads while its layer is called."""

    mask: Any = None

    @property
    def kernel(self) -> Any:
        kernel = super().kernel
        if self.mask is None:
            return kernel
        kernel = ops.convert_to_tensor(kernel)
        shape = (-1, *(1 for _ in kernel.shape[1:]))
        return kernel * ops.reshape(ops.cast(self.mask, kernel.dtype), shape)


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedMultiHeadAttention(keras.layers.MultiHeadAttention):
    """MultiHeadAttention called with the masks of the channels of its inputs, and of its heads.

    Any may be left out. A closed head is still computed, but the output does not read it.
    """

    #: Sides of a call (see :mod:`fdi_keras.networks.sides`) whose masks are given, by argument.
    #: ``query_mask`` and its like are Keras's own: they mask steps.
    masks: ClassVar[dict[str, str]] = {
        "query": "query_gate",
        "value": "value_gate",
        "key": "key_gate",
        "heads": "head_gate",
    }

    def build(self, query_shape: Any, value_shape: Any, key_shape: Any = None) -> None:
        super().build(query_shape, value_shape, key_shape)
        for projections in self._reading().values():
            for projection in projections:
                projection.__class__ = _MaskedProjection

    def call(
        self,
        query: Any,
        value: Any,
        key: Any = None,
        query_mask: Any = None,
        value_mask: Any = None,
        key_mask: Any = None,
        attention_mask: Any = None,
        return_attention_scores: bool = False,
        training: Any = None,
        use_causal_mask: bool = False,
        query_gate: Any = None,
        value_gate: Any = None,
        key_gate: Any = None,
        head_gate: Any = None,
    ) -> Any:
        self._set_masks(query=query_gate, value=value_gate, key=key_gate, heads=head_gate)
        try:
            return super().call(
                query,
                value,
                key,
                query_mask,
                value_mask,
                key_mask,
                attention_mask,
                return_attention_scores,
                training,
                use_causal_mask,
            )
        finally:
            self._set_masks()

    def compute_output_spec(self, query: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        plain = {name: given for name, given in kwargs.items() if name not in self.masks.values()}
        return super().compute_output_spec(query, value, *args, **plain)

    def _reading(self) -> dict[str, list[Any]]:
        """The projections by what they read."""
        gate = [self._gate_dense] if self._use_gate else []
        return {
            "query": [self.query_dense, *gate],
            "value": [self.value_dense],
            "key": [self.key_dense],
            "heads": [self.output_dense],
        }

    def _set_masks(self, **masks: Any) -> None:
        for side, projections in self._reading().items():
            for projection in projections:
                projection.mask = masks.get(side)
