"""Penalty, controller, journal and what survives saving, on a real small training."""

import itertools
import json
import math
import subprocess
import sys

import keras
import msgspec
import numpy as np
import pytest
from synthetic_devices import free, leaf, learned, linear_device, model_of, profile_of
from tensors import JITS, gradient, to_numpy

import fdi_keras as fdi
from fdi_keras.compression.callback import StrengthController
from fdi_keras.errors import (
    NothingToPruneError,
    TargetError,
    TrainingDivergedError,
    UnknownOperatorsError,
    UnsupportedModelError,
    UsageError,
)
from fdi_keras.execution_time import WeightFetch
from fdi_keras.journal import read_journal
from fdi_keras.profile.counted import two_number_profile

L = keras.layers


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 8, 8, 2)).astype("float32")
    y = (x[:, :4].mean(axis=(1, 2, 3)) > x[:, 4:].mean(axis=(1, 2, 3))).astype("int32")
    return x, y


def network():
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 2))
    for width in (16, 24):
        x = L.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization(momentum=0.8)(x))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(image, L.Dense(2, activation="softmax", name="out")(x), name="tiny")


def compiled(regularizer, optimizer="adam", **options):
    model = fdi.prunable(network())
    model.compile(
        optimizer,
        loss="sparse_categorical_crossentropy",
        metrics=["accuracy"],
        regularizer=regularizer,
        **options,
    )
    return model


@pytest.fixture(scope="module")
def profile():
    return linear_device()


@pytest.fixture(scope="module")
def start_ms(profile):
    return fdi.predict_latency(network(), profile).total_ms


def test_the_penalty_is_strength_times_relative_latency(profile, data):
    x, y = data
    model = compiled(fdi.LatencyRegularizer(profile, strength=0.5))
    with_penalty = model.evaluate(x, y, verbose=0, return_dict=True)
    model.steering.strength.assign(0.0)
    without = model.evaluate(x, y, verbose=0, return_dict=True)
    start = float(to_numpy(model.steering.start_ms))
    expected, kept = to_numpy(model.latency_plan.expected_ms(model.widths()))
    assert with_penalty["loss"] - without["loss"] == pytest.approx(0.5 * expected / start, rel=1e-3)
    assert with_penalty["latency_ms"] == pytest.approx(max(expected, kept), rel=1e-5)


def test_the_graph_and_numpy_predict_the_same(profile):
    model = compiled(fdi.LatencyRegularizer(profile, strength=0.5))
    plan = model.latency_plan
    rng = np.random.default_rng(1)
    for _ in range(5):
        widths = np.array(
            [rng.integers(1, s.width + 1) if s.kept is None else s.width for s in model.channel_spaces],
            "float32",
        )
        expected = float(to_numpy(plan.expected_ms(keras.ops.convert_to_tensor(widths))))
        assert expected == pytest.approx(float(plan.predict_ms(widths)), rel=1e-4)


def test_weights_that_leave_the_caches_cost_the_same_in_graph_numpy_and_report(profile):
    full = fdi.predict_latency(network(), profile)
    fetch = WeightFetch(
        0.3 * full.weight_bytes, 0.8 * full.weight_bytes, {"one row": 4e-7, "several rows": 1e-6}
    )
    small_caches = msgspec.structs.replace(profile, weight_fetch=fetch)
    report = fdi.predict_latency(network(), small_caches)
    assert report.fetched_share == 1
    assert report.fetch_ms > 0
    assert report.total_ms == pytest.approx(full.total_ms + report.fetch_ms)
    plan = compiled(fdi.LatencyRegularizer(small_caches, strength=0.5)).latency_plan
    assert plan.predict_ms(plan.full_widths) == pytest.approx(report.total_ms)
    rng = np.random.default_rng(2)
    several = np.array(
        [[rng.integers(1, s.width + 1) if s.kept is None else s.width for s in plan.spaces] for _ in range(6)]
    )
    shares = plan.fetched_share(several)
    assert ((shares > 0) & (shares < 1)).any()
    together = to_numpy(plan.expected_ms(keras.ops.convert_to_tensor(several, "float32")))
    np.testing.assert_allclose(together, plan.predict_ms(several), rtol=1e-4)


