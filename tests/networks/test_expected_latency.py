"""Operators as tables of coefficients."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fdi_keras.networks.expected_latency import TERMS, _Table
from fdi_keras.operators import EXPLANATORY, KINDS


@given(st.sampled_from(sorted(KINDS)), st.data())
def test_every_explanatory_variable_is_a_polynomial_of_second_degree_in_the_channels(name, data):
    kind = KINDS[name]
    dims = {d: data.draw(st.integers(8, 200), d) for d in kind.dimensions}
    dims |= {
        flag: data.draw(st.integers(0, 1)) for flag in ("padding", "activation", "constant") if flag in dims
    }
    if kind.windowed:
        dims |= {"kernel": data.draw(st.integers(1, 7)), "stride": data.draw(st.integers(1, 3))}
    x = dims[kind.channels[0]] if len(kind.channels) > 1 else 0
    y = dims[kind.channels[-1]]
    t = data.draw(st.sampled_from([y, -(-y // 16) * 16]))
    terms = np.array([float(x) ** a * float(y) ** b * float(t) ** c for a, b, c in TERMS])
    for i, variable in enumerate(EXPLANATORY):
        plain = _Table._coefficients(kind, dims, variable) @ terms
        assert plain == pytest.approx(kind.explain(dims)[0, i], rel=1e-9, abs=1e-3)
        tiled = _Table._coefficients(kind, dims, f"{variable}@16") @ terms
        assert tiled == pytest.approx(kind.explain({**dims, kind.channels[-1]: t})[0, i], rel=1e-9, abs=1e-3)
