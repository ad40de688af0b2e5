"""Adb servers: start one, ask which phones it has, connect and pair more.

The default server of this computer is started when none answers. Others (a rack of phones
elsewhere, a tunnel to it) are only talked to. Whether something succeeded is known for certain: adb says
it in words, and words that are not known to mean success are an error.
"""

from __future__ import annotations

import os
import re

import msgspec

from fdi_keras.devices.adb.program import find_adb, start_server, words
from fdi_keras.errors import CommandFailedError, DeviceError, DeviceGoneError, UsageError
from fdi_keras.text import clean

DEFAULT_PORT = 5037
LOOPBACK = ("127.0.0.1", "localhost", "::1")

#: For an answer that the server has at once, in seconds.
ANSWER_S = 2.0
#: How long adb itself tries to reach a phone over the network, and some more.
CONNECT_S = 20.0

STATES = (
    "device", "offline", "unauthorized", "authorizing", "connecting", "recovery", "sideload", "rescue",
    "bootloader", "host", "detached", "no permissions", "unknown",
)  # fmt: skip
_LINE = re.compile(rf"(?P<serial>\S.*?)\s+(?P<state>{'|'.join(STATES)})(?P<rest>[\s(;].*)?$")


class AttachedPhone(msgspec.Struct, frozen=True):
    """A phone as an adb server lists it; texts are the phone's own words.

    Attributes:
        serial: what adb calls it: its serial number, or host and port.
        state: one of :data:`STATES`, or what else the server said.
        model, product: empty unless the phone has been authorised.
        transport_id: of this connection; a phone that comes back gets another.
        notes: what the server adds, as with missing USB permissions.
    """

    serial: str
    state: str
    model: str = ""
    product: str = ""
    transport_id: int | None = None
    notes: str = ""


class AdbServer(msgspec.Struct, frozen=True):
    """An adb server; starting, listing and connecting happen here, phones in ``PhoneLink``."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT

    @property
    def label(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_default(self) -> bool:
        """Whether phones of this server go by their serial alone."""
        return self == default_server()

    @property
    def is_ours(self) -> bool:
        """Whether we may start it: another port of this computer may be a tunnel to elsewhere."""
        return self.host in LOOPBACK and self.is_default

    def answers(self, timeout_s: float = 0.5) -> bool:
        """Whether an adb server runs there now."""
        try:
            self.version(timeout_s)
        except DeviceError:
            return False
        return True

    def version(self, timeout_s: float = ANSWER_S) -> int:
        """Of the protocol: 41 for the adb of platform-tools 28.0.2 and later."""
        text = self._ask("host:version", timeout_s)
        try:
            return int(text, 16)
        except ValueError:
            raise DeviceGoneError(f"what answers at {self.label} is no adb server.") from None

    def phones(self, timeout_s: float = ANSWER_S) -> list[AttachedPhone]:
        """What is attached now, whatever its state.

        Raises:
            DeviceGoneError: the server does not answer.
        """
        return parse_phones(self._ask("host:devices-l", timeout_s))

    def ensure(self) -> None:
        """Start it when none answers and it is :attr:`is_ours`; its output is kept off the screen.

        Raises:
            DeviceError: adb is missing or does not start, with its words; another server
                does not answer.
        """
        if self.answers():
            return
        if not self.is_ours:
            raise DeviceGoneError(
                f"no adb server answers at {self.label}. Start it there so that it listens to the network: "
                f"adb -a -P {self.port} nodaemon server."
            )
        start_server(find_adb(), self.port)
        if not self.answers(ANSWER_S):
            raise DeviceError(f"adb said that it started its server, but none answers at {self.label}.")

    def connect(self, address: str, timeout_s: float = CONNECT_S) -> str:
        """Attach a phone over the network; returns its serial.

        Args:
            address: ``HOST:PORT``, as the phone's 'Wireless debugging' shows it; the port is 5555 if left out.

        Raises:
            UsageError: the address is none.
            DeviceError: it was not reached, or waits to be allowed: with what to do.
        """
        address = checked_address(address, port=5555)
        said = self._said(f"host:connect:{address}", timeout_s)
        if re.match(r"(already )?connected to ", said):
            return address
        if said.startswith("failed to authenticate"):
            raise DeviceError(
                f"{address} was reached but has not allowed this computer yet: confirm 'Allow debugging' on "
                "its screen and connect again. Android 11 and later want to be paired first: fdi pair."
            )
        raise DeviceError(
            f"cannot connect to {address}: {words(said)}. Check that the phone is in the same network, that "
            "'Wireless debugging' is on, and that the port is the one it shows now; it changes."
        )

    def disconnect(self, address: str, timeout_s: float = ANSWER_S) -> None:
        """Let go of a phone that was connected over the network.

        Raises:
            DeviceError: there is none of that address.
        """
        address = checked_address(address, port=5555)
        said = self._said(f"host:disconnect:{address}", timeout_s)
        if not said.startswith("disconnected "):
            raise DeviceError(f"cannot disconnect {address}: {words(said)}.")

    def pair(self, address: str, code: str, timeout_s: float = CONNECT_S) -> str:
        """Make this computer known to a phone (Android 11+); returns what adb calls the phone.

        Args:
            address: ``HOST:PORT`` of the phone's dialog 'Pair device with pairing code'; not that of
                :meth:`connect`.
            code: the six digits in that dialog.

        Raises:
            UsageError: address or code are none.
            DeviceError: the phone was not reached, or refused the code.
        """
        address = checked_address(address)
        said = self._said(f"host:pair:{checked_code(code)}:{address}", timeout_s)
        paired = re.match(rf"Successfully paired to {re.escape(address)}(?: \[guid=(.*)\])?$", said)
        if not paired:
            raise DeviceError(
                f"cannot pair with {address}: {words(said)}. Keep the dialog 'Pair device with pairing code' "
                "open on the phone and take address and code from it; both change each time."
            )
        return clean(paired[1] or address, 100)

    def _said(self, request: str, timeout_s: float) -> str:
        """The server's words, whether it calls them an answer or a failure."""
        try:
            return self._ask(request, timeout_s).strip()
        except CommandFailedError as refused:
            return refused.stderr.strip()

    def _ask(self, request: str, timeout_s: float) -> str:
        from fdi_keras.devices.adb.client import ask

        return ask(self.host, self.port, request, timeout_s)


