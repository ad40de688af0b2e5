"""Part 4: four phones at once against one.

Each phone is a process of its own with a tool that sleeps, so that phones and not this computer are the
bottleneck, as with real ones. They are of one model and share the work, through
``profile_devices``. Throughput is measurements per second from the first to the last of the journals.
"""

from __future__ import annotations

import contextlib
import shutil

from stand_in_phone import PhoneProcess

from benchmarks.phones.rig import Rig, Settings, rig
from benchmarks.report import Row
from fdi_keras.devices import RuntimeChoice
from fdi_keras.errors import FdiError
from fdi_keras.journal import read_journal
from fdi_keras.profile import campaign_journal, profile_devices

PHONES = 4
LIMIT = 3.2
MINUTES = 1.0
KINDS = ["conv2d", "depthwise_conv2d", "relu"]
#: Milliseconds of an execution: probes of a campaign last 0.12 s at least, and five executions.
SLEEP_MS = [5.0, 60.0]


def run(settings: Settings) -> list[Row]:
    folder = settings.work / "several_phones"
    shutil.rmtree(folder, ignore_errors=True)
    found = {}
    for count in (1, PHONES):
        with rig(folder / f"{count}") as made:
            found[count] = _throughput(made, count, settings.seed)
    ratio = found[PHONES][0] / found[1][0]
    measured = (
        f"{ratio:.2f} x: {60 * found[PHONES][0]:.0f} probes a minute with {PHONES}, {60 * found[1][0]:.0f} with one "
        f"({found[PHONES][2]} different ones of {found[PHONES][1]})"
    )
    details = {
        str(n): {"probes_per_s": rate, "measured": all_, "different": different}
        for n, (rate, all_, different) in found.items()
    }
    return [
        Row(
            "4",
            f"throughput of {PHONES} phones at once",
            f">= {LIMIT} x one",
            measured,
            ratio >= LIMIT,
            details,
        )
    ]


def _throughput(made: Rig, count: int, seed: int) -> tuple[float, int, int]:
    """Probes per second, how many, and how many different ones."""
    choice = RuntimeChoice(benchmark_model=made.tool("benchmark_model", sleep_ms=SLEEP_MS))
    with contextlib.ExitStack() as stack:
        devices = []
        for number in range(count):
            phone = stack.enter_context(PhoneProcess(made.folder / f"phone-{number}"))
            devices.append(made.id(phone.call("attach", made.adb.port)))
        results = profile_devices(devices, minutes=MINUTES, kinds=KINDS, seed=seed, runtime=choice)
        for error in results.values():
            if isinstance(error, FdiError):
                raise error
        events = [
            event
            for device in devices
            for event in read_journal(campaign_journal(device, choice))
            if event["event"] == "measurement"
        ]
    times = sorted(event["time"] for event in events)
    return len(times) / (times[-1] - times[0]), len(times), len({event["index"] for event in events})
