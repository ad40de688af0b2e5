"""Every profile that comes with the library is sound, listed, tells nothing private, and prices networks."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from fdi_keras.networks.latency import price_operators
from fdi_keras.operators import KINDS, Operator
from fdi_keras.profile import load_profile
from fdi_keras.profile.files import bundled_profiles
from fdi_keras.profile.several import PRIVATE

FOLDER = Path(__file__).parents[2] / "profiles"
FILES = sorted(FOLDER.glob("*.json"))

#: What every profile must know, and how well.
MAIN = ("conv2d", "depthwise_conv2d", "dense")
ENOUGH, GOOD = 200, 0.12


@pytest.fixture(scope="module", params=FILES, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture(scope="module")
def profile(path):
    return load_profile(path)


def test_those_that_are_installed_are_those_of_the_folder():
    assert sorted(bundled_profiles()) == sorted(path.stem for path in FILES)


def test_it_bears_the_name_of_its_file_and_is_listed(path, profile):
    assert profile.name == path.stem
    table = (FOLDER / "README.md").read_text()
    assert f"| `{path.stem}` |" in table


def test_it_tells_nothing_private(path, profile):
    assert not set(profile.device.details) & set(PRIVATE)
    text = json.dumps({**json.loads(path.read_text()), "measurements": {}})
    assert not re.search(
        r"/(home|root|Users|tmp|work)/|[0-9a-f]{2}(:[0-9a-f]{2}){5}|\d+\.\d+\.\d+\.\d+:\d+", text
    )


def test_it_was_measured_and_is_good(profile):
    for kind in MAIN:
        assert len(profile.measurements[kind]) >= ENOUGH
        assert profile.mape[kind] <= GOOD
    failed = len(profile.failures) / sum(map(len, profile.measurements.values()))
    assert failed < 0.02


def test_it_knows_all_kinds_and_every_measurement_is_near_its_prediction(profile):
    assert set(profile.models) == set(KINDS)
    for kind in MAIN:
        table = profile.measurements[kind]
        times = table.times_ms(profile.overhead_ms)
        predicted = profile.models[kind].predict_ms(table.dims)
        if profile.weight_fetch is not None:
            predicted = profile.weight_fetch.probe_ms(kind, table.dims, predicted)
        assert np.median(np.abs(predicted / times - 1)) <= profile.mape[kind]


def test_it_prices_a_network(profile):
    size = {"height": 14, "width": 14}
    operators = [
        Operator(
            "conv2d", KINDS["conv2d"].complete({**size, "in_channels": 64, "out_channels": 96, "kernel": 3})
        ),
        Operator(
            "depthwise_conv2d", KINDS["depthwise_conv2d"].complete({**size, "channels": 96, "kernel": 3})
        ),
        Operator("add", KINDS["add"].complete({**size, "channels": 96})),
        Operator("dense", KINDS["dense"].complete({"in_channels": 96, "out_channels": 10})),
    ]
    report = price_operators(operators, profile)
    assert report.coverage == 1.0
    assert not report.warnings
    assert report.low_ms < report.total_ms < report.high_ms
