"""Operators as tables of coefficients."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdi_keras.execution_time import Leaf, Tree
from fdi_keras.execution_time.columns import LITTLE, PIXELS, SEEN, SKIPPED, compute, knows
from fdi_keras.networks.expected_latency import ONE, Priced, X, Y, _Table
from fdi_keras.operators import EXPLANATORY, KINDS
from fdi_keras.operators.kinds import CHOICES


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_every_column_is_a_polynomial_of_second_degree_in_the_channels(name, data):
    kind = KINDS[name]
    dims = {d: data.draw(st.integers(8, 200), d) for d in kind.dimensions}
    dims |= {name: data.draw(st.integers(0, ways - 1)) for name, ways in CHOICES.items() if name in dims}
    if "kernel" in dims:
        dims |= {"kernel": data.draw(st.integers(1, 7)), "stride": data.draw(st.integers(1, 3))}
        dims |= {"kernel_width": data.draw(st.integers(0, 7)), "stride_width": data.draw(st.integers(0, 3))}
    if "dilation" in dims:
        dims["dilation"] = 1
    tiles = data.draw(
        st.sampled_from(["", "@16", f"@16,{kind.channels[0]}:8", "@4,pixels:7", "@pixels:3", "@gates:32"])
    )
    candidates = [f"{base}{tiles}" for base in EXPLANATORY]
    candidates += [
        PIXELS,
        SEEN,
        SKIPPED,
        "gates@gates:16",
        f"flops/{kind.channels[0]}{tiles}",
        f"{kind.channels[-1]}@32",
    ]
    names = [n for n in candidates if knows(kind, n)]
    model = SimpleNamespace(kind=name, tree=Tree(names, [], Leaf(0.0, {}, samples=1, mape=0.0)))
    group_size = None
    if "groups" in dims:  # as channels are narrowed: by whole groups
        group_size = data.draw(st.integers(1, 4), "group size")
        dims["in_channels"] = group_size * dims["groups"]
    # Heads of attention are rows, pixels along one side, or matrices.
    others = [d for d in ("height", "rows", "batch") if d in kind.dimensions and not kind.windowed]
    first = data.draw(st.sampled_from([kind.channels[0], *([] if group_size else others)]), "first end")
    ends = (first, kind.channels[-1])
    table = _Table(Priced(model, {**dims, "groups": 1} if group_size else dims, ends, group_size))
    numbers = {ONE: 1.0, X: float(dims[ends[0]]), Y: float(dims[ends[1]])}
    for i, (number, tile) in enumerate(table.tiles):
        numbers[3 + i] = np.ceil(numbers[number] / tile - LITTLE) * tile
    for column, expected in compute(kind, dims, names).items():
        got = sum(v * numbers[a] * numbers[b] for (a, b), v in table.coefficients(column).items())
        assert got == pytest.approx(float(expected[0]), rel=1e-9, abs=1e-3)
