"""``fdi predict`` and ``fdi measure``."""

import json

import pytest

from fdi_keras import load_profile, predict_latency
from fdi_keras.operators.words import short_name
from fdi_keras.profile import EnergyPart


def test_predict_for_people(fdi, small_profile, conv_model):
    answer = fdi("predict", conv_model, "--profile", small_profile)
    assert answer.status == 0
    assert answer.err == ""
    report = predict_latency(conv_model, load_profile(small_profile))
    words = " ".join(answer.out.split())
    predicted = f"{report.total_ms:.4g} ms predicted{report.interval_text}"
    assert f"conv.tflite: {predicted}, 100 % covered by profile small" in words
    assert "conv2d #" in words


def test_a_profile_from_before_intervals_predicts_without(fdi, small_profile, conv_model, tmp_path):
    document = json.loads(small_profile.read_text())

    def forget(node):
        for end in ("low", "high"):
            node.pop(end, None)
        for side in ("yes", "no"):
            if side in node:
                forget(node[side])

    for model in document["models"].values():
        forget(model["tree"]["root"])
    (tmp_path / "old.json").write_text(json.dumps(document))
    report = predict_latency(conv_model, load_profile(tmp_path / "old.json"))
    known = predict_latency(conv_model, load_profile(small_profile))
    assert report.total_ms == known.total_ms
    assert (report.low_ms, report.high_ms, report.operators[0].low_ms) == (None, None, None)
    assert report.interval_text == ""
    assert "confidence" not in fdi("predict", conv_model, "--profile", tmp_path / "old.json").out


