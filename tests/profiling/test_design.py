"""What every design promises: the same for the same seed, good in every prefix, within its limits."""

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples

from fdi_keras.errors import UsageError
from fdi_keras.operators import KINDS
from fdi_keras.operators.recurrent import RECURRENT
from fdi_keras.operators.windows import fits
from fdi_keras.profiling import configurations, design
from fdi_keras.profiling.corners import CORNERS
from fdi_keras.profiling.design import (
    HEAD_START,
    MAX_BYTES,
    MAX_FEATURE_BYTES,
    MAX_FLOPS,
    OTHER_SHARE,
    SHARES,
)

SOME_KINDS = st.none() | st.lists(st.sampled_from(sorted(KINDS)), min_size=1, unique=True)


@pytest.fixture(scope="module")
def large():
    return design(None, 4000)


@examples(25)
@given(kinds=SOME_KINDS, seed=st.integers(0, 2**32), count=st.integers(0, 60), more=st.integers(0, 60))
def test_a_longer_design_begins_with_the_shorter_one(kinds, seed, count, more):
    assert design(kinds, count + more, seed)[:count] == design(kinds, count, seed)


@examples(25)
@given(kinds=SOME_KINDS, seed=st.integers(0, 2**32))
def test_every_configuration_is_a_valid_probe_within_limits(kinds, seed):
    for kind, dims, _ in design(kinds, 150, seed):
        assert tuple(dims) == KINDS[kind].dimensions
        assert dims == KINDS[kind].canonical(dims)
        assert all(type(value) is int and value >= 0 for value in dims.values())
        flops, memory_in, memory_out, _, parameters = KINDS[kind].explain(dims)[0]
        assert flops <= MAX_FLOPS
        assert memory_out > 0
        assert memory_in + memory_out <= MAX_FEATURE_BYTES
        assert memory_in + memory_out + 4 * parameters <= MAX_BYTES
        if KINDS[kind].windowed:
            assert fits(dims)


def test_order_of_the_kinds_does_not_matter():
    assert design(["dense", "conv2d"], 20) == design(["conv2d", "dense", "dense"], 20)


def test_seeds_differ():
    assert design(["conv2d"], 50, seed=0) != design(["conv2d"], 50, seed=1)


def test_unknown_or_no_kinds_are_refused():
    with pytest.raises(UsageError, match="unknown operator kind 'conv9d'"):
        design(["conv9d"], 1)
    with pytest.raises(UsageError, match="at least one kind"):
        configurations([])


def test_corners_are_within_limits():
    for kind, corners in CORNERS.items():
        planned = [c.dims for c in design([kind], 40)]
        for corner in corners:
            assert KINDS[kind].canonical(corner) in planned


def test_no_configuration_twice(large):
    keys = [(kind, *dims.values()) for kind, dims, _ in large]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("count", [1000, 4000])
def test_kinds_take_turns_in_proportion(large, count):
    share = {kind: n / count for kind, n in Counter(c.kind for c in large[:count]).items()}
    assert set(share) == set(KINDS)
    total = sum(SHARES.get(kind, OTHER_SHARE) for kind in KINDS)
    for kind in SHARES:
        assert share[kind] == pytest.approx(SHARES[kind] / total, abs=0.035)
    assert sum(share[kind] for kind in ("conv2d", "depthwise_conv2d", "dense")) > 0.5
    assert sum(share[kind] for kind in RECURRENT) < 0.15


def test_a_short_campaign_knows_all_kinds_equally(large):
    counts = Counter(c.kind for c in large[: HEAD_START * len(KINDS)])
    assert counts == dict.fromkeys(KINDS, HEAD_START)


def test_neighbours_differ_in_one_channel_count(large):
    sizes = Counter()
    for (kind, _), members in itertools.groupby(
        sorted(large, key=lambda c: (c.kind, c.group)), key=lambda c: (c.kind, c.group)
    ):
        table = np.array([list(c.dims.values()) for c in members])
        sizes[len(table)] += 1
        moving = np.ptp(table, axis=0)
        assert moving.max() <= 2
        changed = [KINDS[kind].dimensions[at] for at in np.flatnonzero(moving)]
        assert len(changed) <= 1
        assert set(changed) <= set(KINDS[kind].channels)
    assert sizes[3] > 0.15 * sizes[1]
    assert set(sizes) <= {1, 2, 3}


#: Operators of MobileNet, ResNet50 and VGG16 at 64 and 96 pixels, and of a small CNN for digits.
ORDINARY = [
    ("conv2d", (96, 96, 3, 16, 3, 2, 1, 0)),
    ("conv2d", (48, 48, 3, 64, 7, 2, 0, 1)),
    ("conv2d", (3, 3, 2048, 512, 1, 1, 0, 1)),
    ("conv2d", (3, 3, 512, 2048, 1, 1, 0, 0)),
    ("conv2d", (4, 4, 512, 512, 3, 1, 1, 1)),
    ("conv2d", (32, 32, 4, 128, 3, 1, 1, 1)),
    ("depthwise_conv2d", (3, 3, 960, 3, 1, 1, 1)),
    ("depthwise_conv2d", (97, 97, 48, 3, 2, 0, 1)),
    ("dense", (1, 2048, 4096, 1)),
    ("dense", (1, 4096, 4096, 1)),
]


def test_ordinary_networks_lie_inside_even_a_short_campaign():
    short = design(["conv2d", "depthwise_conv2d", "dense"], 400)
    for kind, values in ORDINARY:
        named = KINDS[kind].dimensions[: len(values)]
        table = np.array([[c.dims[name] for name in named] for c in short if c.kind == kind])
        assert (table.min(0) <= values).all(), (kind, values)
        assert (values <= table.max(0)).all(), (kind, values)
