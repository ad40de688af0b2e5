"""What a network computes and moves, layer by layer.

Memory access after Jo, Hong and Shin (memory access impact of CNNs on mobile devices): an operator reads
its input, reads its weights and writes its output, each once. With a feature map of side D, M channels
in and out and a kernel of side K these are, in numbers,

    convolution   2 D^2 M + K^2 M^2
    depthwise     2 D^2 M + K^2 M
    pointwise     2 D^2 M + M^2

and what a shortcut brings is read again by the addition. Sizes of input and output may differ here, and
biases count. FLOPs are two for each multiplication with its addition; the study counts one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fdi_keras.operators import Operator, memory_access


@dataclass(frozen=True)
class Counts:
    """Sums over the operators of a network.

    Attributes:
        flops: two for each multiply-accumulate.
        memory_bytes: read and written, weights included, float32.
        parameters: of the operators.
        uncounted: kinds of operators of which neither is known.
    """

    flops: float
    memory_bytes: float
    parameters: float
    uncounted: tuple[str, ...] = ()

    @property
    def intensity(self) -> float:
        """FLOPs for every byte of memory access."""
        return self.flops / self.memory_bytes if self.memory_bytes else 0.0


def count(operators: Sequence[Operator]) -> Counts:
    """Of a whole network."""
    explained = [operator.explained for operator in operators]
    return Counts(
        sum(each["flops"] for each in explained),
        sum(memory_access(operator) for operator in operators),
        sum(each["parameters"] for each in explained),
        tuple(sorted({operator.kind for operator in operators if operator.problem})),
    )