@pytest.mark.parametrize("columns", ["80", "160"])
def test_predict_fits_the_terminal(fdi, small_profile, conv_model, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    out = fdi("predict", conv_model, "--profile", small_profile).out
    assert max(map(len, out.splitlines())) <= int(columns)
    assert ("14x14x16 -> 24, kernel 3" in out) == (columns == "160")


def test_predict_json(fdi, small_profile, conv_model):
    answer = fdi("predict", conv_model, "--profile", small_profile, "--json")
    assert answer.err == ""
    document = json.loads(answer.out)
    report = predict_latency(conv_model, load_profile(small_profile))
    assert document == json.loads(json.dumps(report.to_dict()))
    assert {"total_ms", "coverage", "operators", "warnings"} <= set(document)
    assert {"name", "kind", "predicted_ms", "rule"} <= set(document["operators"][0])
    assert document["coverage"] == 1.0
    assert 0 < document["low_ms"] <= document["total_ms"] <= document["high_ms"]
    assert document["operators"][0]["kind"] == "conv2d"


def test_predict_energy(fdi, small_profile, conv_model, tmp_path):
    refused = fdi("predict", conv_model, "--profile", small_profile, "--energy")
    assert refused.status == 1
    assert "has no energy" in refused.err
    profile = load_profile(small_profile)
    profile.energy = EnergyPart(0.5, profile.models)
    profile.save(tmp_path / "with_energy.json")
    words = " ".join(
        fdi("predict", conv_model, "--profile", tmp_path / "with_energy.json", "--energy").out.split()
    )
    report = predict_latency(conv_model, profile, energy=True)
    assert f"{report.total_mj:.4g} mJ for one inference above idle, 100 % covered." in words
    assert f"{report.operators[0].predicted_mj:.4g}" in words


def test_predict_with_a_profile_that_knows_nothing_of_it(fdi, small_profile, relu_model):
    answer = fdi("predict", relu_model, "--profile", small_profile)
    assert answer.status == 1
    assert answer.out == ""
    assert "knows none of the network's operators (relu)" in answer.err


def test_predict_keras_in_a_process_of_its_own(fdi_process, small_profile, keras_model):
    answer = fdi_process("predict", keras_model, "--profile", small_profile, "--json")
    assert answer.err == ""
    document = json.loads(answer.out)
    assert [o["kind"] for o in document["operators"]] == ["conv2d", "mean", "dense"]
    assert [o["name"] for o in document["operators"]] == ["stem", "pool", "head"]
    assert document["operators"][1]["predicted_ms"] is None
    assert document["coverage"] < 1
    assert any("mean" in warning for warning in document["warnings"])


def test_measure_keras_in_a_process_of_its_own(fdi_process, keras_model):
    answer = fdi_process("measure", keras_model, "--seconds", "0.2", "--json")
    assert answer.err == ""
    document = json.loads(answer.out)
    assert document["median_ms"] > 0
    assert document["iqr_ms"] >= 0
    assert document["runs"] >= 20


def test_unknown_operators_are_warned_of(fdi_process, small_profile, keras_model):
    answer = fdi_process("predict", keras_model, "--profile", small_profile)
    assert answer.status == 0
    assert "unknown" in answer.out
    assert answer.err.startswith("warning: pool (mean) is not in the total")


def test_measure_for_people(fdi, conv_model):
    answer = fdi("measure", conv_model, "--seconds", "0.1", "--threads", "2")
    assert answer.status == 0
    assert answer.err == ""
    words = " ".join(answer.out.split())
    assert words.startswith("conv.tflite: ")
    assert " ms median of " in words
    assert "on local with litert" in words
    assert "2 threads" in words


@pytest.mark.parametrize("verb", ["predict", "measure"])
@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("missing.tflite", None, "cannot read"),
        ("empty.tflite", b"", "is no TFLite model"),
        ("text.tflite", b"not a model at all", "is no TFLite model"),
        ("torn.tflite", "torn", "is a damaged TFLite model"),
        ("net.onnx", b"x", "expected a .keras or .tflite file"),
        ("we[bold]ird\x1b.tflite", b"x", "we[bold]ird\\x1b.tflite is no TFLite model"),
    ],
)
def test_models_that_cannot_be_read(
    fdi, small_profile, conv_model, tmp_path, monkeypatch, verb, name, content, says
):
    monkeypatch.setattr("fdi_keras.cli.console.quiet_tensorflow", lambda: None)
    path = tmp_path / name
    if content == "torn":
        content = conv_model.read_bytes()[:400]
    if content is not None:
        path.write_bytes(content)
    args = ["--profile", small_profile] if verb == "predict" else []
    for more in ([], ["--json"]):
        answer = fdi(verb, path, *args, *more)
        assert answer.status == 1
        assert answer.out == ""
        assert says in answer.err
        assert answer.err.count("\n") == 1
        assert answer.err.startswith("fdi: error: ")


@pytest.mark.parametrize("content", [None, b"no zip file"])
def test_keras_files_that_cannot_be_read(fdi_process, small_profile, tmp_path, content):
    path = tmp_path / "net.keras"
    if content is not None:
        path.write_bytes(content)
    answer = fdi_process("predict", path, "--profile", small_profile)
    assert answer.status == 1
    assert answer.out == ""
    assert answer.err.startswith("fdi: error: ")
    assert "net.keras" in answer.err
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [
        ["predict", "net.tflite"],
        ["measure"],
        ["measure", "net.tflite", "--threads", "0"],
        ["measure", "net.tflite", "--threads", "many"],
        ["measure", "net.tflite", "--seconds", "0"],
        ["measure", "net.tflite", "--seconds", "nan"],
        ["measure", "net.tflite", "--seconds", "inf"],
    ],
)
def test_wrong_use(fdi, args):
    answer = fdi(*args)
    assert answer.status == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1
    assert answer.err.endswith(f"See 'fdi {args[0]} --help'.\n")


def test_no_such_device(fdi, conv_model):
    answer = fdi("measure", conv_model, "--device", "pixel")
    assert answer.status == 1
    assert "no device 'pixel'; known are: local" in answer.err


def test_names_of_converted_layers():
    assert short_name("net_1/relu/Relu;net_1/conv/convolution") == "net_1/conv"
    assert short_name("a;b\x1b/c") == "b\\x1b/c"
    assert short_name("dense") == "dense"
    assert short_name("") == ""
