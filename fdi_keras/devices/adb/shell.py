"""Commands on a phone: how they are written, run, and followed line by line.

The phone's adb daemon offers ``shell,v2``: packets of a kind (1 output, 2 errors, 3 exit
status), a length (32 bits, little-endian) and so many bytes. Phones with Android 6 and older
have none of it; there the exit status and the errors come behind the output, after
a mark that nobody can guess. Either way, output without an exit status at its end is a
cut connection and never passes for an answer.
"""

from __future__ import annotations

import secrets
import shlex
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from fdi_keras.errors import CommandFailedError, DeviceError, UsageError
from fdi_keras.text import clean

if TYPE_CHECKING:
    from fdi_keras.devices.adb.client import Connection

#: What a command may print before it is stopped: our tools print kilobytes.
MOST_OUTPUT_BYTES = 64 << 20
#: A line is handed on at this length, ended or not.
MOST_LINE_BYTES = 1 << 20

Source = Literal["stdout", "stderr"]
_KINDS: dict[int, Source] = {1: "stdout", 2: "stderr"}


class Output(msgspec.Struct, frozen=True):
    """What a command printed, undecodable bytes replaced, and its exit status."""

    stdout: str
    stderr: str
    code: int

    def checked(self, what: str) -> Output:
        """Itself, if the command succeeded.

        Raises:
            CommandFailedError: it did not.
        """
        if self.code:
            words = clean(self.stderr.strip() or self.stdout.strip(), 300).rstrip(".")
            raise CommandFailedError(
                f"{what} failed on the phone with status {self.code}{': ' + words if words else ''}.",
                self.code,
                self.stderr,
            )
        return self


class Line(NamedTuple):
    """A line of a command that runs, without its end."""

    source: Source
    text: str


def quote(text: str) -> str:
    """Text as one word of a shell line, whatever is in it.

    Raises:
        UsageError: a zero byte, which no shell can take.

    >>> print(quote("two; reboot"))
    'two; reboot'
    """
    if "\0" in text:
        raise UsageError(f"a command for a phone cannot hold a zero byte; received {clean(text, 80)!r}.")
    return shlex.quote(text)


def script_of(command: str | Sequence[str]) -> str:
    """A script as it is; a list of words as one command that takes the shell's place.

    On disconnection the phone ends its shell alone, so a program that is to end with
    it must be that process.

    >>> script_of(["ls", "-l", "my file"])
    "exec ls -l 'my file'"
    """
    if isinstance(command, str):
        return command
    return "exec " + " ".join(map(quote, command))


def service_of(script: str, has_v2: bool) -> tuple[str, str]:
    """The service that runs a script, and the mark that ends its output (empty with shell v2)."""
    if has_v2:
        return f"shell,v2,raw:{script}", ""
    mark = f"fdi-{secrets.token_hex(16)}"
    # Errors are caught in a variable while the output goes straight through. A shell of its own
    # for the script: a mistake in it, or its 'exit', must not take the mark away.
    return (
        f"exec:{{ e=$(sh -c {quote(script)} 2>&1 >&3 3>&- </dev/null); c=$?; }} 3>&1; "
        f'printf \'%s %s\\n%s\\n%s\' {mark} "$c" "$e" {mark}-end',
        mark,
    )


class Stream:
    """A command that runs, as its lines come. The ``with`` statement that it comes from stops it.

    Attributes:
        packets: what comes, unsplit; iterate over the stream itself instead.
        code: exit status, after the last line.
    """

    code: int | None = None

    def __init__(self, connection: Connection, mark: str):
        self.packets = self._followed(connection, mark)

    def _followed(self, connection: Connection, mark: str) -> Iterator[tuple[Source, bytes | int]]:
        with connection.talking():
            yield from marked_packets(connection, mark) if mark else packets(connection)

    def __iter__(self) -> Iterator[Line]:
        held: dict[Source, bytes] = {"stdout": b"", "stderr": b""}
        for source, data in self.packets:
            if isinstance(data, int):
                self.code = data
                break
            *whole, held[source] = (held[source] + data).split(b"\n")
            for line in whole:
                yield from _lines(source, line.removesuffix(b"\r"))
            while len(held[source]) > MOST_LINE_BYTES:
                yield from _lines(source, held[source][:MOST_LINE_BYTES])
                held[source] = held[source][MOST_LINE_BYTES:]
        for source, rest in held.items():
            if rest:
                yield from _lines(source, rest)


def _lines(source: Source, line: bytes) -> Iterator[Line]:
    for start in range(0, max(len(line), 1), MOST_LINE_BYTES):
        yield Line(source, line[start : start + MOST_LINE_BYTES].decode(errors="replace"))


def packets(connection: Connection) -> Iterator[tuple[Source, bytes | int]]:
    """Output of ``shell,v2`` as it comes; the last item is the exit status.

    Raises:
        EOFError: cut before the exit status.
    """
    received = 0
    while True:
        head = connection.receive_exactly(5)
        kind, length = head[0], int.from_bytes(head[1:], "little")
        received = _counted(received, length)
        data = connection.receive_exactly(length)
        if kind == 3:
            yield "stdout", data[0] if data else 255
            return
        if kind in _KINDS and data:
            yield _KINDS[kind], data


def marked_packets(connection: Connection, mark: str) -> Iterator[tuple[Source, bytes | int]]:
    """The same from a phone without shell v2: errors come at the end.

    Raises:
        EOFError: cut before the mark.
    """
    begin, end = f"{mark} ".encode(), f"\n{mark}-end".encode()
    held, received = b"", 0

    def more() -> bytes:
        nonlocal received
        data = connection.receive(1 << 16)
        received = _counted(received, len(data))
        return data

    while begin not in held:
        ready = len(held) - _begun(held, begin)
        if ready:
            yield "stdout", held[:ready]
        held = held[ready:] + more()
    output, held = held.split(begin, 1)
    if output:
        yield "stdout", output
    while end not in held:
        held += more()
    code, _, errors = held.split(end, 1)[0].partition(b"\n")
    if not (code.isdigit() and len(code) <= 3):
        raise EOFError
    if errors:
        yield "stderr", errors
    yield "stdout", int(code)


def _begun(held: bytes, mark: bytes) -> int:
    """How many bytes at the end may be the beginning of the mark, and have to wait for more."""
    lengths = range(min(len(held), len(mark) - 1), 0, -1)
    return next((length for length in lengths if held.endswith(mark[:length])), 0)


def _counted(received: int, more: int) -> int:
    if received + more > MOST_OUTPUT_BYTES:
        raise DeviceError(f"the command printed more than {MOST_OUTPUT_BYTES >> 20} MB and was stopped.")
    return received + more
