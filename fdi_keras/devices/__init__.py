"""Devices: list them, describe them, and time models on them.

One protocol for this computer and for phones: a :class:`Device` is opened
with a number of threads and gives a :class:`Runner`, which takes models as the
bytes of a ``.tflite`` file. Importing this package loads no LiteRT: that happens
in a child process, whose crash costs one measurement and not the campaign.
"""

from fdi_keras.devices.base import Device, DeviceInfo, Runner, Runtime, RuntimeChoice, Timing
from fdi_keras.devices.local import LocalDevice
from fdi_keras.devices.registry import find_devices, list_devices, open_device, open_runner, restore_phones

__all__ = [
    "Device",
    "DeviceInfo",
    "LocalDevice",
    "Runner",
    "Runtime",
    "RuntimeChoice",
    "Timing",
    "find_devices",
    "list_devices",
    "open_device",
    "open_runner",
    "restore_phones",
]
