"""``fdi pair``."""

from __future__ import annotations

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import json_option, one_adb_option


@click.command(
    epilog="""
    \b
    Examples:
      fdi pair 192.168.1.20:37123
      fdi pair 192.168.1.20:37123 481516
    """
)
@click.argument("address", metavar="HOST:PORT")
@click.argument("code", required=False)
@one_adb_option
@json_option
def pair(address: str, code: str | None, adb: str | None, as_json: bool) -> None:
    """Make this computer known to a phone, for debugging over Wi-Fi (Android 11 and later).

    On the phone: Developer options, 'Wireless debugging', 'Pair device with pairing code'. HOST:PORT
    and CODE are in that dialog; keep it open. CODE is asked for when it is left out. Once paired,
    'fdi connect' with the other address, that of 'Wireless debugging' itself.

    JSON: paired, what adb calls the phone.
    """
    from fdi_keras.devices.adb.server import checked_address, checked_code, default_server, parse_server

    server = parse_server(adb) if adb else default_server()
    address = checked_address(address)
    if code is None:
        code = str(click.prompt("Pairing code", err=True))
    code = checked_code(code)
    with console.working(f"Pairing with {address}", quiet=as_json):
        server.ensure()
        paired = server.pair(address, code)
    if as_json:
        console.print_json({"paired": paired})
    else:
        click.echo(f"Paired with {paired}. Now: fdi connect HOST:PORT, as 'Wireless debugging' shows it.")
