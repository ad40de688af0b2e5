"""The benchmark of steering: its quick form really runs, and its verdicts follow from the runs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


def test_the_quick_form_runs(tmp_path):
    """One method of each sort: this library's, one that trains from scratch, one that cuts and fine-tunes."""
    methods = ["steered", "uniform_from_scratch", "random_channels"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.steering", "--quick", "--together", "--methods", *methods,
         "--work", str(tmp_path), "--results", str(tmp_path / "results.json")],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = {
        each["method"]: each
        for path in tmp_path.glob("quick/*-0.5-*.json")
        for each in [json.loads(path.read_text())]
    }
    assert set(found) == set(methods)
    for each in found.values():
        assert each["start_accuracy"] > 0.9
        assert each["accuracy"] > 0.8
        assert 0.2 < each["measured_ms"] / each["start_ms"] < 0.9
        assert each["together"]
    assert len({each["start_ms"] for each in found.values()}) == 1, "timed in turns"
    assert "8 rows, 0 FAIL" in done.stdout


def run_of(share, accuracy, method="steered", seed=0, task="t", took=None):
    return {
        "task": task, "seed": seed, "share": share, "method": method, "accuracy": accuracy, "start_accuracy": 0.9,
        "start_ms": 2.0, "measured_ms": 2.0 * (share if took is None else took), "processor": "slow",
    }  # fmt: skip


def test_the_least_time_at_equal_accuracy():
    from benchmarks.steering.shares import least_time

    assert least_time([]) is None
    assert least_time([run_of(0.5, 0.88)]) is None
    assert least_time([run_of(0.5, 0.91)]) == pytest.approx(0.5)
    # Half a point is lost half way, on a logarithmic scale, between these.
    assert least_time([run_of(0.5, 0.9), run_of(0.125, 0.89)]) == pytest.approx(0.25)
    # Of the seeds the mean counts, and of the times those that were measured.
    seeds = [run_of(0.5, 0.9 + d, seed=i, took=0.4) for i, d in enumerate((-0.01, 0.0, 0.01))]
    assert least_time(seeds) == pytest.approx(0.4)
    # What comes after a loss is no gain.
    assert least_time([run_of(0.5, 0.9), run_of(0.25, 0.8), run_of(0.125, 0.9)]) == pytest.approx(
        0.5 * 2**-0.05, rel=1e-6
    )


def test_seeds_count_at_the_shares_that_decide():
    from benchmarks.steering.shares import deciding_seeds

    kept = [run_of(0.5, 0.9, seed=seed) for seed in (0, 1, 2)]
    assert deciding_seeds(kept) == 3
    lost = [run_of(0.25, 0.8, seed=seed) for seed in (0, 1)]
    assert deciding_seeds([*kept, *lost]) == 2
    # What is far from where accuracy begins to be lost decides nothing.
    assert deciding_seeds([run_of(0.75, 0.9), *kept, *lost, run_of(0.125, 0.7)]) == 2
    assert deciding_seeds(lost) == 2, "above the widest"


def test_the_shares_that_are_tried():
    from benchmarks.steering.shares import first_share, next_share

    ladder = (0.75, 0.5, 0.25, 0.125, 0.0625)
    assert first_share([], ladder) == 0.25
    assert first_share([], (0.5,)) == 0.5
    assert first_share([], ()) is None
    assert first_share([run_of(0.25, 0.8)], ladder) == 0.25
    # Where other seeds began to lose; what comes after a loss is no gain.
    kept = [run_of(share, 0.9) for share in (0.25, 0.125)]
    assert first_share(kept, ladder) == 0.125
    assert first_share([*kept, run_of(0.0625, 0.8)], ladder) == 0.125
    assert first_share([run_of(0.75, 0.9), run_of(0.5, 0.8), *kept], ladder) == 0.75
    assert next_share([], ladder, 0.5) == 0.5
    # Down until too much is lost, and no further.
    assert next_share([run_of(0.25, 0.9)], ladder, 0.25) == 0.125
    assert next_share([run_of(0.25, 0.9), run_of(0.125, 0.88)], ladder, 0.25) is None
    assert next_share([run_of(share, 0.9) for share in (0.25, 0.125, 0.0625)], ladder, 0.25) is None
    # Up where it is lost already.
    assert next_share([run_of(0.25, 0.88)], ladder, 0.25) == 0.5
    assert next_share([run_of(0.25, 0.88), run_of(0.5, 0.9)], ladder, 0.25) is None
    assert next_share([run_of(0.25, 0.8), run_of(0.5, 0.8)], ladder, 0.25) == 0.75
    assert next_share([run_of(share, 0.8) for share in (0.25, 0.5, 0.75)], ladder, 0.25) is None
    # The mean of the seeds counts; what cannot be built has lost everything.
    assert next_share([run_of(0.25, 0.893, seed=0), run_of(0.25, 0.899, seed=1)], ladder, 0.25) == 0.125
    failed = {"share": 0.125, "error": "no widths are fast enough"}
    assert next_share([run_of(0.25, 0.9), failed], ladder, 0.25) is None


