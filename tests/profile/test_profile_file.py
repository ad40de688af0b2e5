"""Profile files: what is written is read back, and what is wrong is named with place and remedy."""

import copy
import json
import os
import subprocess
import sys

import msgspec
import numpy as np
import pytest

from fdi_keras.devices import DeviceInfo, Runtime
from fdi_keras.errors import (
    CampaignError,
    ProfileInvalidError,
    ProfileNotFoundError,
    ProfileVersionError,
    StorageError,
)
from fdi_keras.operators import KINDS
from fdi_keras.profile import (
    DeviceProfile,
    bundled_profiles,
    learn_profile,
    load_profile,
    own_profiles,
    refit,
)
from fdi_keras.profile.profile import LEAST_SHARE
from fdi_keras.profiling import ColdWeights, Measurement, Plan, Records, design
from fdi_keras.profiling.records import Failure


def price(kind, dims):
    """A device that is linear in FLOPs and bytes written, in ms."""
    flops, _, written, _, _ = KINDS[kind].explain(dims)[0]
    return float(1e-3 + 1e-8 * flops + 1e-7 * written)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    kinds = ["dense", "relu", "softmax"]
    made = Records(
        tmp_path_factory.mktemp("journal") / "campaign.jsonl",
        DeviceInfo("local", "some processor", "computer", details={"cores": 2}),
        Runtime("litert", "2.1", threads=2),
        Plan(kinds, measurements=80).checked(),
    )
    made.overhead_ms = 0.0005
    for index, (kind, dims, group) in enumerate(design(kinds, 80)):
        if kind == "softmax" and len(made.failures) < 9:
            made.failures[index] = Failure(index, kind, dims, "the child was killed")
            continue
        ms = price(kind, dims) + made.overhead_ms
        made.measurements[index] = Measurement(index, kind, dims, group, ms, 0.01 * ms, 0.99 * ms, 50)
    dense = KINDS["dense"].complete({"in_channels": 64, "out_channels": 64})
    made.cold_weights = [ColdWeights("dense", dense, layers, 0.1 * layers, 0.0, 0.1, 9) for layers in (1, 8)]
    return made


@pytest.fixture(scope="module")
def profile(records):
    return learn_profile(records, name="bench")


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("FDI_DATA", str(tmp_path / "data"))
    return tmp_path / "data" / "profiles"


def test_learned_from_records(records, profile):
    assert set(profile.models) == {"dense", "relu"}
    assert profile.mape["relu"] < 0.01
    dims = {"height": 10, "width": 10, "channels": 30}
    assert profile.models["relu"].predict_ms(dims)[0] == pytest.approx(price("relu", dims), rel=0.02)
    assert sum(map(len, profile.measurements.values())) == len(records.measurements)
    assert len(profile.failures) == len(records.failures) > 0
    assert {failure.kind for failure in profile.failures} == {"softmax"}
    (warning,) = profile.warnings
    assert warning.startswith("softmax: ")
    assert "too few to learn from" in warning


def test_too_few_measurements_of_anything(records):
    few = copy.copy(records)
    few.measurements = dict(list(records.measurements.items())[:3])
    with pytest.raises(CampaignError, match="holds 3 measurements, too few of any kind"):
        learn_profile(few)
    few.overhead_ms = None
    with pytest.raises(CampaignError, match="no measurement yet"):
        learn_profile(few)


def test_round_trip_through_a_file(profile, tmp_path):
    path = tmp_path / "new" / "bench.json"
    profile.save(path)
    loaded = load_profile(path)
    assert loaded == profile
    assert os.listdir(path.parent) == ["bench.json"]
    loaded.save(path)
    assert load_profile(str(path)) == profile


def test_round_trip_through_plain_data(profile):
    data = json.loads(json.dumps(profile.to_dict()))
    assert DeviceProfile.from_dict(data) == profile
    small = json.loads(json.dumps(profile.to_dict(measurements=False)))
    assert len(json.dumps(small)) < 0.5 * len(json.dumps(data))
    without = DeviceProfile.from_dict(small)
    assert without.models == profile.models
    assert not without.measurements


