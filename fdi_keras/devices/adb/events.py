"""What happens to the phones of several adb servers, one event after the other."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Sequence
from typing import Literal

import msgspec

from fdi_keras.devices.adb.device import PhoneDevice
from fdi_keras.devices.adb.search import DESCRIBE_S
from fdi_keras.devices.adb.server import AdbServer, AttachedPhone
from fdi_keras.devices.adb.watch import Sighting, follow_phones
from fdi_keras.devices.base import DeviceInfo

_Key = tuple[AdbServer, str]  # and the serial


class DeviceEvent(msgspec.Struct, frozen=True):
    """One thing that happened.

    Attributes:
        event: ``"problem"`` is about a server, the others about a device.
        device: as it is now; as it was, if it is gone.
        note: what is the matter with a server.
    """

    event: Literal["appeared", "changed", "gone", "problem"]
    device: DeviceInfo | None = None
    note: str = ""


async def follow_devices(
    servers: Sequence[AdbServer], again_s: float | None = None
) -> AsyncGenerator[DeviceEvent, None]:
    """Phones as they come, change and go, without end; those that are there come first.

    A phone is described before it is told, which takes a slow one a second and never holds up
    the others. Close the iterator to stop.

    Args:
        servers: adb servers.
        again_s: ask phones again so often, for battery and temperature; what has not changed is not
            told. None: only when adb tells of a change.
    """
    news: asyncio.Queue[Sighting | tuple[_Key, AttachedPhone, DeviceInfo]] = asyncio.Queue()

    async def follow(server: AdbServer) -> None:
        async with contextlib.aclosing(follow_phones(server)) as sightings:
            async for sighting in sightings:
                await news.put(sighting)

    async def describe(key: _Key, phone: AttachedPhone) -> None:
        device = PhoneDevice(phone.serial, key[0], phone)
        await news.put((key, phone, await asyncio.to_thread(device.describe, DESCRIBE_S)))

    async def ask_again(every_s: float) -> None:
        while True:
            await asyncio.sleep(every_s)
            await asyncio.gather(*(describe(key, phone) for key, phone in listed.items()))

    listed: dict[_Key, AttachedPhone] = {}
    told: dict[_Key, DeviceInfo] = {}
    following = [asyncio.create_task(follow(server)) for server in servers]
    if again_s is not None:
        following.append(asyncio.create_task(ask_again(again_s)))
    describing: set[asyncio.Task[None]] = set()
    try:
        while True:
            item = await news.get()
            if isinstance(item, Sighting):
                if item.problem:
                    yield DeviceEvent("problem", note=item.problem)
                now = {(item.server, phone.serial): phone for phone in item.phones}
                for key in [key for key in listed if key[0] == item.server and key not in now]:
                    del listed[key]
                    if key in told:
                        yield DeviceEvent("gone", told.pop(key))
                for key, phone in now.items():
                    if listed.get(key) != phone:
                        listed[key] = phone
                        task = asyncio.create_task(describe(key, phone))
                        describing.add(task)
                        task.add_done_callback(describing.discard)
                continue
            key, phone, info = item
            # If it has changed meanwhile, it is being asked again.
            if listed.get(key) == phone and told.get(key) != info:
                event: Literal["appeared", "changed"] = "changed" if key in told else "appeared"
                told[key] = info
                yield DeviceEvent(event, info)
    finally:
        for task in (*following, *describing):
            task.cancel()
        await asyncio.gather(*following, *describing, return_exceptions=True)
