"""What a phone is and how it is doing, in one shell round trip.

A script asks for everything and puts a mark that nobody can guess before each answer, so that no
answer can pass for another. Every answer is data from outside: what is missing,
denied or nonsense becomes None, and never an error.
"""

from __future__ import annotations

import re
import secrets
from itertools import groupby

import msgspec

from fdi_keras.devices.adb.phone import PhoneLink
from fdi_keras.text import clean

#: Attribute of :class:`PhoneFacts` to the system properties that may say it, best first.
PROPERTIES = {
    "serial_number": ("ro.serialno", "ro.boot.serialno"),
    "manufacturer": ("ro.product.manufacturer", "ro.product.brand"),
    "model": ("ro.product.model",),
    "soc": ("ro.soc.model", "ro.board.platform", "ro.hardware"),
    "soc_manufacturer": ("ro.soc.manufacturer",),
    "abi": ("ro.product.cpu.abi",),
    "abis": ("ro.product.cpu.abilist",),
    "android": ("ro.build.version.release",),
    "sdk": ("ro.build.version.sdk",),
    "fingerprint": ("ro.build.fingerprint",),
}

#: How warm a phone says it is: the numbers of Android's PowerManager.THERMAL_STATUS_*.
THERMAL_WORDS = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")

#: Highest number of a core that is believed.
MOST_CORES = 255

_SCRIPT = """
part() { printf '\\n%s %s\\n' MARK "$1"; }
for name in PROPERTIES; do part "prop $name"; getprop "$name"; done
part cores
cat /sys/devices/system/cpu/possible 2>/dev/null
for folder in /sys/devices/system/cpu/cpu[0-9]*; do
  most= now= online=
  read -r most < "$folder/cpufreq/cpuinfo_max_freq"
  read -r now < "$folder/cpufreq/scaling_cur_freq"
  read -r online < "$folder/online"
  echo "${folder##*/} $most/$now/$online"
done 2>/dev/null
part memory; cat /proc/meminfo 2>/dev/null
part free; df -k /data/local/tmp 2>/dev/null
part current; cat /sys/class/power_supply/battery/current_now 2>/dev/null
part voltage; cat /sys/class/power_supply/battery/voltage_now 2>/dev/null
part simpleperf; command -v simpleperf
part battery; dumpsys battery 2>/dev/null
part thermal; dumpsys thermalservice 2>/dev/null
part end
"""


class Core(msgspec.Struct, frozen=True):
    """A processor core: its number and clocks; None where an offline core does not tell."""

    number: int
    max_mhz: int | None = None
    now_mhz: int | None = None
    online: bool = True


class CoreGroup(msgspec.Struct, frozen=True):
    """Cores of one highest clock, which in phones are cores of one kind.

    Attributes:
        cores: their numbers.
        max_mhz: that clock.
        mask: for ``taskset``: hexadecimal, without 0x.
    """

    cores: tuple[int, ...]
    max_mhz: int
    mask: str


class Battery(msgspec.Struct, frozen=True):
    """From ``dumpsys battery``.

    Attributes:
        level: in percent.
        celsius: its temperature.
        charging: whether it is being filled.
        plugged: whether power comes in, filled or not.
    """

    level: int | None = None
    celsius: float | None = None
    charging: bool | None = None
    plugged: bool | None = None


class PhoneFacts(msgspec.Struct, frozen=True):
    """What is known of a phone; None for what it did not tell. Texts are its own, cleaned and cut.

    Attributes:
        serial_number: the phone's own; the same over cable and Wi-Fi.
        abi, abis: of programs it runs, the best and all.
        android, sdk: version for people and for programs.
        cores: all it has, offline ones too.
        memory_bytes: built in.
        free_bytes: in ``/data/local/tmp``.
        thermal_status: 0 (cool) to 6, from Android 10 on.
        current_readable, voltage_readable: whether the adb shell may read them, for energy.
        simpleperf: whether it has that program, for cache counters.
    """

    serial_number: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    soc: str | None = None
    soc_manufacturer: str | None = None
    abi: str | None = None
    abis: tuple[str, ...] = ()
    android: str | None = None
    sdk: int | None = None
    fingerprint: str | None = None
    cores: tuple[Core, ...] = ()
    memory_bytes: int | None = None
    free_bytes: int | None = None
    battery: Battery = Battery()
    thermal_status: int | None = None
    current_readable: bool = False
    voltage_readable: bool = False
    simpleperf: bool = False

    @property
    def groups(self) -> list[CoreGroup]:
        """Cores by their highest clock, slowest first; those that do not tell it are left out."""
        known = sorted((core.max_mhz, core.number) for core in self.cores if core.max_mhz is not None)
        return [
            _group(clock, [number for _, number in group]) for clock, group in groupby(known, lambda c: c[0])
        ]

    @property
    def little(self) -> CoreGroup | None:
        """The slowest cores; None when all are alike or unknown."""
        groups = self.groups
        return groups[0] if len(groups) > 1 else None

    @property
    def big(self) -> CoreGroup | None:
        """All cores faster than the slowest, a single prime core included; None as for :attr:`little`."""
        faster = self.groups[1:]
        numbers = sorted(number for group in faster for number in group.cores)
        return _group(faster[-1].max_mhz, numbers) if faster else None

    @property
    def name(self) -> str:
        """For people: manufacturer and model, without saying the first twice."""
        model, maker = self.model or "phone", self.manufacturer or ""
        return model if not maker or model.lower().startswith(maker.lower()) else f"{maker} {model}"


