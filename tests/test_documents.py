"""What the documents say must be so: commands, links, names, kinds, pictures."""

import importlib.util
import os
import re
import shlex
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

import fdi_keras
from fdi_keras.cli.app import VERBS, fdi
from fdi_keras.operators import KINDS

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


def commands(page):
    """Lines in console blocks, and commands in the cells of tables, that begin with fdi."""
    text = page.read_text()
    lines = [
        line for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL) for line in block.splitlines()
    ]
    lines += re.findall(r"^\| `(fdi [a-z].*?)` \|", text, re.MULTILINE)
    return [line for line in lines if line.startswith("fdi ")]


COMMANDS = sorted({line for page in PAGES for line in commands(page)})


def test_the_readme_shows_every_verb():
    assert {shlex.split(line)[1] for line in commands(README)} == set(VERBS)


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_are_understood(line):
    _, verb, *args = shlex.split(line)
    command = fdi.get_command(None, verb)
    assert command is not None
    command.make_context(verb, args)


def test_the_two_commands_of_the_readme_are_those_of_ci():
    text = README.read_text()
    assert "\npip install -e . && fdi demo\n" in text
    assert '\npip install -e ".[test]" && pytest\n' in text
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert '\npip install -e ".[test]"\n' in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not link.startswith("https://"):
            assert (page.parent / link).exists(), link


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES], ids=lambda page: page.name)
def test_names_of_the_library_exist(page):
    for name in re.findall(r"\bfdi(?:_keras)?\.([A-Za-z_]+)\(", page.read_text()):
        assert name in fdi_keras.__all__


def test_the_example_of_the_readme_is_the_one_that_runs():
    (excerpt,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    compile(excerpt, "README.md", "exec")
    script = (ROOT / "examples" / "compress_digits.py").read_text()
    for call in set(re.findall(r"fdi\.[A-Za-z_]+\(", excerpt)) - {"fdi.measure_latency("}:
        assert call in script


def test_kinds_and_dimensions_are_those_of_the_table():
    text = (ROOT / "docs" / "command-line.md").read_text().partition("### Kinds and their dimensions")[2]
    found = {}
    for row in re.findall(r"^\| (`.*?) \| (.*?) \|$", text.partition("\n## ")[0], re.MULTILINE):
        dimensions = re.sub(r" \(.*?\)", "", row[1]).split(", ")
        found.update(dict.fromkeys(re.findall(r"`(\w+)`", row[0]), tuple(dimensions)))
    assert found == {name: kind.dimensions for name, kind in KINDS.items()}


def test_unreleased_changes_are_on_top():
    assert re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0] == "Unreleased"


