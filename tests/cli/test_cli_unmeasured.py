"""A profile of two published numbers from the command line, and what every verb says of it."""

import json

import pytest

from fdi_keras.profile import load_profile


@pytest.fixture
def published(fdi, tmp_path):
    path = tmp_path / "published.json"
    answer = fdi("profiles", "two-numbers", "--gflops", "50", "--gb-per-s", "10", "-o", path)
    assert answer.status == 0, answer.err
    assert "was not measured" in " ".join(answer.err.split())
    return path


def test_its_times_are_those_of_the_two_numbers(fdi, published, conv_model):
    profile = load_profile(published)
    assert profile.name == "published"
    document = json.loads(fdi("predict", conv_model, "--profile", published, "--json").out)
    (row,) = document["operators"]
    assert document["total_ms"] > 1e3 * row["flops"] / 50e9
    assert document["warnings"] == [profile.caution]


@pytest.mark.parametrize("words", [
    ("rules", "PROFILE"),
    ("rules", "PROFILE", "--kind", "dense"),
    ("minima", "PROFILE", "--kind", "dense", "--set", "in_channels=8", "--vary", "out_channels=1:9"),
    ("compare", "PROFILE", "x86-avx512-litert"),
    ("predict", "MODEL", "--profile", "PROFILE"),
])  # fmt: skip
def test_every_verb_says_that_nothing_was_measured(fdi, published, conv_model, words):
    places = {"PROFILE": published, "MODEL": conv_model}
    words = [places.get(word, word) for word in words]
    shown = fdi(*words)
    assert shown.status == 0, shown.err
    assert "was not measured: its times come from two published" in " ".join((shown.out + shown.err).split())
    assert "0.0 %" not in shown.out
    document = json.loads(fdi(*words, "--json").out)
    assert any("was not measured" in text for text in document["warnings"])


def test_the_list_marks_it(fdi, published):
    assert fdi("profiles", "copy", published, "a-copy").status == 0
    rows = {row["name"]: row for row in json.loads(fdi("profiles", "--json").out)}
    assert rows["a-copy"]["error"] is None
    assert "published numbers" in rows["a-copy"]["caution"]
    assert rows["x86-avx512-litert"]["caution"] == ""
    assert "not measured" in " ".join(fdi("profiles").out.split())
    assert fdi("profiles", "delete", "a-copy", "--yes").status == 0


@pytest.mark.parametrize(("words", "text"), [
    (("--gflops", "0", "--gb-per-s", "10", "-o", "x"), "gflops"),
    (("--gflops", "50", "-o", "x"), "gb-per-s"),
    (("--gflops", "50", "--gb-per-s", "nan", "-o", "x"), "gb-per-s"),
    (("--gflops", "50", "--gb-per-s", "10", "-o", "-x-"), "letters, digits"),
])  # fmt: skip
def test_what_is_no_number_or_name(fdi, words, text):
    answer = fdi("profiles", "two-numbers", *words)
    assert answer.status == 2
    assert text in answer.err


def test_nothing_is_overwritten(fdi, published):
    answer = fdi("profiles", "two-numbers", "--gflops", "1", "--gb-per-s", "1", "-o", published)
    assert answer.status == 2
    assert "is there already" in answer.err


def test_the_two_numbers_are_its_roofs(fdi, published, conv_model):
    document = json.loads(fdi("predict", conv_model, "--profile", published, "--roofline", "--json").out)
    assert document["roofline"]["flops_per_s"] == pytest.approx(50e9)
    assert document["roofline"]["bytes_per_s"] == pytest.approx(10e9)
    assert document["operators"][0]["bound"] == "compute"
