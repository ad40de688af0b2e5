"""``fdi doctor``."""

from __future__ import annotations

from pathlib import Path

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import adb_option, json_option


@click.command(
    epilog="""
    \b
    Examples:
      fdi doctor
      fdi doctor R58M12ABCDE
      fdi doctor --json | jq '.phones[][] | select(.verdict == "problem")'
    """
)
@click.argument("serial", required=False)
@adb_option
@click.option(
    "--benchmark-model",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The tool that times models on a phone.  [default: FDI_BENCHMARK_MODEL, else the cache]",
)
@json_option
def doctor(serial: str | None, adb: tuple[str, ...], benchmark_model: Path | None, as_json: bool) -> int:
    """Check what a campaign on a phone needs, and say how to mend what is missing.

    SERIAL is a phone as 'fdi devices' lists it; all that are attached if left out. Nothing on the
    phone is changed. A problem prevents a campaign; a warning says what is worse or missing.

    Exit status 1 if there is a problem.

    JSON: healthy (no problem), host (findings about this computer) and phones (findings by id);
    a finding has check, verdict (ok, warning, problem), text and remedy.
    """
    from fdi_keras.devices.doctor import examine

    with console.working("Examining", quiet=as_json):
        examination = examine(serial, adb, benchmark_model)
    if as_json:
        import msgspec

        console.print_json({"healthy": examination.healthy, **msgspec.to_builtins(examination)})
    else:
        from fdi_keras.cli.doctor_view import print_examination

        print_examination(console.stdout(), examination)
    return 0 if examination.healthy else 1
