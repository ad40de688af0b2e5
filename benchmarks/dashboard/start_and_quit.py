"""Part 1: the first frame, the complete list of devices, what is loaded, and how fast it quits."""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.dashboard.journals import long_journal
from benchmarks.dashboard.settings import Settings
from benchmarks.dashboard.terminal import Terminal
from benchmarks.report import Row
from fdi_keras.errors import DeviceError

STARTS = 7
FRAME_S, DEVICES_S, QUIT_S = 0.6, 2.0, 1.0
FORBIDDEN = ("keras", "tensorflow", "sklearn")

#: Keys that lead to a state, and a text that is then shown.
STATES = {
    "1 devices": ("", ""),
    "2 campaign": ("2", ""),
    "3 rules": ("3", "conv2d"),
    "4 sessions": ("4", "finished"),
    "5 profiles": ("5", ""),
    "help": ("?", "Devices that models"),
    "filter": ("/", "words that a row"),
    "commands": (":", "Search for commands"),
    "rules, choosing": ("3o", "Which profile"),
    "rules, curve": ("3\t\t+", "measured"),
    "reading a long journal": ("4", ""),
}


def run(settings: Settings) -> list[Row]:
    work = settings.work / "start"
    sessions = work / "state" / "sessions"
    long_journal(sessions / "short.jsonl", 50)
    with _phone(work / "phone") as (environment, phone):
        shown = [text for text in (_this_computer(), phone) if text]
        frames, devices = _starts(work, environment, shown)
    quits, loaded = {}, set()
    for name, (keys, text) in STATES.items():
        if name.startswith("reading"):
            long_journal(sessions / "long.jsonl", 200_000)
        with Terminal(work, size=(100, 30)) as terminal:
            terminal.wait_for("5 Profiles")
            terminal.settle(0.2, 2.0)
            if text:
                terminal.press(keys, text)
            else:
                terminal.send(keys)
                terminal.read(0.05)
            quits[name] = terminal.quit()
            loaded |= {m.partition(".")[0] for m in terminal.modules()} & set(FORBIDDEN)
    (sessions / "long.jsonl").unlink()
    slowest = max(quits, key=lambda name: quits[name])
    frame, device = statistics.median(frames), statistics.median(devices)
    listed = f"complete list of devices, {'with' if phone else 'without'} a phone"
    title = f"first frame, median of {STARTS} starts"
    return [
        Row("1", title, f"<= {FRAME_S} s", f"{frame:.2f} s (slowest {max(frames):.2f})",
            frame <= FRAME_S, {"seconds": frames}),
        Row("1", listed, f"<= {DEVICES_S} s", f"{device:.2f} s (slowest {max(devices):.2f})",
            device <= DEVICES_S, {"seconds": devices}),
        Row("1", f"loaded in {len(STATES)} runs through all rooms", f"no {', '.join(FORBIDDEN)}",
            ", ".join(sorted(loaded)) or "none of them", not loaded),
        Row("1", f"quits, from {len(STATES)} states", f"<= {QUIT_S} s",
            f"median {statistics.median(quits.values()):.2f} s, slowest {quits[slowest]:.2f} s ({slowest})",
            quits[slowest] <= QUIT_S, {"seconds": quits}),
    ]  # fmt: skip


def _starts(
    work: Path, environment: dict[str, str | None], texts: list[str]
) -> tuple[list[float], list[float]]:
    """Seconds from the start of the process to the first frame, and to the last of these texts."""
    frames, devices = [], []
    for _ in range(STARTS):
        with Terminal(work, environment=environment) as terminal:
            frames.append(terminal.wait_for("5 Profiles"))
            took = frames[-1]
            for text in texts:
                if text.encode() not in terminal.written:
                    terminal.wait_for(text)
                    took = time.perf_counter() - terminal.began
            devices.append(took)
            terminal.quit()
    return frames, devices


@contextlib.contextmanager
def _phone(folder: Path) -> Iterator[tuple[dict[str, str | None], str]]:
    """A stand-in phone on a real adb server: the environment in which it is found, and its serial number."""
    from stand_in_phone import PhoneProcess, RealAdbServer

    try:
        server = RealAdbServer(folder / "adb")
    except DeviceError:  # no adb on this computer: the row says so
        yield {}, ""
        return
    with server as adb, PhoneProcess(folder / "storage") as phone:
        serial = phone.call("attach", adb.port)
        yield {"FDI_ADB": f"none,127.0.0.1:{adb.port}"}, serial


def _this_computer() -> str:
    """What the list of devices calls this computer."""
    from fdi_keras.devices import list_devices

    return next(device for device in list_devices() if device.id == "local").name