def test_opponents_far_above_ours_are_followed_no_further():
    from benchmarks.steering.shares import first_share, next_share

    ladder = (0.75, 0.5, 0.25, 0.125, 0.0625)
    assert first_share([], ladder, 0.1) == 0.25
    assert first_share([], ladder, 0.5) == 0.75
    assert first_share([run_of(0.125, 0.9)], ladder, 0.1) == 0.125
    assert next_share([], ladder, 0.25, 0.1) == 0.25
    assert next_share([run_of(0.25, 0.88)], ladder, 0.25, 0.1) is None
    assert next_share([run_of(0.25, 0.9)], ladder, 0.25, 0.1) == 0.125
    assert next_share([run_of(0.25, 0.9), run_of(0.125, 0.88)], ladder, 0.25, 0.1) is None
    # Where it began nearer, it goes up that far.
    assert next_share([run_of(0.125, 0.88)], ladder, 0.125, 0.1) == 0.25


def test_verdicts(tmp_path):
    from benchmarks.steering import verdicts
    from benchmarks.steering.settings import Settings

    accuracies = {"steered": (0.9, 0.9), "deepiot_by_size": (0.9, 0.89), "l2": (0.9, 0.86)}
    for method, pair in accuracies.items():
        for share, accuracy in zip((0.5, 0.125), pair, strict=True):
            path = tmp_path / f"t-0-{share:g}-{method}.json"
            path.write_text(json.dumps(run_of(share, accuracy, method)))
    methods = tuple(accuracies)
    rows = {
        row.row: row
        for row in verdicts.run(Settings(tmp_path, tmp_path, "p", (0,), ("t",), methods, (0.5, 0.125)))
    }
    told = rows["t: least share of the time within half a point"]
    assert told.measured == "steered 0.125, deepiot_by_size 0.250, l2 0.420 (seeds: 1)"
    deepiot = rows["further saving against DeepIoT by size, median task"]
    assert deepiot.measured.startswith("+50%")
    assert deepiot.passed
    best = rows["saving against the best of the others, median task"]
    assert best.measured.startswith("+50%")
    assert best.passed
    assert rows["measured time against the target, 2 runs"].passed
    # A task that was not run with another seed is no loss, and one where nothing was found is no win.
    (tmp_path / "u-1-0.5-steered.json").write_text(json.dumps(run_of(0.5, 0.9, seed=1, task="u")))
    (tmp_path / "u-0-0.5-l2.json").write_text(json.dumps(run_of(0.5, 0.9, "l2", task="u")))
    (tmp_path / "v-0-0.5-steered.json").write_text(
        json.dumps(
            {"task": "v", "seed": 0, "share": 0.5, "method": "steered", "error": "no widths are fast enough"}
        )
    )
    (tmp_path / "v-0-0.5-l2.json").write_text(json.dumps(run_of(0.5, 0.9, "l2", task="v")))
    more = Settings(tmp_path, tmp_path, "p", (0, 1), ("t", "u", "v"), methods, (0.5, 0.125))
    told = {row.row: row for row in verdicts.run(more)}
    best = told["saving against the best of the others, median task"]
    assert best.measured.endswith("(t +50%, v -100%, u not known); 3 of 6 not run; with 1 of 2 seeds on some")
    assert not best.passed
    deepiot = told["further saving against DeepIoT by size, median task"]
    assert deepiot.measured.endswith("(t +50%, u not known, v not known); with 1 of 2 seeds on some")
    assert not deepiot.passed  # nothing is passed before all tasks are known
    # Of what lost at every share it is known that it needs more than the largest of them.
    for seed in (0, 1):
        (tmp_path / f"u-{seed}-0.5-steered.json").write_text(
            json.dumps(run_of(0.2, 0.9, seed=seed, task="u"))
        )
        (tmp_path / f"u-{seed}-0.5-l2.json").write_text(json.dumps(run_of(0.5, 0.8, "l2", seed, "u", 0.4)))
    told = {row.row: row for row in verdicts.run(more)}
    assert told["u: least share of the time within half a point"].measured.endswith(
        "l2 above 0.400 (seeds: 2)"
    )
    assert "u +50%" in told["saving against the best of the others, median task"].measured
    unjudged = Settings(tmp_path, tmp_path, "p", (0,), ("t",), methods, (0.5, 0.125), judged=False)
    assert [row.passed for row in verdicts.run(unjudged)] == [None] * len(rows)


