"""Networks at many widths from the command line, and roofs over a network's operators."""

import json

import pytest


def test_a_model_at_four_widths(fdi, keras_model, small_profile, tmp_path):
    out = tmp_path / "study"
    words = ("--profile", small_profile, "--seconds", "0.1", "--out", out)
    answer = fdi("sweep", keras_model, *words, "--json")
    assert answer.status == 0, answer.err
    document = json.loads(answer.out)
    assert [row["multiplier"] for row in document["networks"]] == [0.25, 0.5, 0.75, 1.0]
    assert all(row["measured_ms"] > 0 for row in document["networks"])
    assert document["answer"][0].startswith("FLOPs alone")
    assert document["pairs"] == []  # of one family
    assert any("what bounds each operator is not known" in text for text in document["warnings"])
    assert "<svg" in (out / "study.html").read_text()
    shown = fdi("sweep", keras_model, *words)
    assert "measured time in ms over GFLOPs" in shown.out
    assert "FLOPs alone" in shown.out
    counted = fdi("sweep", keras_model, "--device", "none", "--widths", "1", "--json")
    (row,) = json.loads(counted.out)["networks"]
    assert row["measured_ms"] is None
    assert row["flops"] == document["networks"][-1]["flops"]


@pytest.mark.parametrize(("words", "status", "text"), [
    (("vgg19",), 1, "family: vgg16"),
    (("vgg16", "--widths", "0"), 2, "above 0"),
    ((), 2, "MODEL"),
])  # fmt: skip
def test_what_is_wrong_is_named(fdi, words, status, text):
    answer = fdi("sweep", *words)
    assert answer.status == status
    assert text in answer.err


def test_roofs(fdi, conv_model):
    words = ("predict", conv_model, "--profile", "x86-avx512-litert", "--roofline")
    document = json.loads(fdi(*words, "--json").out)
    (row,) = document["operators"]
    assert row["bound"] == "compute"
    assert row["roof_ms"] < 1.1 * row["predicted_ms"]
    assert document["roofline"]["flops_per_s"] > 1e9
    shown = fdi(*words)
    assert "GFLOP/s" in shown.out
    assert "limited by compute" in shown.out
