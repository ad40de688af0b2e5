import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples
from sklearn.linear_model import LinearRegression

from fdi_keras.errors import CampaignError, UsageError
from fdi_keras.execution_time import (
    Condition,
    TimeModel,
    configuration_folds,
    describe_rules,
    fit_time_model,
    held_out_error,
    out_of_fold_predictions,
)
from fdi_keras.execution_time.forms import FORMS, Form, get_form
from fdi_keras.operators.kinds import EXPLANATORY, get_kind

KIND = get_kind("conv2d")


def campaign(n, seed=0, noise=0.01):
    """Random convolutions, on a device that is fast for multiples of 4 output channels."""
    rng = np.random.default_rng(seed)
    side = rng.integers(4, 57, n)
    dims = {
        "height": side,
        "width": side,
        "in_channels": np.exp(rng.uniform(0, 5.5, n)).astype(int),
        "out_channels": np.exp(rng.uniform(0, 5.5, n)).astype(int),
        "kernel": rng.choice([1, 3, 5], n),
    }
    full = {**KIND.defaults, **dims}
    flops, memory_in, memory_out, *_ = KIND.explain(full).T
    rate = np.where(dims["out_channels"] % 4 == 0, 1.0, 1.6)
    time = 0.004 + 2e-8 * rate * flops + 3e-7 * memory_in + 2e-7 * memory_out
    return dims, time * rng.normal(1, noise, n)


@pytest.fixture(scope="module")
def model():
    dims, times = campaign(700)
    return fit_time_model("conv2d", dims, times)


def test_dips_are_recovered_and_the_error_is_honest(model):
    assert model.tree.root.condition == Condition("out_channels", "multiple", 4.0)
    assert model.error.mape < 0.03
    assert model.error.within_5 <= model.error.within_10 <= 1
    assert (model.error.folds, model.error.measurements) == (5, 700)
    dims, times = campaign(300, seed=1)
    fresh = held_out_error(times, model.predict_ms(dims), folds=1)
    assert fresh.mape == pytest.approx(model.error.mape, abs=0.01)


def test_steps_are_recovered():
    dims, _ = campaign(700, seed=2)
    flops = KIND.explain({**KIND.defaults, **dims})[:, 0]
    times = 0.01 + flops * np.where(dims["out_channels"] > 64, 3e-8, 1e-8)
    model = fit_time_model("conv2d", dims, times)
    assert model.tree.root.condition == Condition("out_channels", "above", 64.5)
    assert model.error.mape < 0.01


def test_json_round_trip(model):
    again = msgspec.json.decode(msgspec.json.encode(model), type=TimeModel)
    again.validate()
    dims, _ = campaign(50, seed=3)
    np.testing.assert_array_equal(again.predict_ms(dims), model.predict_ms(dims))
    assert again == model


def test_leaf_and_rule_of_one_operator(model):
    dims = {"height": 14, "width": 14, "in_channels": 32, "out_channels": 64, "kernel": 3}
    leaf = model.leaf_of(dims)
    assert leaf.shape == model.predict_ms(dims).shape == (1,)
    assert model.rule_of(dims) == describe_rules(model)[leaf[0]].text
    assert "out_channels multiple of 4" in model.rule_of(dims)


def test_out_of_range(model):
    low, high = model.ranges["out_channels"]
    inside = {"height": 14, "width": 14, "in_channels": 32, "out_channels": 64, "kernel": 3}
    assert model.out_of_range(inside) == []
    assert model.out_of_range({**inside, "out_channels": 900, "padding": 0}) == [
        f"out_channels 900 outside {low:g}..{high:g}",
        "padding 0 outside 1..1",
    ]


def test_wrong_dimensions_are_named(model):
    with pytest.raises(UsageError, match="conv2d needs kernel"):
        model.predict_ms({"height": 14, "width": 14, "in_channels": 32, "out_channels": 64})
    with pytest.raises(UsageError, match="conv2d has no dimension channels"):
        model.predict_ms({"channels": 14})


def test_one_seed_gives_one_model():
    dims, times = campaign(150)
    assert fit_time_model("conv2d", dims, times, seed=4) == fit_time_model("conv2d", dims, times, seed=4)


