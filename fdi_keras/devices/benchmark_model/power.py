"""Samples a phone's battery current and voltage while a command runs.

A shell on the phone does the sampling in a loop of its own: a call over adb for each
sample would take longer than the samples lie apart, and would keep the phone busy. The
loop uses only builtins of the shell, and ``sleep``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import msgspec

from fdi_keras.errors import EnergyUnavailableError

BATTERY = "/sys/class/power_supply/battery"

#: Seconds between two samples (our choice: fuel gauges themselves renew their values every 0.1 to 1 s).
PAUSE_S = 0.1

#: Seconds without work before and after the command.
IDLE_S = 10.0

_SAMPLE = re.compile(r"(idle|busy|after) (\d+(?:\.\d+)?) (-?\d+|-) (-?\d+|-) (.*)")

#: Arguments: where samples go, how many idle ones before and after, the pause, the battery's folder,
#: then the command, whose streams and exit code are those of the whole.
_SCRIPT = """\
O=$1 N=$2 W=$3 D=$4; shift 4
exec 3>"$O"
P=
trap '[ -n "$P" ] && kill -9 "$P" 2>/dev/null; exit 143' HUP INT TERM
sample() {
  T=- C=- V=- S=
  read -r T _ </proc/uptime
  { read -r C <"$D/current_now"; read -r V <"$D/voltage_now"; read -r S <"$D/status"; } 2>/dev/null
  echo "$1 $T ${C:--} ${V:--} $S" >&3
}
idle() { I=0; while [ "$I" -lt "$N" ]; do sample "$1"; sleep "$W"; I=$((I+1)); done; }
idle idle
"$@" 3>&- &
P=$!
while kill -0 "$P" 2>/dev/null; do sample busy; sleep "$W"; done
wait "$P"; E=$?
P=
idle after
echo done >&3
exit "$E"\
"""


class PowerSample(msgspec.Struct, frozen=True):
    """One reading of the battery.

    Attributes:
        time_s: since the phone was started.
        current: as the phone gives it: unit and sign differ between phones.
        voltage: as the phone gives it.
        status: ``"Discharging"``, ``"Charging"``, ``"Full"``, ``"Not charging"``; empty when not told.
        phase: before the command, while it ran, after it.
    """

    time_s: float
    current: int
    voltage: int
    status: str
    phase: str


def sampled(
    command: Sequence[str],
    output: str,
    *,
    idle_s: float = IDLE_S,
    pause_s: float = PAUSE_S,
    battery: str = BATTERY,
) -> list[str]:
    """A command that runs another one between two idle times and writes samples to a file on the phone.

    Args:
        command: to run; keeps its streams and its exit code.
        output: path on the phone.
        idle_s: seconds of rest before and after.
        pause_s: seconds between two samples.
        battery: folder of the battery's files.
    """
    count = max(1, math.ceil(idle_s / pause_s))
    return ["sh", "-c", _SCRIPT, "fdi-power", output, str(count), f"{pause_s:g}", battery, *command]


def parse_samples(text: str | bytes) -> list[PowerSample]:
    """Read the file of samples.

    Raises:
        EnergyUnavailableError: it is cut off or damaged, or the phone does not let its
            current and voltage be read.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "backslashreplace")
    lines = text.splitlines()
    if lines[-1:] != ["done"] or not text.endswith("\n"):
        raise EnergyUnavailableError(
            "the samples of the battery are cut off: the run was ended before its time."
        )
    samples: list[PowerSample] = []
    for line in lines[:-1]:
        match = _SAMPLE.fullmatch(line)
        if match is None:
            raise EnergyUnavailableError(f"a sample of the battery cannot be read: {line[:120]!r}.")
        phase, time_s, current, voltage, status = match.groups()
        if "-" in (current, voltage):
            missing = "current_now" if current == "-" else "voltage_now"
            raise EnergyUnavailableError(
                f"this phone does not let its battery's {missing} be read by the shell user, so no energy "
                "can be measured on it."
            )
        samples.append(PowerSample(float(time_s), int(current), int(voltage), status, phase))
    order = [{"idle": 0, "busy": 1, "after": 2}[sample.phase] for sample in samples]
    times = [sample.time_s for sample in samples]
    if order != sorted(order) or times != sorted(times) or set(order) != {0, 1, 2}:
        raise EnergyUnavailableError("the samples of the battery are incomplete or out of order.")
    return samples