def test_tiles_are_rounded_in_the_graph_as_in_numpy():
    profile = learned(lambda d: np.ceil(d["out_channels"] / 16) * (d["in_channels"] + 20.0))
    assert any("@" in name for name in profile.models["conv2d"].tree.linear)
    x = image = keras.Input((8, 8, 3))
    for width in (40, 40):
        x = L.Conv2D(width, 3, padding="same")(x)
    model = fdi.prunable(keras.Model(image, L.Dense(2)(L.GlobalAveragePooling2D()(x))))
    model.compile("adam", loss="mse", regularizer=fdi.LatencyRegularizer(profile, strength=1.0))
    plan = model.latency_plan
    for first in (15, 16, 17, 32, 33, 40):
        widths = plan.full_widths.copy()
        widths[1] = first
        graph = float(plan.expected_ms(keras.ops.convert_to_tensor(widths.astype("float32"))))
        assert graph == pytest.approx(float(plan.predict_ms(widths)), rel=1e-4)


def test_the_gradient_couples_neighbours(profile):
    """Narrowing a layer saves more where the layer behind it is wider."""
    plan = compiled(fdi.LatencyRegularizer(profile, strength=1.0)).latency_plan
    names = plan.names
    slopes = []
    for neighbour in (4.0, 24.0):
        widths = np.array(plan.full_widths, "float32")
        widths[names.index("conv2d_1") if "conv2d_1" in names else 2] = neighbour
        slopes.append(gradient(plan.expected_ms, widths)[1])
    assert slopes[1] > slopes[0] > 0


@pytest.mark.parametrize("jit", JITS)
def test_a_target_is_met_and_held(profile, start_ms, data, jit, tmp_path):
    target = 0.4 * start_ms
    model = compiled(fdi.LatencyRegularizer(profile, target_ms=target), jit_compile=jit)
    journal = tmp_path / "session.jsonl"
    history = model.fit(*data, batch_size=16, epochs=10, verbose=0,
                        callbacks=[fdi.LatencyCallback(session="tiny", journal=journal)])  # fmt: skip
    assert history.history["latency_ms"][-1] == pytest.approx(target, rel=0.15)
    small = fdi.prune(model, target_ms=target)
    assert fdi.predict_latency(small, profile).total_ms <= target * (1 + 1e-6)

    events = list(read_journal(journal))
    assert [e["event"] for e in events] == ["started", *["epoch"] * 10, "finished", "prune"]
    started, last = events[0], events[-3]
    assert started["kind"] == "session"
    assert started["target_ms"] == pytest.approx(target)
    assert {"pid", "host", "schema_version"} <= set(started)
    assert set(last["widths"]) == set(model.channel_spaces.names)
    assert max(e["strength"] for e in events if e["event"] == "epoch") > 0
    assert "accuracy" in last["metrics"]
    assert events[-1]["predicted_ms"] <= target * (1 + 1e-6)
    json.dumps(events)


def test_sgd_meets_the_target_too(profile, start_ms, data):
    optimizer = keras.optimizers.SGD(0.05, momentum=0.9)
    model = compiled(fdi.LatencyRegularizer(profile, target_ms=0.5 * start_ms), optimizer)
    history = model.fit(*data, batch_size=16, epochs=10, verbose=0)
    assert history.history["latency_ms"][-1] <= 0.6 * start_ms


def test_it_survives_saving(profile, start_ms, data, tmp_path):
    x, y = data
    model = compiled(fdi.LatencyRegularizer(profile, target_ms=0.5 * start_ms))
    model.fit(x, y, batch_size=64, epochs=2, verbose=0)
    model.steering.strength.assign(0.123)
    before = model.evaluate(x, y, verbose=0, return_dict=True)
    model.save(tmp_path / "gated.keras")
    loaded = keras.models.load_model(tmp_path / "gated.keras")
    assert loaded.evaluate(x, y, verbose=0, return_dict=True) == pytest.approx(before, rel=1e-5)
    assert float(to_numpy(loaded.steering.strength)) == pytest.approx(0.123)
    assert loaded.regularizer.target_ms == pytest.approx(0.5 * start_ms)
    assert to_numpy(loaded.optimizer.iterations) == to_numpy(model.optimizer.iterations)
    np.testing.assert_allclose(to_numpy(loaded(x[:4])), to_numpy(model(x[:4])), atol=1e-6)
    loaded.fit(x, y, batch_size=64, epochs=1, verbose=0)


