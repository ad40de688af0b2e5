"""The program adb: where it is, which it is, and starting its server with it.

adbutils would start a server by itself, with its output in the middle of our screen.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from fdi_keras.errors import DeviceError, DeviceSilentError
from fdi_keras.text import clean

#: A server starts in well under a second, on a slow disk in several.
START_S = 20.0

GET_ADB = (
    "Install Android's platform-tools (Debian and Ubuntu: apt install adb; macOS: brew install "
    "android-platform-tools; https://developer.android.com/tools/releases/platform-tools), or name "
    "the program with ADBUTILS_ADB_PATH"
)


def find_adb() -> Path:
    """The program adb: ``ADBUTILS_ADB_PATH``, then PATH, then the one in the package adbutils.

    Raises:
        DeviceError: there is none; how to get it.
    """
    told = os.environ.get("ADBUTILS_ADB_PATH")
    if told:
        if not os.access(told, os.X_OK) or os.path.isdir(told):
            raise DeviceError(f"ADBUTILS_ADB_PATH names no program: {told}. {GET_ADB}.")
        return Path(told)
    on_path = shutil.which("adb")
    if on_path:
        return Path(on_path)
    # Without importing adbutils, which takes a tenth of a second.
    package = find_spec("adbutils")
    for folder in package.submodule_search_locations or () if package else ():
        bundled = Path(folder, "binaries", "adb.exe" if os.name == "nt" else "adb")
        if os.access(bundled, os.X_OK):
            return bundled
    raise DeviceError(f"adb was not found on PATH, and the package adbutils brings none here. {GET_ADB}.")


def adb_version(adb: Path) -> str:
    """What ``adb version`` says, ``36.0.0-13206524`` for instance.

    Raises:
        DeviceError: it is no adb, or does not run here.
    """
    said = _run([str(adb), "version"], timeout_s=10.0)
    found = re.search(r"^Version (\S+)", said, re.MULTILINE) or re.search(r"version (\S+)", said)
    if not found:
        raise DeviceError(f"{adb} does not answer as adb does: {words(said)}. {GET_ADB}.")
    return clean(found[1], 60)


def start_server(adb: Path, port: int) -> None:
    """Start adb's server on this computer; what it says stays off the screen.

    Raises:
        DeviceError: it does not start, with its words.
    """
    _run([str(adb), "-P", str(port), "start-server"], timeout_s=START_S)


def _run(command: Sequence[str], timeout_s: float) -> str:
    # Into a file: the server that adb leaves behind may keep a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                timeout=timeout_s,
                check=False,
                start_new_session=True,  # Ctrl-C in our terminal must not end everybody's server
            )
        except subprocess.TimeoutExpired:
            raise DeviceSilentError(f"{' '.join(command)} did not end within {timeout_s:g} s.") from None
        except OSError as error:
            raise DeviceError(f"cannot run {command[0]}: {error.strerror}. {GET_ADB}.") from error
        output.seek(0)
        said = output.read(1 << 16).decode(errors="replace")
    if done.returncode:
        raise DeviceError(f"{' '.join(command)} failed: {words(said) or f'status {done.returncode}'}.")
    return said


def words(said: str) -> str:
    """What adb said, for the middle of a message."""
    return clean(said.strip(), 300).rstrip(".") or "it gave no reason"
