"""Following what is plugged in and out, as the adb server tells it.

The server's service ``host:track-devices-l`` sends the whole list at every change.
adbutils offers the older one, in a call that can neither be ended nor lives through
the end of the server; this one is asyncio's, ends at once when it is cancelled or closed, and
says when the server is gone and back.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator

import msgspec

from fdi_keras.devices.adb.server import AdbServer, AttachedPhone, parse_phones
from fdi_keras.errors import DeviceError
from fdi_keras.text import clean

#: Between attempts to reach a server that is gone, in seconds; doubled from the first up to the second.
RETRY_S = (0.2, 3.0)
#: For a connection to a server that was there a moment ago.
CONNECT_S = 3.0


class Sighting(msgspec.Struct, frozen=True):
    """What one adb server has now.

    Attributes:
        server: which.
        phones: all of them, whatever their state; empty while the server is away.
        problem: why nothing is known now; empty when all is well.
    """

    server: AdbServer
    phones: tuple[AttachedPhone, ...] = ()
    problem: str = ""


async def follow_phones(server: AdbServer, start: bool = True) -> AsyncGenerator[Sighting, None]:
    """The list now and at every change, without end; close the iterator to stop.

    When the server ends, that is said once with ``problem``, and it is tried again until it
    answers.

    Args:
        server: an adb server.
        start: start it when it does not run, if it is the default one of this computer.
    """
    wait = RETRY_S[0]
    told = ""
    while True:
        try:
            if start:
                await asyncio.to_thread(server.ensure)
            async with contextlib.aclosing(_lists(server)) as lists:
                async for phones in lists:
                    wait, told = RETRY_S[0], ""
                    yield Sighting(server, tuple(phones))
            problem = f"the adb server at {server.label} was stopped; looking for it again."
        except DeviceError as error:
            problem = str(error)
        except (OSError, ValueError, asyncio.IncompleteReadError):
            problem = f"the adb server at {server.label} went away; looking for it again."
        if problem != told:
            yield Sighting(server, problem=problem)
        told = problem
        await asyncio.sleep(wait)
        wait = min(2 * wait, RETRY_S[1])


async def _lists(server: AdbServer) -> AsyncGenerator[list[AttachedPhone], None]:
    reader, writer = await asyncio.wait_for(asyncio.open_connection(server.host, server.port), CONNECT_S)
    try:
        # Nothing may be said for hours; a machine that was switched off must show all the same.
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        request = b"host:track-devices-l"
        writer.write(f"{len(request):04x}".encode() + request)
        await writer.drain()
        if await reader.readexactly(4) != b"OKAY":
            reason = await _block(reader)
            raise DeviceError(
                f"the adb server at {server.label} cannot tell of changes ({clean(reason, 100)}). "
                "Update its platform-tools."
            )
        while True:
            yield parse_phones(await _block(reader))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await asyncio.wait_for(writer.wait_closed(), 0.2)


async def _block(reader: asyncio.StreamReader) -> str:
    size = int(await reader.readexactly(4), 16)
    return (await reader.readexactly(size)).decode(errors="replace")
