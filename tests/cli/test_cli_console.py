"""What may reach a terminal: text is data, JSON is JSON, tensorflow is silent."""

import io
import json
import os
import sys

import pytest
from rich.console import Console

from fdi_keras.cli import console
from fdi_keras.cli.devices_view import devices_table
from fdi_keras.devices import DeviceInfo


def test_text_from_elsewhere_is_never_markup_and_never_steers_the_terminal():
    out = io.StringIO()
    device = DeviceInfo("a[bold]b", "phone \x1b[31m[/red]\u202e", "phone", "not\nready", {"soc": "[blink]"})
    Console(file=out, width=100, force_terminal=False).print(devices_table([device]))
    text = out.getvalue()
    assert "a[bold]b" in text
    assert "phone \\x1b[31m[/red]\\u202e" in text
    assert "not ready" in text
    assert "[blink]" in text
    assert "\x1b" not in text


def test_error_lines_are_cleaned(capsys):
    assert console.fail("no file 'a\x1b]0;b\nc'", 2) == 2
    assert capsys.readouterr().err == "fdi: error: no file 'a\\x1b]0;b c'\n"


def test_names_that_cannot_be_encoded():
    assert console.clean("caf\udce9.json") == "caf\\udce9.json"
    assert console.clean("größe 测试") == "größe 测试"


def test_json_is_strict(capsys):
    with pytest.raises(ValueError, match="JSON"):
        console.print_json({"ms": float("inf")})
    console.print_json({"ms": 1.5, "name": "ö"})
    assert json.loads(capsys.readouterr().out) == {"ms": 1.5, "name": "ö"}


def test_many_warnings_are_cut_short(capsys):
    console.print_warnings(f"number {n} [red]" for n in range(15))
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "warning: number 0 [red]"
    assert lines[-1] == "... and 5 more warnings; --json has them all."
    assert len(lines) == 11


def test_standard_error_is_diverted_only_for_what_is_not_python(capfd):
    before = sys.stderr
    with console._diverted_stderr():
        os.write(2, b"noise from C++\n")
        print("from Python", file=sys.stderr)
    assert sys.stderr is before
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "from Python\nafter\n"


def _noise(error=None):
    with console._diverted_stderr():
        os.write(2, b"reason\n")
        if error:
            raise error


def test_diverted_text_is_shown_when_it_failed(capfd):
    with pytest.raises(ImportError):
        _noise(ImportError())
    assert capfd.readouterr().err == "reason\n"


def test_diverted_text_is_shown_for_debugging(capfd, monkeypatch):
    monkeypatch.setenv("FDI_DEBUG", "1")
    _noise()
    assert capfd.readouterr().err == "reason\n"


def test_whoever_kept_the_diverted_stream_can_go_on(capfd):
    with console._diverted_stderr():
        kept = sys.stderr
        assert not kept.isatty()
        assert kept.encoding
    print("later", file=kept, flush=True)
    assert capfd.readouterr().err == "later\n"


def test_no_spinner_outside_a_terminal(capsys):
    with console.working("Reading") as status:
        assert status is None
    assert capsys.readouterr() == ("", "")
