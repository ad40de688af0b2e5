"""A profile as something to walk through."""

import numpy as np
import pytest
from fdi_tui.data.profiles import (
    curve,
    may_vary,
    measured_near,
    measurements_behind,
    rule_tree,
    stepped,
    usual_dims,
    varied_first,
)

from fdi_keras.execution_time import accounts, describe_rules, time_minima
from fdi_keras.profile import load_profile
from fdi_keras.profile.compare import compare_profiles


@pytest.fixture(scope="module")
def profile():
    return load_profile("x86-avx512-litert")


def leaves_below(node):
    return (
        [node.leaves[0]]
        if node.is_leaf
        else [leaf for child in node.children for leaf in leaves_below(child)]
    )


def test_the_tree_has_every_rule_once_and_in_order(profile):
    for model in profile.models.values():
        tree = rule_tree(model)
        assert leaves_below(tree) == tree.leaves == list(range(len(describe_rules(model))))


def test_the_measurements_behind_the_leaves_are_all_of_a_kind(profile):
    model = profile.models["conv2d"]
    parts = [measurements_behind(profile, "conv2d", [leaf]) for leaf in range(len(model.tree.leaves))]
    assert sum(len(part) for part in parts) == len(profile.measurements["conv2d"])
    for leaf, part in enumerate(parts):
        assert set(model.leaf_of(part.dims).tolist()) <= {leaf}
        assert (np.diff(np.abs(part.off)) <= 1e-12).all()
    assert len(parts[0].first(3)) == min(3, len(parts[0]))


def test_what_variables_account_for_is_the_predicted_time(profile):
    model, table = profile.models["conv2d"], profile.measurements["conv2d"]
    shares = accounts(model, table.dims)
    assert sum(shares.values()) == pytest.approx(1.0)
    leaf = model.tree.leaves[0].leaf
    dims = measurements_behind(profile, "conv2d", [0]).dims
    constant = leaf.intercept * len(dims["kernel"]) / model.predict_ms(dims).sum()
    assert accounts(model, dims, [0]).get("constant", 0.0) == pytest.approx(constant)
    assert accounts(model, dims, [1]) == {}


def test_curves_are_the_models_predictions_with_their_minima(profile):
    model = profile.models["conv2d"]
    dims = {"height": 28, "width": 28, "in_channels": 64, "kernel": 3}
    part = curve(model, dims, "out_channels", 1, 128)
    assert part.x.tolist() == list(range(1, 129))
    assert part.times_ms == pytest.approx(model.predict_ms({**dims, "out_channels": part.x}))
    assert part.strict == np.flatnonzero(time_minima(part.x, part.times_ms)).tolist() or set(
        part.strict
    ) <= set(part.minima)
    assert part.minima
    assert part.outside == []


def test_curves_leave_out_what_is_no_operator_and_name_what_was_not_measured(profile):
    model = profile.models["conv2d"]
    dims = {"height": 3, "width": 3, "in_channels": 8, "out_channels": 8, "padding": 0}
    assert curve(model, dims, "kernel", 1, 7).x.tolist() == [1, 2, 3]
    none = curve(model, {**dims, "kernel": 5}, "out_channels", 1, 9)
    assert len(none.x) == 0
    assert none.outside
    beyond = curve(model, {**dims, "kernel": 1}, "in_channels", 1, 1_000_000)
    assert len(beyond.x) <= 2304
    assert beyond.minima == []
    assert any("in_channels" in text for text in beyond.outside)


def test_a_curve_begins_where_something_was_measured(profile):
    for kind in profile.models:
        dims = usual_dims(profile, kind)
        x, times = measured_near(profile, kind, dims, varied_first(kind))
        assert dims[varied_first(kind)] in x.tolist()
        assert (times > 0).all()
        assert varied_first(kind) in may_vary(kind)


def test_without_measurements_a_curve_begins_in_the_middle(profile):
    import msgspec

    bare = msgspec.structs.replace(profile, measurements={})
    assert measurements_behind(bare, "conv2d") is None
    dims = usual_dims(bare, "conv2d")
    assert bare.models["conv2d"].out_of_range(dims) == []
    assert [len(each) for each in measured_near(bare, "conv2d", dims, "out_channels")] == [0, 0]


def test_dimensions_step_within_what_was_measured(profile):
    model = profile.models["conv2d"]
    for name, (low, high) in model.ranges.items():
        value = int(low)
        seen = [value]
        for _ in range(500):
            value = stepped(model, name, value, 1)
            seen.append(value)
        if name not in ("padding", "activation"):
            assert seen == sorted(seen)
            assert seen[-1] == high
        assert all(low <= v <= high for v in seen)
        assert stepped(model, name, int(low), 0) == low


def test_a_profile_beside_itself_is_no_faster(profile):
    for row in compare_profiles(profile, profile):
        assert row.first_error == row.second_error
        assert row.ratio == pytest.approx(1.0)


def test_kinds_that_one_profile_lacks_are_compared_by_nothing(profile):
    import msgspec

    fewer = msgspec.structs.replace(profile, models={"dense": profile.models["dense"]})
    rows = {row.kind: row for row in compare_profiles(fewer, profile)}
    assert set(rows) == set(profile.models)
    assert (rows["conv2d"].first_error, rows["conv2d"].ratio) == (None, None)
    assert rows["dense"].operators > 0