def test_refit_gives_the_same_models(profile):
    again = refit(profile)
    assert again.models == profile.models
    assert again.measurements == profile.measurements
    with pytest.raises(CampaignError, match="saved without measurements"):
        refit(DeviceProfile.from_dict(profile.to_dict(measurements=False)))


def test_the_invocation_is_taken_off_but_never_all_of_it(profile):
    table = profile.measurements["relu"]
    times = table.times_ms(profile.overhead_ms)
    np.testing.assert_allclose(times, table.column("median_ms") - 0.0005)
    np.testing.assert_allclose(table.times_ms(1e9), LEAST_SHARE * table.column("median_ms"))


def test_own_profiles_are_found_by_name(profile, own_folder):
    profile.save(own_folder / "bench.json")
    assert own_profiles() == ["bench"]
    assert load_profile("bench") == profile
    assert load_profile("bench.json") == profile
    with pytest.raises(
        ProfileNotFoundError, match=r"no profile 'bensch'.* Did you mean bench\?.*fdi profile"
    ):
        load_profile("bensch")


def test_not_found_lists_what_there_is(tmp_path):
    with pytest.raises(ProfileNotFoundError, match=r"no profile .*nowhere.json.* Known names: ") as caught:
        load_profile(tmp_path / "nowhere.json")
    assert all(name in str(caught.value) for name in bundled_profiles())
    with pytest.raises(ProfileNotFoundError, match="is a folder"):
        load_profile(tmp_path)


def test_bundled_profiles_load():
    assert bundled_profiles()
    for name in bundled_profiles():
        assert load_profile(name).models


LEAF = ("models", "relu", "tree", "root")

#: (path into the data, new value or a function of the old, the place that the error names)
DAMAGE = [
    (("schema_version",), "1", "$.schema_version"),
    (("created",), "yesterday", "$.created"),
    (("overhead_ms",), -1.0, "$.overhead_ms"),
    (("overhead_ms",), "1", "$.overhead_ms"),
    (("unknown",), 1, "$"),
    (("device", "kind"), "toaster", "$.device.kind"),
    (("runtime", "threads"), 0, "$.runtime.threads"),
    (("models",), [], "$.models"),
    (("models",), {}, "$.models"),
    (("models", "relu", "kind"), "dense", "$.models.relu.kind"),
    (("models", "relu", "form"), "cubic", "$.models.relu.form"),
    ((*LEAF, "intercept"), -1.0, "$.models.relu.tree.root.intercept"),
    ((*LEAF, "samples"), 1.5, "$.models.relu.tree.root.samples"),
    ((*LEAF, "weights"), {"speed": 1.0}, "$.models.relu.tree.root.weights.speed"),
    ((*LEAF, "node"), "bush", "$.models.relu.tree.root"),
    (LEAF, lambda leaf: {"node": "split", "condition": {"feature": "height", "test": "above", "value": 2.0},
                         "yes": leaf, "no": {**leaf, "mape": "x"}}, "$.models.relu.tree.root.no.mape"),
    (LEAF, lambda leaf: {"node": "split", "condition": {"feature": "kernel", "test": "above", "value": 2.0},
                         "yes": leaf, "no": leaf}, "$.models.relu.tree.root"),
    (("models", "relu", "ranges"), lambda old: {k: v for k, v in old.items() if k != "height"},
     "$.models.relu.ranges"),
    (("models", "relu", "ranges", "height"), [5.0, 4.0], "$.models.relu.ranges.height"),
    (("models", "relu", "ranges", "height"), [1.0, 1.0], "$.models.relu.ranges.height"),
    (("models", "relu", "error", "mape"), -0.1, "$.models.relu.error.mape"),
    (("models", "relu", "error", "measurements"), 3, "$.models.relu.error.measurements"),
    (("measurements", "conv9d"), {"columns": [], "rows": []}, "$.measurements.conv9d"),
    (("measurements", "relu", "columns"), ["height"], "$.measurements.relu.columns"),
    (("measurements", "relu", "rows", 2), [1, 2], "$.measurements.relu.rows[2]"),
    (("measurements", "relu", "rows", 2, 0), "one", "$.measurements.relu.rows[2][0]"),
    (("measurements", "relu", "rows", 1, 4), 0, "$.measurements.relu.rows[1][4]"),
    (("cold_weights", 1, "kind"), "conv9d", "$.cold_weights[1].kind"),
    (("cold_weights", 1, "dims"), {"height": 1}, "$.cold_weights[1].dims"),
    (("cold_weights", 0, "layers"), 0, "$.cold_weights[0]"),
    (("cold_weights", 0, "median_ms"), 0.0, "$.cold_weights[0].median_ms"),
    (("weight_fetch",), {"cached_bytes": 1e6, "uncached_bytes": 2e6, "ms_per_byte": {"relu": 1e-8}},
     "$.weight_fetch.ms_per_byte"),
]  # fmt: skip


