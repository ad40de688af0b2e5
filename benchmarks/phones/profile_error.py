"""Part 1: a profile made through adb beside one of the same computer made directly.

The stand-in phone's tool executes the models with LiteRT on this computer, so both campaigns
measure one and the same processor, and the errors should be the same but for what the way over adb does.
They take turns of :data:`TURN_MINUTES`, each resuming its own journal, so that whatever else the
computer does hits both. The last turn, which learns the profile, is ``profile_device`` as it stands.
"""

from __future__ import annotations

from pathlib import Path

from stand_in_phone import StandInPhone

from benchmarks.phones.rig import Settings, rig
from benchmarks.report import Row
from fdi_keras.devices import RuntimeChoice, open_device, open_runner
from fdi_keras.execution_time import configuration_folds, held_out_error, out_of_fold_predictions
from fdi_keras.profile import DeviceProfile, campaign_journal, profile_device
from fdi_keras.profiling import Plan, run_campaign

KINDS = ("conv2d", "depthwise_conv2d", "dense")
LIMIT = 1.3
TURN_MINUTES = 0.5
FOLDS = 5


def run(settings: Settings) -> list[Row]:
    folder = settings.work / "profile_error"
    with rig(folder) as made, StandInPhone(folder / "phone") as phone:
        choice = RuntimeChoice(benchmark_model=made.tool("benchmark_model"))
        ways = {
            "local": ("local", RuntimeChoice()),
            "adb": (made.id(phone.attach(made.adb.port)), choice),
        }
        turns = max(1, round(settings.minutes / TURN_MINUTES))
        for turn in range(1, turns):
            for device, how in ways.values():
                _turn(device, how, settings, settings.minutes * turn / turns, resume=turn > 1)
        profiles = {
            name: profile_device(
                device,
                minutes=settings.minutes,
                seed=settings.seed,
                out=folder / f"{name}.json",
                resume=turns > 1,
                runtime=how,
            )
            for name, (device, how) in ways.items()
        }
    return [row for kind in KINDS for row in _rows(kind, profiles, settings)]


def _turn(device: str, how: RuntimeChoice, settings: Settings, minutes: float, resume: bool) -> None:
    """What ``profile_device`` does but for the learning, which would take longer than the turn."""
    with open_runner(device, how) as runner:
        run_campaign(
            runner,
            Plan(seed=settings.seed, minutes=minutes),
            Path(campaign_journal(device, how)),
            device=open_device(device).info,
            resume=resume,
        )


def _rows(kind: str, profiles: dict[str, DeviceProfile], settings: Settings) -> list[Row]:
    errors, counts = {}, {}
    for name, profile in profiles.items():
        table = profile.measurements[kind]
        times, groups = table.times_ms(profile.overhead_ms), table.column("group")
        predicted = out_of_fold_predictions(
            kind,
            table.dims,
            times,
            configuration_folds(table.dims, FOLDS, settings.seed, groups),
            groups=groups,
            seed=settings.seed,
            fetch=profile.weight_fetch,
        )
        errors[name], counts[name] = held_out_error(times, predicted, FOLDS).mape, len(table)
    ratio = errors["adb"] / errors["local"]
    measured = (
        f"{ratio:.2f} x: {errors['adb']:.2%} of {counts['adb']} over adb, "
        f"{errors['local']:.2%} of {counts['local']} directly"
    )
    name = f"held-out MAPE {kind}, over adb against directly"
    details = {"mape": errors, "measurements": counts, "minutes": settings.minutes}
    return [Row("1", name, f"<= {LIMIT} x", measured, bool(ratio <= LIMIT), details)]
