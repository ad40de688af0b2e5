"""Several limits at once: predicted as each alone, kept by pruning and growth, steered to by training."""

import json
from itertools import product

import keras
import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from searching import examples
from small_training import data, network
from synthetic_devices import blocks, free, leaf, linear_device, model_of

import fdi_keras as fdi
from fdi_keras.compression.best_widths import best_widths
from fdi_keras.compression.budget_meter import believed, between
from fdi_keras.compression.importance import Ranking
from fdi_keras.compression.limits import Limits
from fdi_keras.compression.width_search import WidthSearch
from fdi_keras.errors import EnergyUnknownError, TargetError, UsageError
from fdi_keras.journal import read_journal
from fdi_keras.networks import find_channel_spaces, read_graph
from fdi_keras.networks.budget_plan import BudgetPlan
from fdi_keras.profile import EnergyPart

L = keras.layers

FAST = linear_device()


def other_device():
    """Pays for what is written; energy goes with FLOPs."""
    kinds = ("conv2d", "dense", "mean", "softmax")
    models = {k: model_of(k, leaf(1e-4, memory_out=1e-4)) for k in kinds} | free("relu")
    energies = {k: model_of(k, leaf(0.0, flops=1e-6)) for k in kinds} | free("relu")
    device = msgspec.structs.replace(linear_device(), models=models, energy=EnergyPart(0.0, energies))
    return msgspec.structs.replace(device, name="other")


OTHER = other_device()


def budgets_of(model, *shares):
    """Shares of what a network takes: on the one device, on the other, in mJ, of its file and in memory."""
    units = [
        fdi.Budget(FAST, ms=1), fdi.Budget(OTHER, ms=1), fdi.Budget(OTHER, mj=1), fdi.Budget(file_mb=1),
        fdi.Budget(peak_mb=1),
    ]  # fmt: skip
    plan = plan_of(model, units)
    took = plan.amounts(plan.full_widths)
    return [
        unit.scaled(share * amount) for unit, share, amount in zip(units, shares, took, strict=True) if share
    ]


def plan_of(model, budgets):
    graph = read_graph(model)
    return BudgetPlan(budgets, graph, find_channel_spaces(graph))


def shares_of(model, budgets):
    plan = plan_of(model, budgets)
    return plan.shares(plan.full_widths)


# What a budget is


@pytest.mark.parametrize(
    ("text", "what", "limit"),
    [
        ("5 ms on x86-avx512-litert", "ms", 5.0),
        ("0.5MS on x86-avx512-litert", "ms", 0.5),
        ("2 MB file", "file_mb", 2.0),
        ("1.5e0 mb memory", "peak_mb", 1.5),
    ],
)
def test_budgets_in_words(text, what, limit):
    budget = fdi.Budget.parse(text)
    assert (budget.what, budget.limit) == (what, limit)
    assert fdi.Budget.parse(str(budget)) == budget


@pytest.mark.parametrize(
    "text",
    ["", "5 ms", "5 MB on x86-avx512-litert", "five ms on phone", "2 ms file", "-1 MB file", "2 GB file"],
)
def test_other_words_are_an_error_that_says_what_is_expected(text):
    with pytest.raises(UsageError, match="expected"):
        fdi.Budget.parse(text)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "exactly one of ms, mj, file_mb, peak_mb; received none"),
        ({"ms": 1, "file_mb": 1}, "exactly one"),
        ({"ms": 1}, "needs a profile"),
        ({"file_mb": 2, "profile": FAST}, "takes no profile"),
        ({"peak_mb": float("nan")}, "positive number"),
        ({"file_mb": True}, "positive number"),
        ({"file_mb": 1, "device": "local"}, "takes no device"),
        ({"profile": 3, "ms": 1}, "received int"),
    ],
)
def test_what_is_no_budget(arguments, said):
    with pytest.raises(UsageError, match=said):
        fdi.Budget(**arguments)


def test_energy_needs_a_profile_that_knows_it():
    with pytest.raises(EnergyUnknownError):
        fdi.Budget(FAST, mj=1)


