"""Builds small ``.tflite`` models directly, without a converter: a millisecond each.

Only what probes need is here: float32 and int32 tensors, operators that run one after
another, and subgraphs for the operators that call others. The schema classes load with
the first model.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cache
from typing import Any

import numpy as np

FILE_IDENTIFIER = b"TFL3"
SCHEMA_VERSION = 3

#: Builtin codes below this also stand in the old, narrower field of the format.
OLD_CODES_END = 127

#: In place of an optional input that an operator does without.
OMITTED = -1


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
        self._model.subgraphs = []
        self._codes: dict[str, int] = {}
        self._graph = self._new_graph("main")

    def input(self, shape: Sequence[int], dtype: str = "FLOAT32") -> int:
        """An input of the model, or of the subgraph that is being built; returns the tensor's index."""
        index = self._tensor(shape, dtype)
        self._graph.inputs.append(index)
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
        dtype: str = "FLOAT32",
    ) -> int:
        """Append an operator with one output; returns the index of that.

        Args:
            name: as in the schema's ``BuiltinOperator`` (``"CONV_2D"``).
            inputs: tensor indices; :data:`OMITTED` for an optional one that is not there.
            output_shape: of its output; -1 where a size is known only when the model runs.
            options: as in the schema's ``BuiltinOptions`` (``"Conv2DOptions"``).
            settings: fields of those options (``{"strideH": 1}``).
            dtype: of the output, as in the schema's ``TensorType``.
        """
        return self.operator_of_many(name, inputs, [(output_shape, dtype)], options, settings)[0]

    def operator_of_many(
        self,
        name: str,
        inputs: Sequence[int],
        outputs: Sequence[tuple[Sequence[int], str]],
        options: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> list[int]:
        """Append an operator with outputs of these shapes and types; returns their indices."""
        s = _schema()
        made = [self._tensor(shape, dtype) for shape, dtype in outputs]
        operator = s.OperatorT()
        operator.opcodeIndex = self._code(name)
        operator.inputs = np.asarray(inputs, np.int32)
        operator.outputs = np.asarray(made, np.int32)
        if options:
            operator.builtinOptionsType = getattr(s.BuiltinOptions, options)
            operator.builtinOptions = getattr(s, f"{options}T")()
            for field, value in (settings or {}).items():
                setattr(operator.builtinOptions, field, value)
        self._graph.operators.append(operator)
        return made

    @contextlib.contextmanager
    def subgraph(self, name: str) -> Iterator[int]:
        """Inside, everything is added to a subgraph of its own, whose number this yields.

        End it with :meth:`returns`. Tensors of the model around it are none of its own.
        """
        around = self._graph
        self._graph = self._new_graph(name)
        try:
            yield len(self._model.subgraphs) - 1
        finally:
            self._graph = around

    def returns(self, outputs: Sequence[int]) -> None:
        """Tensors that the subgraph gives back."""
        self._graph.outputs = list(outputs)

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

        self.returns(outputs)
        for graph in self._model.subgraphs:
            graph.inputs, graph.outputs = (np.asarray(t, np.int32) for t in (graph.inputs, graph.outputs))
        size = sum(len(b.data) for b in self._model.buffers if b.data is not None)
        builder = flatbuffers.Builder(size + 4096)  # growing would copy the weights again and again
        builder.Finish(self._model.Pack(builder), FILE_IDENTIFIER)
        return bytes(builder.Output())

    def _new_graph(self, name: str) -> Any:
        graph = _schema().SubGraphT()
        graph.name = name
        graph.tensors, graph.operators, graph.inputs, graph.outputs = [], [], [], []
        self._model.subgraphs.append(graph)
        return graph

    def _tensor(self, shape: Sequence[int], dtype: str, buffer: int = 0) -> int:
        s = _schema()
        tensor = s.TensorT()
        tensor.shape = np.asarray([abs(n) for n in shape], np.int32)
        if any(n < 0 for n in shape):
            tensor.shapeSignature = np.asarray(shape, np.int32)
        tensor.type = getattr(s.TensorType, dtype)
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