def default_server() -> AdbServer:
    """The server that the program ``adb`` would talk to, by the same variables."""
    told = os.environ.get("ADB_SERVER_SOCKET", "")
    if told.startswith("tcp:"):
        rest = told.removeprefix("tcp:")
        return parse_server(rest if ":" in rest else f"127.0.0.1:{rest}")
    host = os.environ.get("ANDROID_ADB_SERVER_ADDRESS") or "127.0.0.1"
    return parse_server(f"{host}:{os.environ.get('ANDROID_ADB_SERVER_PORT') or DEFAULT_PORT}")


def parse_server(text: str) -> AdbServer:
    """``HOST`` or ``HOST:PORT``.

    Raises:
        UsageError: it is neither.

    >>> parse_server("rack.example").label
    'rack.example:5037'
    """
    host, _, port = checked_address(text, DEFAULT_PORT).rpartition(":")
    return AdbServer(host.strip("[]"), int(port))


def checked_address(text: str, port: int | None = None) -> str:
    """``HOST:PORT`` as it was given, or with ``port`` when it has none.

    Raises:
        UsageError: no host, no port where one is needed, or characters that belong to neither.
    """
    found = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", text.strip(), re.ASCII)
    number = int(found[2]) if found and found[2] else port
    if found is None or number is None or not 0 < number < 65536:
        raise UsageError(f"expected HOST:PORT, as in 192.168.1.20:5555; received {clean(text, 80)!r}.")
    return f"{found[1]}:{number}"


def checked_code(text: str) -> str:
    """A pairing code without the blanks around it.

    Raises:
        UsageError: it is not six digits.
    """
    if not re.fullmatch(r"[0-9]{6}", text.strip(), re.ASCII):
        raise UsageError(f"a pairing code has six digits, as in 123456; received {clean(text, 40)!r}.")
    return text.strip()


def parse_phones(text: str) -> list[AttachedPhone]:
    """The answer to ``host:devices-l``.

    >>> parse_phones("R58M1 device usb:1-2 product:p model:Pixel_8 device:d transport_id:3")[0].model
    'Pixel 8'
    """
    return [phone for phone in map(_phone, text.splitlines()) if phone is not None]


def _phone(line: str) -> AttachedPhone | None:
    found = _LINE.match(line.strip())
    if found is None:
        serial, _, state = line.strip().partition(" ")
        return AttachedPhone(serial, state.split()[0]) if state.split() else None
    rest = found["rest"] or ""
    tags = dict(re.findall(r"(?:^|\s)([a-z_]+):(\S*)", rest))
    number = tags.get("transport_id", "")
    return AttachedPhone(
        serial=found["serial"],
        state=found["state"],
        model=tags.get("model", "").replace("_", " "),
        product=tags.get("product", ""),
        transport_id=int(number) if re.fullmatch(r"[0-9]{1,9}", number, re.ASCII) else None,
        notes=rest.strip() if found["state"] == "no permissions" else "",
    )