def test_the_same_thing_is_limited_once():
    with pytest.raises(UsageError, match="more than once"):
        fdi.BudgetRegularizer([fdi.Budget(FAST, ms=1), fdi.Budget(FAST, ms=2)])
    with pytest.raises(UsageError, match="received float"):
        fdi.prune(network(), budgets=[3.0])
    with pytest.raises(UsageError, match="an empty list"):
        fdi.prune(network(), budgets=[])


# What is predicted


@examples(10)
@given(seed=st.integers(0, 1000))
def test_each_is_predicted_as_it_is_alone(seed):
    model = network()
    budgets = budgets_of(model, 0.5, 0.7, 0.9, 0.6, 0.8)
    plan = plan_of(model, budgets)
    rng = np.random.default_rng(seed)
    spaces = find_channel_spaces(read_graph(model))
    kept = {space.name: int(rng.integers(1, space.width + 1)) for space in spaces.prunable}
    small = fdi.apply_widths(model, kept)
    widths = np.array([kept.get(space.name, space.width) for space in spaces], float)
    amounts = plan.amounts(widths)
    assert amounts[0] == pytest.approx(fdi.predict_latency(small, FAST).total_ms)
    energy = fdi.predict_latency(small, OTHER, energy=True)
    assert amounts[1:3] == [pytest.approx(energy.total_ms), pytest.approx(energy.total_mj)]
    assert amounts[3:] == pytest.approx(
        plan_of(small, budgets).amounts(plan_of(small, budgets).full_widths)[3:]
    )
    assert plan.predict_ms(widths) == plan.shares(widths).max() == pytest.approx(plan.costs(widths).max())
    expected = plan.expected_ms(keras.ops.convert_to_tensor(widths.astype("float32")))
    assert float(expected) == pytest.approx(float(plan.predict_ms(widths)), rel=1e-5)


def shared_head():
    """A dense layer that two branches share: its weights lie in the file once."""
    one, two = keras.Input((64,)), keras.Input((64,))
    head = L.Dense(96, "relu")
    return keras.Model([one, two], L.Dense(3)(L.Concatenate()([head(one), head(two)])))


@pytest.mark.parametrize("build", [network, shared_head])
def test_a_file_is_as_large_as_predicted(build):
    model = build()
    plan = plan_of(model, [fdi.Budget(file_mb=1)])
    [predicted] = plan.amounts(plan.full_widths)
    assert 1e6 * predicted == pytest.approx(len(fdi.export_litert(model)), rel=0.05, abs=2500)


# What pruning and growth make of them


@examples(5)
@given(
    shares=st.tuples(*[st.sampled_from([None, 0.3, 0.5, 0.8, 1.0])] * 5).filter(any),
    seed=st.integers(0, 20),
)
def test_pruning_and_growth_keep_every_budget(shares, seed):
    model = network()
    budgets = budgets_of(model, *shares)
    small = fdi.prune(model, budgets=budgets, importance="random", seed=seed)
    assert (shares_of(small, budgets) <= 1 + 1e-6).all()
    grown = fdi.grow(small, origin=model, budgets=budgets, report=None)
    assert (shares_of(grown, budgets) <= 1 + 1e-6).all()
    assert grown.count_params() >= small.count_params()
    assert fdi.grow(small, origin=model, budgets=budgets, exchange=True, report=None).count_params() > 0


def test_one_budget_prunes_as_a_target_does():
    model = network()
    [budget] = budgets_of(model, 0.5, None, None, None, None)
    by_target = fdi.prune(model, FAST, target_ms=budget.limit)
    assert fdi.kept_channels(fdi.prune(model, budgets=budget)) == fdi.kept_channels(by_target)


