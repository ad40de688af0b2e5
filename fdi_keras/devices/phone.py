"""A phone that models can be timed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fdi_keras.devices.adb.device import PhoneDevice, state_words
from fdi_keras.devices.adb.facts import PhoneFacts, read_facts
from fdi_keras.devices.base import RuntimeChoice
from fdi_keras.errors import DeviceError, UsageError

if TYPE_CHECKING:
    from fdi_keras.devices.phone_runner import PhoneRunner


class Phone(PhoneDevice):
    """See :class:`fdi_keras.devices.base.Device`.

    Attributes:
        progress: called with the bytes of benchmark_model that were fetched, and their total.
    """

    progress: Callable[[int, int | None], None] | None = None

    def open(self, choice: RuntimeChoice | None = None) -> PhoneRunner:
        """A runner that prepares the phone when it is entered.

        Raises:
            DeviceError: the phone is not ready (unauthorized, offline), or cannot be asked.
            RunnerNotFoundError: no benchmark_model for it.
            UsageError: cores that it does not have, or another impossible choice.
        """
        from fdi_keras.devices.benchmark_model import find_binary, phone_runtime
        from fdi_keras.devices.phone_runner import PhoneRunner

        choice = choice or RuntimeChoice()
        if self.attached.state != "device":
            raise DeviceError(f"phone {self.id} is not ready: {state_words(self.attached)}.")
        facts = read_facts(self.link)
        if facts.abi is None:
            raise DeviceError(
                f"phone {self.id} does not tell its ABI (ro.product.cpu.abi), so no tool can be chosen."
            )
        mask = cpu_mask(facts, choice.cores)  # before a download is begun
        binary = find_binary(facts.abi, choice.benchmark_model, progress=self.progress)
        runtime = phone_runtime(
            binary.sha256,
            delegate=choice.delegate,
            threads=1 if choice.threads is None else choice.threads,
            precision=choice.precision,
            cores=choice.cores,
            cpu_mask=mask,
        )
        return PhoneRunner(self.link, facts, runtime, binary)


def cpu_mask(facts: PhoneFacts, cores: str) -> str:
    """The mask for ``taskset``.

    Args:
        cores: ``"little"``: those with the lowest clock; ``"big"``: all others; a mask; or nothing.

    Raises:
        UsageError: the phone has no such cores, or it is no mask.
    """
    if not cores:
        return ""
    if cores in ("big", "little"):
        group = facts.big if cores == "big" else facts.little
        if group is None:
            found = "all have one clock" if facts.groups else "it does not tell their clocks"
            raise UsageError(f"this phone has no {cores} cores: {found}. Give a mask, such as f0.")
        return group.mask
    try:
        mask = int(cores, 16)
    except ValueError:
        mask = 0
    present = sum(1 << core.number for core in facts.cores)
    if mask <= 0 or (present and mask & ~present):
        raise UsageError(
            f"cores must be 'big', 'little' or a hexadecimal mask of cores that the phone has"
            f"{f' ({present:x})' if present else ''}; received {cores!r}."
        )
    return f"{mask:x}"
