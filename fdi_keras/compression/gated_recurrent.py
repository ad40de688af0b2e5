"""Recurrent layers with masks: of what they read, and of their own units a step before."""

from __future__ import annotations

from functools import cache
from typing import Any, ClassVar

import keras

ops = keras.ops


class _MaskedCell:
    """A cell of a recurrent layer whose kernels are multiplied by masks while its layer is called.

    Whatever executes the steps, Keras's loop or a backend's own, asks the cell for its kernels.
    """

    in_mask: Any = None
    unit_mask: Any = None

    @property
    def kernel(self) -> Any:
        return _rows_masked(self._kernel, self.in_mask)

    @kernel.setter
    def kernel(self, value: Any) -> None:
        self._kernel = value

    @property
    def recurrent_kernel(self) -> Any:
        return _rows_masked(self._recurrent_kernel, self.unit_mask)

    @recurrent_kernel.setter
    def recurrent_kernel(self, value: Any) -> None:
        self._recurrent_kernel = value


def _rows_masked(kernel: Any, mask: Any) -> Any:
    if mask is None:
        return kernel
    kernel = ops.convert_to_tensor(kernel)
    return kernel * ops.cast(mask, kernel.dtype)[:, None]


@cache
def _masked(cell: type) -> type:
    """The class of cells like these, with masks."""
    return type(f"Masked{cell.__name__}", (_MaskedCell, cell), {})


def _give_masks(cell: Any) -> None:
    """Turn a cell that a layer has made into one with masks."""
    for name in ("kernel", "recurrent_kernel"):
        if name in cell.__dict__:  # it is built already
            cell.__dict__[f"_{name}"] = cell.__dict__.pop(name)
    plain: Any = type(cell)
    cell.__class__ = _masked(plain)


class GatedRecurrent:
    """A recurrent layer called with the masks of what it reads: its input, and its own units a step before.

    Either may be left out. A closed unit is still computed, but nobody reads it any more.
    """

    #: Sides of a call (see :mod:`fdi_keras.networks.sides`) whose masks are given, by argument.
    masks: ClassVar[dict[str, str]] = {"input": "in_mask", "output": "unit_mask"}

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        for cell in self._cells():
            _give_masks(cell)

    def _cells(self) -> list[Any]:
        return [self.cell]  # type: ignore[attr-defined]

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: Any = False,
        in_mask: Any = None,
        unit_mask: Any = None,
    ) -> Any:
        for cell in self._cells():
            cell.in_mask, cell.unit_mask = in_mask, unit_mask
        try:
            return super().call(  # type: ignore[misc]
                sequences, initial_state=initial_state, mask=mask, training=training
            )
        finally:
            for cell in self._cells():
                cell.in_mask = cell.unit_mask = None

    def compute_output_spec(self, sequences: Any, initial_state: Any = None, **_: Any) -> Any:
        shapes = self.compute_output_shape(sequences.shape)  # type: ignore[attr-defined]
        dtype = self.compute_dtype  # type: ignore[attr-defined]
        several = isinstance(shapes[0], (tuple, list))
        if not several:
            return keras.KerasTensor(shapes, dtype=dtype)
        return [keras.KerasTensor(shape, dtype=dtype) for shape in shapes]


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedLSTM(GatedRecurrent, keras.layers.LSTM):
    """LSTM with masks."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedGRU(GatedRecurrent, keras.layers.GRU):
    """GRU with masks."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedSimpleRNN(GatedRecurrent, keras.layers.SimpleRNN):
    """SimpleRNN with masks."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedConvLSTM1D(GatedRecurrent, keras.layers.ConvLSTM1D):
    """ConvLSTM1D with masks."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedConvLSTM2D(GatedRecurrent, keras.layers.ConvLSTM2D):
    """ConvLSTM2D with masks."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedConvLSTM3D(GatedRecurrent, keras.layers.ConvLSTM3D):
    """ConvLSTM3D with masks."""


@keras.saving.register_keras_serializable(package="fdi_keras")
class GatedBidirectional(GatedRecurrent, keras.layers.Bidirectional):
    """Bidirectional with masks, the same ones for both directions."""

    masks: ClassVar[dict[str, str]] = {"input": "in_mask", "units": "unit_mask"}

    def _cells(self) -> list[Any]:
        return [self.forward_layer.cell, self.backward_layer.cell]
