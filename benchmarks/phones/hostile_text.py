"""Part 5: phones that lie: everything that a phone says is hostile text.

One phone for each kind of text, which stands in all its properties, its settings, its files of the
kernel, what its services print, what the tool prints beside its numbers and as errors, and in names of files and of a
program that an earlier campaign seems to have left. ``fdi devices``, ``fdi doctor`` and ``fdi
profile`` are run as a user runs them, into a pipe and in a terminal. Harm is:

* a file made by an injected command, on the phone or on this computer;
* a character in the output that steers a terminal or turns text around, and bytes that are no UTF-8;
* a traceback, a verb that fails, a campaign without all its measurements;
* a setting that is not restored, a file or process that is left.
"""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import time
import unicodedata
from pathlib import Path

from stand_in_phone import StandInPhone
from stand_in_phone.phone import FEATURES

from benchmarks.phones.rig import ROOT, Rig, Settings, rig
from benchmarks.report import Row

PROBES = 20
SETTING = "settings/global/stay_on_while_plugged_in"
CANARY = "PWNED"
SHELL = (
    f"a'b\"c;touch {CANARY};$(touch {CANARY})`touch {CANARY}`|touch {CANARY}&touch {CANARY}>{CANARY} * ~ -rf"
)
STEERING = "[red]x[/red][/][link=file:///etc/passwd]y\x1b[2J\x1b]0;title\x07\x9b31m\r\x08\u202e\u2066z\x00"
#: Kind of text -> the text, features of the phone's adb daemon.
TEXTS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "shell metacharacters": (SHELL.encode(), FEATURES),
    "shell metacharacters, Android 6": (SHELL.encode(), ("cmd",)),
    "markup and control characters": (STEERING.encode(), FEATURES),
    "very long lines": ((SHELL + STEERING).replace("\0", "").encode() * 6000, FEATURES),
    "invalid UTF-8": (b"\xff\xfe\x80\xc3(\xed\xa0\x80\xf8\x88" + SHELL.encode(), FEATURES),
}
PROPERTIES = (
    "ro.serialno", "ro.product.manufacturer", "ro.product.brand", "ro.product.model", "ro.product.device",
    "ro.soc.model", "ro.soc.manufacturer", "ro.board.platform", "ro.build.fingerprint",
    "ro.build.version.release", "ro.product.cpu.abilist",
)  # fmt: skip
#: Characters that may not come out of a pipe.
_STEERS = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f]")
#: What the terminal's own colours and cursor movements are; nothing else may begin with ESC.
_OWN = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x07\x1b]*;[^\x1b]*\x1b\\")


def run(settings: Settings) -> list[Row]:
    folder = settings.work / "hostile_text"
    shutil.rmtree(folder, ignore_errors=True)
    harm = {}
    for number, (name, (text, features)) in enumerate(TEXTS.items()):
        with rig(folder / f"{number}") as made:
            harm[name] = _harm(made, text, features)
        print(f"    {name}: {harm[name] or 'no harm'}", flush=True)
    count = sum(map(len, harm.values()))
    measured = f"{len(TEXTS)} kinds of text, {count} cases of harm"
    return [
        Row(
            "5",
            "hostile text in everything that a phone says",
            "no harm",
            measured,
            count == 0,
            {"harm": harm},
        )
    ]


def _harm(made: Rig, text: bytes, features: tuple[str, ...]) -> list[str]:
    words = text.decode(errors="surrogateescape")
    tool = made.tool(
        "benchmark_model",
        sleep_ms=[1.0, 4.0],
        noise=f"{words}\n",
        fault="refuse",
        times=3,
        words=words.encode(errors="replace").decode().replace("\n", " "),
    )
    harm: list[str] = []
    with StandInPhone(made.folder / "phone", features=features, banner_model=_banner(words)) as phone:
        _infest(phone, text)
        setting = (phone.state / SETTING).read_bytes()
        serial = phone.attach(made.adb.port)
        _leave_something(phone, text)
        adb = ["--adb", made.adb.server.label]
        profile = made.folder / "profile.json"
        campaign = [
            "profile", "--device", made.id(serial), "--budget", str(PROBES), "--kinds", "conv2d,relu",
            "--benchmark-model", str(tool), "--out", str(profile),
        ]  # fmt: skip
        for words_ in (
            ["devices", *adb],
            ["devices", *adb, "--json"],
            ["doctor", *adb],
            ["doctor", *adb, "--json"],
        ):
            harm += _piped(made, words_, fails=words_[0] == "doctor")
        harm += _in_terminal(made, ["devices", *adb])
        harm += _in_terminal(made, ["doctor", *adb], fails=True)
        harm += _piped(made, campaign)
        harm += _complete(profile)
        made.control("benchmark_model", sleep_ms=[1.0, 4.0], noise=f"{words}\n")
        harm += _in_terminal(made, campaign)
        harm += _complete(profile)
        harm += _piped(made, ["rules", str(profile)])
        if (phone.state / SETTING).read_bytes() != setting:
            harm.append("the setting is not as it was")
        time.sleep(0.5)
        if phone.processes():
            harm.append("processes are left")
        left = list(phone.storage.rglob("*"))
        if left:
            harm.append(f"files are left: {left[:3]!r}")
    places = list(made.folder.rglob(CANARY))
    places += [
        folder / CANARY
        for folder in (ROOT, Path("/"), Path.home(), Path("/tmp"))
        if (folder / CANARY).exists()
    ]
    return harm + [f"an injected command made {place}" for place in places]


