"""Which phones there are, on all adb servers that one is told of, without waiting for slow ones."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import msgspec

from fdi_keras.devices.adb.device import PhoneDevice
from fdi_keras.devices.adb.server import AdbServer, AttachedPhone, default_server, parse_server
from fdi_keras.devices.base import DeviceInfo
from fdi_keras.errors import DeviceError, DeviceNotFoundError, UsageError
from fdi_keras.text import clean

#: Environment variable with adb servers, commas between.
VARIABLE = "FDI_ADB"
#: In place of a server: do not look at the one of this computer.
NONE = "none"
#: For a server to list its phones, and for its phones to describe themselves, in seconds.
LIST_S = 1.0
DESCRIBE_S = 1.5

_T = TypeVar("_T")
_R = TypeVar("_R")


class Found(msgspec.Struct, frozen=True):
    """Phones, and in a line each why some were not looked for."""

    devices: list[DeviceInfo] = []
    notes: list[str] = []


def servers_told(adb: Sequence[str] | None = None) -> list[AdbServer]:
    """The adb servers to look at: that of this computer first, then those named.

    Args:
        adb: ``HOST:PORT`` each; None or none given: those that ``FDI_ADB`` names. The word ``none``,
            here or there, leaves out the one of this computer.

    Raises:
        UsageError: one is no address.
    """
    usual = [text.strip() for text in os.environ.get(VARIABLE, "").split(",") if text.strip()]
    # Whoever said in the environment that this computer's server be left alone means it always.
    alone = any(text.lower() == NONE for text in [*usual, *(adb or ())])
    named = [text for text in adb or usual if text.strip().lower() != NONE]
    servers = [] if alone else [default_server()]
    return list(dict.fromkeys([*servers, *map(parse_server, named)]))


def attached_phones(adb: Sequence[str] | None = None) -> tuple[list[PhoneDevice], list[str]]:
    """Every phone of every server, not yet asked, and notes about servers that do not answer."""

    def look(server: AdbServer) -> list[AttachedPhone] | str:
        try:
            server.ensure()
            return server.phones(LIST_S)
        except DeviceError as error:
            return f"phones are not looked for at {server.label}: {error}"

    phones: list[PhoneDevice] = []
    notes: list[str] = []
    servers = servers_told(adb)
    for server, found in zip(servers, at_once(look, servers), strict=True):
        if isinstance(found, str):
            notes.append(found)
        else:
            phones += [PhoneDevice(phone.serial, server, phone) for phone in found]
    return phones, notes


def find_phones(adb: Sequence[str] | None = None) -> Found:
    """Every phone of every server, described; takes about two seconds at most, however slow they are.

    Raises:
        UsageError: an address that is none.
    """
    phones, notes = attached_phones(adb)
    return Found(at_once(lambda phone: phone.describe(DESCRIBE_S), phones), notes)


def open_phone(name: str, adb: Sequence[str] | None = None) -> PhoneDevice:
    """The phone with this id.

    Args:
        name: a serial, or ``SERIAL@HOST:PORT`` whether that server is among ``adb`` or not.

    Raises:
        DeviceNotFoundError: there is none; ``args[0]`` says which there are.
        UsageError: two servers have it, or the address is none.
    """
    serial, at, address = name.rpartition("@")
    if at and serial:
        server = parse_server(address)
        phones, notes = attached_phones([NONE, server.label])
        matching = [phone for phone in phones if phone.link.serial == serial]
    else:
        phones, notes = attached_phones(adb)
        matching = [phone for phone in phones if phone.link.serial == name]
    if len(matching) > 1:
        names = " or ".join(sorted(f"{phone.link.serial}@{phone.link.server.label}" for phone in matching))
        raise UsageError(f"two adb servers have a phone {clean(name, 80)!r}: say which, {names}.")
    if not matching:
        known = ", ".join(clean(phone.id, 80) for phone in phones)
        text = f"phones are: {known}" if known else "no phone is attached"
        raise DeviceNotFoundError("; ".join([text, *notes]))
    return matching[0]


def at_once(act: Callable[[_T], _R], items: Sequence[_T]) -> list[_R]:
    """Do it to all at the same time; each must end by itself."""
    if not items:
        return []
    with ThreadPoolExecutor(max_workers=min(len(items), 32)) as pool:
        return list(pool.map(act, items))