@examples(15)
@given(
    widths=st.lists(st.integers(1, 7), min_size=3, max_size=3),
    shares=st.tuples(st.floats(0.3, 1.0), st.floats(0.3, 1.0), st.floats(0.4, 1.0)),
    seed=st.integers(0, 100),
)
def test_the_limit_of_the_best_widths_is_one(widths, shares, seed):
    """Nothing within the budgets keeps more than the limit says, and what was found is within them."""
    x = image = keras.Input((8, 8, 2))
    for width in widths:
        x = L.Conv2D(width, 3, padding="same", activation="relu")(x)
    model = keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x)))
    units = [
        fdi.Budget(FAST, ms=1),
        fdi.Budget(named(blocks(3, input_price=0.02)), ms=1),
        fdi.Budget(peak_mb=1),
    ]
    whole = plan_of(model, units)
    took = whole.amounts(whole.full_widths)
    budgets = [unit.scaled(share * amount) for unit, share, amount in zip(units, shares, took, strict=True)]
    graph = read_graph(model)
    spaces = find_channel_spaces(graph)
    plan = BudgetPlan(budgets, graph, spaces)
    ranking = Ranking.of({s.name: np.random.default_rng(seed).random(s.width) ** 2 for s in spaces.prunable})
    limits = Limits.of(spaces)
    search = WidthSearch(plan, ranking, limits.lower, plan.full_widths, limits)
    every = [
        search.widths_of(i) if i in search.movable else [int(plan.full_widths[i])]
        for i in range(len(plan.names))
    ]
    grid = np.array(list(product(*every)), float)
    values = np.array([search.value(w) for w in grid])
    fits = plan.predict_ms(grid) <= 1 + 1e-9
    if not fits.any():
        with pytest.raises(TargetError, match="budgets cannot be kept"):
            search.shrink(plan.full_widths, 1.0)
        return
    found = best_widths(search, search.shrink(plan.full_widths, 1.0), 1.0)
    best = values[fits].max()
    assert plan.predict_ms(found.widths) <= 1 + 1e-6
    assert found.value <= best + 1e-6
    assert found.limit >= best - 1e-6
    # A local search is not far off where the limits meet (in the geometric mean of a space's importance).
    assert best - found.value < 0.7


def named(profile):
    return msgspec.structs.replace(profile, name="in blocks")


def test_budgets_that_cannot_be_kept_are_named():
    model = network()
    with pytest.raises(TargetError, match=r"budgets cannot be kept.*of 1e-06 MB file"):
        fdi.prune(model, budgets=[fdi.Budget(FAST, ms=100), fdi.Budget(file_mb=1e-6)])
    with pytest.raises(TargetError, match=r"over its budgets before it grows: .* of 0\.0001 MB file"):
        fdi.grow(model, budgets=fdi.Budget(file_mb=1e-4), report=None)


def test_budgets_stand_in_place_of_a_target():
    model, budget = network(), fdi.Budget(file_mb=1)
    with pytest.raises(UsageError, match="not both"):
        fdi.prune(model, FAST, 1.0, budgets=budget)
    with pytest.raises(UsageError, match="not both"):
        fdi.grow(model, FAST, budgets=budget)
    with pytest.raises(UsageError, match=r"needs profile=.*or budgets="):
        fdi.grow(model)


# Training


@pytest.fixture(scope="module")
def steered(tmp_path_factory):
    model = network()
    budgets = budgets_of(model, 0.9, 0.45, None, 0.6, 0.7)
    gated = fdi.prunable(model)
    gated.compile("adam", "sparse_categorical_crossentropy", regularizer=fdi.BudgetRegularizer(budgets))
    journal = tmp_path_factory.mktemp("journals") / "session.jsonl"
    callback = fdi.LatencyCallback(session="two", journal=journal)
    history = gated.fit(*data(), batch_size=16, epochs=8, verbose=0, callbacks=[callback]).history
    return gated, budgets, history, journal


def test_training_comes_to_the_tightest_budget(steered):
    gated, budgets, history, _ = steered
    assert history["budget_share"][0] == pytest.approx(1 / 0.45, rel=0.1)
    assert history["budget_share"][-1] == pytest.approx(1.0, abs=0.15)
    small = fdi.prune(gated, budgets=budgets)
    assert (shares_of(small, budgets) <= 1 + 1e-6).all()