@pytest.mark.parametrize("n", [3, 4, 8, 29])
def test_few_rows_still_give_a_model(n):
    dims, times = campaign(n)
    model = fit_time_model("conv2d", dims, times)
    assert model.error.folds == min(n, 5)
    assert np.isfinite(model.error.mape)
    assert (model.predict_ms(dims) > 0).all()


def test_scalars_and_other_kinds():
    channels = np.arange(1, 60)
    model = fit_time_model("concat", {"channels": channels}, 0.001 + 0.0002 * channels)
    assert model.error.mape < 0.01
    assert model.predict_ms({"channels": 30}) == pytest.approx([0.007])


def test_too_little_or_no_time_is_an_error():
    dims, times = campaign(2)
    with pytest.raises(CampaignError, match="at least 3 separate configurations; there are 2"):
        fit_time_model("conv2d", dims, times)
    repeated = {name: np.repeat(column, 5) for name, column in dims.items()}
    with pytest.raises(CampaignError, match="there are 2"):
        fit_time_model("conv2d", repeated, np.repeat(times, 5))
    with pytest.raises(CampaignError, match="no measurement"):
        fit_time_model("conv2d", dims, np.empty(0))
    dims, times = campaign(9)
    with pytest.raises(CampaignError, match=r"2 of 9 times are not positive numbers, the first is 0\.0"):
        fit_time_model("conv2d", dims, np.r_[times[:-2], 0.0, np.nan])
    with pytest.raises(UsageError, match=r"height must have shape \(9,\)"):
        fit_time_model("conv2d", {**dims, "height": np.ones(4)}, times)
    with pytest.raises(UsageError, match=r"times_ms must have shape \(n,\)"):
        fit_time_model("conv2d", dims, times[:, None])
    with pytest.raises(UsageError, match="folds must be at least 2"):
        fit_time_model("conv2d", dims, times, folds=1)
    with pytest.raises(UsageError, match="unknown form 'tiled'"):
        fit_time_model("conv2d", dims, times, form="tiled")


def test_progress_counts_every_fit():
    dims, times = campaign(40)
    seen = []
    fit_time_model("conv2d", dims, times, folds=3, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=60), st.integers(2, 6), st.integers(0, 99), st.booleans()
)
def test_configurations_and_groups_share_a_fold(channels, folds, seed, grouped):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 2 * len(channels), len(channels)) if grouped else None
    fold = configuration_folds({"channels": np.array(channels)}, folds, seed, groups)
    for labels in (channels, [] if groups is None else groups):
        for label in set(labels):
            assert len(set(fold[np.asarray(labels) == label])) == 1
    assert set(fold) == set(range(fold.max() + 1))
    np.testing.assert_array_equal(
        fold, configuration_folds({"channels": np.array(channels)}, folds, seed, groups)
    )


@examples(5)
@given(st.integers(0, 99))
def test_test_rows_are_never_seen(seed):
    dims, times = campaign(60, seed=seed)
    fold = configuration_folds(dims, 3, seed)
    expected = out_of_fold_predictions("conv2d", dims, times, fold)
    changed = np.where(fold == 0, times * 50, times)
    got = out_of_fold_predictions("conv2d", dims, changed, fold)
    np.testing.assert_array_equal(got[fold == 0], expected[fold == 0])


def test_other_regressors_on_the_same_folds(model):
    dims, times = campaign(700)
    fold = configuration_folds(dims, 5, 0)
    done = []
    linear = out_of_fold_predictions(
        "conv2d", dims, times, fold, regressor=LinearRegression(), progress=lambda i, n: done.append((i, n))
    )
    assert done == [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]
    assert held_out_error(times, linear, 5).mape > model.error.mape
    ours = out_of_fold_predictions("conv2d", dims, times, fold)
    assert held_out_error(times, ours, 5) == model.error


