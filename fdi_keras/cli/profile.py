"""``fdi profile``."""

from __future__ import annotations

import contextlib
import shlex
import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, json_option, runtime_options, split_names
from fdi_keras.errors import FdiError

if TYPE_CHECKING:
    from fdi_keras.devices import RuntimeChoice
    from fdi_keras.profile import DeviceProfile


@click.command(
    epilog="""
    \b
    Examples:
      fdi profile                                     ten minutes, saved as 'local'
      fdi profile --minutes 3 --kinds conv2d,dense --out mine.json
      fdi profile --resume                            go on with what was interrupted
      fdi profile --resume --minutes 20               or extend what has ended
      fdi profile --extend local --minutes 10         add to a profile that there is
      fdi profile --device R58M12ABCDE --cores big    a phone, on its fast cores
      fdi profile --device A1 --device B2             two at once; of one model they share the work
    """
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    default=["local"],
    show_default=True,
    metavar="ID",
    help="As 'fdi devices' lists it; repeatable.",
)
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
    "--extend",
    metavar="PROFILE",
    help="Add to a profile of this device: what it holds is not timed again.",
)
@click.option(
    "--design",
    type=click.Choice(["active", "plain"]),
    help="active: time next what the model is least sure of; plain: a fixed sequence.  [default: active]",
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="S", help="Of the design of the campaign.  [default: 0]"
)
@click.option(
    "--energy",
    "energy_minutes",
    type=FiniteRange(min=0, min_open=True),
    metavar="M",
    help="Then measure energies for M minutes: an unplugged phone only.",
)
@click.option("--counters", is_flag=True, help="Count cache accesses of each probe: a phone with simpleperf.")
@runtime_options
@json_option
def profile(
    devices: tuple[str, ...],
    minutes: float | None,
    budget: int | None,
    kinds: str | None,
    threads: int | None,
    out: Path | None,
    resume: bool,
    extend: str | None,
    design: str | None,
    seed: int | None,
    energy_minutes: float | None,
    counters: bool,
    runtime: RuntimeChoice,
    as_json: bool,
) -> int:
    """Time operators on a device and learn its profile from them.

    A campaign times many operators of different sizes, each in a small model of its own,
    learns from the times what makes operators slow, and writes both to a profile file.
    More time means a better profile: ten minutes are a good start. Leave the device alone
    meanwhile; when it gets slower or too warm, the campaign waits and repeats. When a phone
    goes away, it waits until the phone is back.

    Each delegate, precision, number of threads and choice of cores is a runtime of its own, with
    its own profile. Several devices are profiled at once; those of one model and runtime share
    the work out between them, and one that fails does not stop the others.

    Every measurement is on disk before the next one starts. Ctrl-C loses nothing (exit status
    130): 'fdi profile --resume' goes on with the kinds, threads, seed and limits of before;
    limits count from the beginning of the campaign.

    --extend adds to a profile, wherever its journal is: it goes on in the design behind what the
    profile holds, times some of that again to see that the device is as fast as it was, and learns
    from all of it. --budget then counts what is added.

    JSON: profile (path), measurements, seconds (this run), mape by kind (held-out error, 0.05
    is 5 %), failures (probes that could not be timed) and warnings. For several devices, an object
    with these by id, or error.
    """
    if minutes is not None and budget is not None:
        raise click.UsageError("--minutes and --budget exclude each other: give one of them.")
    names = split_names(kinds)
    from fdi_keras.profile import find_profile, profile_devices

    if extend is not None and out is None:
        out = find_profile(extend)
    begin = time.monotonic()
    try:
        with _ended_kindly(), _progress(devices, quiet=as_json) as report:
            learned = profile_devices(
                devices,
                minutes=minutes,
                measurements=budget,
                kinds=names,
                threads=threads,
                out=out,
                resume=resume,
                seed=seed,
                progress=report,
                runtime=runtime,
                energy_minutes=energy_minutes,
                counters=counters,
                extend=extend,
                active=None if design is None else design == "active",
            )
    except KeyboardInterrupt:
        raise click.exceptions.Exit(_say_how_to_resume(devices, runtime, extend, out)) from None
    seconds = time.monotonic() - begin
    if len(devices) == 1:
        result = learned[devices[0]]
        if isinstance(result, FdiError):
            raise result
    if as_json:
        console.print_json(_documents(learned, out, seconds))
    else:
        _print(learned, out, seconds)
    return int(any(isinstance(result, FdiError) for result in learned.values()))


@contextlib.contextmanager
def _ended_kindly() -> Iterator[None]:
    """Let SIGTERM be what Ctrl-C is, for campaigns that a service manager or the dashboard ends."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _print(learned: Mapping[str, DeviceProfile | FdiError], out: Path | None, seconds: float) -> None:
    from fdi_keras.cli.campaign_view import print_result

    shown: list[DeviceProfile] = []
    for device, result in learned.items():
        if isinstance(result, FdiError):
            console.fail(f"{device}: {result}")
        elif not any(result is other for other in shown):
            shown.append(result)
            print_result(console.stdout(), result, _path(result, out), seconds)
            console.print_warnings(result.warnings)


def _path(profile: DeviceProfile, out: Path | None) -> Path:
    from fdi_keras.profile import profile_folder

    return out or profile_folder() / f"{profile.name}.json"


def _progress(devices: Sequence[str], quiet: bool) -> Any:
    if quiet:
        return contextlib.nullcontext()
    from fdi_keras.cli.campaign_view import campaign_progress

    return campaign_progress(console.stderr(), devices)


def _say_how_to_resume(
    devices: Sequence[str], runtime: RuntimeChoice, extend: str | None, out: Path | None
) -> int:
    """One line; what the campaign's journal does not know has to be said again."""
    words = ["fdi", "profile", "--resume"]
    for device in devices:
        words += [] if device == "local" and len(devices) == 1 else ["--device", device]
    for name in ("delegate", "cores", "precision", "benchmark_model"):
        value = getattr(runtime, name)
        words += [] if value == getattr(type(runtime)(), name) else [f"--{name.replace('_', '-')}", value]
    for server in runtime.adb or ():
        words += ["--adb", server]
    words += [] if extend is None else ["--extend", extend]
    if out is not None:
        words += ["--out", str(out)]
    click.echo(
        f"Interrupted; nothing that was measured is lost. Go on with: {console.clean(shlex.join(words))}",
        err=True,
    )
    from fdi_keras.cli.app import INTERRUPTED

    return INTERRUPTED


def _documents(
    learned: Mapping[str, DeviceProfile | FdiError], out: Path | None, seconds: float
) -> dict[str, Any]:
    documents = {
        device: {"error": str(result)}
        if isinstance(result, FdiError)
        else _document(result, _path(result, out), seconds)
        for device, result in learned.items()
    }
    return documents if len(documents) > 1 else next(iter(documents.values()))


def _document(profile: DeviceProfile, path: Path, seconds: float) -> dict[str, Any]:
    return {
        "profile": str(path),
        "measurements": sum(len(table) for table in profile.measurements.values()),
        "seconds": round(seconds, 3),
        "mape": profile.mape,
        "failures": len(profile.failures),
        "warnings": profile.warnings,
    }