def _banner(words: str) -> str:
    """What can be said in a banner: no separators, and short enough for it."""
    return words.encode(errors="replace").decode().replace(";", ",").replace("\0", "")[:2000]


def _infest(phone: StandInPhone, text: bytes) -> None:
    """Put the text wherever a phone says something."""
    line = text.replace(b"\n", b" ")
    for name in PROPERTIES:
        phone.write(f"prop/{name}", line + b"\n")
    phone.write("battery", (phone.state / "battery").read_bytes() + line + b"\n  level: " + line + b"\n")
    phone.write("thermal", line + b"\n" + (phone.state / "thermal").read_bytes() + line + b"\n")
    for name in ("sys/class/power_supply/battery/current_now", "sys/devices/system/cpu/possible",
                 "sys/devices/system/cpu/cpu3/cpufreq/cpuinfo_max_freq"):  # fmt: skip
        (phone.root / name).write_bytes(line + b"\n")
    (phone.root / "proc/meminfo").write_bytes(line + b"\nMemTotal: " + line + b"\n")
    phone.write(SETTING, line.replace(b"\0", b"")[:100_000] + b"\n")
    loud = phone.state / "loud"
    loud.write_bytes(line + b"\n")
    for name in ("getprop", "settings", "dumpsys", "input", "df", "cmd"):
        program = phone.root / "bin" / name
        first, _, rest = program.read_text().partition("\n")
        program.write_text(f"{first}\ncat $FDI_STAND_IN/state/loud >&2\n{rest}")


def _leave_something(phone: StandInPhone, text: bytes) -> None:
    """Files and a process in our folder, with such names, as of a campaign that died."""
    folder = phone.storage / "fdi"
    folder.mkdir(parents=True)
    name = text.replace(b"/", b"%").replace(b"\0", b"").replace(b"\n", b" ")[:200]
    for each in (name, b"-rf", b"two\nlines " + name[:80], b".hidden " + name[:80]):
        Path(os.fsdecode(bytes(folder) + b"/" + each)).write_bytes(text[:1000])
    program = Path(os.fsdecode(bytes(folder) + b"/p " + name[:100]))
    shutil.copy("/bin/sleep", program)
    subprocess.Popen([program, "600"], env=phone.environment(), start_new_session=True)


def _complete(profile: Path) -> list[str]:
    """Whether the profile has every configuration, as a measurement or as a failure that was asked for."""
    if not profile.exists():
        return ["there is no profile"]
    content = json.loads(profile.read_bytes())
    measured = sum(len(table["rows"]) for table in content["measurements"].values())
    failed = len(content["failures"])
    return [] if measured + failed == PROBES and failed <= 3 else [f"{measured} measured, {failed} failed"]


def _command(words: list[str]) -> list[str]:
    return [sys.executable, "-c", "import sys; from fdi_keras.cli import main; sys.exit(main())", *words]


def _piped(made: Rig, words: list[str], fails: bool = False) -> list[str]:
    done = subprocess.run(_command(words), cwd=made.folder, capture_output=True, timeout=300)
    verb, output = " ".join(words[:1]), done.stdout + done.stderr
    harm = _judged(verb, output, done.returncode, fails)
    found = sorted(
        {unicodedata.name(c, hex(ord(c))) for c in _STEERS.findall(output.decode(errors="replace"))}
    )
    return harm + ([f"{verb}: puts out {', '.join(found)}"] if found else [])


def _in_terminal(made: Rig, words: list[str], fails: bool = False) -> list[str]:
    """The same in a terminal, where the verb's own colours are allowed."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "40"}
    streams = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = subprocess.Popen(
        _command(words), cwd=made.folder, env=environ, start_new_session=True, **streams
    )
    os.close(theirs)
    output = b""
    with contextlib.suppress(OSError):  # how the end of a terminal is told
        while select.select([ours], [], [], 300)[0]:
            data = os.read(ours, 1 << 16)
            if not data:
                break
            output += data
    os.close(ours)
    code = process.wait(60)
    verb = f"{words[0]} in a terminal"
    harm = _judged(verb, output, code, fails)
    rest = _OWN.sub("", output.decode(errors="replace")).replace("\r\n", "\n").replace("\r", "")
    found = sorted({unicodedata.name(c, hex(ord(c))) for c in _STEERS.findall(rest)})
    return harm + ([f"{verb}: puts out {', '.join(found)}"] if found else [])


def _judged(verb: str, output: bytes, code: int, fails: bool) -> list[str]:
    harm = []
    if b"Traceback" in output:
        harm.append(f"{verb}: {output[-600:].decode(errors='replace')!r}")
    elif code not in ((0, 1) if fails else (0,)):
        harm.append(f"{verb}: status {code}: {output[-300:].decode(errors='replace')!r}")
    try:
        output.decode()
    except UnicodeDecodeError:
        harm.append(f"{verb}: puts out what is no UTF-8")
    if len(output) > 200_000:
        harm.append(f"{verb}: puts out {len(output)} bytes")
    return harm
