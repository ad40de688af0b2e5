"""Which devices there are, and opening one by its id."""

from __future__ import annotations

from fdi_keras.devices.base import Device, DeviceInfo
from fdi_keras.devices.local import LocalDevice
from fdi_keras.errors import DeviceNotFoundError


def list_devices() -> list[DeviceInfo]:
    """Every device that can be seen now, this computer first."""
    return [LocalDevice().info]


def open_device(name: str = "local") -> Device:
    """The device with this id.

    Raises:
        DeviceNotFoundError: no such device; the message lists those that there are.
    """
    if name == LocalDevice.id:
        return LocalDevice()
    known = ", ".join(f"{device.id} ({device.name})" for device in list_devices())
    raise DeviceNotFoundError(f"no device {name!r}; known are: {known}. 'fdi devices' lists them.")
