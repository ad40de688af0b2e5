"""Profile files: which there are, of what device, how old and good; without reading all of each."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

from fdi_keras.text import clean


class _Error(msgspec.Struct):
    mape: float
    measurements: int = 0


class _Model(msgspec.Struct):
    error: _Error


class _Device(msgspec.Struct):
    id: str
    name: str


class _Runtime(msgspec.Struct):
    name: str
    version: str = ""
    delegate: str = ""
    threads: int = 1
    precision: str = "float32"
    cores: str = ""


class _Head(msgspec.Struct):
    """The parts of a profile that a list shows; the decoder skips the others."""

    format: str
    name: str
    created: str
    device: _Device
    runtime: _Runtime
    models: dict[str, _Model]
    schema_version: int = 1
    warnings: list[str] = []
    energy: msgspec.Raw | None = None


@dataclass(frozen=True)
class ProfileFile:
    """A profile file.

    Attributes:
        path, name: the name is that of the file without its ending, by which commands find it.
        own: in the user's folder, not bundled with the library.
        shadowed: bundled, and an own one of the same name is found before it.
        problem: why it is no profile; the attributes below are empty then.
        device_id, device_name, runtime: whom it is of.
        created: seconds since the epoch; None when it does not tell.
        caution: why its numbers are no measured times; empty where they are.
        mape: held-out error by kind, as a fraction.
        measurements: all kinds together.
    """

    path: Path
    name: str
    own: bool
    size: int = 0
    shadowed: bool = False
    problem: str = ""
    device_id: str = ""
    device_name: str = ""
    runtime: str = ""
    threads: int = 1
    created: float | None = None
    mape: Mapping[str, float] = field(default_factory=dict)
    measurements: int = 0
    warnings: tuple[str, ...] = ()
    energy: bool = False
    caution: str = ""

    @property
    def key(self) -> str:
        return str(self.path)

    @property
    def error(self) -> float | None:
        """Of its kinds the median held-out error: one poor small kind does not make a profile poor.

        None where nothing was measured.
        """
        values = [] if self.caution else sorted(self.mape.values())
        return values[len(values) // 2] if values else None


class ProfileFolders:
    """The profile files of the bundle and of the user's folder; only what changed is read again."""

    def __init__(self, own: Path, bundle: Path | None = None):
        self.own = own
        self.bundle = bundle or bundled_folder()
        self._known: dict[Path, tuple[tuple[int, float], ProfileFile]] = {}

    def read(self) -> list[ProfileFile]:
        """All of them, own ones first, by name."""
        own = self._folder(self.own, True)
        names = {file.name for file in own}
        bundled = [
            replace(file, shadowed=True) if file.name in names else file
            for file in self._folder(self.bundle, False)
        ]
        files = own + bundled
        self._known = {file.path: self._known[file.path] for file in files}
        return files

    def _folder(self, folder: Path, own: bool) -> list[ProfileFile]:
        try:
            with os.scandir(folder) as entries:
                paths = sorted(Path(e.path) for e in entries if e.name.endswith(".json") and e.is_file())
        except OSError:
            return []
        return [self._one(path, own) for path in paths]

    def _one(self, path: Path, own: bool) -> ProfileFile:
        try:
            status = path.stat()
            stamp = (status.st_size, status.st_mtime)
        except OSError:
            stamp = (0, 0.0)
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            known = (stamp, read_head(path, own))
            self._known[path] = known
        return known[1]


def bundled_folder() -> Path:
    """Where profiles lie that were installed with the library."""
    from importlib import util

    spec = util.find_spec("fdi_keras.profiles")
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).resolve().parents[2] / "profiles"


def read_head(path: Path, own: bool) -> ProfileFile:
    """What a list shows of a file, whatever is in it."""
    from fdi_keras.profile.unmeasured import caution

    size = 0
    try:
        content = path.read_bytes()
        size = len(content)
        head = msgspec.json.decode(content, type=_Head)
    except OSError as error:
        return ProfileFile(path, path.stem, own, size, problem=f"it cannot be read: {error.strerror}")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return ProfileFile(path, path.stem, own, size, problem=f"no device profile: {clean(error, 120)}")
    if head.format != "fdi-profile":
        return ProfileFile(path, path.stem, own, size, problem="no device profile: another format")
    return ProfileFile(
        path,
        path.stem,
        own,
        size,
        device_id=head.device.id,
        device_name=head.device.name,
        runtime=_runtime_text(head.runtime),
        threads=head.runtime.threads,
        created=_seconds(head.created),
        mape={kind: model.error.mape for kind, model in head.models.items()},
        measurements=sum(model.error.measurements for model in head.models.values()),
        warnings=tuple(head.warnings),
        energy=head.energy is not None and bytes(head.energy) != b"null",
        caution=clean(caution(head.runtime.name, head.device.name), 400),
    )


def best_for(device_id: str, files: list[ProfileFile]) -> ProfileFile | None:
    """The newest own profile of a device."""
    of_it = [file for file in files if file.own and file.device_id == device_id and not file.problem]
    return max(of_it, key=lambda file: file.created or 0.0, default=None)


def _runtime_text(runtime: _Runtime) -> str:
    parts = [runtime.delegate, *([] if runtime.precision == "float32" else [runtime.precision])]
    parts += [f"cores {runtime.cores}"] if runtime.cores else []
    parts += [f"{runtime.threads} threads"] if runtime.threads != 1 else []
    return clean(f"{runtime.name} {runtime.version} ({', '.join(filter(None, parts))})", 120)


def _seconds(created: str) -> float | None:
    try:
        return datetime.datetime.fromisoformat(created).timestamp()
    except (ValueError, OverflowError, OSError):
        return None