def test_another_form_may_bring_columns_of_its_own(monkeypatch):
    blocks = Form(
        "blocks",
        linear=lambda kind, dims, times, groups: (*EXPLANATORY, "flops@16"),
        knows=lambda kind, name: name == "flops@16",
        columns=lambda kind, dims, names: {
            names[0]: kind.explain(
                {**dims, "out_channels": np.ceil(np.asarray(dims["out_channels"]) / 16) * 16}
            )[:, 0]
        },
    )
    monkeypatch.setitem(FORMS, "blocks", blocks)
    dims, _ = campaign(200, seed=6)
    times = 0.01 + 1e-8 * blocks.columns(KIND, {**KIND.defaults, **dims}, ["flops@16"])["flops@16"]
    model = fit_time_model("conv2d", dims, times, form="blocks")
    model.validate()
    assert model.tree.features == [*KIND.features, "flops@16"]
    assert model.error.mape < 1e-3
    np.testing.assert_allclose(model.predict_ms(dims), times, rtol=0.01)


def test_a_column_nobody_knows_is_named():
    dims, _ = campaign(5)
    with pytest.raises(UsageError, match="conv2d has no column 'flops@16'"):
        get_form("paper").matrix(KIND, dims, ["flops@16"])


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"kind": "conv3d"}, "$.kind: "),
        ({"form": "tiled"}, "$.form: "),
        ({"ranges": {}}, "$.ranges: no range of 'height'"),
        ({"kind": "dense"}, "$.tree.features[0]: "),
    ],
)
def test_validation_names_the_place(model, change, place):
    model.validate()
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the text is compared below
        msgspec.structs.replace(model, **change).validate()
    assert str(error.value).startswith(place)


def test_validation_of_ranges_error_and_tree(model):
    ranges = {**model.ranges, "height": (9.0, 4.0)}
    with pytest.raises(ValueError, match=r"^\$\.ranges\.height: expected min <= max, got 9\.0 and 4\.0"):
        msgspec.structs.replace(model, ranges=ranges).validate()
    with pytest.raises(ValueError, match=r"^\$\.ranges\.hight: conv2d has no dimension"):
        msgspec.structs.replace(model, ranges={**model.ranges, "hight": (1.0, 4.0)}).validate()
    error = msgspec.structs.replace(model.error, within_5=1.5)
    with pytest.raises(ValueError, match=r"^\$\.error\.within_5: expected a fraction, got 1\.5"):
        msgspec.structs.replace(model, error=error).validate()
    tree = msgspec.structs.replace(model.tree, linear=["speed"])
    with pytest.raises(ValueError, match=r"^\$\.models\.tree\.linear\[0\]: "):
        msgspec.structs.replace(model, tree=tree).validate("$.models")


def blocked(tile, rows=300, seed=3):
    """Times of a library that computes output channels in blocks, and reads what it reads."""
    rng = np.random.default_rng(seed)
    dims = {
        "height": rng.integers(4, 29, rows),
        "width": rng.integers(4, 29, rows),
        "in_channels": rng.integers(1, 65, rows),
        "out_channels": rng.integers(1, 201, rows),
        "kernel": rng.choice([1, 3], rows),
    }
    rounded = KIND.explain(
        {**KIND.defaults, **dims, "out_channels": np.ceil(np.asarray(dims["out_channels"]) / tile) * tile}
    )
    plain = KIND.explain({**KIND.defaults, **dims})
    noise = rng.normal(1.0, 0.005, rows)
    return dims, (1e-3 + 1e-8 * rounded[:, 0] + 1e-7 * plain[:, 1]) * noise


@pytest.mark.parametrize("tile", [8, 16, 64])
def test_the_tile_is_found_in_the_data(tile):
    dims, times = blocked(tile)
    model = fit_time_model("conv2d", dims, times, form="tiles")
    assert f"flops@{tile}" in model.tree.linear
    assert f"out_channels@{tile}" in model.tree.features
    assert model.error.mape < 0.02
    assert model.error.mape < fit_time_model("conv2d", dims, times, form="paper").error.mape
    model.validate()
    assert msgspec.json.decode(msgspec.json.encode(model), type=TimeModel).predict_ms(dims) == pytest.approx(
        model.predict_ms(dims)
    )


def test_where_there_is_no_tile_none_is_taken():
    dims, times = blocked(1)
    model = fit_time_model("conv2d", dims, times, form="tiles")
    assert model.tree.linear == [*EXPLANATORY, "pixels", "memory_seen"]
    assert model.error.mape < 1.1 * fit_time_model("conv2d", dims, times, form="paper").error.mape
