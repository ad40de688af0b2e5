"""The best choices under a budget, against trying all of them."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples

from fdi_keras.compression import width_optimum
from fdi_keras.compression.width_optimum import Factor, _numbered, best_choices


def problem(seed):
    """Values and times of up to five spaces with up to five choices, and a budget that some choices meet or none."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, rng.integers(1, 6))
    values = [np.sort(rng.normal(size=size)) for size in sizes]
    times = [Factor((), np.array(rng.random()))]
    for _ in range(rng.integers(1, 7)):
        scope = tuple(rng.permutation(len(sizes))[: rng.integers(1, 4)].tolist())
        # Plateaus, as operators have them, make many choices alike.
        times.append(Factor(scope, np.round(rng.random([sizes[i] for i in scope]), rng.integers(1, 5))))
    choices = list(product(*map(range, sizes)))
    took = np.array([sum(float(f.table[tuple(c[i] for i in f.scope)]) for f in times) for c in choices])
    budget = float(np.quantile(took, rng.random())) if rng.random() < 0.9 else 0.9 * float(took.min())
    reached = np.array([sum(v[i] for v, i in zip(values, c, strict=True)) for c in choices])
    within = took <= budget * (1 + 1e-9)
    return values, times, budget, dict(zip(choices, took, strict=True)), reached[within]


@examples(200)
@given(seed=st.integers(0, 10**6))
def test_the_best_choices_are_found(seed):
    values, times, budget, took, reached = problem(seed)
    found = best_choices(values, times, budget)
    if not len(reached):
        assert found.choices is None
        assert found.limit == -np.inf
        return
    assert found.value == pytest.approx(reached.max(), abs=1e-8)
    assert found.limit == pytest.approx(reached.max(), abs=1e-8)
    assert took[found.choices] <= budget * (1 + 1e-8)
    assert sum(v[c] for v, c in zip(values, found.choices, strict=True)) == pytest.approx(found.value)


@examples(100)
@given(
    seed=st.integers(0, 10**6),
    entries=st.integers(1, 30),
    kept=st.integers(1, 5),
    compared=st.integers(1, 12),
)
def test_limits_hold_where_tables_are_split_and_choices_dropped(seed, entries, kept, compared):
    values, times, budget, took, reached = problem(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(width_optimum, "MOST_ENTRIES", entries)
        patch.setattr(width_optimum, "MOST_CHOICES", kept)
        patch.setattr(width_optimum, "MOST_COMPARED", compared)
        found = best_choices(values, times, budget)
    if len(reached):
        assert found.limit >= reached.max() - 1e-8
        assert found.value <= reached.max() + 1e-8
    if found.choices is not None:
        assert took[found.choices] <= budget * (1 + 1e-8)


@examples(50)
@given(seed=st.integers(0, 10**6))
def test_what_is_known_is_only_bettered(seed):
    values, times, budget, _, reached = problem(seed)
    if not len(reached):
        return
    known = float(np.sort(reached)[-1])
    found = best_choices(values, times, budget, known)
    assert found.choices is None
    assert found.value == known == pytest.approx(found.limit, abs=1e-8)


def test_equal_rows_have_equal_numbers_however_long_they_are():
    rng = np.random.default_rng(0)
    rows = rng.integers(0, 50, (40, 30)).astype(np.int32)
    rows = rows[rng.integers(0, 40, 300)]
    numbers = _numbered(rows)
    alike = (rows[:, None] == rows[None]).all(axis=2)
    np.testing.assert_array_equal(numbers[:, None] == numbers[None], alike)
