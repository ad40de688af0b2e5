"""Benchmarks share one command line: parts, resuming, results, verdicts."""

import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NAMES = sorted(path.parent.name for path in (ROOT / "benchmarks").glob("*/__main__.py"))

PART = """
from pathlib import Path
from benchmarks.report import Row

def run(settings):
    count = Path(settings.results.parent, "count{number}")
    count.write_text(count.read_text() + "x" if count.exists() else "x")
    return [Row("{number}", "calls", "<= {most}", str(len(count.read_text())), len(count.read_text()) <= {most})]
"""


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """A benchmark of two parts, of which the second fails when it is run twice; and what it printed."""
    import benchmarks
    from benchmarks.command import Benchmark

    package = tmp_path / "counting"
    package.mkdir()
    for number, most in (("1", 9), ("2", 1)):
        (package / f"part{number}.py").write_text(PART.format(number=number, most=most))
    monkeypatch.setattr(benchmarks, "__path__", [*benchmarks.__path__, str(tmp_path)])
    benchmark = Benchmark("counting", "Counts.", {"1": "part1", "2": "part2"}, lambda options: options)

    def run(*words):
        status = benchmark.run([*words, "--results", str(tmp_path / "counting.json")])
        return status, capsys.readouterr().out

    yield run
    for name in [name for name in sys.modules if name.startswith("benchmarks.counting")]:
        del sys.modules[name]


def test_parts_with_results_are_kept_until_they_are_to_be_measured_again(run, tmp_path):
    status, said = run("--parts", "1")
    assert status == 0
    assert "1 rows, 0 FAIL" in said
    assert not (tmp_path / "count2").exists()
    status, said = run()
    assert status == 0
    assert "part 1: kept from before" in said
    assert "2 rows, 0 FAIL" in said
    status, said = run("--parts", "2", "1", "--again")
    assert status == 1
    assert "2 rows, 1 FAIL; 2 calls" in said
    assert (tmp_path / "count1").read_text() == (tmp_path / "count2").read_text() == "xx"
    rows = json.loads((tmp_path / "counting.json").read_text())["rows"]
    assert [(row["part"], row["measured"], row["verdict"]) for row in rows] == [
        ("1", "2", "PASS"),
        ("2", "2", "FAIL"),
    ]
    assert set(rows[0]) == {"part", "row", "required", "measured", "passed", "details", "verdict"}
    # A failure that is kept is still one.
    assert run()[0] == 1


def test_a_part_that_is_not_there_is_wrong_use(run, capsys):
    with pytest.raises(SystemExit) as ended:
        run("--parts", "3")
    assert ended.value.code == 2
    assert "invalid choice: '3'" in capsys.readouterr().err


@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_the_same_options_and_its_parts_exist(name):
    benchmark = import_module(f"benchmarks.{name}.__main__").BENCHMARK
    assert benchmark.name == name
    for module in benchmark.parts.values():
        assert (ROOT / "benchmarks" / name / f"{module}.py").is_file()
    options = benchmark.parser().parse_args([])
    assert options.parts == list(benchmark.parts)
    assert options.again is False
    assert options.results == ROOT / "benchmarks" / "results" / f"{name}.json"
    kept = json.loads(options.results.read_text()) if options.results.exists() else {"rows": []}
    assert {row["part"] for row in kept["rows"]} <= set(benchmark.parts)
    with pytest.raises(SystemExit):
        benchmark.parser().parse_args(["--resume"])
