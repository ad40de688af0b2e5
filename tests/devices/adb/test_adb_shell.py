"""Commands on a phone, with shell v2 and without, and everything that cuts them short."""

import threading
import time

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from searching import examples

from fdi_keras.devices.adb import shell
from fdi_keras.devices.adb.phone import Output, PhoneLink, quote
from fdi_keras.errors import (
    CommandFailedError,
    DeviceError,
    DeviceGoneError,
    DeviceSilentError,
    UsageError,
)


@pytest.fixture(params=["shell v2", "Android 6"])
def phone(request, make_phone):
    return make_phone(features=("shell_v2", "cmd") if request.param == "shell v2" else ("cmd",))


def wait_until(condition, seconds=3.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_output_errors_and_status_come_apart(link):
    assert link.run("echo out; echo err >&2; exit 3") == Output(
        "out\n", "err" + "\n" * link.has_shell_v2(), 3
    )
    assert link.run(["printf", "%s", "no end"]) == Output("no end", "", 0)
    assert link.run("true") == Output("", "", 0)
    assert link.run("kill -9 $$").code == 137
    assert link.run("echo 'not closed").code == 2


def test_a_failed_command_is_one_error(link):
    with pytest.raises(
        CommandFailedError, match=r"looking failed on the phone with status 2: .*No such file"
    ) as caught:
        link.run(["ls", "/nowhere"]).checked("looking")
    assert caught.value.code == 2
    assert "/nowhere" in caught.value.stderr


HOSTILE = [
    "; reboot",
    "$(reboot)",
    "`id`",
    "'",
    '"',
    "\\",
    "a b",
    "*",
    "~",
    "-n",
    "",
    "\n",
    "\x1b[31m",
    "[red]x[/]",
    "ü測",
]


def test_words_reach_the_phone_as_they_are(link):
    assert link.run(["printf", "%s\\0", *HOSTILE]).stdout.split("\0")[:-1] == HOSTILE
    assert link.run(f"printf %s {quote(''.join(HOSTILE))}").stdout == "".join(HOSTILE)
    with pytest.raises(UsageError, match="zero byte"):
        link.run(["echo", "a\0b"])


@examples(25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=60))
def test_any_word_reaches_the_phone_as_it_is(link, word):
    assert link.run(["printf", "%s", word]).stdout == word


def test_output_of_every_kind(link):
    assert link.run("printf '\\377\\200x'").stdout == "\ufffd\ufffdx"
    long = link.run("head -c 1000000 /dev/zero | tr '\\0' y; echo; printf 'e\\033[31m' >&2")
    assert long.stdout == "y" * 1_000_000 + "\n"
    assert long.stderr == "e\x1b[31m"


def test_output_without_end_is_stopped(link, monkeypatch):
    monkeypatch.setattr(shell, "MOST_OUTPUT_BYTES", 1 << 20)
    with pytest.raises(DeviceError, match="printed more than 1 MB"):
        link.run("yes")
    with pytest.raises(UsageError, match="may have up to 65535 bytes"):
        link.run("true" + " " * 66_000)


def test_lines_come_while_the_command_runs(link, phone):
    wait = "while [ ! -f /data/local/tmp/go ]; do sleep 0.01; done"
    script = f"echo one; printf 'two\\r\\nthree'; {wait}; echo; echo 4 >&2; exit 5"
    with link.stream(script) as lines:
        seen = iter(lines)
        assert [next(seen), next(seen)] == [("stdout", "one"), ("stdout", "two")]
        assert lines.code is None
        (phone.storage / "go").touch()
        assert list(seen) == [("stdout", "three"), ("stderr", "4")]
        assert lines.code == 5


def test_leaving_early_stops_the_command(make_phone, adb_server):
    phone = make_phone()
    link = PhoneLink(phone.serial, adb_server.server)
    with link.stream(["sh", "-c", "echo begun; exec sleep 60"]) as lines:
        assert next(iter(lines)).text == "begun"
        assert phone.processes()
    wait_until(lambda: not phone.processes())


def test_a_line_without_end_is_handed_on_in_parts(link, monkeypatch):
    monkeypatch.setattr(shell, "MOST_LINE_BYTES", 1000)
    with link.stream("head -c 3500 /dev/zero | tr '\\0' y; echo") as lines:
        texts = [line.text for line in lines]
    assert "".join(texts) == "y" * 3500
    assert max(map(len, texts)) == 1000


def test_an_error_of_ours_in_the_body_stays_ours(link):
    def follow():
        with link.stream("echo x") as lines:
            for _ in lines:
                open("/nowhere/at/all").close()

    with pytest.raises(FileNotFoundError):
        follow()


