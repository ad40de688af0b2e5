"""The main job from nothing to measured times: the real demo, with a smaller network and fewer epochs."""

import functools
import json

import keras
import pytest
from rich.console import Console

import fdi_keras.cli.demo as demo
import fdi_keras.cli.demo_network as demo_network
from fdi_keras.journal import journal_path

STAGES = ["trained", "pruned", "grown", "fine-tuned", "uniform"]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    for name, epochs in (("TRAIN", 4), ("COMPRESS", 6)):
        monkeypatch.setattr(demo, f"{name}_EPOCHS", epochs)
    two_stages = functools.partial(demo_network.residual_network, widths=(24, 48))
    monkeypatch.setattr(demo_network, "residual_network", two_stages)


@pytest.mark.untraced
def test_the_whole_job(fdi, tmp_path):
    folder = tmp_path / "demo"
    answer = fdi("demo", "--out", folder, "--minutes", "0.2", "--target", "0.4", "--json")
    assert answer.status == 0, answer.err
    document = json.loads(answer.out)
    rows = {row["stage"]: row for row in document["stages"]}
    assert list(rows) == STAGES
    assert all(row["coverage"] == 1.0 for row in rows.values())
    assert rows["pruned"]["parameters"] < rows["trained"]["parameters"]
    assert rows["grown"]["parameters"] >= rows["pruned"]["parameters"]
    assert rows["pruned"]["median_ms"] < rows["trained"]["median_ms"]
    assert rows["fine-tuned"]["median_ms"] == pytest.approx(0.4 * rows["trained"]["median_ms"], rel=0.25)
    assert rows["fine-tuned"]["accuracy"] > 0.7
    for stage in STAGES:
        assert (folder / f"{stage}.tflite").stat().st_size > 1000
    assert not any(
        type(layer).__module__.startswith("fdi")
        for layer in keras.models.load_model(folder / "fine-tuned.keras").layers
    )
    events = [json.loads(line)["event"] for line in (folder / "session.jsonl").read_text().splitlines()]
    assert events[0] == "started"
    assert {"epoch", "finished", "prune", "grow", "export", "measured"} <= set(events)
    followed = journal_path("sessions", "demo")
    assert followed.read_bytes() == (folder / "session.jsonl").read_bytes(), (
        "the dashboard shows it meanwhile"
    )
    assert json.loads((folder / "results.json").read_text())["stages"] == document["stages"]


def test_a_folder_that_cannot_be_made(fdi, tmp_path):
    (tmp_path / "file").write_text("")
    answer = fdi("demo", "--out", tmp_path / "file" / "demo")
    assert answer.status == 1
    assert "--out" in answer.err


def test_the_table_fits_a_terminal_of_80_columns():
    row = {"parameters": 334_730, "flops": 26.1e6, "memory_bytes": 2.27e6, "predicted_ms": 0.295, "median_ms": 0.275,
           "iqr_ms": 0.003, "accuracy": 0.995}  # fmt: skip
    console = Console(width=80)
    with console.capture() as captured:
        console.print(demo.stage_table([{"stage": stage, **row} for stage in STAGES]))
    assert "…" not in captured.get()
    assert all(stage in captured.get() for stage in STAGES)


def test_the_table_and_what_to_do_next_are_shown(fdi, tmp_path, capsys):
    shown = demo._Demo(tmp_path, 1.0, 0.4, 0, as_json=False)
    shown.rows = [
        {"stage": s, "parameters": 10, "flops": 1e6, "memory_bytes": 1e5, "predicted_ms": 0.2, "median_ms": 0.21,
         "iqr_ms": 0.001, "accuracy": 0.99} for s in STAGES
    ]  # fmt: skip
    shown._finish()
    printed = capsys.readouterr().out
    assert all(stage in printed for stage in STAGES)
    assert f"fdi measure {tmp_path}/fine-tuned.tflite" in printed
