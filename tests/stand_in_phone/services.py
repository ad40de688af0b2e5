"""What can be opened on a stand-in phone: ``shell:``, ``shell,v2:``, ``exec:``, ``sync:``."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import stat
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from .wire import Service, Stream

if TYPE_CHECKING:
    from .phone import StandInPhone

BLOCK = 64 * 1024  # bytes of one DATA block, the protocol's ceiling
STDIN, STDOUT, STDERR, EXIT, CLOSE_STDIN = range(5)


def find(service: str, features: tuple[str, ...]) -> Service | None:
    """``shell,v2,raw:ls`` is shell v2, which a phone without that feature does not know."""
    kind, *options = service.partition(":")[0].split(",")
    if kind == "shell" and "v2" in options:
        return shell_v2 if "shell_v2" in features else None
    return {"shell": shell, "exec": shell, "sync": sync}.get(kind)


# Commands


async def shell(phone: StandInPhone, stream: Stream, service: str) -> None:
    """One stream of bytes, errors mixed in, no exit status."""
    process = await _start(phone, service, asyncio.subprocess.STDOUT)
    feeding = asyncio.create_task(_feed(stream, process))
    try:
        while data := await _read(stream, process.stdout):
            await stream.write(data)
        if not stream.closed.is_set():
            process.stdin.close()  # asyncio's wait() waits for its pipes too
            await process.wait()
    finally:
        feeding.cancel()
        await _hang_up(phone, process)


async def shell_v2(phone: StandInPhone, stream: Stream, service: str) -> None:
    """Packets of output, errors and, at the end, the exit status."""
    process = await _start(phone, service, asyncio.subprocess.PIPE)
    turn = asyncio.Lock()

    async def forward(kind: int, source: asyncio.StreamReader) -> None:
        while data := await _read(stream, source):
            async with turn:
                await stream.write(struct.pack("<BI", kind, len(data)) + data)

    feeding = asyncio.create_task(_feed_v2(stream, process))
    try:
        await asyncio.gather(forward(STDOUT, process.stdout), forward(STDERR, process.stderr))
        if not stream.closed.is_set():
            process.stdin.close()  # asyncio's wait() waits for its pipes too
            code = await process.wait()
            await stream.write(struct.pack("<BIB", EXIT, 1, code if code >= 0 else 128 - code))
    finally:
        feeding.cancel()
        await _hang_up(phone, process)


async def _start(phone: StandInPhone, service: str, errors: int) -> asyncio.subprocess.Process:
    starting = asyncio.create_task(_execute(phone, phone.here(service.partition(":")[2]), errors))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:  # the cable was pulled just now
        await _hang_up(phone, await starting)
        raise


async def _execute(phone: StandInPhone, script: str, errors: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        "/bin/sh",
        "-c",
        script.encode(errors="surrogateescape"),
        cwd=phone.root,
        env=phone.environment(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        start_new_session=True,
        limit=1 << 20,
    )


async def _read(stream: Stream, source: asyncio.StreamReader) -> bytes:
    """The process's next bytes; none once it or the host has ended."""
    reading = asyncio.create_task(source.read(32 * 1024))
    closing = asyncio.create_task(stream.closed.wait())
    try:
        await asyncio.wait({reading, closing}, return_when=asyncio.FIRST_COMPLETED)
        return reading.result() if reading.done() else b""
    finally:
        reading.cancel()
        closing.cancel()


