"""A phone as a device: how it is listed, and in which words it says what it lacks."""

from __future__ import annotations

from typing import Any

import msgspec

from fdi_keras.devices.adb.facts import PhoneFacts, read_facts
from fdi_keras.devices.adb.phone import PhoneLink
from fdi_keras.devices.adb.server import AdbServer, AttachedPhone
from fdi_keras.devices.base import DeviceInfo
from fdi_keras.errors import DeviceError, DeviceGoneError, DeviceSilentError
from fdi_keras.text import clean

#: For a phone to describe itself in a list, in seconds.
DESCRIBE_S = 2.0

#: adb's state to what is the matter and what to do about it.
REMEDIES = {
    "unauthorized": "unauthorized: confirm 'Allow USB debugging' on its screen",
    "authorizing": "being authorized: wait a moment, and look at its screen",
    "connecting": "connecting: wait a moment",
    "offline": "offline: unlock it, then plug it out and in again (over Wi-Fi: fdi connect)",
    "no permissions": (
        "no permission to use this USB device: on Linux add a udev rule (apt install "
        "android-sdk-platform-tools-common), then plug it out and in again"
    ),
    "recovery": "in recovery: restart it (adb reboot)",
    "sideload": "in recovery, for sideloading: restart it (adb reboot)",
    "rescue": "in rescue mode: restart it (adb reboot)",
    "bootloader": "in its boot loader: restart it (fastboot reboot)",
    "host": "not a phone, but a computer that is connected the wrong way round",
}
SILENT = "does not answer: unlock it, or plug it out and in again"
READY = "ready"


class PhoneDevice:
    """A phone of an adb server.

    Args:
        serial: as that server lists it.
        server: by default that of this computer.
        attached: how the server listed it just now, if that is known.
    """

    def __init__(self, serial: str, server: AdbServer | None = None, attached: AttachedPhone | None = None):
        self.link = PhoneLink(serial, server)
        self._attached = attached

    @property
    def id(self) -> str:
        """The serial; with ``@HOST:PORT`` when it is not the default adb server's."""
        return self.link.id

    @property
    def attached(self) -> AttachedPhone:
        """How its adb server lists it; looked up if that was not told at the beginning.

        Raises:
            DeviceGoneError: it is not listed, or the server does not answer.
        """
        if self._attached is None:
            self._attached = self._look()
        return self._attached

    @property
    def info(self) -> DeviceInfo:
        """How it is now; asks server and phone, for two seconds each at most."""
        self._attached = None
        return self.describe()

    def describe(self, timeout_s: float = DESCRIBE_S) -> DeviceInfo:
        """The same within another time, and as it was listed at the beginning if that was told.

        A phone that cannot be asked says in its state why not.
        """
        try:
            attached = self.attached
        except DeviceError as error:
            return self._info("phone", f"not reached: {error}", {})
        known: dict[str, Any] = {"adb_state": attached.state, "adb_server": self.link.server.label}
        if attached.state != "device":
            name = clean(attached.model, 60) or "phone"
            return self._info(name, state_words(attached), known)
        try:
            facts = read_facts(self.link, timeout_s)
        except DeviceSilentError:
            return self._info(clean(attached.model, 60) or "phone", SILENT, known)
        except DeviceError as error:
            return self._info(clean(attached.model, 60) or "phone", f"went away: {error}", known)
        return self._info(facts.name, READY, {**known, **details_of(facts)})

    def _look(self) -> AttachedPhone:
        server = self.link.server
        for phone in server.phones():
            if phone.serial == self.link.serial:
                return phone
        raise DeviceGoneError(f"the adb server at {server.label} has no phone {self.link.serial} now.")

    def _info(self, name: str, state: str, details: dict[str, Any]) -> DeviceInfo:
        return DeviceInfo(self.id, name, "phone", state, details)


def state_words(phone: AttachedPhone) -> str:
    """What is the matter with a phone that adb does not call ``device``, and what to do."""
    return REMEDIES.get(phone.state, f"adb says {clean(phone.state, 60)!r}: plug it out and in again")


def details_of(facts: PhoneFacts) -> dict[str, Any]:
    """What is known, as plain data; what is not known is left out."""
    plain = msgspec.to_builtins(facts)
    known = {key: value for key, value in plain.items() if value not in (None, [], {})}
    known["battery"] = {key: value for key, value in plain["battery"].items() if value is not None}
    # "cores" is their number, as for computers.
    known["core_list"] = known.pop("cores", [])
    known["cores"] = len(facts.cores)
    known["core_groups"] = msgspec.to_builtins(facts.groups)
    return known
