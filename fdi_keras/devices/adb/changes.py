"""What is changed on a phone: each change knows what was before, and how to undo itself."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from fdi_keras.devices.adb.phone import PhoneLink
from fdi_keras.text import clean

#: Longer values, or such with characters that are not printable, are not what Android keeps there.
LONGEST_VALUE = 1000


def _keepable(value: str | None) -> bool:
    """Whether a value can be put back as it was."""
    return value is None or (len(value) <= LONGEST_VALUE and value.isprintable() and "\ufffd" not in value)


class Setting(msgspec.Struct, frozen=True, tag="setting"):
    """An Android setting.

    Attributes:
        space: ``global``, ``system`` or ``secure``.
        value: while measuring.
        before: None when there was none.
    """

    space: str
    name: str
    value: str
    before: str | None = None

    def looked_up(self, link: PhoneLink) -> Setting | None:
        """Itself with what is set now; None when that is the wanted value already."""
        now = self._now(link)
        return None if now == self.value else msgspec.structs.replace(self, before=now)

    @property
    def obstacle(self) -> str:
        """Why it must not be changed, or nothing."""
        if _keepable(self.before):
            return ""
        return f"setting {self.name} has a strange value and stays as it is: {clean(self.before, 60)!r}."

    def apply(self, link: PhoneLink) -> str:
        """Change it; what went wrong, or nothing."""
        done = link.run(["settings", "put", self.space, self.name, self.value])
        if done.code or self._now(link) != self.value:
            return (
                f"setting {self.name} cannot be changed ({_said(done.stderr or done.stdout)}). Some makers "
                "want 'USB debugging (Security settings)' in the developer options for it."
            )
        return ""

    def restore(self, link: PhoneLink) -> str:
        """Undo it, unless somebody else has changed it since; a note when it is not as before."""
        now = self._now(link)
        if now == self.before:
            return ""
        if now != self.value:
            return f"setting {self.name} was changed by somebody else meanwhile, and stays as it is."
        if self.before is None:
            link.run(["settings", "delete", self.space, self.name])
        else:
            link.run(["settings", "put", self.space, self.name, self.before])
        if self._now(link) != self.before:
            return f"setting {self.name} could not be restored to {_said(self.before or 'nothing')}."
        return ""

    def _now(self, link: PhoneLink) -> str | None:
        said = link.run(["settings", "get", self.space, self.name]).checked(f"reading setting {self.name}")
        value = said.stdout.removesuffix("\n").removesuffix("\r")
        return None if value in ("null", "") else value


class FixedPerformance(msgspec.Struct, frozen=True, tag="fixed_performance"):
    """The mode in which a phone keeps to clocks that it can hold; it cannot be asked for its state."""

    obstacle: ClassVar[str] = ""

    def looked_up(self, link: PhoneLink) -> FixedPerformance | None:
        """Itself, on Android 11 and later."""
        sdk = link.run("getprop ro.build.version.sdk").stdout.strip()
        return self if sdk.isascii() and sdk.isdigit() and int(sdk) >= 30 else None

    def apply(self, link: PhoneLink) -> str:
        """Turn it on; what went wrong, or nothing."""
        return (
            ""
            if self._set(link, "true")
            else "this phone has no fixed-performance mode: its clocks may vary."
        )

    def restore(self, link: PhoneLink) -> str:
        """Turn it off; a phone that has no such mode needs no restoring."""
        self._set(link, "false")
        return ""

    def _set(self, link: PhoneLink, value: str) -> bool:
        done = link.run(["cmd", "power", "set-fixed-performance-mode-enabled", value])
        # Several versions print an error and still end with status 0.
        said = (done.stdout + done.stderr).lower()
        return done.code == 0 and not any(word in said for word in ("error", "exception", "unknown", "fail"))


class Property(msgspec.Struct, frozen=True, tag="property"):
    """A system property, of those that the adb shell may set."""

    name: str
    value: str
    before: str = ""

    def looked_up(self, link: PhoneLink) -> Property | None:
        """Itself with what is set now; None when that is the wanted value already."""
        now = self._now(link)
        return None if now == self.value else msgspec.structs.replace(self, before=now)

    @property
    def obstacle(self) -> str:
        """Why it must not be changed, or nothing."""
        if _keepable(self.before):
            return ""
        return f"property {self.name} has a strange value and stays as it is: {clean(self.before, 60)!r}."

    def apply(self, link: PhoneLink) -> str:
        """Change it; what went wrong, or nothing."""
        done = link.run(["setprop", self.name, self.value])
        if done.code or self._now(link) != self.value:
            return f"property {self.name} cannot be changed ({_said(done.stderr)})."
        return ""

    def restore(self, link: PhoneLink) -> str:
        """Undo it; a property cannot be deleted, so one that was not set becomes empty."""
        now = self._now(link)
        if now == self.value and now != self.before:
            link.run(["setprop", self.name, self.before])
            if self._now(link) != self.before:
                return f"property {self.name} could not be restored to {_said(self.before)!r}."
        return ""

    def _now(self, link: PhoneLink) -> str:
        return link.run(["getprop", self.name]).stdout.removesuffix("\n").removesuffix("\r")


Change = Setting | FixedPerformance | Property


def _said(text: str) -> str:
    return clean(text.strip(), 200).rstrip(".") or "it gave no reason"