def test_the_journal_tells_of_each_budget(steered):
    gated, budgets, _, journal = steered
    fdi.grow(fdi.prune(gated, budgets=budgets), origin=gated, budgets=budgets, report=None)
    events = list(read_journal(journal))
    assert events[0]["objective"] == "budgets"
    assert [(b["subject"], b["unit"], b["limit"]) for b in events[0]["budgets"]] == [
        (budget.subject, budget.unit, budget.limit) for budget in budgets
    ]
    epochs = [event for event in events if event["event"] == "epoch"]
    assert epochs[-1]["budget_share"] == pytest.approx(1.0, abs=0.15)
    assert len(epochs[-1]["budgets"]) == len(budgets)
    for name in ("prune", "grow"):
        written = next(event for event in reversed(events) if event["event"] == name)
        assert all(use["after"] <= budget.limit * (1 + 1e-6)
                   for use, budget in zip(written["budgets"], budgets, strict=True))  # fmt: skip
    json.dumps(events)


def test_it_is_saved_and_loaded_with_its_budgets(steered, tmp_path):
    gated, budgets, _, _ = steered
    gated.save(tmp_path / "gated.keras")
    loaded = keras.models.load_model(tmp_path / "gated.keras")
    assert [str(b) for b in loaded.regularizer.budgets] == [str(b) for b in budgets]
    shares = [
        keras.ops.convert_to_numpy(model.latency_plan.expected_ms(model.widths()))
        for model in (loaded, gated)
    ]
    np.testing.assert_allclose(*shares, rtol=1e-6)


def test_the_recipe_keeps_further_budgets(tmp_path):
    model = network()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.fit(*data(), verbose=0)
    target, *further = budgets_of(model, 0.8, 0.5, None, 0.6, None)
    told = []
    result = fdi.compress(
        model, FAST, target.limit, data(), 4, device=None, budgets=further, folder=tmp_path / "run",
        report=told.append,
    )  # fmt: skip
    last = result.stages[-1]
    assert last.predicted_ms <= target.limit * (1 + 1e-6)
    assert last.budgets.keys() == {str(budget) for budget in further}
    for budget in further:
        assert last.budgets[str(budget)] <= budget.limit * (1 + 1e-6)
    assert 1e6 * last.budgets[str(further[1])] == (tmp_path / "run" / "fine-tuned.tflite").stat().st_size
    assert any(str(further[0]) in line for line in told)
    with pytest.raises(UsageError, match=r"another run.*budgets"):
        fdi.compress(model, FAST, target.limit, data(), 4, device=None, folder=tmp_path / "run",
                     budgets=further[:1], report=told.append)  # fmt: skip


@pytest.mark.parametrize(
    ("timings", "expected"),
    [([1.0, 1.01], 1.005), ([1.0, 1.4, 1.02], 1.02), ([1.4, 1.0, 1.02], 1.02), ([1.0, 1.04, 0.96], 1.0)],
)
def test_one_slow_run_is_not_believed(timings, expected):
    left = iter(timings)
    assert believed(lambda: next(left)) == pytest.approx(expected)
    assert next(left, None) is None


@given(
    power=st.floats(0.6, 1.9),
    factor=st.floats(0.2, 5),
    limit=st.floats(0.01, 10),
    predictions=st.lists(st.floats(0.01, 10), min_size=2, max_size=4, unique_by=lambda p: round(p, 2)),
)
def test_two_timed_networks_tell_what_to_predict(power, factor, limit, predictions):
    """Where times are a power of what is predicted, whichever networks were tried."""
    found = between([(each, factor * each**power) for each in predictions], limit)
    assert factor * found**power == pytest.approx(limit, rel=1e-6)


def test_equal_predictions_tell_no_power():
    assert between([(1.0, 2.0), (1.0, 2.1)], 1.0) == pytest.approx(0.5)
