"""Finds the tool for a phone's ABI: a file that was named, the cache, or the official nightly build.

The version of the tool changes the times that it measures, and it prints none. Its
hash is therefore part of the runtime that a profile belongs to.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Callable
from os import PathLike
from pathlib import Path

import filelock
import msgspec

from fdi_keras.devices.benchmark_model.download import fetch, now
from fdi_keras.errors import RunnerNotFoundError, StorageError

VARIABLE = "FDI_BENCHMARK_MODEL"
FLAG = "--benchmark-model FILE"

#: Where TensorFlow's nightly builds of the tool lie, as its documentation names them.
LOCATION = "https://storage.googleapis.com/tensorflow-nightly-public/prod/tensorflow/release/lite/tools/nightly/latest"
NAMES = {"arm64-v8a": "android_aarch64_benchmark_model", "armeabi-v7a": "android_arm_benchmark_model"}

#: ELF class and machine of each ABI of Android.
_ELF = {"arm64-v8a": (2, 183), "armeabi-v7a": (1, 40), "x86_64": (2, 62), "x86": (1, 3)}
_MACHINES = {183: "64-bit ARM", 40: "32-bit ARM", 62: "64-bit x86", 3: "32-bit x86", 243: "RISC-V"}

Progress = Callable[[int, "int | None"], None]


class Binary(msgspec.Struct, frozen=True):
    """A file of the tool, checked.

    Attributes:
        path: of the file on this computer.
        abi: for which phones.
        sha256: of its content, 64 hexadecimal digits.
        bytes: its size.
        source: where it is from: an address, ``"placed by hand"``, or who named it.
        fetched: when it was fetched, ISO 8601; empty when it was not.
    """

    path: str
    abi: str
    sha256: str
    bytes: int
    source: str
    fetched: str = ""


def find_binary(
    abi: str,
    path: str | PathLike[str] | None = None,
    *,
    progress: Progress | None = None,
    location: str = LOCATION,
) -> Binary:
    """The tool for an ABI: ``path``, else ``$FDI_BENCHMARK_MODEL``, else the cache, else fetched into it.

    Args:
        abi: of the phone, ``ro.product.cpu.abi``.
        path: a file that was named; may be a script (``#!``) that starts the tool.
        progress: called with the bytes received and their total, None while unknown.
        location: the folder to fetch from, an address without the last slash.

    Raises:
        RunnerNotFoundError: there is none, it is not for this ABI, or it could not be
            fetched; the message names what to get and where to put it.
        StorageError: the cache cannot be written.
    """
    named = _named(abi, path)
    if named is not None:
        return named
    place = cached_path(abi)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(place.with_suffix(".lock")):  # several phones may ask at once
            return _cached(place, abi) if place.exists() else _fetched(place, abi, location, progress)
    except OSError as error:
        if isinstance(error, StorageError):
            raise
        raise StorageError(
            f"cannot keep benchmark_model in {place.parent}: {error.strerror or error}. Make the folder "
            "writable, or name another with FDI_CACHE."
        ) from error


def look_for_binary(abi: str, path: str | PathLike[str] | None = None) -> Binary | None:
    """What :func:`find_binary` would take without fetching anything; None where it would fetch.

    Raises:
        RunnerNotFoundError: a file was named, or is in the cache, that is not for this ABI.
    """
    place = cached_path(abi)
    return _named(abi, path) or (_cached(place, abi) if place.exists() else None)


def _named(abi: str, path: str | PathLike[str] | None) -> Binary | None:
    for file, source in ((path, FLAG.split()[0]), (os.environ.get(VARIABLE), VARIABLE)):
        if file:
            return _checked(Path(file), abi, source, scripts=True)
    return None


def cached_path(abi: str) -> Path:
    """Where the tool for an ABI is kept: under ``$FDI_CACHE``, else in the user's cache folder."""
    import platformdirs

    told = os.environ.get("FDI_CACHE")
    folder = Path(told) if told else Path(platformdirs.user_cache_dir("fdi-keras"))
    return (
        folder
        / "benchmark_model"
        / "".join(c if c.isalnum() or c in "-_" else "-" for c in abi)
        / "benchmark_model"
    )


def check_elf(content: bytes, abi: str, what: str) -> None:
    """RunnerNotFoundError unless this is a complete program for the ABI."""
    if abi not in _ELF:
        raise RunnerNotFoundError(f"no phone has the ABI {abi!r}; expected one of {', '.join(_ELF)}.")
    if content[:4] != b"\x7fELF" or len(content) < 64 or content[5] != 1:
        found = "a web page" if content.lstrip()[:1] == b"<" else f"{content[:16]!r}..."
        raise RunnerNotFoundError(f"{what} is no program for Android: expected an ELF file, found {found}")
    wide = content[4] == 2
    kind, machine = struct.unpack_from("<HH", content, 16)
    if (content[4], machine) != _ELF[abi] or kind not in (2, 3):
        raise RunnerNotFoundError(
            f"{what} is for {_MACHINES.get(machine, f'machine {machine}')}, the phone needs one for "
            f"{_MACHINES[_ELF[abi][1]]} ({abi})."
        )
    # Its table of sections stands at the end: a file that was cut off lacks it.
    begin, size, count = (
        (*struct.unpack_from("<Q", content, 40), *struct.unpack_from("<HH", content, 58))
        if wide
        else (*struct.unpack_from("<I", content, 32), *struct.unpack_from("<HH", content, 46))
    )
    if begin + size * count > len(content):
        raise RunnerNotFoundError(
            f"{what} is cut off: {begin + size * count} bytes expected, {len(content)} found."
        )


def _checked(path: Path, abi: str, source: str, scripts: bool = False) -> Binary:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise RunnerNotFoundError(
            f"{source} names {path}, which cannot be read: {error.strerror}. Name the file of benchmark_model "
            f"for {abi}."
        ) from error
    if not (scripts and content.startswith(b"#!")):
        check_elf(content, abi, str(path))
    return Binary(str(path), abi, hashlib.sha256(content).hexdigest(), len(content), source)


def _cached(place: Path, abi: str) -> Binary:
    """The cached file and what is known of it; one that a person put there has no record yet."""
    binary = _checked(place, abi, "placed by hand")
    record = place.with_suffix(".json")
    try:
        known = msgspec.json.decode(record.read_bytes(), type=Binary)
    except (OSError, msgspec.DecodeError):
        known = binary
    if known.sha256 == binary.sha256 and known is not binary:
        return msgspec.structs.replace(known, path=str(place))
    _write(record, msgspec.json.encode(binary))
    return binary


def _fetched(place: Path, abi: str, location: str, progress: Progress | None) -> Binary:
    if abi not in NAMES:
        raise RunnerNotFoundError(
            f"there is no official benchmark_model to fetch for {abi}, only for {' and '.join(NAMES)}. Build it "
            f"(see 'Getting the runner' in docs/phones.md) and put it at {place}, or name it with {FLAG} or "
            f"{VARIABLE}."
        )
    address = f"{location}/{NAMES[abi]}"
    try:
        content = fetch(address, progress)
        check_elf(content, abi, "what came from there")
    except RunnerNotFoundError as error:
        raise RunnerNotFoundError(
            f"benchmark_model for {abi} could not be fetched: {str(error).rstrip('.')}. Get {address} yourself "
            f"and put it at {place}, or name it with {FLAG} or the variable {VARIABLE}."
        ) from error
    _write(place, content)
    place.chmod(0o755)
    binary = Binary(str(place), abi, hashlib.sha256(content).hexdigest(), len(content), address, now())
    _write(place.with_suffix(".json"), msgspec.json.encode(binary))
    return binary


def _write(path: Path, content: bytes) -> None:
    """Replace a file as a whole."""
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_bytes(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
