"""What a device executes: operator kinds, their dimensions, and what explains their time.

An operator is one thing the runtime executes after fusion (convolution, bias and
activation are one), with batch size 1 and float32 tensors. Its dimensions fix it
completely. Three rooms above this one read the table of kinds: profiling makes
probes from it, execution_time learns from its variables, networks turn layers
into it.
"""

from fdi_keras.operators.kinds import (
    EXPLANATORY,
    KINDS,
    Kind,
    Operator,
    get_kind,
    memory_access,
)

__all__ = ["EXPLANATORY", "KINDS", "Kind", "Operator", "get_kind", "memory_access"]
