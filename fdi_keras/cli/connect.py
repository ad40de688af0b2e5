"""``fdi connect``."""

from __future__ import annotations

import click

from fdi_keras.cli import console
from fdi_keras.cli.options import json_option, one_adb_option


@click.command(
    epilog="""
    \b
    Examples:
      fdi connect 192.168.1.20:41375
      fdi connect 192.168.1.20:41375 --adb rack.example:5037
    """
)
@click.argument("address", metavar="HOST:PORT")
@one_adb_option
@json_option
def connect(address: str, adb: str | None, as_json: bool) -> None:
    """Attach a phone over Wi-Fi.

    HOST:PORT stands in the phone's settings under 'Wireless debugging' (Android 11 and later; pair
    first, with 'fdi pair'). It changes with every restart. Up to Android 10: plug the phone in, run
    'adb tcpip 5555', and give its address with port 5555.

    JSON: id, what --device takes.
    """
    from fdi_keras.devices import restore_phones
    from fdi_keras.devices.adb.phone import PhoneLink
    from fdi_keras.devices.adb.server import checked_address, default_server, parse_server

    server = parse_server(adb) if adb else default_server()
    address = checked_address(address, port=5555)
    with console.working(f"Connecting to {address}", quiet=as_json):
        server.ensure()
        phone = PhoneLink(server.connect(address), server)
        restored = restore_phones([server.label])
    if as_json:
        console.print_json({"id": phone.id})
    else:
        click.echo(f"Connected. Its id is {phone.id}; 'fdi doctor {phone.id}' checks it.")
    for note in restored:
        click.echo(console.clean(note), err=True)
