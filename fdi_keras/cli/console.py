"""What goes to the terminal, and what must not.

Importing this file imports no rich: errors and JSON need none. Text that comes from
devices, files or models passes through :func:`clean` or :func:`plain`, so that it can
neither be markup nor steer the terminal.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import click

from fdi_keras.text import clean

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

#: Warnings that people are shown at most; the JSON has them all.
MOST_WARNINGS = 10


def stdout() -> Console:
    """A console for results. Plain text when it is no terminal, or with NO_COLOR."""
    return _console(stderr=False)


def stderr() -> Console:
    """A console for progress and warnings."""
    return _console(stderr=True)


def _console(stderr: bool) -> Console:
    from rich.console import Console

    class OurConsole(Console):
        def on_broken_pipe(self) -> NoReturn:
            raise  # called within an except clause; main() decides what it means

    return OurConsole(stderr=stderr, markup=False, highlight=False, emoji=False)


def print_json(document: Any) -> None:
    """Print the one JSON document of ``--json``; infinities would not be JSON and raise ValueError."""
    click.echo(json.dumps(document, indent=2, allow_nan=False))


def print_warnings(warnings: Iterable[str]) -> None:
    """Warnings for people, on standard error."""
    texts = list(warnings)
    console = stderr()
    for text in texts[:MOST_WARNINGS]:
        console.print(plain("warning: ", "yellow").append(clean(text)))
    if len(texts) > MOST_WARNINGS:
        console.print(f"... and {len(texts) - MOST_WARNINGS} more warnings; --json has them all.")


def fail(message: str, status: int = 1) -> int:
    """One line on standard error for an error; returns the exit status."""
    prefix = "fdi: error:"
    if "NO_COLOR" not in os.environ:
        prefix = click.style(prefix, fg="red", bold=True)  # click removes it for what is no terminal
    click.echo(f"{prefix} {clean(message)}", err=True)
    return status


def plain(text: object, style: str = "") -> Text:
    """Text from elsewhere as rich text: cleaned, and never markup."""
    from rich.text import Text

    return Text(clean(text), style=style)


@contextlib.contextmanager
def working(message: str, quiet: bool = False) -> Iterator[Status | None]:
    """A spinner with a message on standard error, on a terminal, unless ``quiet``."""
    console = stderr()
    if quiet or not console.is_terminal:
        yield None
        return
    with console.status(plain(message)) as status:
        yield status


def quiet_tensorflow() -> None:
    """Import keras, and with it tensorflow, without the lines that tensorflow writes.

    Call it before anything else imports keras. ``TF_CPP_MIN_LOG_LEVEL`` silences what
    tensorflow logs later on, but not what its libraries write from C++ while they are
    being loaded, before they read any setting (oneDNN, CUDA). ``TF_ENABLE_ONEDNN_OPTS=0``
    would silence one of them and change numerics. So file descriptor 2 leads into a
    temporary file during the import; Python's own standard error stays where it is, and
    when the import fails, or with FDI_DEBUG, the file is shown after all.

    Under another backend too: Keras then imports tensorflow, where it is installed, as soon as it
    writes down what a layer is, as each rebuilding does.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "keras" in sys.modules:
        return
    with _diverted_stderr():
        import keras  # noqa: F401

        if find_spec("tensorflow") is not None:
            import tensorflow  # noqa: F401


class _PythonSide(io.TextIOBase):
    """Python's standard error while file descriptor 2 leads elsewhere.

    Whoever looked at ``sys.stderr`` meanwhile keeps it (logging does); from then on it
    passes on to the one that was there before.
    """

    def __init__(self, descriptor: int, before: TextIO):
        self.descriptor: int | None = descriptor
        self._before = before

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._before.encoding

    def write(self, text: str) -> int:
        if self.descriptor is None:
            return self._before.write(text)
        os.write(self.descriptor, text.encode(self.encoding or "utf-8", "replace"))
        return len(text)

    def flush(self) -> None:
        if self.descriptor is None:
            self._before.flush()

    def isatty(self) -> bool:
        return self._before.isatty()

    def fileno(self) -> int:
        return self._before.fileno() if self.descriptor is None else self.descriptor


@contextlib.contextmanager
def _diverted_stderr() -> Iterator[None]:
    """Send what C++ writes to standard error into a file, shown only when something fails."""
    try:
        real = os.dup(2)
    except OSError:  # there is no standard error
        yield
        return
    before = sys.stderr
    python_side = _PythonSide(real, before)
    show = os.environ.get("FDI_DEBUG", "0") not in ("", "0")
    with tempfile.TemporaryFile() as file:
        try:
            sys.stderr = python_side
            os.dup2(file.fileno(), 2)
            yield
        except BaseException:
            show = True
            raise
        finally:
            os.dup2(real, 2)
            sys.stderr = before
            python_side.descriptor = None
            if show:
                file.seek(0)
                os.write(real, file.read())
            os.close(real)
