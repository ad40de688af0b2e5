"""``fdi compare`` and ``fdi refit``."""

import json
import shutil

import msgspec
import numpy as np
import pytest

from fdi_keras.execution_time import Leaf, Split
from fdi_keras.execution_time.tree import Condition
from fdi_keras.profile import load_profile
from fdi_keras.profile.compare import FEWEST, compare_profiles, regions


@pytest.fixture(scope="module")
def slower(small_profile, tmp_path_factory):
    """The same device, if every dense layer took twice as long."""
    document = json.loads(small_profile.read_text())
    table = document["measurements"]["dense"]
    for row in table["rows"]:
        for name in ("median_ms", "min_ms"):
            at = table["columns"].index(name)
            row[at] = 2 * row[at] - document["overhead_ms"]
    path = tmp_path_factory.mktemp("slower") / "slower.json"
    path.write_text(json.dumps(document))
    return path


def times(factor, node):
    """A tree whose times are longer by this factor."""
    if isinstance(node, Leaf):
        weights = {name: factor * weight for name, weight in node.weights.items()}
        return msgspec.structs.replace(node, intercept=factor * node.intercept, weights=weights)
    return msgspec.structs.replace(node, yes=times(factor, node.yes), no=times(factor, node.no))


def test_a_profile_is_like_itself(fdi, small_profile):
    document = json.loads(fdi("compare", small_profile, small_profile, "--json").out)
    assert list(document["kinds"]) == ["conv2d", "dense"]
    for kind in document["kinds"].values():
        assert kind["ratio"] == kind["low"] == kind["high"] == 1.0
        assert [region["conditions"] for region in kind["regions"]] == [[]]
        assert kind["first_error"] == kind["second_error"]


def test_refit_then_compare(fdi, small_profile, slower):
    before = load_profile(slower)
    answer = fdi("refit", slower)
    assert answer.status == 0, answer.err
    assert "conv2d" in answer.out
    assert f"Written to {slower}" in answer.out.replace("\n", "")
    after = load_profile(slower)
    assert after.measurements == before.measurements
    assert after.models["dense"] != before.models["dense"]
    found = {c.kind: c for c in compare_profiles(load_profile(small_profile), after)}
    assert found["conv2d"].ratio == pytest.approx(1.0)
    assert found["dense"].ratio == pytest.approx(2.0, rel=0.1)
    shown = fdi("compare", small_profile, slower, "--kind", "dense").out
    assert "dense" in shown
    assert "conv2d" not in shown


def test_compare_says_where_a_device_is_slower(fdi, small_profile, tmp_path):
    first, second = load_profile(small_profile), load_profile(small_profile)
    tree = second.models["conv2d"].tree
    channels = first.measurements["conv2d"].column("in_channels")
    middle = float(np.median(channels)) + 0.5
    wide = Condition("in_channels", "above", middle)
    tree.root = Split(wide, yes=times(3.0, tree.root), no=tree.root)
    tree.features = list(dict.fromkeys([*tree.features, "in_channels"]))
    second.models["conv2d"].tree = msgspec.structs.replace(tree)
    slow, fast = regions(first, second, "conv2d")
    assert (slow.ratio, fast.ratio) == (pytest.approx(3.0), pytest.approx(1.0))
    assert min(slow.operators, fast.operators) >= FEWEST
    (condition,) = slow.conditions
    name, _, limit = condition.partition(" > ")
    assert name == "in_channels"
    low, high = sorted((int(middle), int(limit)))
    assert not ((channels > low) & (channels <= high)).any()
    second.save(tmp_path / "second.json")
    shown = fdi("compare", small_profile, tmp_path / "second.json").out
    assert "conv2d: where they differ" in shown
    assert condition in shown
    assert "dense: where" not in shown


def test_refit_writes_elsewhere_and_in_another_form(fdi, small_profile, tmp_path):
    content, out = small_profile.read_bytes(), tmp_path / "paper.json"
    answer = fdi("refit", small_profile, "--form", "paper", "--out", out, "--json")
    document = json.loads(answer.out)
    assert (document["path"], document["form"]) == (str(out), "paper")
    assert small_profile.read_bytes() == content
    assert {model.form for model in load_profile(out).models.values()} == {"paper"}
    for kind, numbers in document["kinds"].items():
        assert numbers["before"] == load_profile(small_profile).models[kind].error.mape
        assert numbers["after"] == load_profile(out).models[kind].error.mape


def test_what_cannot_be_refitted_or_compared(fdi, small_profile, tmp_path):
    answer = fdi("refit", "x86-avx512-litert")
    assert answer.status == 2
    assert "came with fdi-keras" in answer.err
    document = json.loads(small_profile.read_text())
    document["measurements"] = {}
    bare = tmp_path / "bare.json"
    bare.write_text(json.dumps(document))
    kept = bare.read_bytes()
    answer = fdi("refit", bare)
    assert answer.status == 1
    assert "saved without measurements" in answer.err
    assert bare.read_bytes() == kept
    assert "no time model for softmax" in fdi("compare", small_profile, bare, "--kind", "softmax").err
    assert fdi("compare", small_profile, tmp_path / "nothing.json").status == 1
    shutil.copy(small_profile, tmp_path / "other.json")
    shown = json.loads(fdi("compare", tmp_path / "other.json", bare, "--json").out)
    assert shown["kinds"]["conv2d"]["ratio"] == 1.0, "the first's measurements are enough"
