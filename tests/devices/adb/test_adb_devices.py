"""Phones as devices: ids, states, lists that do not wait, and names that are not unique."""

import time

import pytest
from stand_in_phone import free_port

from fdi_keras.devices import find_devices, list_devices, open_device
from fdi_keras.devices.adb.device import REMEDIES, state_words
from fdi_keras.devices.adb.search import servers_told
from fdi_keras.devices.adb.server import STATES, AdbServer, AttachedPhone
from fdi_keras.errors import DeviceNotFoundError, UsageError


@pytest.fixture
def default(adb_server, monkeypatch):
    """Make the tests' adb server the default one of this computer."""
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(adb_server.port))
    monkeypatch.delenv("FDI_ADB")
    return adb_server


def test_a_phone_of_the_default_server_goes_by_its_serial(default, phone):
    infos = {info.id: info for info in list_devices()}
    info = infos[phone.serial]
    assert (info.kind, info.name, info.state) == ("phone", "Loopback Phone", "ready")
    assert info.details["cores"] == 8
    assert [group["mask"] for group in info.details["core_groups"]] == ["f", "70", "80"]
    assert info.details["battery"]["level"] == 83
    assert "local" in infos
    assert open_device(phone.serial).info == info


def test_a_phone_of_another_server_says_where(adb_server, phone):
    label = adb_server.server.label
    found = {info.id for info in list_devices([label])}
    assert f"{phone.serial}@{label}" in found
    for device in (open_device(phone.serial, [label]), open_device(f"{phone.serial}@{label}")):
        assert device.info.id == f"{phone.serial}@{label}"


def test_which_servers_are_looked_at(monkeypatch):
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "5999")
    here, rack = AdbServer("127.0.0.1", 5999), AdbServer("rack", 5037)
    assert servers_told() == []
    assert servers_told(["rack"]) == [rack]
    monkeypatch.setenv("FDI_ADB", " rack, other:1,rack")
    assert servers_told() == [here, rack, AdbServer("other", 1)]
    assert servers_told(()) == servers_told()
    assert servers_told(["rack:5037"]) == [here, rack]
    assert servers_told(["none", "rack"]) == [rack]
    monkeypatch.delenv("FDI_ADB")
    assert servers_told() == [here]
    with pytest.raises(UsageError):
        servers_told(["; reboot"])


def test_without_adb_there_is_a_note_and_no_error(monkeypatch, tmp_path):
    monkeypatch.delenv("FDI_ADB")
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(tmp_path / "nothing"))
    found = find_devices()
    assert [info.id for info in found.devices] == ["local"]
    (note,) = found.notes
    assert note.startswith("phones are not looked for at 127.0.0.1:")
    assert "ADBUTILS_ADB_PATH" in note


def test_one_server_that_is_away_hides_no_other(adb_server, phone):
    found = find_devices([f"127.0.0.1:{free_port()}", adb_server.server.label])
    assert f"{phone.serial}@{adb_server.server.label}" in [info.id for info in found.devices]
    assert len(found.notes) == 1


def test_slow_phones_do_not_hold_up_the_list(default, make_phone):
    phones = [make_phone(f"phone{number}") for number in range(4)]
    for frozen in phones[:3]:
        frozen.freeze()
    begin = time.monotonic()
    states = {info.id: info.state for info in list_devices()}
    assert time.monotonic() - begin < 2.5
    assert [states[phone.serial].partition(":")[0] for phone in phones] == ["does not answer"] * 3 + ["ready"]


def test_a_phone_that_has_not_allowed_us(default, make_phone):
    phone = make_phone(auth="ask")
    info = open_device(phone.serial).info
    assert info.state == "unauthorized: confirm 'Allow USB debugging' on its screen"
    assert info.details["adb_state"] == "unauthorized"
    phone.allow()
    for _ in range(200):
        if open_device(phone.serial).info.state == "ready":
            return
        time.sleep(0.01)
    raise AssertionError("it stays unauthorized")


def test_a_phone_that_leaves_says_so(default, phone):
    device = open_device(phone.serial)
    phone.pull_cable()
    assert device.info.state != "ready"
    time.sleep(0.4)
    assert device.info.state.startswith("not reached: ")
    phone.plug()
    assert device.info.state == "ready"


@pytest.mark.parametrize("state", [*STATES, "dancing\x1b[2J"])
def test_every_state_is_told_in_words(state):
    words = state_words(AttachedPhone("S", state))
    assert "\x1b" not in words
    assert words == REMEDIES.get(state, words)
    assert ": " in words or state == "host"


def test_the_same_serial_on_two_servers(adb_server, own_adb_server, phone):
    phone.attach(own_adb_server.port)
    labels = [adb_server.server.label, own_adb_server.server.label]
    with pytest.raises(UsageError, match="two adb servers") as caught:
        open_device(phone.serial, labels)
    for label in labels:
        assert f"{phone.serial}@{label}" in str(caught.value)
        assert open_device(f"{phone.serial}@{label}").info.state == "ready"


def test_a_phone_that_is_not_there(adb_server, phone):
    label = adb_server.server.label
    with pytest.raises(
        DeviceNotFoundError, match=rf"no device 'X'; known are: local .*{phone.serial}@{label}"
    ):
        open_device("X", [label])
    with pytest.raises(DeviceNotFoundError, match="no device"):
        open_device(f"X@{label}")
    with pytest.raises(DeviceNotFoundError, match="no phone is attached"):
        open_device("X")
    with pytest.raises(UsageError):
        open_device("X@; reboot")


def test_hostile_names_stay_data(default, make_phone):
    evil = make_phone(banner_model="[red]$(reboot)\x1b[2J")
    evil.write("prop/ro.product.model", b"[blink]\x1b[2J\xff`id`\n" + b"n" * 1_000_000)
    info = open_device(evil.serial).info
    assert info.name.startswith("Loopback [blink]\\x1b[2J\ufffd`id` nnn")
    assert len(info.name) < 250