@pytest.mark.parametrize(("keys", "value", "place"), DAMAGE, ids=lambda v: ".".join(map(str, v))
                         if isinstance(v, tuple) else None)  # fmt: skip
def test_damage_is_named_with_file_place_and_remedy(profile, tmp_path, keys, value, place):
    data = json.loads(msgspec.json.encode(profile))
    parent = data
    for key in keys[:-1]:
        parent = parent[key]
    parent[keys[-1]] = value(parent[keys[-1]]) if callable(value) else value
    path = tmp_path / "bench.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ProfileInvalidError) as caught:
        load_profile(path)
    message = str(caught.value)
    assert message.startswith(f"profile {path} is damaged at {place}")
    assert message.endswith("or learn the profile anew with 'fdi profile'.")
    assert message.count("\n") == 0


@pytest.mark.parametrize("place", ["name", "models", "runtime", "plan"])
def test_missing_parts(profile, place):
    data = profile.to_dict()
    del data[place]
    with pytest.raises(ProfileInvalidError, match=place):
        DeviceProfile.from_dict(data)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x80\x04pickle",
        b"{}",
        b"[1, 2]",
        b'"text"',
        b'{"format": "other", "schema_version": 1}',
        b"NaN",
    ],
)
def test_foreign_files(tmp_path, content):
    path = tmp_path / "foreign.json"
    path.write_bytes(content)
    with pytest.raises(ProfileInvalidError, match="is no device profile") as caught:
        load_profile(path)
    assert str(path) in str(caught.value)


def test_cut_off_file(profile, tmp_path):
    path = tmp_path / "cut.json"
    profile.save(path)
    content = path.read_bytes()
    for length in (1, len(content) // 2, len(content) - 2):
        path.write_bytes(content[:length])
        with pytest.raises(ProfileInvalidError, match="not valid JSON"):
            load_profile(path)


def test_newer_file(profile, tmp_path):
    path = tmp_path / "newer.json"
    path.write_text(json.dumps({**profile.to_dict(), "schema_version": 2, "something_new": {}}))
    with pytest.raises(ProfileVersionError, match=r"schema version 2 .*reads up to 1\. Upgrade fdi-keras"):
        load_profile(path)


def test_unwritable_places_are_refused(profile, tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "bench.json", tmp_path, "/dev/full"):
        with pytest.raises(StorageError, match="cannot write"):
            profile.save(path)


FULL_DISK = """
import resource, sys
from fdi_keras.errors import StorageError
from fdi_keras.profile import load_profile
profile = load_profile(sys.argv[1])
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
try:
    profile.save(sys.argv[1])
except StorageError as error:
    print(error)
"""


def test_full_disk_leaves_the_old_file(profile, tmp_path):
    path = tmp_path / "bench.json"
    profile.save(path)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True
    )
    assert "cannot write" in done.stdout
    assert load_profile(path) == profile
    assert os.listdir(tmp_path) == ["bench.json"]


def test_loading_needs_nothing_heavy(profile, tmp_path):
    profile.save(tmp_path / "bench.json")
    code = (
        "import sys; from fdi_keras.profile import load_profile\n"
        "profile = load_profile(sys.argv[1])\n"
        "profile.models['relu'].predict_ms({'height': 4, 'width': 4, 'channels': 4})\n"
        "heavy = ('keras', 'tensorflow', 'sklearn', 'scipy', 'ai_edge_litert', 'textual')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bench.json")], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
