"""Following phones as they come and go, through everything."""

import asyncio
import time

import pytest
from stand_in_phone import StandInPhone, free_port, quiet_environment

from fdi_keras.devices.adb.events import follow_devices
from fdi_keras.devices.adb.server import AdbServer
from fdi_keras.devices.adb.watch import follow_phones


async def until(events, condition, seconds=10.0):
    """The first event that is so."""
    async with asyncio.timeout(seconds):
        async for event in events:
            if condition(event):
                return event
    raise AssertionError("the events ended")


def states(sighting):
    return {phone.serial: phone.state for phone in sighting.phones}


def test_plugging_in_and_out(adb_server, phone):
    async def follow():
        sightings = follow_phones(adb_server.server)
        first = await until(sightings, lambda seen: phone.serial in states(seen))
        (found,) = [each for each in first.phones if each.serial == phone.serial]
        assert (found.state, found.model) == ("device", "Loopback Phone")
        await asyncio.to_thread(phone.pull_cable)
        await until(sightings, lambda seen: phone.serial not in states(seen))
        await asyncio.to_thread(phone.plug)
        again = await until(sightings, lambda seen: states(seen).get(phone.serial) == "device")
        assert again.phones[0].transport_id != found.transport_id
        begin = time.monotonic()
        await sightings.aclose()
        assert time.monotonic() - begin < 0.5

    asyncio.run(follow())


def test_cancelling_ends_it_at_once(adb_server):
    async def follow():
        async def forever():
            async for _ in follow_phones(adb_server.server):
                pass

        task = asyncio.create_task(forever())
        await asyncio.sleep(0.1)
        begin = time.monotonic()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert time.monotonic() - begin < 0.5

    asyncio.run(follow())


def test_the_end_of_the_server_is_told_and_survived(own_adb_server, make_phone):
    phone = make_phone("other", server=own_adb_server)

    async def follow():
        sightings = follow_phones(own_adb_server.server)
        await until(sightings, lambda seen: phone.serial in states(seen))
        own_adb_server.kill()
        lost = await until(sightings, lambda seen: seen.problem)
        assert lost.phones == ()
        assert own_adb_server.server.label in lost.problem
        await asyncio.to_thread(own_adb_server.start)
        await asyncio.to_thread(phone.plug)
        await until(sightings, lambda seen: states(seen).get(phone.serial) == "device")
        await sightings.aclose()

    asyncio.run(follow())


def test_the_default_server_is_started_again(own_adb_server, make_phone, monkeypatch):
    phone = make_phone("other", server=own_adb_server)
    for name, value in quiet_environment(own_adb_server.home).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(own_adb_server.port))

    async def follow():
        sightings = follow_phones(own_adb_server.server)
        await until(sightings, lambda seen: phone.serial in states(seen))
        own_adb_server.kill()
        lost = await until(sightings, lambda seen: seen.problem)
        assert lost.phones == ()
        await until(sightings, lambda seen: not seen.problem)
        assert own_adb_server.server.answers()
        await asyncio.to_thread(phone.plug)
        back = await until(sightings, lambda seen: states(seen).get(phone.serial) == "device")
        assert not back.problem
        await sightings.aclose()

    asyncio.run(follow())


def test_a_server_that_is_not_there_is_told_once():
    async def follow():
        sightings = follow_phones(AdbServer("127.0.0.1", free_port()))
        first = await anext(sightings)
        assert "no adb server answers" in first.problem
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(sightings), 0.6)

    asyncio.run(follow())


def test_events_of_several_servers(adb_server, own_adb_server, tmp_path, make_phone):
    here = make_phone("here")
    frozen = make_phone("frozen")
    frozen.freeze()

    log = []

    async def happens(events, serial, event, state):
        """Until this was told of this phone, now or before."""

        def so(told):
            words = told.note if told.device is None else f"{told.device.id} {told.device.state}"
            return told.event == event and serial in words and state in words

        while not any(map(so, log)):
            log.append(await asyncio.wait_for(anext(events), 5))
        return next(filter(so, log))

    async def follow(elsewhere):
        events = follow_devices([adb_server.server, own_adb_server.server])
        begin = time.monotonic()
        ready = await happens(events, here.serial, "appeared", "ready")
        assert ready.device.details["abi"] == "arm64-v8a"
        assert time.monotonic() - begin < 1.2  # the frozen one takes longer
        serial = await asyncio.to_thread(elsewhere.attach, own_adb_server.port)
        await happens(events, serial, "appeared", "authorized")
        elsewhere.allow()
        await happens(events, serial, "changed", "ready")
        await happens(events, frozen.serial, "appeared", "does not answer")
        await asyncio.to_thread(elsewhere.pull_cable)
        await happens(events, serial, "gone", "")
        await asyncio.to_thread(own_adb_server.kill)
        await happens(events, own_adb_server.server.label, "problem", "")
        await events.aclose()

    with StandInPhone(tmp_path / "elsewhere", auth="ask") as elsewhere:
        asyncio.run(follow(elsewhere))
