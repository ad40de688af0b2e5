"""The device side of the ADB transport protocol on one TCP connection.

Every message is six little-endian words (command, two arguments, length and sum of the
payload, the command's complement) and a payload. The host opens a *stream* to a service;
either side names it by a number of its own, and each WRTE waits for one OKAY.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import struct
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .phone import StandInPhone

HEAD = struct.Struct("<6I")
VERSION = 0x01000001  # from this version on nobody checks payload sums
MOST_PAYLOAD = 256 * 1024
TOKEN, PUBLIC_KEY = 1, 3  # kinds of AUTH messages


def _word(name: str) -> int:
    return int.from_bytes(name.encode(), "little")


CNXN, AUTH, OPEN, OKAY, WRTE, CLSE = map(_word, ("CNXN", "AUTH", "OPEN", "OKAY", "WRTE", "CLSE"))

Service = Callable[["StandInPhone", "Stream", str], Awaitable[None]]


class Stream:
    """Two-way bytes between a service on the phone and whoever opened it."""

    def __init__(self, transport: Transport, here: int, there: int, service: str):
        self.transport = transport
        self.here, self.there = here, there
        self.service = service
        self.incoming = asyncio.StreamReader(limit=1 << 30)
        self.closed = asyncio.Event()
        self._acknowledged = asyncio.Event()
        self._acknowledged.set()

    async def read(self, count: int) -> bytes:
        return await self.incoming.readexactly(count)

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), self.transport.most_payload):
            await self.drained()
            if self.closed.is_set():
                raise ConnectionResetError("the host has closed this stream")
            self._acknowledged.clear()
            part = data[start : start + self.transport.most_payload]
            await self.transport.send_payload(self, part)

    async def drained(self) -> None:
        """Until the host has read all that was written, or has gone."""
        await self._acknowledged.wait()

    def acknowledged(self) -> None:
        self._acknowledged.set()

    def abandon(self) -> None:
        self.closed.set()
        self._acknowledged.set()
        if not self.incoming.at_eof():
            self.incoming.feed_eof()


class Transport:
    """One connection from an adb server, from its greeting to its end."""

    def __init__(self, phone: StandInPhone, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self.phone = phone
        self.most_payload = MOST_PAYLOAD
        self._reader, self._writer = reader, writer
        self._streams: dict[int, Stream] = {}
        self._services: set[asyncio.Task[None]] = set()
        self._count = 0
        self._sending = asyncio.Lock()

    async def run(self) -> None:
        try:
            await self._greet()
            while True:
                await self._take(*await self._receive())
        except (asyncio.IncompleteReadError, OSError):
            pass  # unplugged
        finally:
            for stream in self._streams.values():
                stream.abandon()
            for service in list(self._services):
                service.cancel()
            await asyncio.gather(*self._services, return_exceptions=True)
            self._writer.close()
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    def cut(self) -> None:
        """End at once and without a farewell, as a pulled cable does."""
        self._writer.transport.abort()

    async def send(self, command: int, arg0: int, arg1: int, data: bytes = b"") -> None:
        await self.phone.thawed.wait()
        head = HEAD.pack(command, arg0, arg1, len(data), sum(data) & 0xFFFFFFFF, command ^ 0xFFFFFFFF)
        async with self._sending:
            self._writer.write(head + data)
            await self._writer.drain()

    async def send_payload(self, stream: Stream, data: bytes) -> None:
        allowed = self.phone.allowance("to_host", stream.service, len(data))
        if allowed:
            await self.send(WRTE, stream.here, stream.there, data[:allowed])
        if allowed < len(data):
            self.phone.pull_cable()
            raise ConnectionResetError("cut on purpose")

    async def _receive(self) -> tuple[int, int, int, bytes]:
        head = await self._reader.readexactly(HEAD.size)
        command, arg0, arg1, length, _, complement = HEAD.unpack(head)
        if complement != command ^ 0xFFFFFFFF:
            raise ConnectionError(f"no ADB message: {head!r}")
        data = await self._reader.readexactly(length)
        await self.phone.thawed.wait()
        return command, arg0, arg1, data

    async def _greet(self) -> None:
        command, _, most, _ = await self._receive()
        if command != CNXN:
            raise ConnectionError("the host spoke before it connected")
        self.most_payload = min(MOST_PAYLOAD, most)
        if self.phone.auth != "open":
            await self._authorise()
        await self.send(CNXN, VERSION, MOST_PAYLOAD, self.phone.banner())

    async def _authorise(self) -> None:
        """Know none of the host's keys; wait until the owner allows the one that it offers at last."""
        while True:
            await self.send(AUTH, TOKEN, 0, os.urandom(20))
            command, kind, _, _ = await self._receive()
            if command == AUTH and kind == PUBLIC_KEY:
                break
        while self.phone.auth != "accept":
            await asyncio.sleep(0.02)
            if self._writer.is_closing() or self._reader.at_eof():
                raise ConnectionError("the host has left")

    async def _take(self, command: int, arg0: int, arg1: int, data: bytes) -> None:
        if command == OPEN:
            await self._open(arg0, data.rstrip(b"\0").decode(errors="surrogateescape"))
            return
        stream = self._streams.get(arg1)
        if stream is None:
            if command == WRTE:
                await self.send(CLSE, 0, arg0)
        elif command == WRTE:
            allowed = self.phone.allowance("to_phone", stream.service, len(data))
            stream.incoming.feed_data(data[:allowed])
            if allowed < len(data):
                await asyncio.sleep(0.02)  # what arrived is worked on before the cable goes
                self.phone.pull_cable()
                return
            await self.send(OKAY, stream.here, stream.there)
        elif command == OKAY:
            stream.acknowledged()
        elif command == CLSE:
            self._streams.pop(stream.here, None)
            stream.abandon()

    async def _open(self, there: int, service: str) -> None:
        serve = self.phone.service(service)
        if serve is None:
            await self.send(CLSE, 0, there)
            return
        self._count += 1
        stream = Stream(self, self._count, there, service)
        self._streams[stream.here] = stream
        await self.send(OKAY, stream.here, there)
        task = asyncio.create_task(self._serve(stream, serve))
        self._services.add(task)
        task.add_done_callback(self._services.discard)

    async def _serve(self, stream: Stream, serve: Service) -> None:
        try:
            await serve(self.phone, stream, stream.service)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            await stream.drained()
            if self._streams.pop(stream.here, None) is not None:
                with contextlib.suppress(OSError):
                    await self.send(CLSE, stream.here, stream.there)