@pytest.fixture(scope="module")
def pictures():
    spec = importlib.util.spec_from_file_location("make_pictures", ROOT / "docs" / "make_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_pictures_are_whole_and_fetch_nothing():
    for name in re.findall(r"!\[.*?\]\((.*?)\)", README.read_text(), re.DOTALL):
        text = (ROOT / name).read_text()
        ElementTree.fromstring(text)
        assert not re.findall(r"(?:href|src|url\()\s*=?\s*[\"']?https?:", text)


def test_a_plot_has_every_point_and_escapes_names(pictures):
    points = [(width, 10.0 * width) for width in range(1, 129)]
    svg = pictures.plot_svg(points, points, [(16, 160.0)], "R&D <3x3>")
    root = ElementTree.fromstring(svg)
    circles = root.findall(".//{http://www.w3.org/2000/svg}circle")
    assert len(circles) == len(points) + 1  # and the legend's
    assert "R&D <3x3>" in "".join(root.itertext())


def test_the_readme_can_be_filled_in(pictures, tmp_path):
    copy = tmp_path / "README.md"
    copy.write_text(README.read_text())
    for name in ("steps", "demo", "steering", "results"):
        pictures.fill_in(copy, name, f"new {name}")
        assert copy.read_text().count(f"<!-- begin {name} -->\nnew {name}\n<!-- end {name} -->") == 1
    with pytest.raises(SystemExit, match="has no marks"):
        pictures.fill_in(copy, "nothing", "")


def test_results_are_tables_of_all_rows(pictures):
    row = {
        "part": "1",
        "row": "a | b",
        "required": "<= 8 %",
        "measured": "5 %",
        "verdict": "PASS",
        "details": {},
    }
    page = pictures.results_page({"main_job": {"date": "2026-01-01", "machine": "m", "rows": [row, row]}})
    assert page.count("| 1 | a \\| b | <= 8 % | 5 % | PASS |") == 2

    # A benchmark may have been run on several computers.
    row |= {"details": {"processor": "a slow one"}}
    page = pictures.results_page(
        {"main_job-slow": {"date": "2026-01-01", "machine": "m", "rows": [row, row]}}
    )
    assert "\n## `python -m benchmarks.main_job`, a slow one\n" in page


def test_the_table_of_steering(pictures):
    def row(method, share, accuracy, seed=0):
        details = {
            "task": "digits", "method": method, "share": share, "seed": seed, "accuracy": accuracy,
            "start_accuracy": 0.9, "measured_ms": share, "start_ms": 1.0, "processor": "a slow one",
        }  # fmt: skip
        return {"part": "1", "row": "", "details": details}

    rows = [
        row("steered", 0.5, 0.91),
        row("steered", 0.25, 0.87),
        row("l1", 0.5, 0.8),
        row("l1", 0.5, 0.7, 1),
    ]
    failed = {"part": "1", "row": "", "details": {"error": "too narrow", "processor": "a slow one"}}
    report = {"date": "today", "machine": "this one", "rows": [*rows, failed]}
    told = pictures.steering_table(report).splitlines()
    assert told[0].startswith("Measured on today, a slow one, 1 to 2 seeds.")
    assert told[2] == "|  | digits, 90.0% before |"
    # Half a point is lost three eighths of the way from 0.5 to 0.25.
    assert told[4] == "| steered | **0.386**: +1.0 at 0.500; -3.0 at 0.250 |"
    assert told[5] == "| l1 | **above 0.500**: -15.0 (-20.0 to -10.0) at 0.500 |"


def test_the_picture_of_steering(pictures):
    def row(task, method, share, gained, seed=0):
        details = {
            "task": task, "method": method, "share": share, "seed": seed, "accuracy": 0.9 + gained,
            "start_accuracy": 0.9, "measured_ms": share, "start_ms": 1.0, "processor": "a slow one",
        }  # fmt: skip
        return {"part": "1", "row": "", "details": details}

    rows = [
        *(row("speech", method, share, 0.01) for method in ("steered", "l1", "l2") for share in (0.5, 0.25)),
        row("speech", "steered", 0.25, 0.0, seed=1),
        row("images-vgg", "deepiot_by_size", 0.5, -0.3),
    ]
    svg = pictures.steering().picture({"rows": rows})
    root = ElementTree.fromstring(svg)
    words = [text.strip() for text in root.itertext()]
    assert "VGG-like, CIFAR-10" in words
    assert "convolutions and LSTM, spoken digits" in words
    assert "small ResNet, Fashion-MNIST" not in words, "nothing was run there"
    assert "2 other ways, one line each" in words
    assert svg == pictures.steering().picture({"rows": rows})


def test_what_is_saved_is_told_with_what_is_missing(pictures):
    run = {"task": "t", "method": "steered", "share": 0.5, "accuracy": 1.0, "processor": "a slow one"}
    saved = "+47% (t +47%); 3 of 11 not run; with 1 of 3 seeds on some"
    rows = [
        {"part": "1", "row": "", "details": run},
        {
            "part": "2",
            "row": "saving against the best of the others, median task",
            "measured": saved,
            "details": {},
        },
    ]
    told = pictures.steering_text({"date": "today", "rows": rows})
    assert told.startswith("Measured on today, a slow one, 1 seed.")
    assert f"against the best of the other ways: {saved}." in told
