"""Networks are timed as their profile was measured, and on what it was measured on."""

from __future__ import annotations

from fdi_keras.devices import RuntimeChoice, open_device
from fdi_keras.errors import UsageError
from fdi_keras.profile.profile import DeviceProfile


def runtime_of(profile: DeviceProfile) -> RuntimeChoice:
    """How a device has to execute networks so that their times are those that the profile predicts."""
    made_by = profile.runtime
    if profile.caution:  # nothing executed it
        return RuntimeChoice(threads=made_by.threads)
    return RuntimeChoice(made_by.threads, made_by.delegate, made_by.cores, made_by.precision)


def check_device(profile: DeviceProfile, device: str) -> str:
    """What to know where networks of a profile are timed on a device; empty where it is the profile's own.

    Args:
        profile: what predicts their times.
        device: as ``fdi devices`` lists it.

    Raises:
        DeviceNotFoundError: there is no such device.
        UsageError: one of them is a phone, the other is this computer.
    """
    if profile.caution:
        return ""
    here, measured = open_device(device).info, profile.device
    if here.kind != measured.kind:
        raise UsageError(
            f"profile {profile.name!r} is of the {measured.kind} {measured.name!r}, and device {device!r} is "
            f"the {here.kind} {here.name!r}: what is timed there says nothing of it. Name the {measured.kind} as "
            "device, or no device to go by what the profile predicts."
        )
    if here.name != measured.name:
        return (
            f"profile {profile.name!r} is of {measured.name!r}, and networks are timed on {here.name!r}: which "
            "widths are fast may differ. 'fdi profile' makes a profile of this device."
        )
    made_by = f"{profile.runtime.name} {profile.runtime.version}"
    runs_now, _, _ = (here.details.get("runtime") or made_by).partition(
        " ("
    )  # phones do not tell before they run
    if runs_now != made_by:
        return (
            f"profile {profile.name!r} was measured with {made_by}, and networks are timed with {runs_now}: which "
            "widths are fast may differ. 'fdi profile' makes a profile of the runtime that there is now."
        )
    return ""
