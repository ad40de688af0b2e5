"""The program ``fdi``: its table of verbs, loaded one at a time, and its exit statuses."""

from __future__ import annotations

import difflib
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any

import click

from fdi_keras import __version__
from fdi_keras.cli.console import fail
from fdi_keras.errors import FdiError, UsageError

INTERRUPTED = 130  # what shells report for a program ended by Ctrl-C

#: Verb: where it lives, and its line in ``fdi --help``, which must import none of them.
VERBS = {
    "dashboard": ("fdi_keras.cli.dashboard:dashboard", "Everything that is going on, on one screen."),
    "devices": ("fdi_keras.cli.devices:devices", "List the devices that models can be timed on."),
    "doctor": ("fdi_keras.cli.doctor:doctor", "Check what a campaign on a phone needs."),
    "connect": ("fdi_keras.cli.connect:connect", "Attach a phone over Wi-Fi."),
    "pair": ("fdi_keras.cli.pair:pair", "Make this computer known to a phone, for Wi-Fi."),
    "profile": ("fdi_keras.cli.profile:profile", "Time operators on a device and learn its profile."),
    "campaigns": ("fdi_keras.cli.campaigns:campaigns", "List campaigns, stop one, learn from one."),
    "profiles": ("fdi_keras.cli.profiles:profiles", "List, rename, copy, delete and validate profiles."),
    "refit": ("fdi_keras.cli.refit:refit", "Learn a profile's models anew from its measurements."),
    "compare": ("fdi_keras.cli.compare:compare", "Show where two devices, or two runtimes, differ."),
    "rules": ("fdi_keras.cli.rules:rules", "Show what a profile has learned, as rules in words."),
    "sessions": ("fdi_keras.cli.sessions:sessions", "List compression sessions, or show one."),
    "predict": ("fdi_keras.cli.predict:predict", "Predict the latency of a model, operator by operator."),
    "measure": ("fdi_keras.cli.measure:measure", "Time a model on a device, for real."),
    "minima": ("fdi_keras.cli.minima:minima", "Find the widths at which more channels cost nothing."),
    "compress": ("fdi_keras.cli.compress:compress", "Make a trained network as fast as asked for."),
    "sweep": ("fdi_keras.cli.sweep:sweep", "Networks at many widths: what explains their times."),
    "demo": ("fdi_keras.cli.demo:demo", "The whole way on this computer, in a few minutes."),
}


class LazyGroup(click.Group):
    """A group that imports a verb when it is used, and none to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        verb = args[0]
        if verb not in VERBS and not verb.startswith("-"):
            close = difflib.get_close_matches(verb, VERBS, n=1)
            meant = f" Did you mean {close[0]!r}?" if close else f" There are {', '.join(VERBS)}."
            raise click.UsageError(f"no verb {verb!r}.{meant}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Verbs"):
            formatter.write_dl([(verb, text) for verb, (_, text) in VERBS.items()])


@click.group(
    "fdi",
    cls=LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="VERB ...",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    Every verb takes --json, for one JSON document on standard output and nothing else, and
    --help, with examples.

    Exit status: 0 done, 1 failed, 2 wrong use, 130 interrupted.

    \b
    Environment:
      FDI_DATA    folder of your own profiles (in its folder 'profiles')
      FDI_STATE   folder of journals, from which campaigns are resumed
      FDI_CONFIG  folder of the dashboard's settings
      FDI_ADB     adb servers to look for phones at, HOST:PORT with commas between
      FDI_DEBUG   1: show the traceback of every error
      NO_COLOR    any text: no colors
    """,
)
@click.version_option(__version__, "--version", prog_name="fdi", message="%(prog)s %(version)s")
@click.pass_context
def fdi(ctx: click.Context) -> None:
    """Keras networks that are really faster on a device.

    \b
    Learn how long operators take on a device, read the rules that were learned,
    and see what a network will take before and after it is compressed:
      fdi profile --minutes 10                      learn this computer, 'local'
      fdi rules local --kind conv2d                 what makes a convolution slow
      fdi predict net.keras --profile local         where a network's time goes
      fdi measure net.keras                         and what it takes for real

    Compression itself is done in Python: see 'fdi demo' and fdi_keras.prunable.
    """
    if ctx.invoked_subcommand is None:
        from fdi_keras.cli.dashboard import is_possible, open_dashboard

        if is_possible():
            open_dashboard()
        else:
            click.echo(ctx.get_help())


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit status and raises nothing that is expected.

    Args:
        args: the arguments; those of the process when left out.
    """
    _make_output_forgiving()
    try:
        status = _run(list(sys.argv[1:] if args is None else args))
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        if not _output_is_closed():
            return _report_fault()
        _drop_output()
        return 0  # the reader has what it wanted, as in fdi rules local | head -1
    except click.exceptions.Abort:
        return fail("interrupted.", INTERRUPTED)
    except KeyboardInterrupt:
        return fail("interrupted.", INTERRUPTED)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "fdi"
        text = error.format_message()
        end = "" if text.endswith((".", "?", "!")) else "."
        return fail(f"{text[:1].lower()}{text[1:]}{end} See '{path} --help'.", error.exit_code)
    except click.ClickException as error:
        return fail(error.format_message(), error.exit_code)
    except FdiError as error:
        _trace_if_asked()
        return fail(str(error), 2 if isinstance(error, UsageError) else 1)
    except OSError as error:
        _trace_if_asked()
        _drop_output()  # a full disk would be reported again at exit, by the interpreter
        where = error.filename or "the output"
        return fail(f"cannot read or write {where}: {error.strerror or error}.", 1)
    except Exception:
        return _report_fault()


def _run(args: list[str]) -> int:
    # Not fdi.main(): it would answer a closed pipe, Ctrl-C and errors in its own ways.
    completion = os.environ.get("_FDI_COMPLETE")
    if completion:
        from click.shell_completion import shell_complete

        return shell_complete(fdi, {}, "fdi", "_FDI_COMPLETE", completion)
    try:
        with fdi.make_context("fdi", args) as context:
            status: Any = fdi.invoke(context)
    except click.exceptions.Exit as asked:
        status = asked.exit_code
    return status if isinstance(status, int) else 0


def _make_output_forgiving() -> None:
    """A name that the terminal's encoding cannot write becomes a ``?``, not a traceback."""
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - for as long as the process lives
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure:
            reconfigure(errors="replace")


def _output_is_closed() -> bool:
    """Whether standard output is the pipe that broke; another one would be a fault."""
    try:
        print(flush=True)
    except BrokenPipeError:
        return True
    return False


def _drop_output() -> None:
    """Send what standard output still holds nowhere, or the interpreter complains at exit."""
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), sys.stdout.fileno())
    except (OSError, ValueError):
        return  # no file behind it: a test, or an embedding program


def _trace_if_asked() -> None:
    if os.environ.get("FDI_DEBUG", "0") not in ("", "0"):
        traceback.print_exc()


def _report_fault() -> int:
    traceback.print_exc()
    return fail(
        "this is a fault of fdi itself, not of yours. Please report it to the project with the lines "
        f"above, the command, and the version (fdi {__version__}, Python {sys.version.split()[0]}).",
        1,
    )
