"""Finding adb, starting its server, and understanding what it says."""

import contextlib
import os
import time

import pytest
from fake_servers import block, server_that_says
from hypothesis import given
from hypothesis import strategies as st
from stand_in_phone import StandInPhone, free_port, quiet_environment

from fdi_keras.devices.adb.program import adb_version, find_adb
from fdi_keras.devices.adb.server import (
    AdbServer,
    checked_address,
    default_server,
    parse_phones,
    parse_server,
)
from fdi_keras.errors import DeviceError, DeviceGoneError, DeviceSilentError, FdiError, UsageError

LISTED = """List of devices attached
R58M1ABCDE             device usb:1-2 product:px model:Pixel_8_Pro device:husky transport_id:3
192.168.1.20:41375     offline product:x model:Y device:z transport_id:12
HT7A11                 unauthorized usb:1-1 transport_id:4
0123456789             no permissions (are your udev rules wrong?); see [http://x/device.html] usb:1-4 transport_id:9
adb-X (2)._adb-tls-connect._tcp device product:a model:B device:c transport_id:77
strange                dancing
"""


def test_a_list_with_every_kind_of_line():
    phones = parse_phones(LISTED.partition("\n")[2])
    assert [(phone.serial, phone.state, phone.transport_id) for phone in phones] == [
        ("R58M1ABCDE", "device", 3),
        ("192.168.1.20:41375", "offline", 12),
        ("HT7A11", "unauthorized", 4),
        ("0123456789", "no permissions", 9),
        ("adb-X (2)._adb-tls-connect._tcp", "device", 77),
        ("strange", "dancing", None),
    ]
    assert (phones[0].model, phones[0].product) == ("Pixel 8 Pro", "px")
    assert "udev" in phones[3].notes


@given(st.text())
def test_any_list_is_read_without_an_error(text):
    for phone in parse_phones(text):
        assert phone.serial
        assert phone.state


@pytest.mark.parametrize(
    "text",
    ["", "host:", "host:0", "host:65536", "ho st:1", "host:1;reboot", "a:b:1", "host:١", "-", "host:1\n2"],
)
def test_addresses_that_are_none(text):
    if text == "-":
        assert checked_address(text, 5555) == "-:5555"  # a name is the resolver's business
        return
    with pytest.raises(UsageError, match="expected HOST:PORT"):
        checked_address(text)


def test_addresses():
    assert checked_address("[fe80::1]:5555") == "[fe80::1]:5555"
    assert parse_server("rack") == AdbServer("rack", 5037)
    assert parse_server("[::1]:6000") == AdbServer("::1", 6000)
    assert parse_server("[::1]:6000").label == "[::1]:6000"
    with pytest.raises(UsageError):
        checked_address("host")


def test_the_default_server_is_that_of_adb(monkeypatch):
    for name in ("ADB_SERVER_SOCKET", "ANDROID_ADB_SERVER_ADDRESS", "ANDROID_ADB_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert default_server() == AdbServer("127.0.0.1", 5037)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", "5999")
    assert default_server() == AdbServer("127.0.0.1", 5999)
    monkeypatch.setenv("ADB_SERVER_SOCKET", "tcp:rack:6000")
    assert default_server() == AdbServer("rack", 6000)
    assert not default_server().is_ours
    monkeypatch.setenv("ADB_SERVER_SOCKET", "tcp:6001")
    assert default_server() == AdbServer("127.0.0.1", 6001)


