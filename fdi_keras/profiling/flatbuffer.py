"""Builds small ``.tflite`` models directly, without a converter: a millisecond each.

Only what probes need is here: float32 tensors, int32 constants, and a list of
operators that run one after another. The schema classes load with the first model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from functools import cache
from typing import Any

import numpy as np

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3

#: Builtin codes below this also stand in the old, narrower field of the format.
OLD_CODES_END = 127


class ModelBuilder:
    """Collects tensors and operators, then writes them as a ``.tflite`` file.

    Example::

        builder = ModelBuilder()
        x = builder.input((1, 8, 8, 16))
        y = builder.operator("RELU", [x], (1, 8, 8, 16))
        content = builder.finish([y])
    """

    def __init__(self) -> None:
        s = _schema()
        self._model = s.ModelT()
        self._model.version = SCHEMA_VERSION
        self._model.description = "fdi_keras probe"
        self._model.buffers = [s.BufferT()]  # the format wants buffer 0 empty
        self._model.operatorCodes = []
        self._graph = s.SubGraphT()
        self._graph.name = "main"
        self._graph.tensors = []
        self._graph.operators = []
        self._model.subgraphs = [self._graph]
        self._codes: dict[str, int] = {}
        self._inputs: list[int] = []

    def input(self, shape: Sequence[int]) -> int:
        """A float32 input of the model; returns the tensor's index."""
        index = self._tensor(shape, s_type="FLOAT32")
        self._inputs.append(index)
        return index

    def constant(self, value: np.ndarray) -> int:
        """A float32 or int32 tensor with this value; returns its index."""
        buffer = _schema().BufferT()
        buffer.data = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
        self._model.buffers.append(buffer)
        kind = "INT32" if value.dtype == np.int32 else "FLOAT32"
        return self._tensor(value.shape, kind, len(self._model.buffers) - 1)

    def operator(
        self,
        name: str,
        inputs: Sequence[int],
        output_shape: Sequence[int],
        options: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> int:
        """Append an operator; returns the index of its output.

        Args:
            name: as in the schema's ``BuiltinOperator`` (``"CONV_2D"``).
            inputs: tensor indices.
            output_shape: of its one float32 output.
            options: as in the schema's ``BuiltinOptions`` (``"Conv2DOptions"``).
            settings: fields of those options (``{"strideH": 1}``).
        """
        s = _schema()
        output = self._tensor(output_shape, "FLOAT32")
        operator = s.OperatorT()
        operator.opcodeIndex = self._code(name)
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray([output], np.int32)
        if options:
            operator.builtinOptionsType = getattr(s.BuiltinOptions, options)
            operator.builtinOptions = getattr(s, f"{options}T")()
            for field, value in (settings or {}).items():
                setattr(operator.builtinOptions, field, value)
        self._graph.operators.append(operator)
        return output

    def repeat(self, outputs: Sequence[int], copies: int) -> list[int]:
        """Have all operators so far executed ``copies`` times, on the same inputs and constants.

        Returns:
            The outputs of every copy, those given first.
        """
        once = list(self._graph.operators)
        found = list(outputs)
        for _ in range(copies - 1):
            copied: dict[int, int] = {}
            for operator in once:
                twin = copy(operator)
                twin.inputs = np.array([copied.get(i, i) for i in operator.inputs], np.int32)
                twin.outputs = np.array([self._twin(i) for i in operator.outputs], np.int32)
                copied.update(zip(operator.outputs.tolist(), twin.outputs.tolist(), strict=True))
                self._graph.operators.append(twin)
            found += [copied[i] for i in outputs]
        return found

    def finish(self, outputs: Sequence[int]) -> bytes:
        """The content of the ``.tflite`` file."""
        import flatbuffers

        self._graph.inputs = np.asarray(self._inputs, np.int32)
        self._graph.outputs = np.asarray(outputs, np.int32)
        size = sum(len(b.data) for b in self._model.buffers if b.data is not None)
        builder = flatbuffers.Builder(size + 4096)  # growing would copy the weights again and again
        builder.Finish(self._model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(self, shape: Sequence[int], s_type: str, buffer: int = 0) -> int:
        s = _schema()
        tensor = s.TensorT()
        tensor.shape = np.asarray(shape, np.int32)
        tensor.type = getattr(s.TensorType, s_type)
        tensor.name = f"t{len(self._graph.tensors)}"
        tensor.buffer = buffer
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _twin(self, index: int) -> int:
        """Another tensor like this one."""
        twin = copy(self._graph.tensors[index])
        twin.name = f"t{len(self._graph.tensors)}"
        self._graph.tensors.append(twin)
        return len(self._graph.tensors) - 1

    def _code(self, name: str) -> int:
        if name not in self._codes:
            s = _schema()
            code = s.OperatorCodeT()
            code.builtinCode = getattr(s.BuiltinOperator, name)
            code.deprecatedBuiltinCode = min(code.builtinCode, OLD_CODES_END)
            code.version = 1
            self._codes[name] = len(self._model.operatorCodes)
            self._model.operatorCodes.append(code)
        return self._codes[name]


@cache
def _schema() -> Any:
    from ai_edge_litert import schema_py_generated

    return schema_py_generated
