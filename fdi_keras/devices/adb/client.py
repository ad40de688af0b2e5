"""Connections to an adb server: the one file that imports adbutils, loaded with the first of them.

adbutils frames the requests; three of its habits are put right here:

* it starts an adb server by itself when none answers, with its output in the middle
  of our screen, and on this computer even when another was asked for: never here;
* its time-outs hold for a single read, and some of its reads have none: here every
  connection has one :class:`Deadline` for all that happens on it;
* a cut connection shows as EOFError, OSError, AdbError, ValueError or not at all:
  here it is always DeviceGoneError.
"""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
from collections.abc import Iterator

import adbutils
from adbutils.errors import AdbError, AdbTimeout

from fdi_keras.errors import CommandFailedError, DeviceGoneError, DeviceSilentError, FdiError, UsageError
from fdi_keras.text import clean

#: What four hexadecimal digits of length can say.
MOST_REQUEST_BYTES = 0xFFFF

#: Of a phone's or server's own words in a message.
MOST_WORDS = 300


class Deadline:
    """A moment by which something has to be done.

    Args:
        seconds: from now.
        step_s: the most that a single wait may take; None: all of it.
    """

    def __init__(self, seconds: float, step_s: float | None = None):
        self.seconds = seconds
        self.step_s = step_s
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left for the next wait, more than 0.

        Raises:
            TimeoutError: none are.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left if self.step_s is None else min(left, self.step_s)

    def rest(self) -> float:
        """The same for handing on: when none are left, so few that the next wait fails."""
        return max(self._end - time.monotonic(), 1e-3)

    @property
    def words(self) -> str:
        """Which limit was met."""
        if self.step_s is not None and time.monotonic() < self._end:
            return f"said nothing for {self.step_s:g} s"
        return f"did not answer within {round(self.seconds, 1):g} s"


class Connection(adbutils.AdbConnection):
    """A connection that starts no server, sends whole requests and keeps to a deadline."""

    def __init__(self, host: str, port: int, deadline: Deadline):
        self.whom = f"the adb server at {host}:{port}"
        self._address = (host, port)
        self._deadline = deadline
        super().__init__(host, port)

    def talking(self) -> contextlib.AbstractContextManager[None]:
        """Around what is done with the connection: its failures become our errors."""
        return talking(self.whom, self._deadline)

    def _safe_connect(self) -> socket.socket:
        connected = socket.create_connection(self._address, timeout=self._deadline.left())
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connected

    def send_command(self, cmd: str) -> None:
        request = cmd.encode()
        if len(request) > MOST_REQUEST_BYTES:
            raise UsageError(
                f"a command for a phone may have up to {MOST_REQUEST_BYTES} bytes; received {len(request)}. "
                "Push a file and run that."
            )
        self.send_all(f"{len(request):04x}".encode() + request)

    def send_all(self, data: bytes) -> None:
        self.conn.settimeout(self._deadline.left())
        self.conn.sendall(data)

    def receive(self, most: int) -> bytes:
        """Up to ``most`` bytes, at least one.

        Raises:
            EOFError: the connection has ended.
        """
        self.conn.settimeout(self._deadline.left())
        data: bytes = self.conn.recv(most)
        if not data:
            raise EOFError
        return data

    def receive_exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            data += self.receive(min(count - len(data), 1 << 20))
        return bytes(data)

    def receive_number(self) -> int:
        """32 bits, little-endian."""
        number: int = struct.unpack("<I", self.receive_exactly(4))[0]
        return number

    def _read_fully(self, n: int) -> bytes:
        # What adbutils' own methods read with: the same deadline, and no short answers.
        return self.receive_exactly(n)

    def close(self) -> None:
        # adbutils would sleep 10 ms here; a request that is done needs no farewell.
        with contextlib.suppress(OSError, AdbError):
            self.conn.close()


class Client(adbutils.AdbClient):
    """adbutils' client on :class:`Connection`, in a ``with`` statement; one deadline for all that is done.

    adbutils forgets to close a connection on which a phone was refused: here all are closed at the end.
    """

    def __init__(self, host: str, port: int, deadline: Deadline):
        super().__init__(host, port)
        self._deadline = deadline
        self._made = contextlib.ExitStack()

    def make_connection(self, timeout: float | None = None) -> Connection:
        return self._made.enter_context(contextlib.closing(Connection(self.host, self.port, self._deadline)))

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._made.close()


