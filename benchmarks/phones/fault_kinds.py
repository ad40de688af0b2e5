"""What befalls a phone, its cable, the adb server and the host in the middle of a campaign.

Each fault is a function of a :class:`Victim` and a random generator. It strikes, lets time pass, puts
things right again as a person would, and says whether it struck at all: a cut that waits for
bytes that never come has not.
"""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from stand_in_phone import RealAdbServer, StandInPhone
from stand_in_phone.tools import thermal

from benchmarks.phones.rig import Rig
from fdi_keras.devices.adb.client import ask
from fdi_keras.errors import FdiError


@dataclass
class Victim:
    """A campaign that runs.

    Attributes:
        process: of the host.
        start: starts or resumes it.
        server_is_ours: the campaign may start the adb server itself.
        tool: name of its control file.
    """

    rig: Rig
    phone: StandInPhone
    journal: Path
    tool: str
    control: dict[str, object]
    server_is_ours: bool
    start: Callable[[], subprocess.Popen[bytes]]
    process: subprocess.Popen[bytes]

    @property
    def adb(self) -> RealAdbServer:
        return self.rig.adb

    def lines(self) -> list[bytes]:
        """Whole lines of the journal."""
        return self.journal.read_bytes().split(b"\n")[:-1] if self.journal.exists() else []

    def running(self) -> bool:
        return self.process.poll() is None

    def until(self, true: Callable[[], bool], seconds: float) -> bool:
        """Wait for something, while the campaign runs."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.running():
            if true():
                return True
            time.sleep(0.005)
        return true()

    def plug(self) -> None:
        self.phone.plug()


Fault = Callable[[Victim, random.Random], bool]


def cable(victim: Victim, rng: random.Random) -> bool:
    victim.phone.pull_cable()
    time.sleep(rng.uniform(0.05, 0.6))
    victim.plug()
    return True


def _cut(
    victim: Victim, rng: random.Random, way: Literal["to_phone", "to_host"], service: str, most: int
) -> bool:
    victim.phone.cut_after(rng.randrange(most), way, service)
    struck = victim.until(lambda: victim.phone.is_out, 6.0)
    victim.phone.forget_cuts()
    if victim.phone.is_out:
        time.sleep(rng.uniform(0.0, 0.4))
        victim.plug()
    return struck


def cable_in_push(victim: Victim, rng: random.Random) -> bool:
    return _cut(victim, rng, "to_phone", "sync:", rng.choice([100, 10_000, 2_000_000]))


def cable_in_answer_to_push(victim: Victim, rng: random.Random) -> bool:
    return _cut(victim, rng, "to_host", "sync:", 300)


def cable_in_results(victim: Victim, rng: random.Random) -> bool:
    return _cut(victim, rng, "to_host", "shell", rng.choice([10, 1500, 12_000]))


def cable_in_command(victim: Victim, rng: random.Random) -> bool:
    """Commands are part of what opens a service: they arrive whole or not at all."""
    victim.until(lambda: bool(victim.phone.processes()), 3.0)
    victim.phone.pull_cable()
    time.sleep(rng.uniform(0.0, 0.1))
    victim.plug()
    return True


def frozen(victim: Victim, rng: random.Random) -> bool:
    victim.phone.freeze()
    time.sleep(rng.choice([rng.uniform(0.1, 1.0), rng.uniform(1.0, 4.0)]))
    victim.phone.thaw()
    return True


def reboot(victim: Victim, rng: random.Random) -> bool:
    victim.phone.reboot(rng.uniform(0.1, 0.6))
    time.sleep(0.7)
    victim.until(lambda: not victim.phone.is_out, 10.0)
    return True


def out_of_space(victim: Victim, rng: random.Random) -> bool:
    before = victim.phone.read("free_kb")
    victim.phone.write("free_kb", rng.choice(["0\n", "4\n", "200\n"]))
    time.sleep(rng.uniform(0.3, 1.5))
    victim.phone.write("free_kb", f"{before}\n")
    return True


def too_hot(victim: Victim, rng: random.Random) -> bool:
    """Until the campaign has seen it, which asks between its batches."""

    def waits() -> int:
        return sum(b'"event":"waiting"' in line for line in victim.lines())

    before = waits()
    victim.phone.write("thermal", thermal(rng.randrange(2, 6)))
    struck = victim.until(lambda: waits() > before, 10.0)
    time.sleep(rng.uniform(0.0, 0.5))
    victim.phone.write("thermal", thermal(0))
    return struck


def _tool_fault(fault: str) -> Fault:
    def strike(victim: Victim, rng: random.Random) -> bool:
        victim.rig.control(victim.tool, **victim.control, fault=fault, times=1)
        struck = victim.until(lambda: victim.rig.controlled(victim.tool).get("times") == 0, 6.0)
        victim.rig.control(victim.tool, **victim.control)
        return struck

    return strike


def authorisation_withdrawn(victim: Victim, rng: random.Random) -> bool:
    victim.phone.revoke()
    victim.plug()
    time.sleep(rng.uniform(0.1, 0.6))
    victim.phone.allow()
    victim.until(lambda: _listed(victim), 5.0)
    return True


def adb_server_killed(victim: Victim, rng: random.Random) -> bool:
    victim.adb.kill()
    with contextlib.suppress(FdiError):  # one that the campaign had started
        ask("127.0.0.1", victim.adb.port, "host:kill", 2.0)
    if victim.server_is_ours:
        victim.until(victim.adb.server.answers, 20.0)
    else:
        time.sleep(rng.uniform(0.0, 0.5))
        victim.adb.start()
    victim.plug()
    victim.until(lambda: _listed(victim), 5.0)
    return True


def host_killed(victim: Victim, rng: random.Random) -> bool:
    victim.process.send_signal(signal.SIGKILL)
    victim.process.wait()
    time.sleep(rng.choice([0.0, rng.uniform(0.0, 0.5)]))
    victim.process = victim.start()
    return True


def _listed(victim: Victim) -> bool:
    with contextlib.suppress(FdiError):
        return any(each.state == "device" for each in victim.adb.server.phones())
    return False


#: The faults, and how often each is drawn.
FAULTS: dict[str, tuple[Fault, int]] = {
    "cable pulled": (cable, 2),
    "cable pulled in mid-push": (cable_in_push, 3),
    "cable pulled as the phone answers a push": (cable_in_answer_to_push, 2),
    "cable pulled as results arrive": (cable_in_results, 3),
    "cable pulled in mid-run": (cable_in_command, 3),
    "frozen": (frozen, 3),
    "rebooted": (reboot, 3),
    "out of space": (out_of_space, 3),
    "too hot": (too_hot, 2),
    "tool crashes": (_tool_fault("crash"), 2),
    "tool hangs": (_tool_fault("hang"), 2),
    "tool prints garbage": (_tool_fault("garbage"), 2),
    "tool killed for memory (137)": (_tool_fault("out_of_memory"), 2),
    "authorisation withdrawn": (authorisation_withdrawn, 3),
    "adb server killed": (adb_server_killed, 3),
    "host killed (-9)": (host_killed, 4),
}
