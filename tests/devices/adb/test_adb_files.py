"""Files to and from a phone: whole, or not at all."""

import os
import random
import time

import pytest

from fdi_keras.errors import (
    CommandFailedError,
    DeviceGoneError,
    DeviceSilentError,
    StorageError,
    UsageError,
)

PLACE = "/data/local/tmp/fdi/model.tflite"
CONTENT = random.Random(0).randbytes(300_000)


def files_on(phone):
    return sorted(path.name for path in phone.storage.rglob("*") if path.is_file())


def test_there_and_back(link, phone, tmp_path):
    link.push(CONTENT, PLACE)
    assert link.pull(PLACE) == CONTENT
    assert link.size(PLACE) == len(CONTENT)
    assert link.exists(PLACE)
    assert files_on(phone) == ["model.tflite"]
    tool = tmp_path / "tool"
    tool.write_text("#!/bin/sh\necho works\n")
    link.push(tool, "/data/local/tmp/fdi/it's a tool; $x", mode=0o755)
    assert link.run(["/data/local/tmp/fdi/it's a tool; $x"]).stdout == "works\n"
    link.push(b"", PLACE)
    assert link.pull(PLACE) == b""
    link.remove(PLACE, "/data/local/tmp/fdi/not there")
    assert not link.exists(PLACE)
    with pytest.raises(CommandFailedError, match="No such file"):
        link.pull(PLACE)


def test_several_at_once(link, phone):
    files = {f"/data/local/tmp/fdi/{number}": bytes([number]) * number for number in range(8)}
    link.push_all(files)
    assert {remote: link.pull(remote) for remote in files} == files
    assert len(files_on(phone)) == 8
    link.push_all({})


def test_only_our_own_files_are_removed(link):
    for remote in (
        "/data/local/tmp",
        "/data/local/tmp/",
        "/sdcard/x",
        "/data/local/tmp/../x",
        "relative",
        "/a\nb",
    ):
        with pytest.raises(UsageError):
            link.remove(remote)
    with pytest.raises(StorageError, match="cannot read"):
        link.push("/nowhere/at/all", PLACE)


@pytest.mark.parametrize("count", [3, 70_000, 299_000])
def test_a_cut_push_changes_nothing(link, phone, count):
    link.push(b"before", PLACE)
    phone.cut_after(count, "to_phone", "sync:")
    with pytest.raises(DeviceGoneError):
        link.push(CONTENT, PLACE)
    phone.plug()
    assert link.pull(PLACE) == b"before"
    link.push(CONTENT, PLACE)
    assert link.pull(PLACE) == CONTENT
    assert files_on(phone) == ["model.tflite"]


def test_a_push_that_is_cut_before_its_end_is_told(link, phone):
    link.push(b"before", PLACE)
    phone.cut_after(2, "to_host", "shell")  # all is there, under the name of a part
    with pytest.raises(DeviceGoneError):
        link.push(CONTENT, PLACE)
    phone.plug()
    assert link.pull(PLACE) in (b"before", CONTENT)


@pytest.mark.parametrize("count", [0, 8, 70_000])
def test_half_a_file_is_never_pulled(link, phone, count):
    link.push(CONTENT, PLACE)
    phone.cut_after(count, "to_host", "sync:")
    with pytest.raises(DeviceGoneError):
        link.pull(PLACE)
    phone.plug()
    assert link.pull(PLACE) == CONTENT


def test_a_frozen_phone_holds_no_file_up(link, phone):
    link.push(CONTENT, PLACE)
    phone.freeze()
    begin = time.monotonic()
    for act in (
        lambda: link.push(CONTENT * 30, PLACE, timeout_s=0.2),
        lambda: link.pull(PLACE, timeout_s=0.2),
        lambda: link.exists(PLACE, timeout_s=0.2),
    ):
        with pytest.raises(DeviceSilentError):
            act()
    assert time.monotonic() - begin < 1.5
    phone.thaw()
    assert link.pull(PLACE) == CONTENT


def test_a_full_phone(link, phone):
    phone.write("free_kb", "100")
    with pytest.raises(CommandFailedError, match=r"No space left on device\. Free some space") as caught:
        link.push(CONTENT, PLACE)
    assert "No space" in caught.value.stderr
    assert files_on(phone) == []


def test_a_disk_that_lies(link, phone):
    phone.write("lost_bytes", "7")
    with pytest.raises(CommandFailedError, match="kept 299993 of the 300000 bytes"):
        link.push(CONTENT, PLACE)
    assert files_on(phone) == []


def test_no_permission(link, phone):
    phone.write("deny", "/data/local/tmp/secret\n/data/app")
    with pytest.raises(CommandFailedError, match=r"Permission denied\. The adb shell may not go there"):
        link.push(b"x", "/data/local/tmp/secret/x")
    with pytest.raises(CommandFailedError, match="Permission denied"):
        link.pull("/data/app/x")


def test_modes(link, phone):
    link.push(b"x", PLACE, mode=0o640)
    assert os.stat(phone.place(PLACE)).st_mode & 0o777 == 0o640
