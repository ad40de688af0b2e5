"""A model with its data, and a script, compressed from the command line."""

import json

import keras
import numpy as np
import pytest

SCRIPT = """
import keras, numpy as np
keras.utils.set_random_seed(0)
rng = np.random.default_rng(0)
y = rng.integers(0, 2, 96)
x = (rng.normal(size=(96, 8, 8, 3)) + y[:, None, None, None]).astype("float32")
image = keras.Input((8, 8, 3))
z = keras.layers.Conv2D(32, 3, activation="relu")(image)
z = keras.layers.Conv2D(32, 3, activation="relu")(z)
model = keras.Model(image, keras.layers.Dense(2, "softmax")(keras.layers.Flatten()(z)))
model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
model.fit(x, y, verbose=0)
data = validation_data = (x, y)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(SCRIPT)
    return path


@pytest.fixture
def target(fdi, script, small_profile, tmp_path):
    left = {}
    exec(compile(SCRIPT, str(script), "exec"), left)
    left["model"].save(tmp_path / "net.keras")
    np.savez(tmp_path / "data.npz", x_train=left["data"][0], y_train=left["data"][1])
    answer = fdi("predict", tmp_path / "net.keras", "--profile", small_profile, "--json")
    return 0.5 * json.loads(answer.out)["total_ms"]


def test_a_script_and_a_model(fdi, script, small_profile, target, tmp_path):
    words = ("--profile", small_profile, "--target", target, "--epochs", 4, "--device", "none")
    answer = fdi("compress", script, *words, "--json")
    assert answer.status == 0, answer.err
    document = json.loads(answer.out)
    assert [stage["name"] for stage in document["stages"]] == ["original", "pruned", "grown", "fine-tuned"]
    assert document["stages"][-1]["predicted_ms"] <= target * (1 + 1e-6)
    assert (tmp_path / "train-compressed" / "fine-tuned.tflite").exists()
    answer = fdi(
        "compress", tmp_path / "net.keras", "--data", tmp_path / "data.npz", *words, "--no-mixtures", "--keep-branches",
        "--out", tmp_path / "o",
    )  # fmt: skip
    assert answer.status == 0, answer.err
    assert "fine-tuning 3/3" in answer.err
    assert "fine-tuned" in answer.out
    small = keras.models.load_model(tmp_path / "o" / "fine-tuned.keras")
    assert small.count_params() < document["stages"][0]["parameters"]


def test_a_front(fdi, script, small_profile, target, tmp_path):
    words = ("--profile", small_profile, "--epochs", 2, "--device", "none", "--out", tmp_path / "front")
    answer = fdi("compress", script, *words, "--sweep", f"{target},{1.4 * target}")
    assert answer.status == 0, answer.err
    assert "accuracy over ms" in answer.out
    page = (tmp_path / "front" / "front.html").read_text()
    assert page.count("<h2>") == 2
    assert "fine-tuned" in page
    assert "<svg" in (tmp_path / "front" / "front.svg").read_text()
    assert (tmp_path / "front" / f"{target:g}ms" / "result.json").exists()


def test_what_is_wrong_is_named(fdi, small_profile, tmp_path):
    words = ("--profile", small_profile, "--target", 1, "--epochs", 4)
    both = fdi("compress", tmp_path / "none.py", *words, "--sweep", "1,2")
    assert both.status == 2
    assert "either --target" in both.err
    none = fdi("compress", tmp_path / "none.py", "--profile", small_profile, "--epochs", 4, "--sweep", "1,x")
    assert "with commas between" in none.err

    def said(source, *more, status=1):
        answer = fdi("compress", source, *words, *more)
        assert answer.status == status
        return answer.err

    assert "no script" in said(tmp_path / "none.py", status=2)
    (tmp_path / "empty.py").write_text("model = 1\n")
    assert "left no data" in said(tmp_path / "empty.py", status=2)
    (tmp_path / "wrong.py").write_text("1 / 0\n")
    assert "wrong.py failed: ZeroDivisionError" in said(tmp_path / "wrong.py", status=2)
    (tmp_path / "number.py").write_text("model = data = 1\n")
    assert "takes a Keras model, received int" in said(tmp_path / "number.py", "--device", "none", status=2)
    assert "expected a .keras file" in said(tmp_path / "net.txt")
    assert "needs --data" in said(tmp_path / "net.keras", status=2)
    (tmp_path / "broken.npz").write_text("no arrays")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.save(tmp_path / "net.keras")
    assert "cannot read" in said(tmp_path / "net.keras", "--data", tmp_path / "broken.npz", status=2)
    np.savez(tmp_path / "half.npz", x_train=np.zeros((2, 3)))
    assert "has no y_train" in said(tmp_path / "net.keras", "--data", tmp_path / "half.npz", status=2)
    np.savez(tmp_path / "data.npz", x_train=np.zeros((2, 3)), y_train=np.zeros(2))
    assert "compile it first" in said(tmp_path / "net.keras", "--data", tmp_path / "data.npz", status=2)


def test_a_profile_that_was_not_measured_is_named(fdi, script, tmp_path):
    profile = tmp_path / "published.json"
    fdi("profiles", "two-numbers", "--gflops", "50", "--gb-per-s", "10", "-o", profile)
    left = {}
    exec(compile(SCRIPT, str(script), "exec"), left)
    left["model"].save(tmp_path / "net.keras")
    whole = json.loads(fdi("predict", tmp_path / "net.keras", "--profile", profile, "--json").out)["total_ms"]
    words = ("--profile", profile, "--target", 0.6 * whole, "--epochs", 2, "--device", "none")
    answer = fdi("compress", script, *words, "--json")
    assert answer.status == 0, answer.err
    assert "was not measured" in json.loads(answer.out)["warnings"][0]
    again = fdi("compress", script, *words, "--out", tmp_path / "again")
    assert again.status == 0, again.err
    assert "caution: profile 'published' was not measured" in " ".join(again.err.split())


def test_further_budgets(fdi, script, small_profile, target, tmp_path):
    words = ("--profile", small_profile, "--target", target, "--epochs", 2, "--device", "none")
    answer = fdi("compress", script, *words, "--budget", "0.1 MB file", "--budget", "0.03 MB memory")
    assert answer.status == 0, answer.err
    assert "to 0.1 MB file" in answer.err
    assert "0.1 MB file" in answer.out
    size = (tmp_path / "train-compressed" / "fine-tuned.tflite").stat().st_size
    assert size <= 100_000
    document = json.loads((tmp_path / "train-compressed" / "result.json").read_text())
    assert document["stages"][-1]["budgets"]["0.1 MB file"] == size / 1e6
    assert document["stages"][-1]["budgets"]["0.03 MB memory"] <= 0.03
    answer = fdi("compress", script, *words, "--budget", "3 apples")
    assert answer.status == 2
    assert "'5 ms on PROFILE'" in answer.err
