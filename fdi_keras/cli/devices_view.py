"""The table of ``fdi devices``."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from fdi_keras.cli.console import plain
from fdi_keras.cli.tables import new_table
from fdi_keras.devices import DeviceInfo


def devices_table(devices: Sequence[DeviceInfo]) -> Table:
    """A row a device, what else is known of it below its name."""
    table = new_table()
    table.add_column("id", style="bold", no_wrap=True)
    table.add_column("device", ratio=1)
    table.add_column("kind", no_wrap=True)
    table.add_column("state")
    for device in devices:
        name = Text.assemble(plain(device.name), "\n", plain(_details(device), "dim"))
        state = plain(device.state, "green" if device.state == "ready" else "yellow")
        table.add_row(plain(device.id), name, device.kind, state)
    return table


def _details(device: DeviceInfo) -> str:
    known = device.details
    parts = [
        f"{known['cores']} cores" if "cores" in known else "",
        f"{known['threads']} threads" if "threads" in known else "",
        f"{known['memory_gb']} GB" if "memory_gb" in known else "",
        known.get("os") or "",
        known.get("runtime") or "",
    ]
    return ", ".join(str(part) for part in parts if part)
