"""The stand-in phone itself, with the real program adb in place of our own client."""

import os
import subprocess

import pytest
from stand_in_phone import PhoneProcess, StandInPhone, quiet_environment

from fdi_keras.devices.adb.phone import PhoneLink
from fdi_keras.errors import DeviceGoneError


@pytest.fixture
def adb(adb_server, adb_program, phone, tmp_path):
    def run(*args, **options):
        command = [str(adb_program), "-P", str(adb_server.port), "-s", phone.serial, *map(str, args)]
        env = {**os.environ, **quiet_environment(tmp_path)}
        return subprocess.run(command, capture_output=True, timeout=20, env=env, check=False, **options)

    return run


def test_the_program_adb_takes_it_for_a_phone(adb, phone, tmp_path):
    done = adb("shell", "echo out; echo err >&2; exit 7")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 7)
    assert adb("shell", "-n", "getprop ro.product.model").stdout == b"Loopback Phone\n"
    assert adb("shell", "cat", input=b"through").stdout == b"through"
    assert adb("exec-out", "printf '\\000\\377'").stdout == b"\x00\xff"
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(1_000_000))
    assert adb("push", source, "/data/local/tmp/fdi/x").returncode == 0
    assert adb("pull", "/data/local/tmp/fdi/x", target).returncode == 0
    assert target.read_bytes() == source.read_bytes()
    assert b"fdi" in adb("ls", "/data/local/tmp").stdout
    assert adb("pull", "/data/local/tmp/nothing", target).returncode == 1
    phone.write("free_kb", "10")
    assert b"No space left" in adb("push", source, "/data/local/tmp/y").stderr


def test_its_programs_answer_as_a_phones_do(link, phone):
    assert link.run("settings get global nothing").stdout == "null\n"
    assert link.run("settings put global x 'a b'; settings get global x").stdout == "a b\n"
    assert link.run("setprop ro.product.model y").code == 1
    assert link.run(["taskset", "f0", "echo", "pinned"]).stdout == "pinned\n"
    assert link.run(["taskset", "0xf0", "echo", "pinned"]).code == 1
    assert link.run(["taskset", "0", "echo", "pinned"]).code == 1
    assert link.run("dumpsys nothing").code == 1
    assert link.run("pidof nothing").code == 1
    link.run("cp /bin/sleep /data/local/tmp/tool; /data/local/tmp/tool 50 > /dev/null 2>&1 &")
    assert link.run("pidof tool").stdout.split() == [str(process.pid) for process in phone.processes()]


def test_what_a_script_says_of_paths_stays_in_its_folder(phone):
    assert phone.here("ls /data/local/tmp/x /system /sys/class x/data/local/tmp") == (
        f"ls {phone.root}/data/local/tmp/x /system {phone.root}/sys/class x/data/local/tmp"
    )
    assert phone.place("/../../etc/passwd") == phone.root / "etc/passwd"


def test_as_a_process_of_its_own(adb_server, tmp_path):
    with PhoneProcess(tmp_path / "p", simpleperf=True) as phone:
        serial = phone.call("attach", adb_server.port)
        link = PhoneLink(serial, adb_server.server)
        assert link.run("echo here").stdout == "here\n"
        phone.call("pull_cable")
        with pytest.raises(DeviceGoneError):
            link.run("true")
        phone.call("plug")
        assert link.run("echo here").stdout == "here\n"
        with pytest.raises(RuntimeError, match="AttributeError"):
            phone.call("nonsense")


def test_two_phones_do_not_see_each_other(adb_server, make_phone):
    links = [PhoneLink(make_phone(name).serial, adb_server.server) for name in "ab"]
    for link in links:
        link.run("cp /bin/sleep /data/local/tmp/tool; /data/local/tmp/tool 50 > /dev/null 2>&1 &")
    pids = [link.run("pidof tool").stdout for link in links]
    assert pids[0] != pids[1]
    assert all(len(pid.split()) == 1 for pid in pids)


def test_nothing_outlives_it(adb_server, tmp_path):
    with StandInPhone(tmp_path / "p") as phone:
        link = PhoneLink(phone.attach(adb_server.port), adb_server.server)
        link.run("cp /bin/sleep /data/local/tmp/tool; /data/local/tmp/tool 50 > /dev/null 2>&1 &")
        assert phone.processes()
    assert not phone.processes()
