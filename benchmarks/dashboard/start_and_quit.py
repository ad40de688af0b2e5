"""Part 1: the first frame, the complete list of devices, what is loaded, and how fast it quits."""

from __future__ import annotations

import statistics

from benchmarks.dashboard.journals import long_journal
from benchmarks.dashboard.settings import Settings
from benchmarks.dashboard.terminal import Terminal
from benchmarks.report import Row

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
    frames, devices = [], []
    this_computer = _this_computer()
    for _ in range(STARTS):
        with Terminal(work) as terminal:
            frames.append(terminal.wait_for("5 Profiles"))
            seen = terminal.written
            devices.append(
                frames[-1]
                if this_computer.encode() in seen
                else frames[-1] + terminal.wait_for(this_computer)
            )
            terminal.quit()
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
    title = f"first frame, median of {STARTS} starts"
    return [
        Row("1", title, f"<= {FRAME_S} s", f"{frame:.2f} s (slowest {max(frames):.2f})",
            frame <= FRAME_S, {"seconds": frames}),
        Row("1", "complete list of devices", f"<= {DEVICES_S} s", f"{device:.2f} s (slowest {max(devices):.2f})",
            device <= DEVICES_S, {"seconds": devices}),
        Row("1", f"loaded in {len(STATES)} runs through all rooms", f"no {', '.join(FORBIDDEN)}",
            ", ".join(sorted(loaded)) or "none of them", not loaded),
        Row("1", f"quits, from {len(STATES)} states", f"<= {QUIT_S} s",
            f"median {statistics.median(quits.values()):.2f} s, slowest {quits[slowest]:.2f} s ({slowest})",
            quits[slowest] <= QUIT_S, {"seconds": quits}),
    ]  # fmt: skip


def _this_computer() -> str:
    """What the list of devices calls this computer."""
    from fdi_keras.devices import list_devices

    return next(device for device in list_devices() if device.id == "local").name
