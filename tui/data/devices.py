"""Devices as they come and go: this computer from here, phones from a child process.

``fdi devices --watch --json`` follows adb servers. In a process of its own it can neither
hold up the screen nor outlive it, and adbutils is never loaded here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psutil

from fdi_keras.text import clean

#: Phones are asked again so often for battery and temperature, in seconds.
EVERY_S = 10.0
#: Until the watcher is started again when it ended, in seconds; doubled up to the second.
RETRY_S = (1.0, 30.0)

#: From this thermal status on, Android slows a phone down (PowerManager.THERMAL_STATUS_MODERATE).
THROTTLED = 2
THERMAL_WORDS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

LOCAL = "local"


@dataclass(frozen=True)
class SeenDevice:
    """A device as it was last told; texts are its own words.

    Attributes:
        id, name, kind: as ``fdi devices`` has them.
        state: ``"ready"``, or why not.
        details: what else is known; whatever came.
    """

    id: str
    name: str
    kind: str
    state: str
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def is_ready(self) -> bool:
        return self.state == "ready"

    @property
    def state_word(self) -> str:
        return self.state.partition(":")[0]

    @property
    def remedy(self) -> str:
        return self.state.partition(": ")[2]


def local_device() -> SeenDevice:
    """This computer; imports what reads it, a tenth of a second the first time."""
    from fdi_keras.devices.local import LocalDevice

    info = LocalDevice().info
    return SeenDevice(info.id, info.name, info.kind, info.state, dict(info.details))


def local_vitals() -> dict[str, Any]:
    """Load, temperature and battery of this computer, as far as the system tells them."""
    vitals: dict[str, Any] = {"load_percent": psutil.cpu_percent(None)}
    with contextlib.suppress(Exception):  # psutil's sensors raise whatever a driver's odd file makes them
        readings = [
            reading.current
            for name, group in psutil.sensors_temperatures().items()
            if name in ("coretemp", "k10temp", "cpu_thermal", "zenpower", "acpitz", "cpu-thermal")
            for reading in group
            if 0 < reading.current < 150
        ]
        if readings:
            vitals["celsius"] = max(readings)
    with contextlib.suppress(Exception):
        battery = psutil.sensors_battery()
        if battery is not None:
            vitals["battery"] = {"level": round(battery.percent), "charging": bool(battery.power_plugged)}
    return vitals


class Devices:
    """All devices that are known now.

    Attributes:
        seen: by id, this computer first.
        problem: why phones are not seen, in the words of the watcher.
        news: what came and went, newest last.
    """

    def __init__(self) -> None:
        self.seen: dict[str, SeenDevice] = {}
        self.problem = ""
        self.news: list[str] = []

    def take_local(self, device: SeenDevice) -> None:
        self.seen = {device.id: device, **{key: d for key, d in self.seen.items() if key != device.id}}

    def take_line(self, line: bytes) -> None:
        """Account for a line of the watcher; what is no event is left out."""
        try:
            event = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return
        if not isinstance(event, dict):
            return
        if event.get("event") == "problem":
            self.problem = clean(event.get("note", ""), 300)
            return
        device = _device(event.get("device"))
        if device is None or device.id == LOCAL:
            return
        self.problem = ""
        if event.get("event") == "gone":
            self.seen.pop(device.id, None)
            self._tell(f"{device.id} is gone")
        else:
            if device.id not in self.seen:
                self._tell(f"{device.id} came")
            self.seen[device.id] = device

    def forget_phones(self) -> None:
        """The watcher ended: nothing is known of phones until it is back."""
        self.seen = {key: device for key, device in self.seen.items() if key == LOCAL}

    def _tell(self, text: str) -> None:
        self.news = [*self.news[-19:], clean(text, 100)]


def _device(data: Any) -> SeenDevice | None:
    if not isinstance(data, dict):
        return None
    id, name, kind, state = (data.get(key) for key in ("id", "name", "kind", "state"))
    if not (
        isinstance(id, str) and isinstance(name, str) and isinstance(kind, str) and isinstance(state, str)
    ):
        return None
    details = data.get("details")
    return SeenDevice(id, name, kind, state, details if isinstance(details, dict) else {})


async def watch_phones(
    command: Sequence[str], take: Callable[[bytes], None], ended: Callable[[], None]
) -> None:
    """Hand every line of ``fdi devices --watch`` to ``take``, for ever; cancel to stop."""
    from fdi_tui.data.children import lines_of

    wait = RETRY_S[0]
    watch = [*command, "devices", "--watch", "--json", "--every", f"{EVERY_S:g}"]
    while True:
        try:
            async with contextlib.aclosing(lines_of(watch)) as lines:
                async for line in lines:
                    wait = RETRY_S[0]
                    take(line)
        except OSError:
            pass  # it could not be started; tried again below
        ended()
        await asyncio.sleep(wait)
        wait = min(2 * wait, RETRY_S[1])


def row_of(device: SeenDevice, vitals: dict[str, Any]) -> dict[str, Any]:
    """Values of a row of the table; what is not known, or is nonsense, is None."""
    known = device.details
    battery = _dict(known.get("battery")) or _dict(vitals.get("battery"))
    status = known.get("thermal_status")
    return {
        "id": device.id,
        "name": device.name,
        "state": device.state_word,
        "soc": _text(known.get("soc") or known.get("arch")),
        "android": _text(known.get("android")),
        "cores": _number(known.get("cores")),
        "battery": _number(battery.get("level")),
        "charging": battery.get("charging") is True,
        "celsius": _number(battery.get("celsius"))
        if device.kind == "phone"
        else _number(vitals.get("celsius")),
        "throttled": _throttled(status),
        "load": _number(vitals.get("load_percent")),
    }


def lines_about(device: SeenDevice, vitals: dict[str, Any]) -> list[tuple[str, str]]:
    """What is known of a device, as names and texts."""
    known, row = device.details, row_of(device, vitals)
    groups = known.get("core_groups")
    lines = [
        ("device", device.name),
        ("state", device.state_word),
        ("what to do", device.remedy),
        ("processor", _text(known.get("soc") or known.get("cpu")) or ""),
        ("architecture", _text(known.get("abi") or known.get("arch")) or ""),
        ("system", f"Android {row['android']}" if row["android"] else _text(known.get("os")) or ""),
        ("cores", f"{row['cores']:g}{_clocks(groups)}" if row["cores"] is not None else ""),
        ("memory", f"{known['memory_gb']:g} GB" if _number(known.get("memory_gb")) is not None else ""),
        ("runtime", _text(known.get("runtime")) or ""),
        ("battery", battery_text(row) if row["battery"] is not None else ""),
        ("temperature", f"{row['celsius']:.0f} °C" if row["celsius"] is not None else ""),
        ("thermal state", row["throttled"] or ""),
        ("load", f"{row['load']:.0f} %" if device.kind == "computer" and row["load"] is not None else ""),
        (
            "instructions",
            ", ".join(map(str, known.get("extensions", []))) if device.kind == "computer" else "",
        ),
    ]
    return [(name, clean(text, 300)) for name, text in lines if text]


def battery_text(row: dict[str, Any]) -> str:
    """Level, and whether it charges."""
    return f"{row['battery']:g} %" + (" charging" if row["charging"] else "")


def _throttled(status: Any) -> str | None:
    number = _number(status)
    if number is None:
        return None
    word = THERMAL_WORDS[int(number)] if 0 <= number < len(THERMAL_WORDS) else f"status {number:g}"
    return f"throttled ({word})" if number >= THROTTLED else "cool" if number == 0 else word


def _clocks(groups: Any) -> str:
    parts = []
    for group in groups if isinstance(groups, list) else []:
        clock = _number(_dict(group).get("max_mhz"))
        cores = _dict(group).get("cores")
        if clock is not None and isinstance(cores, list):
            parts.append(f"{len(cores)} x {clock / 1000:.1f} GHz")
    return f" ({', '.join(parts)})" if parts else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    return clean(value, 200) if isinstance(value, str | int | float) and value != "" else None


def _number(value: Any) -> float | None:
    import math

    good = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if good else None
