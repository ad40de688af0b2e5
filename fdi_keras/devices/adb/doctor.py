"""The doctor: what a campaign on a phone needs, checked one thing after the other, with how to mend it.

First this computer (adb and its servers), then every phone through all of
:data:`~fdi_keras.devices.adb.checks.CHECKS`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from fdi_keras.devices.adb import checks
from fdi_keras.devices.adb.checks import Check, Finding, Patient
from fdi_keras.devices.adb.device import SILENT, PhoneDevice, state_words
from fdi_keras.devices.adb.program import adb_version, find_adb
from fdi_keras.devices.adb.search import NONE, at_once, attached_phones, servers_told
from fdi_keras.devices.adb.server import parse_server
from fdi_keras.errors import DeviceError, DeviceGoneError, DeviceSilentError
from fdi_keras.text import clean


class Examination(msgspec.Struct, frozen=True):
    """All findings: about this computer, and about each phone by its id."""

    host: list[Finding]
    phones: dict[str, list[Finding]]

    @property
    def healthy(self) -> bool:
        """Whether there is no problem; warnings do not count."""
        all_findings = [self.host, *self.phones.values()]
        return not any(finding.verdict == "problem" for each in all_findings for finding in each)


def examine(
    name: str | None = None, adb: Sequence[str] | None = None, more: Sequence[Check] = ()
) -> Examination:
    """Examine a phone, or all phones that are attached.

    Args:
        name: serial, or ``SERIAL@HOST:PORT``.
        adb: adb servers, as in ``find_devices``.
        more: checks of each phone after those of :data:`~fdi_keras.devices.adb.checks.CHECKS`.

    Raises:
        UsageError: an address that is none.
    """
    serial, at, address = (name or "").rpartition("@")
    if at:
        adb = [NONE, parse_server(address).label]
    host = [_adb()] if any(server.is_ours for server in servers_told(adb)) else []
    phones, notes = attached_phones(adb)
    for server in servers_told(adb):
        host.append(_server(server.label, notes))
    if name is not None:
        phones = [phone for phone in phones if phone.link.serial == (serial if at else name)]
    if not phones:
        host.append(_no_phone(name))
    return Examination(
        host,
        dict(
            zip(
                [phone.id for phone in phones],
                at_once(lambda phone: _phone(phone, more), phones),
                strict=True,
            )
        ),
    )


def _adb() -> Finding:
    try:
        adb = find_adb()
        return Finding("adb", "ok", f"{adb_version(adb)} ({adb})")
    except DeviceError as error:
        return Finding("adb", "problem", "not found, or it does not run", str(error))


def _server(label: str, notes: list[str]) -> Finding:
    trouble = [note for note in notes if f"at {label}:" in note]
    if trouble:
        return Finding("adb server", "problem", trouble[0], "See 'adb' above, or start it where it is.")
    return Finding("adb server", "ok", f"answers at {label}")


def _no_phone(name: str | None) -> Finding:
    text = "no phone is attached" if name is None else f"{clean(name, 80)} is not attached"
    return Finding(
        "phone",
        "problem",
        text,
        "Plug it in, turn on 'USB debugging' in its developer options, and use a cable that carries data; "
        "or over Wi-Fi: fdi pair, fdi connect.",
    )


def _phone(phone: PhoneDevice, more: Sequence[Check]) -> list[Finding]:
    attached = phone.attached
    if attached.state != "device":
        what, _, remedy = state_words(attached).partition(": ")
        return [Finding("authorised", "problem", what, _sentence(remedy))]
    patient = Patient(attached, phone.link)
    findings = [Finding("authorised", "ok", "this computer may debug it")]
    for check in (*checks.CHECKS, *more):
        try:
            finding = check(patient)
        except DeviceSilentError as error:
            return [
                *findings,
                Finding("answers", "problem", str(error), _sentence(SILENT.partition(": ")[2])),
            ]
        except DeviceGoneError as error:
            return [*findings, Finding("answers", "problem", str(error), "Check the cable, and try again.")]
        except DeviceError as error:
            finding = Finding(check.__name__.strip("_").replace("_", " "), "problem", str(error))
        if finding is not None:
            findings.append(finding)
    return findings


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text else ""
