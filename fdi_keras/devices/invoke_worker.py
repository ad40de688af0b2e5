"""Executes a model so often and ends: ``python invoke_worker.py FILE COUNT DELEGATE``.

For tools that watch a whole process. It is started by its path and imports LiteRT and numpy alone: a simulated
processor takes seconds for every package. All but the executions is the same for every COUNT.
"""

from __future__ import annotations

import sys

import numpy as np


def main(file: str, count: str, delegate: str) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kernels = OpResolverType.AUTO  # with XNNPACK
    if delegate == "none":
        kernels = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(model_path=file, num_threads=1, experimental_op_resolver_type=kernels)
    interpreter.allocate_tensors()
    for detail in interpreter.get_input_details():
        # 1 is allowed as an index too; zeros might be multiplied faster on some processors.
        interpreter.set_tensor(detail["index"], np.ones(detail["shape"], detail["dtype"]))
    for _ in range(int(count)):
        interpreter.invoke()


if __name__ == "__main__":
    main(*sys.argv[1:])
