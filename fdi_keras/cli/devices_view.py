"""The table of ``fdi devices``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from fdi_keras.cli.console import plain
from fdi_keras.cli.tables import new_table
from fdi_keras.devices import DeviceInfo


def devices_table(devices: Sequence[DeviceInfo]) -> Table:
    """A row a device; below its name what to do about its state, and what else is known of it."""
    table = new_table()
    table.add_column("id", style="bold", overflow="fold", max_width=22)
    table.add_column("device", ratio=1, overflow="fold")
    table.add_column("state", overflow="fold", max_width=17)
    for device in devices:
        state, _, remedy = device.state.partition(": ")
        name = plain(device.name)
        if remedy:
            name.append("\n").append(plain(remedy, "yellow"))
        for line in _details(device):
            name.append("\n").append(plain(line, "dim"))
        table.add_row(plain(device.id), name, plain(state, "green" if state == "ready" else "yellow"))
    return table


def _details(device: DeviceInfo) -> list[str]:
    known = device.details
    lines = _of_phone(known) if device.kind == "phone" else _of_computer(known)
    return [line for line in lines if line]


def _of_computer(known: dict[str, Any]) -> list[str]:
    parts = [
        f"{known['cores']} cores" if "cores" in known else "",
        f"{known['threads']} threads" if "threads" in known else "",
        f"{known['memory_gb']} GB" if "memory_gb" in known else "",
        known.get("os") or "",
        known.get("runtime") or "",
    ]
    return [", ".join(str(part) for part in parts if part)]


def _of_phone(known: dict[str, Any]) -> list[str]:
    kind = [
        known.get("soc") or "",
        known.get("abi") or "",
        f"Android {known['android']}" if "android" in known else "",
    ]
    battery = known.get("battery") or {}
    power = [
        f"battery {battery['level']} %" if "level" in battery else "",
        f"{battery['celsius']:g} °C" if "celsius" in battery else "",
        "charging" if battery.get("charging") else "",
        "throttled" if known.get("thermal_status", 0) >= 2 else "",
    ]
    lines = (kind, [clocks_text(known)], power)
    return [", ".join(part for part in line if part) for line in lines]


def clocks_text(known: dict[str, Any]) -> str:
    """Cores and their highest clocks.

    >>> clocks_text({"cores": 3, "core_groups": [{"cores": [0, 1], "max_mhz": 1803}]})
    '2 x 1.8 GHz, 1 unknown'
    """
    groups = known.get("core_groups") or []
    parts = [f"{len(group['cores'])} x {group['max_mhz'] / 1000:.1f} GHz" for group in groups]
    untold = known.get("cores", 0) - sum(len(group["cores"]) for group in groups)
    if untold > 0:
        parts.append(f"{untold} unknown" if groups else f"{untold} cores")
    return ", ".join(parts)