def test_regularizer_config_round_trip(profile):
    regularizer = fdi.LatencyRegularizer(profile, target_ms=1.5)
    config = regularizer.get_config()
    json.dumps(config)
    again = fdi.LatencyRegularizer.from_config(config)
    assert again.get_config() == config


@pytest.mark.parametrize(
    "arguments",
    [{}, {"target_ms": 1.0, "strength": 1.0}, {"target_ms": -1}, {"target_ms": math.nan}, {"strength": -0.1}],
)
def test_wrong_arguments_are_named(profile, arguments):
    with pytest.raises(UsageError, match="LatencyRegularizer"):
        fdi.LatencyRegularizer(profile, **arguments)


def test_a_target_below_one_channel_a_layer_is_refused(profile):
    with pytest.raises(TargetError, match="one channel in every prunable space"):
        compiled(fdi.LatencyRegularizer(profile, target_ms=1e-9))


def test_a_profile_that_knows_nothing_is_refused():
    other = profile_of({"gelu": model_of("gelu", leaf(1.0))})
    with pytest.raises(UnknownOperatorsError, match="none of this network's operators"):
        compiled(fdi.LatencyRegularizer(other, strength=1.0))


def test_unpriced_operators_are_named_in_the_journal(data, tmp_path):
    model = compiled(fdi.LatencyRegularizer(profile_of(free("conv2d", "dense")), strength=0.0))
    journal = tmp_path / "session.jsonl"
    model.fit(*data, epochs=1, verbose=0, callbacks=[fdi.LatencyCallback(journal=journal)])
    warnings = [e["message"] for e in read_journal(journal) if e["event"] == "warning"]
    assert len(warnings) == 2
    assert any("mean" in w for w in warnings)


def test_the_journal_holds_the_operators_and_the_roofs(data, tmp_path):
    with pytest.warns(fdi.errors.UnmeasuredProfileWarning):
        model = compiled(fdi.LatencyRegularizer(two_number_profile(50, 10), strength=0.0))
    journal = tmp_path / "session.jsonl"
    model.fit(*data, epochs=1, verbose=0, callbacks=[fdi.LatencyCallback(journal=journal)])
    started = next(read_journal(journal))
    assert started["roofline"] == pytest.approx(
        {"flops_per_s": 50e9, "bytes_per_s": 10e9, "near_bytes_per_s": 10e9}
    )
    told = started["operators"]
    assert {"conv2d", "dense"} <= {each["kind"] for each in told}
    assert sum(each["predicted_ms"] for each in told) == pytest.approx(started["start_ms"])
    assert all(each["flops"] >= 0 and each["memory_bytes"] > 0 for each in told)


def test_a_regularizer_of_another_kind_is_refused():
    with pytest.raises(UsageError, match="LatencyRegularizer"):
        compiled("l2")


