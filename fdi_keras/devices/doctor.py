"""Everything that a campaign on a phone needs: the phone itself, and the tool for it."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike

from fdi_keras.devices.adb.checks import ABIS, Finding, Patient
from fdi_keras.devices.adb.doctor import Examination
from fdi_keras.devices.adb.doctor import examine as examine_phones
from fdi_keras.devices.benchmark_model.binary import look_for_binary
from fdi_keras.errors import DeviceError


def examine(
    name: str | None = None,
    adb: Sequence[str] | None = None,
    benchmark_model: str | PathLike[str] | None = None,
) -> Examination:
    """Examine a phone, or all phones that are attached.

    Args:
        name: serial, or ``SERIAL@HOST:PORT``.
        adb: adb servers, as in ``find_devices``.
        benchmark_model: the tool's file; looked for where a campaign would when left out.

    Raises:
        UsageError: an address that is none.
    """

    def tool(patient: Patient) -> Finding | None:
        abi = patient.facts.abi
        if abi not in ABIS:
            return None  # the check of the ABI has said so
        try:
            found = look_for_binary(abi, benchmark_model)
        except DeviceError as error:
            return Finding("benchmark_model", "problem", str(error), "Name another file, or remove that one.")
        if found is None:
            return Finding(
                "benchmark_model",
                "warning",
                f"not here yet for {abi}",
                "A campaign fetches it from TensorFlow's nightly builds; without network see docs/phones.md.",
            )
        return Finding("benchmark_model", "ok", f"{found.path} (sha256 {found.sha256[:12]})")

    return examine_phones(name, adb, [tool])