def ask(host: str, port: int, request: str, timeout_s: float) -> str:
    """The answer of an adb server to a request about itself.

    Raises:
        DeviceGoneError: it does not answer, or not as an adb server does.
        CommandFailedError: it refuses; ``stderr`` has its words.
    """
    deadline = Deadline(timeout_s)
    with talking(f"the adb server at {host}:{port}", deadline):
        with contextlib.closing(Connection(host, port, deadline)) as connection:
            connection.send_command(request)
            status = length = connection.receive_exactly(4)
            if status == b"OKAY":
                length = connection.receive_exactly(4)
            if length in (b"OKAY", b"FAIL"):  # pairing answers that it has begun, and then how it went
                status, length = length, connection.receive_exactly(4)
            text = _block(connection, length) if status in (b"OKAY", b"FAIL") else ""
        if status == b"OKAY":
            return text
        if status == b"FAIL":
            raise CommandFailedError(f"the adb server refused: {clean(text, MOST_WORDS)}.", stderr=text)
        raise DeviceGoneError(f"what answers at {host}:{port} is no adb server.")


def _block(connection: Connection, length: bytes) -> str:
    """A text of that length, which is in four hexadecimal digits."""
    if not re.fullmatch(rb"[0-9A-Fa-f]{4}", length):
        raise EOFError
    return connection.receive_exactly(int(length, 16)).decode(errors="replace")


@contextlib.contextmanager
def to_phone(
    host: str, port: int, serial: str, service: str, timeout_s: float, silence_s: float | None = None
) -> Iterator[Connection]:
    """A connection to a service of a phone, closed at the end; no wait on it is longer than ``silence_s``.

    What is done with it belongs into ``with connection.talking()``; the rest of the body does
    not, lest an error of a file on this computer be told as one of the phone.

    Raises:
        DeviceGoneError: no such phone.
        DeviceSilentError: the time is over.
    """
    deadline = Deadline(timeout_s, silence_s)
    whom = f"phone {serial}"
    with Client(host, port, deadline) as client:
        with talking(whom, deadline):
            with _sane():
                connection: Connection = client.device(serial=serial).open_transport()
            connection.whom = whom
            connection.send_command(service)
            connection.check_okay()
        yield connection


def features(host: str, port: int, serial: str, timeout_s: float) -> frozenset[str]:
    """What the phone's adb daemon can do (``shell_v2``, ...)."""
    deadline = Deadline(timeout_s)
    with talking(f"phone {serial}", deadline), Client(host, port, deadline) as client, _sane():
        known: str = client.device(serial=serial).get_features()
        return frozenset(known.split(","))


@contextlib.contextmanager
def _sane() -> Iterator[None]:
    """A length that is no number is as good as no answer."""
    try:
        yield
    except FdiError:
        raise
    except ValueError as error:
        raise EOFError from error


@contextlib.contextmanager
def talking(whom: str, deadline: Deadline) -> Iterator[None]:
    """Turn whatever can go wrong with a connection into our errors."""
    whom = clean(whom, MOST_WORDS)
    try:
        yield
    except FdiError:
        raise
    except (TimeoutError, AdbTimeout) as error:
        raise DeviceSilentError(f"{whom} {deadline.words}.") from error
    except EOFError as error:
        raise DeviceGoneError(f"the connection to {whom} was cut in the middle.") from error
    except ConnectionRefusedError as error:
        raise DeviceGoneError(f"{whom} cannot be reached: no adb server answers there.") from error
    except OSError as error:
        raise DeviceGoneError(f"the connection to {whom} failed: {error.strerror or error}.") from error
    except AdbError as error:
        # A server's FAIL about a phone always means that the phone cannot be reached now.
        text = clean(error, MOST_WORDS).rstrip(".")
        raise DeviceGoneError(f"{whom} cannot be reached: {text}.") from error
