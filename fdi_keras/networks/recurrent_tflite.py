"""Recurrent layers in a ``.tflite`` file: a WHILE loop around a cell, or a cell once for every step.

The file does not say what was an LSTM: it is recognised by what it executes. Of a loop
these are the operators of its body. Of an unrolled layer these are the operators between
two products with the same recurrent weights, which are its steps. Both must be exactly
what the converter makes of the Keras layer, down to the sizes of the weights; what is not
stays what it is in the file: single operators, or a loop that says what is in it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fdi_keras.operators import Operator
from fdi_keras.operators.recurrent import GATES

#: The operators of one step, without views: products, gates, and how the state goes on.
CELLS: dict[str, Counter[str]] = {
    "lstm": Counter(FULLY_CONNECTED=2, ADD=3, SPLIT=1, LOGISTIC=3, TANH=2, MUL=3),
    "gru": Counter(FULLY_CONNECTED=2, STRIDED_SLICE=3, ADD=4, SPLIT=1, LOGISTIC=2, SUB=1, TANH=1, MUL=3),
}

#: Of an LSTM, whose products have no bias of their own, it is an operator; without a bias there is none.
BIAS: dict[str, Counter[str]] = {"lstm": Counter(ADD=1), "gru": Counter()}

#: What a loop adds: its two counters and taking out a step's input; and to keep all outputs.
LOOP = Counter(ADD=2, GATHER=1)
KEEPING = Counter(SLICE=2, CONCATENATION=3)

VIEWS = frozenset(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"))


@dataclass(eq=False)
class _Chain:
    """Products with one recurrent kernel, each made from what follows the one before.

    Attributes:
        steps: for each product the operators that lead to it since the one before, which is among them.
        tail: the last product.
    """

    steps: list[set[int]]
    tail: int


class Recurrent:
    """The recurrent layers of the main graph of a file.

    Attributes:
        at: the operators to list in place of one of the file, by its position there; an
            empty list where it is a part of a layer that is listed elsewhere.
    """

    def __init__(self, model: Any, codes: Sequence[str]):
        self.model, self.codes = model, codes
        self.graph = model.subgraphs[0]
        self.operators = self.graph.operators
        self.of = [codes[o.opcodeIndex] for o in self.operators]
        self.producer = {int(t): i for i, o in enumerate(self.operators) for t in _sequence(o.outputs)}
        self.consumers: dict[int, list[int]] = {}
        for i, operator in enumerate(self.operators):
            for tensor in _sequence(operator.inputs):
                self.consumers.setdefault(int(tensor), []).append(i)
        self.at: dict[int, list[Operator]] = {}
        self._find_loops()
        self._find_unrolled()

    # Loops

    def _find_loops(self) -> None:
        for i, operator in enumerate(self.operators):
            if self.of[i] == "WHILE":
                self.at[i] = [self._loop(operator)]
                if self.at[i][0].kind != "while":
                    self._absorb_around([int(operator.inputs[-1])], [int(operator.outputs[2])])

    def _loop(self, operator: Any) -> Operator:
        body = self.model.subgraphs[operator.builtinOptions.bodySubgraphIndex]
        name = _text(self.graph.tensors[operator.outputs[0]].name)
        steps = self._steps(self.model.subgraphs[operator.builtinOptions.condSubgraphIndex])
        codes = [self.codes[o.opcodeIndex] for o in body.operators]
        found = Counter(code for code in codes if code not in VIEWS)
        kept = KEEPING if found["SLICE"] else Counter()
        for cell, signature in CELLS.items():
            whole = signature + LOOP + kept
            if steps is not None and len(body.outputs) > 4 and found in (whole, whole - BIAS[cell]):
                n_in = _shape(body.tensors[body.operators[codes.index("GATHER")].outputs[0]])[-1]
                units = _shape(body.tensors[body.outputs[3]])[-1]
                products = [
                    o for o, code in zip(body.operators, codes, strict=True) if code == "FULLY_CONNECTED"
                ]
                weights = sorted(_shape(body.tensors[o.inputs[1]]) for o in products)
                if weights == sorted((GATES[cell] * units, width) for width in (n_in, units)):
                    dims = {
                        "steps": steps,
                        "in_channels": n_in,
                        "units": units,
                        "outputs": steps if kept else 1,
                    }
                    return Operator(f"{cell}_while", dims, name)
        return self._unknown_loop(name, body, found, steps)

    def _steps(self, condition: Any) -> int | None:
        """How often a loop goes round: what its counters are compared with; None when that is no constant."""
        limits = []
        for operator in condition.operators:
            if self.codes[operator.opcodeIndex] == "LESS":
                data = self.model.buffers[condition.tensors[operator.inputs[1]].buffer].data
                if data is None or len(data) != 4:
                    return None
                limits.append(int(np.frombuffer(bytes(data), np.int32)[0]))
        return min(limits, default=None)

    def _unknown_loop(self, name: str, body: Any, found: Counter[str], steps: int | None) -> Operator:
        parts = ", ".join(f"{count} {code}" for code, count in sorted(found.items()))
        times = "an unknown number of times" if steps is None else f"{steps} times"
        masked = " that skips masked steps" if found["SELECT_V2"] else ""
        problem = f"a loop{masked}, no LSTM or GRU as Keras makes them by default; {times} it runs {parts}"
        sizes = [
            sum(
                math.prod(_shape(body.tensors[t]))
                for o in body.operators
                for t in _sequence(tensors(o))
                if t >= 0
            )
            for tensors in (lambda o: o.inputs, lambda o: o.outputs)
        ]
        elements_in, elements_out = (size * (steps or 1) for size in sizes)
        return Operator("while", {}, name, problem, elements_in, elements_out)

    def _absorb_around(self, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        """Count the views before and behind a layer, and the taking out of its last output, as parts of it."""
        for tensor in inputs:
            view = self.producer.get(tensor)
            if view is not None and self.of[view] == "RESHAPE" and len(self.consumers[tensor]) == 1:
                self.at[view] = []
        for tensor in outputs:
            for reader in self.consumers.get(tensor, ()):
                made = _shape(self.graph.tensors[self.operators[reader].outputs[0]])
                last = self.of[reader] == "STRIDED_SLICE" and len(made) == 2
                if self.of[reader] == "RESHAPE" or last:
                    self.at[reader] = []

    # Unrolled layers

    def _find_unrolled(self) -> None:
        products: dict[int, list[int]] = {}
        for i, code in enumerate(self.of):
            if code == "FULLY_CONNECTED" and self._has_constant_weights(i):
                products.setdefault(self._weights(i), []).append(i)
        for uses in products.values():
            height, width = self._size(uses[0])
            for cell, gates in GATES.items():
                if height == gates * width and not any(use in self.at for use in uses):
                    self._unrolled(cell, uses, products)

    def _unrolled(self, cell: str, uses: list[int], products: dict[int, list[int]]) -> None:
        """List the layers whose recurrent products these are; several where they share their weights."""
        for chain in self._chains(uses, sum(CELLS[cell].values())):
            first = [i for i in chain.steps[0] if self.of[i] == "FULLY_CONNECTED"]
            if len(first) != 1 or self._counted(chain.steps[0]) - CELLS[cell]:
                continue
            claimed = set().union(*chain.steps)
            inputs = products.get(self._weights(first[0]), [])
            height, n_in = self._size(first[0])
            lasts = (
                self._last_step({chain.tail, i}, claimed, CELLS[cell])
                for i in inputs
                if i not in claimed and i not in self.at
            )
            whole = (CELLS[cell], CELLS[cell] - BIAS[cell])
            last = next((step for step in lasts if self._counted(step) in whole), None)
            units = self._size(chain.tail)[1]
            if last is None or height != GATES[cell] * units:
                continue
            if all(self._counted(step) in whole for step in chain.steps[1:]):
                steps = [*chain.steps, last]
                self._list(cell, {"steps": len(steps), "in_channels": n_in, "units": units}, claimed | last)

    def _list(self, cell: str, dims: dict[str, int], claimed: set[int]) -> None:
        last = max(i for i in claimed if self.of[i] not in VIEWS)
        name = _text(self.graph.tensors[self.operators[last].outputs[0]].name)
        self.at |= {i: [] for i in claimed}
        self.at[last] = [Operator(f"{cell}_unrolled", dims, name)]
        self._absorb_cutting(claimed)

    def _chains(self, uses: list[int], size: int) -> list[_Chain]:
        """Recurrent products that follow from one another, with the operators between them."""
        chains: list[_Chain] = []
        owner: dict[int, _Chain] = {}  # of the operators of a step, and of the product behind it
        for use in uses:
            step, before = self._back_from(use, owner, size)
            if len(before) > 1 or len(step) > size + len(VIEWS):  # larger than a cell: this is no step
                continue
            chain = before[0] if before else _Chain([], use)
            if not before:
                chains.append(chain)
            chain.steps.append(step)
            chain.tail = use
            owner |= dict.fromkeys((*step, use), chain)
        return chains

    def _back_from(self, use: int, owner: dict[int, _Chain], size: int) -> tuple[set[int], list[_Chain]]:
        """What leads to the input of a product, up to what is owned or a product, and who owns that."""
        step: set[int] = set()
        before: list[_Chain] = []
        open_ = [self.producer.get(int(self.operators[use].inputs[0]))]
        while open_ and len(step) <= size + len(VIEWS):
            i = open_.pop()
            if i is None or i in step:
                continue
            if i in owner:
                before += [owner[i]] if owner[i] not in before else []
                if i != owner[i].tail:
                    continue
            step.add(i)
            if self.of[i] != "FULLY_CONNECTED":
                open_ += [self.producer.get(int(t)) for t in self.operators[i].inputs]
        return step, before

    def _last_step(self, start: set[int], claimed: set[int], cell: Counter[str]) -> set[int]:
        """The operators of a cell that follow from its products, with nothing behind them to go back from."""
        step, left = set(start), cell - Counter(FULLY_CONNECTED=2)
        for i in range(min(start), len(self.operators)):
            code = self.of[i]
            sources = {self.producer[int(t)] for t in self.operators[i].inputs if int(t) in self.producer}
            if i in step or i in claimed or not (sources & step and sources <= step | claimed):
                continue
            if left[code] or (code in VIEWS and sources <= start):
                step.add(i)
                left[code] -= code not in VIEWS
        return step

    def _absorb_cutting(self, claimed: set[int]) -> None:
        """Count the cutting of the input into steps, and the joining of all outputs, as parts of the layer."""
        products = [i for i in claimed if self.of[i] == "FULLY_CONNECTED"]
        for source in {self.producer.get(int(self.operators[i].inputs[0])) for i in products}:
            if source is not None and self.of[source] == "UNPACK":
                self.at[source] = []
                self._absorb_around([int(self.operators[source].inputs[0])], [])
        for i, operator in enumerate(self.operators):
            if self.of[i] == "PACK" and {self.producer.get(int(t)) for t in operator.inputs} <= claimed:
                self.at[i] = []
                self._absorb_around([], [int(operator.outputs[0])])

    def _counted(self, step: set[int]) -> Counter[str]:
        return Counter(self.of[i] for i in step if self.of[i] not in VIEWS)

    def _has_constant_weights(self, product: int) -> bool:
        tensor = int(self.operators[product].inputs[1])
        return tensor not in self.producer and len(_shape(self.graph.tensors[tensor])) == 2

    def _weights(self, product: int) -> int:
        """The buffer that a product's weights stand in."""
        return int(self.graph.tensors[self.operators[product].inputs[1]].buffer)

    def _size(self, product: int) -> tuple[int, int]:
        """Outputs and inputs of a product's weights."""
        height, width = _shape(self.graph.tensors[self.operators[product].inputs[1]])
        return height, width


def _shape(tensor: Any) -> tuple[int, ...]:
    return () if tensor.shape is None else tuple(int(n) for n in tensor.shape)


def _sequence(tensors: Any) -> Any:
    return () if tensors is None else tensors


def _text(name: Any) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name)
