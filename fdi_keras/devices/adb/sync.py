"""Files to and from a phone: the adb daemon's ``sync:`` service.

A request is four letters, a length (32 bits, little-endian) and a path. adbutils' own
waits for ever on a frozen phone, takes half of a cut file for whole, and does not
read why a transfer was refused; so these hundred lines are ours.
"""

from __future__ import annotations

import re
import stat
import struct
import time
from typing import TYPE_CHECKING

from fdi_keras.errors import CommandFailedError, DeviceError, UsageError
from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_keras.devices.adb.client import Connection

#: The protocol's ceiling for one block.
BLOCK_BYTES = 64 << 10
#: A file that is pulled may have so many bytes: what we pull are results of kilobytes.
MOST_FILE_BYTES = 1 << 30


def checked_path(remote: str) -> str:
    """A path on the phone that the protocol can carry.

    Raises:
        UsageError: it is not absolute, too long, or has a zero byte or line end.
    """
    if not remote.startswith("/") or re.search(r"[\0\r\n]", remote) or len(remote.encode()) > 1000:
        raise UsageError(
            f"expected the full path of a file on the phone, as in /data/local/tmp/x; received "
            f"{clean(remote, 80)!r}."
        )
    return remote


def send(connection: Connection, data: bytes, remote: str, mode: int) -> None:
    """Write a file.

    Raises:
        CommandFailedError: the phone refuses; its words are in it.
        EOFError, OSError: the connection was cut.
    """
    _request(connection, b"SEND", f"{remote},{stat.S_IFREG | mode}")
    try:
        for start in range(0, len(data), BLOCK_BYTES):
            block = data[start : start + BLOCK_BYTES]
            connection.send_all(struct.pack("<4sI", b"DATA", len(block)) + block)
        connection.send_all(struct.pack("<4sI", b"DONE", int(time.time())))
    except (BrokenPipeError, ConnectionResetError):
        # A phone that refuses may hang up at once; what it said about it still waits to be read.
        _answer(connection, f"writing {remote}")
        raise
    _answer(connection, f"writing {remote}")


def receive(connection: Connection, remote: str) -> bytes:
    """Content of a file, whole.

    Raises:
        CommandFailedError: the phone refuses, as when there is no such file.
        EOFError, OSError: the connection was cut.
    """
    _request(connection, b"RECV", remote)
    content = bytearray()
    while True:
        name = connection.receive_exactly(4)
        length = connection.receive_number()
        if name == b"DONE":
            return bytes(content)
        if name == b"FAIL":
            raise _refused(f"reading {remote}", connection, length)
        if name != b"DATA" or length > BLOCK_BYTES:
            raise EOFError
        content += connection.receive_exactly(length)
        if len(content) > MOST_FILE_BYTES:
            raise DeviceError(f"{clean(remote, 200)} on the phone is larger than {MOST_FILE_BYTES >> 20} MB.")


def size_of(connection: Connection, remote: str) -> int | None:
    """Bytes of a file; None when there is none.

    Raises:
        EOFError, OSError: the connection was cut.
    """
    _request(connection, b"STAT", remote)
    if connection.receive_exactly(4) != b"STAT":
        raise EOFError
    mode, size, _ = struct.unpack("<3I", connection.receive_exactly(12))
    return int(size) if mode else None


def _request(connection: Connection, name: bytes, text: str) -> None:
    path = text.encode()
    connection.send_all(struct.pack("<4sI", name, len(path)) + path)


def _answer(connection: Connection, what: str) -> None:
    name, length = struct.unpack("<4sI", connection.receive_exactly(8))
    if name == b"FAIL":
        raise _refused(what, connection, length)
    if name != b"OKAY":
        raise EOFError


def _refused(what: str, connection: Connection, length: int) -> CommandFailedError:
    said = connection.receive_exactly(min(length, BLOCK_BYTES)).decode(errors="replace")
    words = clean(said.strip(), 300).rstrip(".") or "it gave no reason"
    return CommandFailedError(
        f"{clean(what, 300)} on the phone failed: {words}.{_advice(words)}", stderr=said
    )


def _advice(words: str) -> str:
    lower = words.lower()
    if "no space" in lower:
        return " Free some space on it."
    if "permission denied" in lower or "read-only" in lower:
        return " The adb shell may not go there."
    return ""
