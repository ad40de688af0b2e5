"""Where profiles lie, and finding one by name or path."""

from __future__ import annotations

import difflib
import os
from importlib import util
from os import PathLike
from pathlib import Path

import msgspec

from fdi_keras.errors import ProfileInvalidError, ProfileNotFoundError, UsageError
from fdi_keras.profile.profile import DeviceProfile

SUFFIX = ".json"


def profile_folder() -> Path:
    """Where a user's own profiles lie: ``$FDI_DATA/profiles``, else in the user's data folder."""
    import platformdirs

    told = os.environ.get("FDI_DATA")
    return (Path(told) if told else Path(platformdirs.user_data_dir("fdi-keras"))) / "profiles"


def bundled_profiles() -> list[str]:
    """Names of the profiles that were installed with the library."""
    return sorted(_profiles_in(_bundle()))


def own_profiles() -> list[str]:
    """Names of the profiles in :func:`profile_folder`."""
    return sorted(_profiles_in(profile_folder()))


def find_profile(name: str | PathLike[str]) -> Path:
    """The file of a profile: a path, or the name of an own or else of a bundled one.

    Raises:
        ProfileNotFoundError: neither; the message lists names and those that are close.
    """
    path = Path(name)
    if path.is_file():
        return path
    if isinstance(name, str) and path.name == name:
        known = {**_profiles_in(_bundle()), **_profiles_in(profile_folder())}
        found = known.get(name) or known.get(name.removesuffix(SUFFIX))
        if found:
            return found
    raise _not_found(path)


def load_profile(name: str | PathLike[str]) -> DeviceProfile:
    """Read a profile and validate all of it.

    Args:
        name: a path, or the name of a profile in the user's folder, or of one that
            was installed with the library.

    Raises:
        ProfileNotFoundError: there is no such profile.
        ProfileInvalidError: it is no profile, damaged, or contradicts itself; the
            message names the file, the place and what to do.
        ProfileVersionError: it was written by a newer version.
    """
    path = find_profile(name)
    try:
        data = msgspec.json.decode(path.read_bytes())
    except OSError as error:
        raise ProfileNotFoundError(f"profile {path} cannot be read: {error.strerror}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ProfileInvalidError(
            f"{path} is no device profile, or a damaged one: it is not valid JSON ({error}). "
            "Restore the file, or learn the profile anew with 'fdi profile'."
        ) from error
    return DeviceProfile.from_dict(data, str(path))


def check_not_bundled(path: str | PathLike[str]) -> None:
    """UsageError for a file that was installed with the library: those stay as they are."""
    path = Path(path)
    if path.resolve().parent == _bundle().resolve():
        raise UsageError(
            f"profile {path.stem!r} came with fdi-keras and stays as it is: name another file with --out."
        )


def _profiles_in(folder: Path) -> dict[str, Path]:
    return {path.stem: path for path in folder.glob(f"*{SUFFIX}")} if folder.is_dir() else {}


def _bundle() -> Path:
    spec = util.find_spec("fdi_keras.profiles")
    if spec and spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return Path(__file__).resolve().parents[2] / "profiles"  # a checkout that is not installed


def _not_found(path: Path) -> ProfileNotFoundError:
    known = [*own_profiles(), *bundled_profiles()]
    close = difflib.get_close_matches(path.stem, known, n=3)
    text = f"no profile {str(path)!r}: neither a file nor the name of a profile."
    if path.is_dir():
        text = f"{path} is a folder, not a profile."
    if close:
        text += f" Did you mean {' or '.join(close)}?"
    names = ", ".join(known) or "none"
    return ProfileNotFoundError(f"{text} Known names: {names}. 'fdi profile' learns one for this computer.")