async def _feed(stream: Stream, process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(OSError):
        while data := await stream.incoming.read(32 * 1024):
            process.stdin.write(data)
            await process.stdin.drain()
        process.stdin.close()


async def _feed_v2(stream: Stream, process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while True:
            kind, length = struct.unpack("<BI", await stream.read(5))
            data = await stream.read(length)
            if kind == STDIN:
                process.stdin.write(data)
                await process.stdin.drain()
            elif kind == CLOSE_STDIN:
                process.stdin.close()


async def _hang_up(phone: StandInPhone, process: asyncio.subprocess.Process) -> None:
    """What adbd does when the host lets go: a signal to the shell alone, not to its children."""
    transport = process._transport
    if process.returncode is not None:
        transport.close()
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGHUP)
    # Its pipes close, or a child that lives on would hold them. Closing all would also kill it.
    phone.started = [other for other in phone.started if other.get_returncode() is None]
    phone.started.append(transport)
    for descriptor in range(3):
        pipe = transport.get_pipe_transport(descriptor)
        if pipe is not None:
            pipe.close()


# Files


async def sync(phone: StandInPhone, stream: Stream, service: str) -> None:
    """Requests of four letters, a length and a path, until QUIT or a mistake."""
    requests = {
        "STAT": _stat,
        "STA2": _stat_v2,
        "LST2": _stat_v2,
        "LIST": _list,
        "RECV": _receive,
        "SEND": _send,
    }
    while True:
        name, length = struct.unpack("<4sI", await stream.read(8))
        path = (await stream.read(length)).decode(errors="surrogateescape")
        serve = requests.get(name.decode(errors="replace"))
        if name == b"QUIT":
            return
        if serve is None:
            await _fail(stream, f"unknown command {name!r}")
            return
        await serve(phone, stream, path)


async def _fail(stream: Stream, reason: str) -> None:
    text = reason.encode()
    await stream.write(struct.pack("<4sI", b"FAIL", len(text)) + text)


async def _stat(phone: StandInPhone, stream: Stream, path: str) -> None:
    await stream.write(b"STAT" + struct.pack("<3I", *_words(phone.place(path))))


async def _stat_v2(phone: StandInPhone, stream: Stream, path: str) -> None:
    try:
        found = phone.place(path).lstat()
    except OSError as error:
        await stream.write(struct.pack("<4sI", b"STA2", error.errno) + bytes(64))
        return
    await stream.write(
        struct.pack(
            "<4sI2Q4IQ3q", b"STA2", 0, found.st_dev, found.st_ino, found.st_mode, found.st_nlink, found.st_uid,
            found.st_gid, found.st_size, int(found.st_atime), int(found.st_mtime), int(found.st_ctime),
        )
    )  # fmt: skip


def _words(place: Path) -> tuple[int, int, int]:
    try:
        found = place.lstat()
    except OSError:
        return 0, 0, 0
    return found.st_mode, found.st_size & 0xFFFFFFFF, int(found.st_mtime)


async def _list(phone: StandInPhone, stream: Stream, path: str) -> None:
    folder = phone.place(path)
    for entry in sorted(folder.iterdir()) if folder.is_dir() else []:
        name = os.fsencode(entry.name)
        await stream.write(b"DENT" + struct.pack("<4I", *_words(entry), len(name)) + name)
    await stream.write(b"DONE" + bytes(16))


async def _receive(phone: StandInPhone, stream: Stream, path: str) -> None:
    try:
        if phone.denies(path):
            raise PermissionError(13, "Permission denied")
        content = phone.place(path).read_bytes()
    except OSError as error:
        await _fail(stream, f"open failed: {error.strerror}")
        return
    for start in range(0, len(content), BLOCK):
        block = content[start : start + BLOCK]
        await stream.write(struct.pack("<4sI", b"DATA", len(block)) + block)
    await stream.write(b"DONE" + bytes(4))


async def _send(phone: StandInPhone, stream: Stream, spec: str) -> None:
    path, _, mode = spec.rpartition(",")
    place = phone.place(path)
    failure, written = None, 0
    try:
        if phone.denies(path):
            raise PermissionError(13, "Permission denied")
        place.parent.mkdir(parents=True, exist_ok=True)
        file = place.open("wb", buffering=0)
    except OSError as error:  # the host sends the whole file all the same
        failure, file = f"couldn't create file: {error.strerror}", None
    with file or contextlib.nullcontext():
        while True:
            name, length = struct.unpack("<4sI", await stream.read(8))
            if name != b"DATA":
                break
            block = await stream.read(length)
            written += length
            if written > phone.free_bytes():
                failure = failure or "write failed: No space left on device"
            elif file:
                file.write(block)
    if failure:
        if file:
            place.unlink(missing_ok=True)  # adbd removes what it could not finish
        await _fail(stream, failure)
        return
    os.truncate(place, max(0, written - phone.lost_bytes()))
    place.chmod(stat.S_IMODE(int(mode)))
    os.utime(place, (length, length))
    await stream.write(b"OKAY" + bytes(4))