def test_adb_is_looked_for_in_order(monkeypatch, tmp_path):
    told, on_path = tmp_path / "told", tmp_path / "path" / "adb"
    on_path.parent.mkdir()
    for program in (told, on_path):
        program.write_text("#!/bin/sh\necho 'Android Debug Bridge version 1.0.41'; echo 'Version 9.9-1'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(on_path.parent) + os.pathsep + os.environ["PATH"])
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(told))
    assert find_adb() == told
    assert adb_version(told) == "9.9-1"
    monkeypatch.delenv("ADBUTILS_ADB_PATH")
    assert find_adb() == on_path
    monkeypatch.setenv("ADBUTILS_ADB_PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=r"names no program.*platform-tools"):
        find_adb()


def test_without_adb_the_error_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.delenv("ADBUTILS_ADB_PATH", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("fdi_keras.devices.adb.program.find_spec", lambda name: None)
    with pytest.raises(DeviceError, match=r"apt install adb.*ADBUTILS_ADB_PATH"):
        find_adb()


def test_a_program_that_is_no_adb(tmp_path):
    program = tmp_path / "adb"
    program.write_text("#!/bin/sh\necho nonsense\n")
    program.chmod(0o755)
    with pytest.raises(DeviceError, match="does not answer as adb does: nonsense"):
        adb_version(program)
    program.write_text("#!/bin/sh\necho 'cannot bind: \x1b[31mred' >&2; exit 3\n")
    with pytest.raises(DeviceError, match=r"failed: cannot bind: \\x1b\[31mred"):
        adb_version(program)


def test_the_default_server_is_started_without_a_word(adb_program, monkeypatch, tmp_path, capfd):
    for name, value in quiet_environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(free_port()))
    server = default_server()
    assert not server.answers()
    try:
        server.ensure()
        assert server.version() >= 41
        assert server.phones() == []
        server.ensure()
    finally:
        from fdi_keras.devices.adb.client import ask

        with contextlib.suppress(DeviceGoneError):  # it ends without an answer
            ask(server.host, server.port, "host:kill", 2.0)
    assert capfd.readouterr() == ("", "")


def test_another_server_is_never_started():
    server = AdbServer("127.0.0.1", free_port())
    with pytest.raises(DeviceGoneError, match="adb -a -P"):
        server.ensure()
    with pytest.raises(DeviceGoneError, match="no adb server answers"):
        server.phones()
    assert not server.answers()


def test_connecting_and_letting_go(make_phone, adb_server):
    phone = make_phone()
    server, address = adb_server.server, f"127.0.0.1:{phone.port}"
    assert server.connect(address) == address
    assert server.connect(address) == address
    assert address in [attached.serial for attached in server.phones()]
    server.disconnect(address)
    assert address not in [attached.serial for attached in server.phones()]
    with pytest.raises(DeviceError, match="cannot disconnect"):
        server.disconnect(address)
    with pytest.raises(DeviceError, match=r"cannot connect to .*Connection refused.*same network"):
        server.connect(f"127.0.0.1:{free_port()}")


def test_connecting_to_a_phone_that_has_not_allowed_us(adb_server, tmp_path):
    with StandInPhone(tmp_path / "shy", auth="ask") as phone:
        with pytest.raises(DeviceError, match=r"was reached but has not allowed this computer yet: confirm"):
            adb_server.server.connect(f"127.0.0.1:{phone.port}")
        adb_server.server.disconnect(f"127.0.0.1:{phone.port}")


def test_pairing_with_nobody(adb_server):
    with pytest.raises(DeviceError, match=r"cannot pair with .*Keep the dialog"):
        adb_server.server.pair(f"127.0.0.1:{free_port()}", "123456")
    for code in ("12345", "1234567", "12345a", "١٢٣٤٥٦", "123456:evil"):
        with pytest.raises(UsageError, match="six digits"):
            adb_server.server.pair("127.0.0.1:1", code)


@pytest.mark.parametrize("begun", [b"", b"OKAY"])
def test_pairing_succeeds_only_with_the_words_for_it(begun):
    address = "10.0.0.9:37000"
    good = f"Successfully paired to {address} [guid=adb-R58M-abc]"
    with server_that_says(begun + block(good)) as port:
        assert AdbServer("127.0.0.1", port).pair(address, "123456") == "adb-R58M-abc"
    for words in ("Successfully paired to 10.0.0.8:37000 [guid=x]", "Failed: Wrong password.", "", "maybe"):
        for status in (b"OKAY", b"FAIL"):
            with server_that_says(begun + block(words, status)) as port, pytest.raises(DeviceError):
                AdbServer("127.0.0.1", port).pair(address, "123456")


@pytest.mark.parametrize(
    "words", ["", "connected", "failed to authenticate to x", "error: \x1b[2Jconnected to x"]
)
def test_connecting_succeeds_only_with_the_words_for_it(words):
    with server_that_says(block(words)) as port, pytest.raises(DeviceError) as caught:
        AdbServer("127.0.0.1", port).connect("10.0.0.9:5555")
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [b"", b"OK", b"OKAY", b"OKAY0", b"OKAYzzzz", b"OKAY0010abc", b"HTTP/1.1 400", b"FAIL", b"OKAY-001"],
)
def test_what_is_no_adb_server(answer):
    with server_that_says(answer) as port, pytest.raises(FdiError):
        AdbServer("127.0.0.1", port).phones()


def test_a_server_that_trickles_does_not_hold_us_up():
    with server_that_says(b"OKAY00ff" + b"x" * 255, trickle_s=0.1) as port:
        begin = time.monotonic()
        with pytest.raises(DeviceSilentError, match=r"did not answer within 0\.4 s"):
            AdbServer("127.0.0.1", port).phones(timeout_s=0.4)
        assert time.monotonic() - begin < 0.8
