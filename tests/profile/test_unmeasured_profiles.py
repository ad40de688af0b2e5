"""Profiles of counts and of published numbers: they say what they are wherever their numbers appear."""

import keras
import pytest

import fdi_keras as fdi
from fdi_keras.errors import UnmeasuredProfileWarning
from fdi_keras.execution_time import HeldOutError
from fdi_keras.journal import read_journal
from fdi_keras.profile import DeviceProfile
from fdi_keras.profile.compare import compare_profiles
from fdi_keras.profile.counted import counting_profile, two_number_profile

PROFILES = {"flops": counting_profile("flops"), "two numbers": two_number_profile(50, 10)}


def network():
    return keras.Sequential(
        [keras.Input((8, 8, 3)), keras.layers.Conv2D(8, 3), keras.layers.Flatten(), keras.layers.Dense(4)]
    )


def test_a_measured_profile_has_no_caution():
    assert fdi.load_profile("x86-avx512-litert").caution == ""


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_a_copy_under_another_name_still_says_it(profile):
    other = DeviceProfile.from_dict(profile.to_dict() | {"name": "my-phone"})
    assert other.caution.startswith("profile 'my-phone' was not measured: ")


def test_cautions_say_why():
    assert "its ms are no milliseconds" in counting_profile("parameters").caution
    assert "two published numbers, 50 GFLOP/s and 10 GB/s" in two_number_profile(50, 10).caution


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_predictions_carry_it(profile):
    report = fdi.predict_latency(network(), profile)
    assert report.warnings[0] == profile.caution
    assert profile.caution in str(report)


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_training_warns_and_the_journal_keeps_it(profile, tmp_path):
    model = fdi.prunable(network())
    regularizer = fdi.LatencyRegularizer(profile, strength=0.1)
    with pytest.warns(UnmeasuredProfileWarning, match="was not measured") as caught:
        model.compile("adam", "mse", regularizer=regularizer)
    assert [w.category for w in caught].count(UnmeasuredProfileWarning) == 1
    path = tmp_path / "session.jsonl"
    model.fit(
        keras.ops.ones((4, 8, 8, 3)),
        keras.ops.ones((4, 4)),
        verbose=0,
        callbacks=[fdi.LatencyCallback(journal=path)],
    )
    events = list(read_journal(path))
    assert events[0]["measured"] is False
    assert {"event": "warning", "message": profile.caution}.items() <= events[1].items()


def test_pruning_and_growing_by_it_warn():
    profile = two_number_profile(50, 10)
    target = 0.8 * fdi.predict_latency(network(), profile).total_ms
    with pytest.warns(UnmeasuredProfileWarning):
        small = fdi.prune(network(), profile, target_ms=target)
    with pytest.warns(UnmeasuredProfileWarning):
        fdi.grow(small, profile, report=None)


def test_it_has_no_error_to_compare():
    measured = fdi.load_profile("x86-avx512-litert")
    (row,) = (row for row in compare_profiles(PROFILES["flops"], measured) if row.kind == "dense")
    assert row.first_error is None
    assert isinstance(measured.models["dense"].error, HeldOutError)
    assert row.second_error == measured.mape["dense"]