def test_to_tell_what_was_run_deletes_nothing(tmp_path):
    from benchmarks.steering.__main__ import BENCHMARK

    words = [
        "--known",
        "--again",
        "--tasks",
        "activity",
        "--work",
        str(tmp_path),
        "--results",
        str(tmp_path / "rows.json"),
    ]
    with pytest.raises(SystemExit, match="nothing of this has been run"):
        BENCHMARK.run(words)
    path = tmp_path / "activity-0-0.5-l2.json"
    path.write_text(json.dumps(run_of(0.5, 0.9, "l2", task="activity")))
    for share in (0.5, 0.4):  # told anew each time
        path.write_text(json.dumps(run_of(0.5, 0.9, "l2", task="activity", took=share)))
        BENCHMARK.run([word for word in words if share == 0.5 or word != "--again"])
        assert f"l2 {share:.3f}" in (tmp_path / "rows.json").read_text()
    assert path.exists()


def test_what_was_run_so_far_is_told_and_nothing_is_run(tmp_path):
    from benchmarks.steering import growth, runs
    from benchmarks.steering.settings import Settings

    for seed, share, method in (
        (0, 0.25, "l2"),
        (0, 0.5, "l2"),
        (1, 0.5, "l2"),
        (0, 0.5, "steered"),
        (0, 0.5, "l1"),
    ):
        found = run_of(share, 0.9, method, seed)
        (tmp_path / f"t-{seed}-{share:g}-{method}.json").write_text(json.dumps(found))
    settings = Settings(tmp_path, tmp_path, "p", (0, 1), ("t", "other"), ("steered", "l2"), known=True)
    told = [(row.details["method"], row.details["seed"], row.details["share"]) for row in runs.run(settings)]
    assert told == [("steered", 0, 0.5), ("l2", 0, 0.5), ("l2", 0, 0.25), ("l2", 1, 0.5)]
    assert growth.run(settings) == []
    one = {"accuracy": 0.9, "ratio": 1.0, "changed": True}
    content = {"task": "t", "seed": 1, "accuracy": 0.89} | dict.fromkeys(growth.GROWN, one)
    (tmp_path / "t-1.growth.json").write_text(json.dumps(content))
    [free, best] = growth.run(settings)
    assert free.passed
    assert best.measured.startswith("+1.00 points")


def test_what_the_results_tell_of_is_not_run_again(tmp_path):
    """After a fresh checkout there are results, and no folder of runs."""
    from benchmarks.steering.__main__ import BENCHMARK
    from benchmarks.steering.growth import GROWN

    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    one = {"accuracy": 0.9, "ratio": 1.0, "changed": True}
    kept = {
        "speech-2-0.5-l2.json": run_of(0.5, 0.9, "l2", 2, "speech"),
        "speech-2-0.125-l2.json": run_of(0.125, 0.9, "l2", 2, "speech", took=0.13),
        "speech-2.growth.json": {"task": "speech", "seed": 2, "processor": "slow", "accuracy": 0.9}
        | dict.fromkeys(GROWN, one),
    }
    for name, found in kept.items():
        (first / name).write_text(json.dumps(found))
    words = ["--known", "--results", str(tmp_path / "rows.json"), "--work"]
    assert BENCHMARK.run([*words, str(first)]) == 0
    rows = (tmp_path / "rows.json").read_text()
    second.mkdir()
    newer = kept["speech-2-0.5-l2.json"] | {"accuracy": 0.91}
    (second / "speech-2-0.5-l2.json").write_text(json.dumps(newer))
    BENCHMARK.run([*words, str(second)])
    assert {path.name: json.loads(path.read_text()) for path in second.iterdir()} == kept | {
        "speech-2-0.5-l2.json": newer
    }
    assert (tmp_path / "rows.json").read_text() != rows
    # Another processor's shares of the time are neither gone on with nor thrown away.
    before = sorted(second.iterdir()), (tmp_path / "rows.json").read_text()
    for further in ([], ["--again"]):
        with pytest.raises(SystemExit, match=r"are of slow; this computer is .*: name other --results"):
            BENCHMARK.run([*further, *words[1:], str(second)])
    assert (sorted(second.iterdir()), (tmp_path / "rows.json").read_text()) == before
