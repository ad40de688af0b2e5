"""The programs of a stand-in phone, as shell scripts on plain files of its state.

state/prop/NAME                 getprop, setprop
state/settings/global/NAME      settings get, put, delete
state/battery, state/thermal    what dumpsys prints, word for word
state/fixed_performance         true or false; without it the phone has no such mode
state/free_kb                   df, and how large a file may be pushed
state/deny                      path prefixes that may not be written or read, one a line
state/log/TOOL                  how the tool was called, a line a call
sys/...                         cores, clocks, current and voltage
"""

from __future__ import annotations

from pathlib import Path

from .toolset import SCRIPTS

BATTERY = """Current Battery Service state:
  AC powered: false
  USB powered: {usb}
  Wireless powered: false
  Dock powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 2914000
  status: {status}
  health: 2
  present: true
  level: {level}
  scale: 100
  voltage: 4123
  temperature: {tenths}
  technology: Li-ion
"""

THERMAL = """IsStatusOverride: false
ThermalEventListeners:
	callbacks: 1
Thermal Status: {status}
Cached temperatures:
	Temperature{{mValue=31.0, mType=0, mName=CPU, mStatus={status}}}
HAL Ready: true
"""

#: Core to highest and present clock in kHz: four little ones, three big ones, one prime.
CLOCKS = {
    **dict.fromkeys(range(4), (1_803_000, 1_401_000)),
    **dict.fromkeys(range(4, 7), (2_348_000, 1_826_000)),
    7: (2_850_000, 2_252_000),
}

PROPERTIES = {
    "ro.product.manufacturer": "Loopback",
    "ro.product.brand": "Loopback",
    "ro.product.model": "Loopback Phone",
    "ro.product.device": "loopback",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.product.cpu.abi": "arm64-v8a",
    "ro.product.cpu.abilist": "arm64-v8a,armeabi-v7a,armeabi",
    "ro.soc.manufacturer": "Loopback",
    "ro.soc.model": "LB8000",
    "ro.board.platform": "lb8",
    "ro.hardware": "loopback",
    "ro.build.fingerprint": "Loopback/loopback/loopback:14/LB1.240101.001/1:user/release-keys",
    "security.perf_harden": "1",
}

MEMINFO = "MemTotal:        7825652 kB\nMemFree:          412356 kB\nMemAvailable:    3941220 kB\n"


def furnish(root: Path, properties: dict[str, str], simpleperf: bool) -> None:
    """Make the folders, state and programs of a phone; what is there already stays (a reboot)."""
    for folder in ("bin", "data/local/tmp", "state/prop", "state/settings/global", "state/log", "proc"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for name, script in SCRIPTS.items():
        if name != "simpleperf" or simpleperf:
            tool = root / "bin" / name
            tool.write_text(f'#!/bin/sh\nstate=$FDI_STAND_IN/state\necho "$*" >> $state/log/{name}\n{script}')
            tool.chmod(0o755)
    first = {
        "state/battery": battery(),
        "state/thermal": thermal(),
        "state/fixed_performance": "false\n",
        "state/free_kb": "52428800\n",
        "state/deny": "",
        "state/settings/global/stay_on_while_plugged_in": "0\n",
        "proc/meminfo": MEMINFO,
        "sys/class/power_supply/battery/current_now": "-312000\n",
        "sys/class/power_supply/battery/voltage_now": "4123000\n",
        "sys/devices/system/cpu/possible": f"0-{len(CLOCKS) - 1}\n",
    }
    for core, (most, now) in CLOCKS.items():
        folder = f"sys/devices/system/cpu/cpu{core}/cpufreq"
        first[f"{folder}/cpuinfo_max_freq"] = f"{most}\n"
        first[f"{folder}/scaling_cur_freq"] = f"{now}\n"
    for name, value in {**PROPERTIES, **properties}.items():
        first[f"state/prop/{name}"] = f"{value}\n"
    for path, text in first.items():
        place = root / path
        if not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)


def battery(
    level: int = 83, celsius: float = 27.5, charging: bool = False, plugged: bool | None = None
) -> str:
    """What ``dumpsys battery`` prints."""
    usb = charging if plugged is None else plugged
    return BATTERY.format(
        usb=str(usb).lower(), status=2 if charging else 3, level=level, tenths=round(10 * celsius)
    )


def thermal(status: int = 0) -> str:
    """What ``dumpsys thermalservice`` prints."""
    return THERMAL.format(status=status)