def test_time_is_kept(link, phone):
    begin = time.monotonic()
    with pytest.raises(DeviceSilentError, match=r"did not answer within 0\.3 s"):
        link.run(["sleep", "60"], timeout_s=0.3)
    with pytest.raises(DeviceSilentError, match=r"within 0\.3 s"):
        link.run("while :; do echo x; sleep 0.02; done", timeout_s=0.3)
    with link.stream("echo x; exec sleep 60", timeout_s=60, silence_s=0.2) as lines:
        seen = []
        with pytest.raises(DeviceSilentError, match=r"said nothing for 0\.2 s"):
            seen.extend(lines)
        assert [line.text for line in lines] == []
    assert time.monotonic() - begin < 2.0


def test_a_frozen_phone_holds_nobody_up(link, phone):
    link.has_shell_v2()
    phone.freeze()
    begin = time.monotonic()
    with pytest.raises(DeviceSilentError):
        link.run("true", timeout_s=0.2)
    threading.Timer(0.2, phone.thaw).start()
    assert link.run("echo back", timeout_s=5).stdout == "back\n"
    assert time.monotonic() - begin < 1.5


@pytest.mark.parametrize("count", [0, 4, 40, 1005])
def test_cut_output_never_passes_for_whole(link, phone, count):
    link.run("true")
    phone.cut_after(count, "to_host", "shell" if link.has_shell_v2() else "exec")
    with pytest.raises(DeviceGoneError):
        link.run("head -c 1000 /dev/zero | tr '\\0' y; exit 1")
    with pytest.raises(DeviceGoneError):
        link.run("true")
    phone.plug()
    assert link.run("echo back").stdout == "back\n"


def test_a_cut_stream_ends_in_an_error_too(link, phone):
    with link.stream("echo one two three four five six; exec sleep 60") as lines:
        threading.Timer(0.2, phone.pull_cable).start()
        with pytest.raises(DeviceGoneError):
            list(lines)
        assert lines.code is None


def test_every_other_way_to_go(link, phone):
    phone.reboot(0.05)
    wait_until(lambda: _answers(link))
    phone.revoke()
    with pytest.raises(DeviceGoneError):
        link.run("true", timeout_s=1)
    nobody = PhoneLink("no-such-phone", link.server)
    with pytest.raises(DeviceGoneError, match=r"no-such-phone.* cannot be reached: .*not found"):
        nobody.run("true")


def _answers(link):
    try:
        return link.run("echo x").stdout == "x\n"
    except DeviceGoneError:
        return False


def test_a_killed_server(own_adb_server, make_phone):
    phone = make_phone("other", server=own_adb_server)
    link = PhoneLink(phone.serial, own_adb_server.server)
    threading.Timer(0.2, own_adb_server.kill).start()
    with pytest.raises(DeviceGoneError):
        link.run(["sleep", "60"])
    with pytest.raises(DeviceGoneError):
        link.run("true")
    own_adb_server.start()
    phone.plug()
    assert link.run("echo back").stdout == "back\n"


@pytest.mark.parametrize("cable", [True, False])
def test_waiting_for_a_phone_that_comes_back(own_adb_server, make_phone, cable):
    phone = make_phone("other", server=own_adb_server, cable=cable)
    link = PhoneLink(phone.serial, own_adb_server.server)
    link.wait(1)
    if cable:
        phone.pull_cable()
        assert not link.answers()
        with pytest.raises(DeviceGoneError, match=r"has not come back within 0\.1 s: .*"):
            link.wait(0.1)
        threading.Timer(0.2, phone.plug).start()
        link.wait(10, every_s=0.05)
        assert link.answers()
    own_adb_server.kill()
    threading.Timer(0.2, own_adb_server.start).start()
    if cable:  # the server forgets it; over Wi-Fi we attach it again ourselves
        threading.Timer(0.8, phone.plug).start()
    link.wait(10, every_s=0.05)
    assert link.run("echo back").stdout == "back\n"


def test_a_mark_in_the_output_is_no_end(make_phone, adb_server, monkeypatch):
    phone = make_phone(features=("cmd",))
    link = PhoneLink(phone.serial, adb_server.server)
    monkeypatch.setattr(shell.secrets, "token_hex", lambda count: "a" * 2 * count)
    mark = f"fdi-{'a' * 32}"
    # Whoever could guess it could forge it; what almost looks like it must not matter.
    text = f"\n{mark[:-1]}b 0\n\n{mark}\n{mark}-end x{mark[:9]}"
    assert link.run(["printf", "%s", text]) == Output(text, "", 0)