def _group(clock: int, numbers: list[int]) -> CoreGroup:
    return CoreGroup(tuple(numbers), clock, core_mask(numbers))


def core_mask(cores: list[int]) -> str:
    """Core numbers as ``taskset`` takes them on a phone.

    >>> core_mask([4, 5, 6, 7])
    'f0'
    """
    return f"{sum(1 << core for core in set(cores)):x}"


def read_facts(link: PhoneLink, timeout_s: float = 10.0) -> PhoneFacts:
    """Ask a phone for everything.

    Raises:
        DeviceGoneError: it is not there, goes away, or does not answer in time.
    """
    mark = f"fdi-{secrets.token_hex(12)}"
    names = " ".join(name for names in PROPERTIES.values() for name in names)
    answer = link.run(_SCRIPT.replace("MARK", mark).replace("PROPERTIES", names), timeout_s)
    return parse_facts(answer.stdout, mark)


def parse_facts(text: str, mark: str) -> PhoneFacts:
    """The script's output as facts; whatever it is, there is no error."""
    parts: dict[str, str] = {}
    for part in f"\n{text}".split(f"\n{mark} ")[1:]:
        name, _, content = part.partition("\n")
        parts.setdefault(name.strip(), content)
    said = {
        attribute: next(filter(None, (_word(parts.get(f"prop {name}", "")) for name in names)), None)
        for attribute, names in PROPERTIES.items()
    }
    sdk = said.pop("sdk")
    abis = said.pop("abis")
    return PhoneFacts(
        **said,
        sdk=_number(sdk, 1, 10_000),
        abis=tuple(abi.strip() for abi in (abis or "").split(",") if abi.strip()),
        cores=_cores(parts.get("cores", "")),
        memory_bytes=_kilobytes(re.search(r"^MemTotal:\s*([0-9]+) kB", parts.get("memory", ""), re.M)),
        free_bytes=_free(parts.get("free", "")),
        battery=parse_battery(parts.get("battery", "")),
        thermal_status=parse_thermal(parts.get("thermal", "")),
        current_readable=_number(parts.get("current"), -(10**8), 10**8) is not None,
        voltage_readable=_number(parts.get("voltage"), 1, 10**8) is not None,
        simpleperf=parts.get("simpleperf", "").strip().startswith("/"),
    )


def parse_battery(text: str) -> Battery:
    """What ``dumpsys battery`` prints.

    >>> parse_battery("USB powered: true\\n level: 80\\n scale: 100\\n temperature: 251\\n status: 2")
    Battery(level=80, celsius=25.1, charging=True, plugged=True)
    """
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    level = _number(fields.get("level"), 0, 10_000)
    scale = _number(fields.get("scale"), 1, 10_000) or 100
    tenths = _number(fields.get("temperature"), -500, 1500)
    status = _number(fields.get("status"), 1, 5)
    powered = [value for key, value in fields.items() if key.endswith(" powered")]
    return Battery(
        level=None if level is None or level > scale else round(100 * level / scale),
        celsius=None if tenths is None else tenths / 10,
        charging=None if status is None or status == 1 else status == 2,
        plugged="true" in powered if powered else None,
    )


def parse_thermal(text: str) -> int | None:
    """The status in what ``dumpsys thermalservice`` prints; None before Android 10."""
    found = re.search(r"^\s*Thermal Status:\s*([0-9]{1,2})\s*$", text, re.M | re.ASCII)
    return _number(found[1], 0, len(THERMAL_WORDS) - 1) if found else None


def _word(text: str) -> str | None:
    word = clean(text.strip(), 200).strip()
    return None if word in ("", "unknown", "null") else word


def _number(text: str | None, least: int, most: int) -> int | None:
    found = re.fullmatch(r"\s*([+-]?[0-9]{1,12})\s*", text or "", re.ASCII)
    number = int(found[1]) if found else None
    return number if number is not None and least <= number <= most else None


def _kilobytes(found: re.Match[str] | None) -> int | None:
    number = _number(found[1], 0, 10**11) if found else None
    return None if number is None else number * 1024


def _free(text: str) -> int | None:
    """Of the last line of ``df -k``: size, used and available stand before a share in percent."""
    lines = text.split("\n")
    found = re.search(r"\s[0-9]+\s+[0-9]+\s+([0-9]+)\s+[0-9]+%", " ".join(lines[1:]), re.ASCII)
    return _kilobytes(found)


def _cores(text: str) -> tuple[Core, ...]:
    found: dict[int, Core] = {}
    for line in text.splitlines():
        told = re.fullmatch(r"cpu([0-9]{1,3}) ([^/]*)/([^/]*)/([^/]*)", line.strip(), re.ASCII)
        if told and int(told[1]) <= MOST_CORES:
            most, now = (_number(clock, 1000, 10**8) for clock in (told[2], told[3]))
            found[int(told[1])] = Core(
                int(told[1]),
                None if most is None else round(most / 1000),
                None if now is None else round(now / 1000),
                told[4].strip() != "0",
            )
    possible = re.fullmatch(r"0-([0-9]{1,3})", text.partition("\n")[0].strip(), re.ASCII)
    for number in range(min(int(possible[1]), MOST_CORES) + 1 if possible else 0):
        found.setdefault(number, Core(number, online=False))
    return tuple(found[number] for number in sorted(found))
