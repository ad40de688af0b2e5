"""What is checked on a phone: a list, :data:`CHECKS`, that others add to.

Each check takes a :class:`Patient` and gives one :class:`Finding`, or None where it does not apply.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Literal

import msgspec

from fdi_keras.devices.adb.facts import PhoneFacts, read_facts
from fdi_keras.devices.adb.left_over import running
from fdi_keras.devices.adb.phone import FOLDER, Output, PhoneLink
from fdi_keras.devices.adb.server import AttachedPhone
from fdi_keras.devices.adb.thermal import HOT_BATTERY_C, THROTTLED_STATUS, ThermalState
from fdi_keras.text import clean

Verdict = Literal["ok", "warning", "problem"]

#: Kinds of processors for which the measuring tool is made.
ABIS = ("arm64-v8a", "armeabi-v7a", "x86_64")
#: Less would end in the middle of a campaign (our choice), in percent.
LEAST_BATTERY = 30
#: The tool, a probe of some size and its results (our choice).
LEAST_FREE_BYTES = 100 << 20


#: For a phone to answer one command, in seconds.
ANSWER_S = 5.0


class Finding(msgspec.Struct, frozen=True):
    """One line of the doctor's.

    Attributes:
        check: what was looked at.
        verdict: ``"problem"``: no campaign without mending it; ``"warning"``: something is
            worse or missing; ``"ok"``.
        text: what was found.
        remedy: how to mend it; empty where nothing is to be mended.
    """

    check: str
    verdict: Verdict
    text: str
    remedy: str = ""


class Patient:
    """A phone under examination; asks it once for all checks."""

    def __init__(self, attached: AttachedPhone, link: PhoneLink):
        self.attached = attached
        self.link = link

    def run(self, command: str | Sequence[str]) -> Output:
        """Run a command; whoever waits for a diagnosis waits for seconds only."""
        return self.link.run(command, ANSWER_S)

    @cached_property
    def facts(self) -> PhoneFacts:
        return read_facts(self.link, ANSWER_S)


Check = Callable[[Patient], Finding | None]


def _shell(patient: Patient) -> Finding:
    patient.run("exit 0").checked("an empty command")
    if patient.link.has_shell_v2():
        return Finding("shell", "ok", "answers, with separate errors and exit status")
    return Finding("shell", "ok", "answers in the way of Android 6 and older")


def _model(patient: Patient) -> Finding:
    facts = patient.facts
    groups = ", ".join(f"{len(group.cores)} x {group.max_mhz / 1000:.2g} GHz" for group in facts.groups)
    parts = [
        facts.name,
        facts.soc or "unknown processor",
        f"Android {facts.android or '?'}",
        groups or "clocks unknown",
    ]
    if facts.groups:
        return Finding("phone", "ok", ", ".join(parts))
    return Finding(
        "phone",
        "warning",
        ", ".join(parts),
        "Its big and little cores cannot be told apart: do not pin to them.",
    )


def _abi(patient: Patient) -> Finding:
    abi = patient.facts.abi
    if abi in ABIS:
        return Finding("processor type", "ok", str(abi))
    usable = [other for other in patient.facts.abis if other in ABIS]
    if usable:
        return Finding("processor type", "ok", f"{abi or 'unknown'}, runs {usable[0]}")
    return Finding(
        "processor type",
        "problem",
        f"{abi or 'unknown'}: expected one of {', '.join(ABIS)}",
        "Use another phone.",
    )


def _place(patient: Patient) -> Finding:
    # Without the line '#!', so that the shell that starts it also reads it, wherever a phone keeps its own.
    script = (
        f"mkdir -p {FOLDER} && cd {FOLDER} || exit 3; f=doctor.$$; printf 'exit 7\\n' > $f || exit 4; "
        "chmod 755 $f; ./$f; code=$?; rm -f $f; cd ..; rmdir fdi 2>/dev/null; exit $code"
    )
    done = patient.run(script)
    if done.code == 7:
        return Finding("folder", "ok", f"programs can be put into {FOLDER} and run there")
    words = clean(done.stderr.strip(), 120) or f"status {done.code}"
    if done.code in (3, 4):
        return Finding(
            "folder", "problem", f"{FOLDER} cannot be written: {words}", "Free space on the phone."
        )
    return Finding(
        "folder",
        "problem",
        f"programs in {FOLDER} cannot be run: {words}",
        "Use a phone without such a policy.",
    )


def _space(patient: Patient) -> Finding:
    free = patient.facts.free_bytes
    if free is None:
        return Finding("free space", "warning", "the phone does not tell", "See that it is not full.")
    text = f"{free / 2**30:.1f} GB" if free >= 2**30 else f"{free / 2**20:.0f} MB"
    if free >= LEAST_FREE_BYTES:
        return Finding("free space", "ok", text)
    return Finding(
        "free space",
        "problem",
        f"{text}: expected {LEAST_FREE_BYTES >> 20} MB",
        "Remove something from the phone.",
    )


def _battery(patient: Patient) -> Finding:
    battery = patient.facts.battery
    if battery.level is None:
        return Finding("battery", "warning", "the phone does not tell", "See that it is charged.")
    if battery.level >= LEAST_BATTERY:
        return Finding("battery", "ok", f"{battery.level} %")
    return Finding(
        "battery",
        "warning" if battery.plugged else "problem",
        f"{battery.level} %: expected {LEAST_BATTERY} % at least",
        "Charge it first: many phones slow down when they are low.",
    )


def _charging(patient: Patient) -> Finding:
    battery = patient.facts.battery
    if battery.charging:
        return Finding(
            "charging",
            "warning",
            "it is charging, which warms it; energy cannot be measured meanwhile",
            "Let it get full first, or go over Wi-Fi: fdi pair, fdi connect.",
        )
    return Finding("charging", "ok", "full or not charging" if battery.plugged else "not plugged to power")


def _temperature(patient: Patient) -> Finding:
    facts = patient.facts
    state = ThermalState(facts.thermal_status, facts.battery.celsius)
    if state.throttled:
        return Finding(
            "temperature",
            "warning",
            f"{state.words}: too warm to be at full speed",
            "Let it cool, without its cover; campaigns wait for it too.",
        )
    if state.status is None:
        return Finding(
            "temperature",
            "warning",
            state.words,
            f"No thermal status before Android 10: only a battery over {HOT_BATTERY_C:g} °C and repeated "
            "reference measurements tell when it slows down.",
        )
    return Finding("temperature", "ok", f"{state.words}; campaigns wait from status {THROTTLED_STATUS} on")


def _awake(patient: Patient) -> Finding:
    done = patient.run(["settings", "get", "global", "stay_on_while_plugged_in"])
    if done.code:
        return Finding(
            "stays awake",
            "warning",
            f"settings cannot be read: {clean(done.stderr.strip(), 120) or done.code}",
            "Keep its screen on by hand.",
        )
    value = clean(done.stdout.strip(), 20)
    now = "off" if value in ("0", "null", "") else f"on ({value})"
    return Finding("stays awake", "ok", f"now {now}; a campaign turns it on and restores it")


def _fixed_clocks(patient: Patient) -> Finding:
    done = patient.run(["cmd", "power", "help"])
    if "set-fixed-performance-mode-enabled" in done.stdout + done.stderr:
        return Finding("fixed clocks", "ok", "has the fixed-performance mode; a campaign turns it on and off")
    return Finding(
        "fixed clocks",
        "warning",
        "has no fixed-performance mode",
        "Clocks may vary more: give the campaign more time.",
    )


def _energy(patient: Patient) -> Finding:
    facts = patient.facts
    if facts.current_readable and facts.voltage_readable:
        return Finding("energy", "ok", "current and voltage of the battery can be read")
    return Finding(
        "energy", "warning", "current and voltage of the battery cannot be read", "No energy on this phone."
    )


def _cache_counters(patient: Patient) -> Finding:
    if patient.facts.simpleperf:
        return Finding("cache counters", "ok", "simpleperf is there")
    return Finding("cache counters", "warning", "no simpleperf", "No cache counters on this phone.")


def _left_over(patient: Patient) -> Finding | None:
    processes = running(patient.link)
    if not processes:
        return None
    return Finding(
        "left over",
        "warning",
        f"{len(processes)} processes of ours are running: another campaign, or what a dead one has left",
        "The next campaign ends them.",
    )


#: In this order; append your own.
CHECKS: list[Check] = [
    _shell,
    _model,
    _abi,
    _place,
    _space,
    _battery,
    _charging,
    _temperature,
    _awake,
    _fixed_clocks,
    _energy,
    _cache_counters,
    _left_over,
]
