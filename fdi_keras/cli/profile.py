"""``fdi profile``."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, device_option, json_option, split_names

if TYPE_CHECKING:
    from fdi_keras.profile import DeviceProfile


@click.command(
    epilog="""
    \b
    Examples:
      fdi profile                                     ten minutes, saved as 'local'
      fdi profile --minutes 3 --kinds conv2d,dense --out mine.json
      fdi profile --resume                            go on with what was interrupted
      fdi profile --resume --minutes 20               or extend what has ended
    """
)
@device_option
@click.option(
    "--minutes",
    type=FiniteRange(min=0, min_open=True),
    metavar="M",
    help="Time to measure for.  [default: 10, unless --budget is given]",
)
@click.option(
    "--budget", type=click.IntRange(min=1), metavar="N", help="Measurements to make, instead of --minutes."
)
@click.option("--kinds", metavar="KIND,...", help="Kinds of operators to time.  [default: all]")
@click.option(
    "--threads", type=click.IntRange(min=1), metavar="N", help="Threads of the runtime.  [default: 1]"
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="File of the profile.  [default: your profile folder, found there by its name]",
)
@click.option("--resume", is_flag=True, help="Go on with the last campaign on this device.")
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="S", help="Of the design of the campaign.  [default: 0]"
)
@json_option
def profile(
    device: str,
    minutes: float | None,
    budget: int | None,
    kinds: str | None,
    threads: int | None,
    out: Path | None,
    resume: bool,
    seed: int | None,
    as_json: bool,
) -> None:
    """Time operators on a device and learn its profile from them.

    A campaign times many operators of different sizes, each in a small model of its own,
    learns from the times what makes operators slow, and writes both to a profile file.
    More time means a better profile: ten minutes are a good start. Leave the device alone
    meanwhile; when it gets slower, the campaign waits and repeats.

    Every measurement is on disk before the next one starts. Ctrl-C loses nothing (exit status
    130): 'fdi profile --resume' goes on with the kinds, threads, seed and limits of before;
    limits count from the beginning of the campaign.

    JSON: profile (path), measurements, seconds (this run), mape by kind (held-out error, 0.05
    is 5 %), failures (probes that could not be timed) and warnings.
    """
    if minutes is not None and budget is not None:
        raise click.UsageError("--minutes and --budget exclude each other: give one of them.")
    names = split_names(kinds)
    from fdi_keras.profile import default_profile_path, profile_device

    begin = time.monotonic()
    try:
        with _progress(device, quiet=as_json) as report:
            learned = profile_device(
                device,
                minutes=minutes,
                measurements=budget,
                kinds=names,
                threads=threads,
                out=out,
                resume=resume,
                seed=seed,
                progress=report,
            )
    except KeyboardInterrupt:
        raise click.exceptions.Exit(_say_how_to_resume(device, out)) from None
    path = out or default_profile_path(device, learned.runtime)
    seconds = time.monotonic() - begin
    if as_json:
        console.print_json(_document(learned, path, seconds))
        return
    from fdi_keras.cli.campaign_view import print_result

    print_result(console.stdout(), learned, path, seconds)
    console.print_warnings(learned.warnings)


def _progress(device: str, quiet: bool) -> Any:
    if quiet:
        import contextlib

        return contextlib.nullcontext()
    from fdi_keras.cli.campaign_view import campaign_progress

    return campaign_progress(console.stderr(), device)


def _say_how_to_resume(device: str, out: Path | None) -> int:
    """One line; what the campaign's journal does not know has to be said again."""
    words = ["fdi", "profile", "--resume"]
    if device != "local":
        words += ["--device", device]
    if out is not None:
        words += ["--out", str(out)]
    click.echo(
        f"Interrupted; nothing that was measured is lost. Go on with: {console.clean(shlex.join(words))}",
        err=True,
    )
    from fdi_keras.cli.app import INTERRUPTED

    return INTERRUPTED


def _document(profile: DeviceProfile, path: Path, seconds: float) -> dict[str, Any]:
    return {
        "profile": str(path),
        "measurements": sum(len(table) for table in profile.measurements.values()),
        "seconds": round(seconds, 3),
        "mape": profile.mape,
        "failures": len(profile.failures),
        "warnings": profile.warnings,
    }
