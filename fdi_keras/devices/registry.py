"""Which devices there are, and opening one by its id."""

from __future__ import annotations

from collections.abc import Sequence

from fdi_keras.devices.adb.device import PhoneDevice
from fdi_keras.devices.adb.search import Found, at_once, attached_phones, find_phones, open_phone
from fdi_keras.devices.adb.steady import restore_left_over, something_left_over
from fdi_keras.devices.base import Device, DeviceInfo, Runner, RuntimeChoice
from fdi_keras.devices.local import LocalDevice
from fdi_keras.devices.phone import Phone
from fdi_keras.errors import DeviceNotFoundError, FdiError
from fdi_keras.text import clean


def find_devices(adb: Sequence[str] | None = None) -> Found:
    """Every device that can be seen now, this computer first, and why others were not looked for.

    Args:
        adb: adb servers as ``HOST:PORT``, beside that of this computer; ``"none"`` leaves that one out.
            None: those of the variable ``FDI_ADB``.

    Raises:
        UsageError: an address that is none.
    """
    phones = find_phones(adb)
    return Found([LocalDevice().info, *phones.devices], phones.notes)


def list_devices(adb: Sequence[str] | None = None) -> list[DeviceInfo]:
    """Every device that can be seen now, this computer first; see :func:`find_devices`."""
    return find_devices(adb).devices


def restore_phones(adb: Sequence[str] | None = None) -> list[str]:
    """Restore what campaigns that died have left on phones which are attached now.

    Phones are asked only when this computer has a record of one that was not restored.

    Args:
        adb: adb servers, as in :func:`find_devices`.

    Returns:
        a line for everything that was done, or could not be.

    Raises:
        UsageError: an address that is none.
    """
    if not something_left_over():
        return []
    phones, _ = attached_phones(adb)
    told = at_once(_restored, [phone for phone in phones if phone.attached.state == "device"])
    return [line for lines in told for line in lines]


def _restored(phone: PhoneDevice) -> list[str]:
    try:
        notes = restore_left_over(phone.link)
    except FdiError as error:
        return [f"phone {phone.id} could not be restored after a campaign that died: {error}"]
    return [f"phone {phone.id}, after a campaign that died: {note}" for note in notes]


def open_device(name: str = "local", adb: Sequence[str] | None = None) -> Device:
    """The device with this id.

    Args:
        name: ``"local"``, a phone's serial, or ``SERIAL@HOST:PORT`` at another adb server.
        adb: adb servers, as in :func:`find_devices`.

    Raises:
        DeviceNotFoundError: no such device; the message lists those that there are.
        UsageError: two adb servers have a phone of that serial; the message names both.
    """
    if name == LocalDevice.id:
        return LocalDevice()
    try:
        found = open_phone(name, adb)
    except DeviceNotFoundError as error:
        local = LocalDevice()
        raise DeviceNotFoundError(
            f"no device {clean(name, 80)!r}; known are: {local.id} ({local.info.name}); {error}. "
            "'fdi devices' lists them."
        ) from None
    return Phone(found.link.serial, found.link.server, found.attached)


def open_runner(name: str = "local", choice: RuntimeChoice | None = None) -> Runner:
    """A runner of this device that executes models as was chosen.

    Raises:
        DeviceError: as of :func:`open_device` and of :meth:`Device.open`.
        UsageError: a choice that the device does not have.
    """
    choice = choice or RuntimeChoice()
    return open_device(name, choice.adb).open(choice)