def test_nan_stops_training_and_gives_the_last_good_weights_back(profile, start_ms, data, tmp_path):
    x, y = data
    model = compiled(fdi.LatencyRegularizer(profile, target_ms=0.5 * start_ms))
    model.fit(x, y, epochs=1, verbose=0)
    good = [w.copy() for w in model.get_weights()]
    bad = x.copy()
    bad[:] = np.nan
    journal = tmp_path / "session.jsonl"
    with pytest.raises(TrainingDivergedError, match="weights of the last whole epoch"):
        model.fit(bad, y, epochs=1, verbose=0, callbacks=[fdi.LatencyCallback(journal=journal)])
    for a, b in zip(good, model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert [e["event"] for e in read_journal(journal)] == ["started", "failed"]


def test_the_callback_needs_a_gated_model(data):
    plain = network()
    plain.compile("adam", loss="sparse_categorical_crossentropy")
    with pytest.raises(UsageError, match="prunable"):
        plain.fit(*data, epochs=1, verbose=0, callbacks=[fdi.LatencyCallback()])


def test_subclassed_and_closed_networks_are_refused():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(UnsupportedModelError, match="functional model"):
        fdi.prunable(Own())
    with pytest.raises(UnsupportedModelError, match=r"keras\.Input"):
        fdi.prunable(keras.Sequential([L.Dense(3)]))
    with pytest.raises(NothingToPruneError, match="no channel"):
        fdi.prunable(keras.Sequential([keras.Input((4,)), L.Dense(3)]))
    with pytest.raises(UsageError, match="already"):
        fdi.prunable(fdi.prunable(network()))


def test_prune_needs_gates_and_a_profile_for_a_target():
    with pytest.raises(UsageError, match="prunable"):
        fdi.prune(network())
    with pytest.raises(UsageError, match="needs a profile"):
        fdi.prune(fdi.prunable(network()), target_ms=1.0)


def test_prune_to_a_target_keeps_the_most_important_channels(profile, start_ms):
    plain = network()
    kernel = plain.get_layer(
        "conv2d" if "conv2d" in [layer.name for layer in plain.layers] else plain.layers[1].name
    ).kernel
    assert kernel.shape[-1] == 16
    gated = fdi.prunable(plain)
    small = fdi.prune(gated, profile=profile, target_ms=0.3 * start_ms)
    assert fdi.predict_latency(small, profile).total_ms <= 0.3 * start_ms * (1 + 1e-6)
    from fdi_keras.compression.importance import channel_importance
    from fdi_keras.networks import read_graph
    from fdi_keras.networks.history import history_of

    importance = channel_importance(read_graph(plain), gated.channel_spaces)
    for name, values in importance.items():
        kept = history_of(small).kept[name]
        assert values[kept].min() >= np.delete(values, kept).max(initial=0.0)


def test_the_schedule_descends_to_the_target_and_holds():
    controller = StrengthController(4.0, 1.0, first=0.01)
    scheduled = [controller.scheduled(p) for p in np.linspace(0, 1, 21)]
    assert scheduled[0] == 4.0
    assert scheduled[-1] == pytest.approx(1.0)
    assert all(a >= b for a, b in itertools.pairwise(scheduled))


def test_a_fixed_strength_is_left_alone(profile, data):
    model = compiled(fdi.LatencyRegularizer(profile, strength=0.25))
    model.fit(*data, epochs=2, verbose=0, callbacks=[fdi.LatencyCallback()])
    assert float(to_numpy(model.steering.strength)) == pytest.approx(0.25)


def test_recompiling_shows_one_latency(profile, start_ms, data):
    model = compiled(fdi.LatencyRegularizer(profile, strength=0.25))
    model.compile(
        "adam",
        loss="sparse_categorical_crossentropy",
        regularizer=fdi.LatencyRegularizer(profile, target_ms=start_ms),
    )
    assert [m.name for m in model.metrics].count("latency_ms") == 1
    model.compile("adam", loss="sparse_categorical_crossentropy")
    model.fit(*data, epochs=1, verbose=0)
    assert "latency_ms" not in [m.name for m in model.metrics]


@pytest.mark.parametrize(
    "code",
    ["import keras, fdi_keras; model = keras.models.load_model({path!r})",
     "import fdi_keras; model = fdi_keras.load_model({path!r})"],
)  # fmt: skip
def test_a_gated_model_loads_in_a_fresh_process(profile, start_ms, tmp_path, code):
    path = str(tmp_path / "gated.keras")
    compiled(fdi.LatencyRegularizer(profile, target_ms=0.5 * start_ms)).save(path)
    code = code.format(path=path) + "; print(model.regularizer.target_ms, len(model.gates))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    target, gates = done.stdout.split()
    assert float(target) == pytest.approx(0.5 * start_ms)
    assert int(gates) == 2
