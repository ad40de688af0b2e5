"""How warm a phone is, for pauses that let it cool."""

from __future__ import annotations

import secrets

import msgspec

from fdi_keras.devices.adb.facts import THERMAL_WORDS, parse_battery, parse_thermal
from fdi_keras.devices.adb.phone import PhoneLink

#: From this status on Android says that performance is "moderately impacted"; and for phones that
#: tell none, a battery as warm as phones throttle at (our choice).
THROTTLED_STATUS = 2
HOT_BATTERY_C = 43.0


class ThermalState(msgspec.Struct, frozen=True):
    """One reading.

    Attributes:
        status: 0 (none) to 6 (shutdown); None before Android 10.
        battery_c: temperature of the battery in degrees Celsius, if told.
        charging: whether the battery is being filled, which warms it; None if not told.
        plugged: whether power comes in; None if not told.
    """

    status: int | None = None
    battery_c: float | None = None
    charging: bool | None = None
    plugged: bool | None = None

    @property
    def throttled(self) -> bool:
        """Whether the phone is so warm that it must be slower; False is no proof of the contrary."""
        if self.status is not None:
            return self.status >= THROTTLED_STATUS
        return self.battery_c is not None and self.battery_c >= HOT_BATTERY_C

    @property
    def words(self) -> str:
        """For people.

        >>> ThermalState(2, 38.5).words
        'thermal status moderate (2 of 6), battery 38.5 °C'
        """
        parts = []
        if self.status is not None:
            parts.append(f"thermal status {THERMAL_WORDS[self.status]} ({self.status} of 6)")
        if self.battery_c is not None:
            parts.append(f"battery {self.battery_c:g} °C")
        if self.charging:
            parts.append("charging")
        return ", ".join(parts) or "tells no temperature"


def read_thermal(link: PhoneLink, timeout_s: float = 5.0) -> ThermalState:
    """Ask a phone how warm it is.

    Raises:
        DeviceGoneError: it is not there, or does not answer in time.
    """
    mark = f"fdi-{secrets.token_hex(12)}"
    script = f"dumpsys thermalservice 2>/dev/null; echo; echo {mark}; dumpsys battery 2>/dev/null; exit 0"
    thermal, _, battery = link.run(script, timeout_s).stdout.partition(f"\n{mark}\n")
    told = parse_battery(battery)
    return ThermalState(parse_thermal(thermal), told.celsius, told.charging, told.plugged)
