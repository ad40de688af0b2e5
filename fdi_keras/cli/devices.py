"""``fdi devices``."""

from __future__ import annotations

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import json_option


@click.command(
    epilog="""
    \b
    Example:
      fdi devices --json | jq -r '.[].id'
    """
)
@json_option
def devices(as_json: bool) -> None:
    """List the devices that models can be timed on.

    The id in the first column is what --device takes. A device that is not ready says in a
    few words why.

    JSON: a list of objects with id, name, kind, state and details.
    """
    from fdi_keras.devices import list_devices

    found = list_devices()
    if as_json:
        import msgspec

        console.print_json(msgspec.to_builtins(found))
        return
    from fdi_keras.cli.devices_view import devices_table

    console.stdout().print(devices_table(found))
