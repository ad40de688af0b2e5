"""Steering by energy: the same penalty, on the profile's second quantity."""

import json

import keras
import msgspec
import numpy as np
import pytest
from synthetic_devices import free, leaf, linear_device, model_of

import fdi_keras as fdi
from fdi_keras.errors import EnergyUnknownError, TargetError, UsageError
from fdi_keras.journal import read_journal
from fdi_keras.profile import EnergyPart

L = keras.layers


@pytest.fixture(scope="module")
def profile():
    """Time is proportional to FLOPs; energy to what is written."""
    kinds = ("conv2d", "dense", "mean", "softmax")
    models = {k: model_of(k, leaf(1e-4, memory_out=1e-3)) for k in kinds} | free("relu")
    return msgspec.structs.replace(linear_device(), energy=EnergyPart(0.25, models))


def network():
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 2))
    for width in (16, 24):
        x = L.Conv2D(width, 3, padding="same", use_bias=False)(x)
        x = L.ReLU()(L.BatchNormalization(momentum=0.8)(x))
    x = L.GlobalAveragePooling2D()(x)
    return keras.Model(image, L.Dense(2, activation="softmax")(x), name="tiny")


@pytest.fixture(scope="module")
def start(profile):
    return fdi.predict_latency(network(), profile, energy=True)


def compiled(regularizer):
    model = fdi.prunable(network())
    model.compile("adam", loss="sparse_categorical_crossentropy", regularizer=regularizer)
    return model


def test_the_plan_prices_energy_as_the_report_does(profile, start):
    plan = compiled(fdi.LatencyRegularizer(profile, strength=0.5, objective="energy")).latency_plan
    assert float(plan.predict_ms(plan.full_widths)) == pytest.approx(start.total_mj)
    assert start.total_mj != pytest.approx(start.total_ms, rel=0.5)


def test_a_target_in_millijoule_is_met(profile, start, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 8, 8, 2)).astype("float32")
    y = (x[:, :4].mean(axis=(1, 2, 3)) > 0).astype("int32")
    target = 0.5 * start.total_mj
    model = compiled(fdi.LatencyRegularizer(profile, target_mj=target))
    journal = tmp_path / "session.jsonl"
    callback = fdi.LatencyCallback(session="tiny", journal=journal)
    history = model.fit(x, y, batch_size=16, epochs=8, verbose=0, callbacks=[callback]).history
    assert history["energy_mj"][-1] == pytest.approx(target, rel=0.15)
    assert "latency_ms" not in history
    pruned = fdi.predict_latency(fdi.prune(model), profile, energy=True)
    assert pruned.total_mj <= 1.1 * target
    events = list(read_journal(journal))
    assert events[0]["objective"] == "energy"
    assert (events[0]["start_mj"], events[0]["target_mj"]) == (
        pytest.approx(start.total_mj),
        pytest.approx(target),
    )
    assert events[1]["energy_mj"] == pytest.approx(history["energy_mj"][0])
    assert events[1]["latency_ms"] is None
    json.dumps(events)


def test_the_objective_is_saved_with_the_regularizer(profile):
    for arguments in ({"target_mj": 2.0}, {"strength": 0.1, "objective": "energy"}, {"target_ms": 2.0}):
        regularizer = fdi.LatencyRegularizer(profile, **arguments)
        config = json.loads(json.dumps(regularizer.get_config()))
        again = fdi.LatencyRegularizer.from_config(config)
        assert (again.objective, again.target, again.metric) == (
            regularizer.objective, regularizer.target, regularizer.metric,
        )  # fmt: skip
        assert json.loads(json.dumps(again.get_config())) == config


def test_a_profile_without_energy_is_refused_at_once():
    with pytest.raises(EnergyUnknownError, match="has no energy"):
        fdi.LatencyRegularizer(linear_device(), target_mj=1.0)


def test_a_target_below_one_channel_a_layer_is_refused_in_its_unit(profile):
    with pytest.raises(TargetError, match=r"target_mj=0.01 cannot be met.* mJ \(now"):
        compiled(fdi.LatencyRegularizer(profile, target_mj=0.01))


@pytest.mark.parametrize(
    "arguments",
    [
        {"target_ms": 1.0, "target_mj": 1.0},
        {"target_mj": 0.0},
        {"target_mj": 1.0, "objective": "latency"},
        {"target_ms": 1.0, "objective": "energy"},
        {"strength": 1.0, "objective": "memory"},
        {"objective": "energy"},
    ],
)
def test_wrong_arguments_are_named(profile, arguments):
    with pytest.raises(UsageError, match="LatencyRegularizer"):
        fdi.LatencyRegularizer(profile, **arguments)


def test_compiling_anew_for_the_other_objective_shows_that_one(profile):
    model = compiled(fdi.LatencyRegularizer(profile, strength=0.1))
    model.compile(
        "adam",
        loss="sparse_categorical_crossentropy",
        regularizer=fdi.LatencyRegularizer(profile, strength=0.1, objective="energy"),
    )
    logs = model.fit(np.zeros((8, 8, 8, 2)), np.zeros(8), verbose=0).history
    assert "energy_mj" in logs
    assert "latency_ms" not in logs
