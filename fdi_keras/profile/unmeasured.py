"""Profiles that no device stands behind, and what is said wherever their numbers appear.

Such a profile is told by the name of its runtime, so that a copy under any name still is one.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from fdi_keras.errors import UnmeasuredProfileWarning

if TYPE_CHECKING:
    from fdi_keras.profile.profile import DeviceProfile

#: Names of runtimes that execute nothing.
COUNTED, TWO_NUMBERS = "counted", "two-numbers"


def caution(runtime: str, device: str) -> str:
    """What to know of the numbers of such a profile; empty for one that was measured.

    Args:
        runtime, device: their names in the profile.

    >>> caution("counted", "counts flops in millions")
    'not measured: it counts flops in millions, so its ms are no milliseconds'
    >>> caution("litert", "some processor")
    ''
    """
    if runtime == COUNTED:
        return f"not measured: it {device}, so its ms are no milliseconds"
    if runtime == TWO_NUMBERS:
        return (
            f"not measured: its times come from {device}; it knows no steps, no dips, and no operator that is "
            "slower than its arithmetic"
        )
    return ""


def warn_if_unmeasured(*profiles: DeviceProfile) -> None:
    """Warn a program that goes by profiles that were not measured (UnmeasuredProfileWarning)."""
    for profile in profiles:
        if not profile.caution:
            continue
        warnings.warn(profile.caution, UnmeasuredProfileWarning, stacklevel=3)
