"""The program itself: help, speed, imports, exit statuses, pipes."""

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from importlib.util import find_spec

import click
import pytest

import fdi_keras
from fdi_keras.cli import app
from fdi_keras.errors import FdiError

HEAVY = ("numpy", "scipy", "sklearn", "keras", "tensorflow", "rich", "ai_edge_litert", "plotext")


def test_help_lists_every_verb_and_imports_none(fdi_process):
    code = (
        "import sys; from fdi_keras.cli import main; main(sys.argv[1:]); "
        "print([m for m in sys.modules if m.startswith('fdi_keras.cli.')], file=sys.stderr); "
        f"print([m for m in {HEAVY!r} if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr.strip() == "['fdi_keras.cli.console', 'fdi_keras.cli.app']"
    for verb, (_, text) in app.VERBS.items():
        assert verb in done.stdout
        assert text in done.stdout


@pytest.mark.parametrize("args", [["--help"], ["rules", "--help"], ["profile", "--help"], ["devices"]])
def test_answers_in_less_than_half_a_second(fdi_command, args):
    def seconds():
        begin = time.perf_counter()
        subprocess.run(fdi_command(*args), check=True, capture_output=True)
        return time.perf_counter() - begin

    seconds()  # compiles what was never imported before
    # The best of five: this is about what is imported, not about who else computes here.
    assert min(seconds() for _ in range(5)) < 0.5


@pytest.mark.parametrize("verb", app.VERBS)
def test_every_verb_explains_itself(fdi, verb):
    module = app.VERBS[verb][0].partition(":")[0]
    if find_spec(module) is None:
        pytest.skip(f"{module} is not there")
    answer = fdi(verb, "--help")
    assert answer.status == 0
    assert f"fdi {verb}" in answer.out
    assert "Example" in answer.out or verb == "demo"
    assert "--json" in answer.out
    text = getattr(import_module(module), verb).get_short_help_str()
    assert text


def test_without_arguments_it_prints_help(fdi):
    answer = fdi()
    assert answer.status == 0
    assert answer.out.startswith("Usage: fdi")
    assert answer == fdi("--help")


def test_version(fdi):
    assert fdi("--version").out == f"fdi {fdi_keras.__version__}\n"


def test_unknown_verb_is_wrong_use(fdi):
    answer = fdi("profle")
    assert answer == (2, "", "fdi: error: no verb 'profle'. Did you mean 'profile'? See 'fdi --help'.\n")
    assert "devices, doctor" in fdi("xyz").err
    assert fdi("--nothing").status == 2


def _verb_that_raises(monkeypatch, error):
    @click.command()
    def verb():
        raise error

    monkeypatch.setitem(app.VERBS, "fails", ("tests:none", ""))
    monkeypatch.setattr(app.LazyGroup, "get_command", lambda self, ctx, name: verb)


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (FdiError("two\nlines"), 1, "two lines"),
        (KeyboardInterrupt(), 130, "interrupted."),
        (click.Abort(), 130, "interrupted."),
        (
            PermissionError(13, "Permission denied", "x.json"),
            1,
            "cannot read or write x.json: Permission denied.",
        ),
        (click.ClickException("that file"), 1, "that file"),
    ],
)
def test_expected_errors_are_one_line(fdi, monkeypatch, error, status, line):
    _verb_that_raises(monkeypatch, error)
    assert fdi("fails") == (status, "", f"fdi: error: {line}\n")


def test_debug_shows_the_traceback(fdi, monkeypatch):
    _verb_that_raises(monkeypatch, FdiError("on purpose"))
    monkeypatch.setenv("FDI_DEBUG", "1")
    answer = fdi("fails")
    assert answer.status == 1
    assert "Traceback" in answer.err
    assert answer.err.endswith("fdi: error: on purpose\n")


@pytest.mark.parametrize("error", [RuntimeError("unforeseen"), BrokenPipeError("of something else")])
def test_a_fault_of_the_program_says_so(fdi, monkeypatch, error):
    _verb_that_raises(monkeypatch, error)
    answer = fdi("fails")
    assert answer.status == 1
    assert "Traceback" in answer.err
    assert str(error) in answer.err
    assert "report it" in answer.err


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("args", [["--help"], ["devices"], ["devices", "--json"]])
def test_a_reader_that_leaves_early_is_no_error(fdi_command, args, unbuffered):
    env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    process = subprocess.Popen(fdi_command(*args), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env)
    process.stdout.close()
    assert process.wait(30) == 0
    assert process.stderr.read() == b""
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_an_error(fdi_command):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            fdi_command("devices", "--json"), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    assert done.returncode == 1
    assert done.stderr == "fdi: error: cannot read or write the output: No space left on device.\n"


def test_output_without_unicode(fdi_process):
    answer = fdi_process("devices", PYTHONIOENCODING="ascii")
    assert answer.status == 0
    assert answer.out.isascii()
    assert answer.err == ""


def test_no_escape_sequences_outside_a_terminal(fdi_process):
    assert "\x1b" not in fdi_process("devices").out
    assert "\x1b" not in fdi_process("nothing").err


def test_completion_of_verbs(fdi_process):
    answer = fdi_process(_FDI_COMPLETE="bash_source")
    assert "_FDI_COMPLETE=bash_complete" in answer.out


def test_devices(fdi):
    table = fdi("devices")
    assert table.status == 0
    assert "local" in table.out
    assert "ready" in table.out
    answer = fdi("devices", "--json")
    assert answer.err == ""
    (local,) = json.loads(answer.out)
    assert {"id", "name", "kind", "state"} <= set(local)
    assert (local["id"], local["kind"], local["state"]) == ("local", "computer", "ready")
