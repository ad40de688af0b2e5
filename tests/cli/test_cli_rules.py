"""``fdi rules``, and what every verb says of a profile that cannot be read."""

import json

import pytest

from fdi_keras.execution_time import describe_rules
from fdi_keras.profile import load_profile


def test_overview(fdi, small_profile):
    answer = fdi("rules", small_profile)
    assert answer.status == 0
    assert answer.err == ""
    for text in ("conv2d", "dense", "held-out error", f"fdi rules {small_profile} --kind conv2d"):
        assert text in answer.out.replace("\n", "") or text in answer.out


@pytest.mark.parametrize("columns", ["80", "160"])
def test_rules_of_a_kind(fdi, small_profile, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    answer = fdi("rules", small_profile, "--kind", "conv2d")
    assert answer.status == 0
    assert max(map(len, answer.out.splitlines())) <= int(columns)
    words = " ".join(answer.out.split())
    rules = describe_rules(load_profile(small_profile).models["conv2d"])
    assert f"conv2d: {len(rules)} rule" in words
    assert "2 FLOPs a multiply-accumulate" in words
    for rule in rules:
        assert str(rule.samples) in words
        assert all(word in words for word in rule.formula.split(" + ")[0].split())


def test_json(fdi, small_profile):
    answer = fdi("rules", small_profile, "--json")
    assert answer.err == ""
    document = json.loads(answer.out)
    profile = load_profile(small_profile)
    assert list(document["kinds"]) == ["conv2d", "dense"]
    assert document["overhead_ms"] == profile.overhead_ms
    conv = document["kinds"]["conv2d"]
    assert conv["mape"] == profile.mape["conv2d"]
    assert [r["text"] for r in conv["rules"]] == [r.text for r in describe_rules(profile.models["conv2d"])]
    one = json.loads(fdi("rules", small_profile, "--kind", "dense", "--json").out)
    assert one["kinds"] == {"dense": document["kinds"]["dense"]}


def test_kinds_that_are_not_there(fdi, small_profile):
    unknown = fdi("rules", small_profile, "--kind", "conv9")
    assert unknown.status == 2
    assert "unknown operator kind 'conv9'; known are conv2d" in unknown.err
    missing = fdi("rules", small_profile, "--kind", "softmax", "--json")
    assert missing.status == 1
    assert missing.out == ""
    assert "it has conv2d, dense" in missing.err


@pytest.mark.parametrize("verb", ["rules", "predict", "minima"])
@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no profile"), ('{"a": ', "damaged"), ('{"a": 1}', "is no device profile"), ("[1]", "profile")],
)
def test_profiles_that_cannot_be_read(fdi, tmp_path, conv_model, verb, content, says):
    path = tmp_path / "bad.json"
    if content is not None:
        path.write_text(content)
    args = {
        "rules": ["rules", path],
        "predict": ["predict", conv_model, "--profile", path],
        "minima": ["minima", path, "--kind", "dense", "--set", "in_channels=4", "--vary", "out_channels=1:9"],
    }[verb]
    for more in ([], ["--json"]):
        answer = fdi(*args, *more)
        assert answer.status == 1
        assert answer.out == ""
        assert says in answer.err
        assert "bad.json" in answer.err
        assert answer.err.startswith("fdi: error: ")
        assert answer.err.count("\n") == 1
