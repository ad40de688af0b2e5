"""The best widths of a network within a time: against all widths where they can be tried, with limits elsewhere."""

from itertools import product

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples
from synthetic_devices import blocks, linear_device

from fdi_keras.compression import best_widths as module
from fdi_keras.compression import width_optimum
from fdi_keras.compression.best_widths import best_widths
from fdi_keras.compression.importance import Ranking
from fdi_keras.compression.limits import Limits
from fdi_keras.compression.width_search import WidthSearch
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.networks.latency_plan import LatencyPlan
from fdi_keras.networks.layer_operators import read_layer_operators

L = keras.layers


def chain(widths):
    x = image = keras.Input((8, 8, 2))
    for width in widths:
        x = L.Conv2D(width, 3, padding="same", activation="relu")(x)
    return keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x)))


def joined(widths):
    """Two branches, added and put side by side: spaces that more than two operators share."""
    image = keras.Input((8, 8, 2))
    a = L.Conv2D(widths[0], 3, padding="same")(image)
    b = L.Conv2D(widths[0], 1)(image)
    both = L.ReLU()(L.Add()([a, b]))
    c = L.Conv2D(widths[1], 3, padding="same", activation="relu")(both)
    d = L.Conv2D(widths[2], 1, activation="relu")(both)
    x = L.GlobalAveragePooling2D()(L.Concatenate()([c, d]))
    return keras.Model(image, L.Dense(2)(x))


def search_in(model, tile, seed, multiple_of=1):
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    plan = LatencyPlan(
        read_layer_operators(graph), spaces, blocks(tile, input_price=0.02) if tile else linear_device()
    )
    rng = np.random.default_rng(seed)
    ranking = Ranking.of({s.name: rng.random(s.width) ** 2 for s in spaces.prunable})
    full = plan.full_widths
    limits = Limits.of(spaces, multiple_of=multiple_of)
    return WidthSearch(plan, ranking, limits.lower, full, limits)


@examples(25)
@given(
    build=st.sampled_from([chain, joined]),
    widths=st.lists(st.integers(1, 9), min_size=3, max_size=3),
    tile=st.integers(0, 4),
    share=st.floats(0.2, 1.0),
    multiple_of=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_no_widths_within_the_time_keep_more(build, widths, tile, share, multiple_of, seed):
    search = search_in(build(widths), tile, seed, multiple_of)
    plan = search.plan
    full = plan.full_widths
    budget = max(share * plan.predict_ms(full), float(plan.predict_ms(search.lower.astype(float))))
    found = best_widths(search, search.shrink(full, budget), budget)
    every = [search.widths_of(i) if i in search.movable else [int(full[i])] for i in range(len(full))]
    grid = np.array(list(product(*every)), float)
    kept = [search.value(w) for w in grid[plan.predict_ms(grid) <= budget * (1 + 1e-9)]]
    assert plan.predict_ms(found.widths) <= budget * (1 + 1e-6)
    assert found.value == pytest.approx(search.value(found.widths))
    assert found.value == pytest.approx(max(kept), abs=1e-6)
    assert found.missed == 0
    assert str(found) == "no widths within the time keep more importance"


@pytest.mark.parametrize(("entries", "combinations"), [(60, 10**7), (2_000_000, 500)])
def test_too_many_widths_leave_a_limit(monkeypatch, entries, combinations):
    """Widths are merged, or operators left out of the limit: what is found is as good, or the gap is told."""
    search = search_in(chain([40, 48, 40]), 4, 0)
    full = search.plan.full_widths
    budget = 0.5 * float(search.plan.predict_ms(full))
    start = search.shrink(full, budget)
    exact = best_widths(search, start, budget)
    assert exact.missed == 0
    monkeypatch.setattr(width_optimum, "MOST_ENTRIES", entries)
    monkeypatch.setattr(module, "MOST_ENTRIES", entries)
    monkeypatch.setattr(module, "LEAST_CHOICES", 6)
    monkeypatch.setattr(module, "MOST_COMBINATIONS", combinations)
    found = best_widths(search, start, budget)
    assert search.value(start) <= found.value <= exact.value + 1e-9 <= found.limit + 1e-6
    assert found.missed > 0
    assert f"over {found.missed:.2%} more importance a space" in str(found)
