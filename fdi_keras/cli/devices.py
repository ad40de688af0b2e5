"""``fdi devices``."""

from __future__ import annotations

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import FiniteRange, adb_option, json_option


@click.command(
    epilog="""
    \b
    Examples:
      fdi devices
      fdi devices --adb rack.example:5037 --adb 192.168.1.7
      fdi devices --watch
      fdi devices --json | jq -r '.[].id'
    """
)
@adb_option
@click.option("--watch", is_flag=True, help="Follow what is plugged in and out, until Ctrl-C.")
@click.option(
    "--every",
    type=FiniteRange(min=1),
    metavar="S",
    help="With --watch: ask phones again every S seconds, for battery and temperature.",
)
@json_option
def devices(adb: tuple[str, ...], watch: bool, every: float | None, as_json: bool) -> None:
    """List the devices that models can be timed on: this computer, and phones over adb.

    The id in the first column is what --device takes. A device that is not ready says in a
    few words why, and what to do about it. Phones on another computer are seen through its adb
    server: start it there with 'adb -a nodaemon server' and name it with --adb.

    What a campaign that died has left on a phone (settings, files, processes) is mended, and told.

    JSON: a list of objects with id, name, kind, state and details; with --watch, one object a
    line with time, event (appeared, changed, gone, problem), device and note.
    """
    if every is not None and not watch:
        raise click.UsageError("--every goes with --watch.")
    if watch:
        from fdi_keras.cli.devices_watch import watch_devices

        watch_devices(adb, as_json, every)
        return
    from fdi_keras.devices import find_devices, restore_phones

    with console.working("Looking for phones", quiet=as_json):
        found = find_devices(adb)
        restored = restore_phones(adb)
    if as_json:
        import msgspec

        console.print_json(msgspec.to_builtins(found.devices))
    else:
        from fdi_keras.cli.devices_view import devices_table

        console.stdout().print(devices_table(found.devices))
    for note in [*found.notes, *restored]:
        click.echo(console.clean(note), err=True)
