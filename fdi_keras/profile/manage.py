"""Renaming, copying, deleting and checking profile files; those of the library itself stay as they are."""

from __future__ import annotations

import os
import re
from os import PathLike
from pathlib import Path

from fdi_keras.errors import ProfileNotFoundError, StorageError, UsageError
from fdi_keras.profile.files import SUFFIX, bundled_profiles, find_profile, profile_folder
from fdi_keras.text import clean
from fdi_keras.writing import write_atomically


def checked_name(name: str) -> str:
    """A name that a profile can have.

    Raises:
        UsageError: it would be no file name on some system, or lead out of the folder.

    >>> checked_name("pixel-7.json")
    'pixel-7'
    """
    short = name.strip().removesuffix(SUFFIX)
    if not re.fullmatch(r"[A-Za-z0-9_@+][A-Za-z0-9 ._@+-]{0,99}", short) or short.endswith((".", " ")):
        raise UsageError(
            f"a profile is called by letters, digits and . _ @ + -, at most 100 of them and none of "
            f". - at its beginning; received {clean(name, 80)!r}."
        )
    return short


def own_profile(name: str | PathLike[str]) -> Path:
    """The file of a profile in the user's folder, by its name or path.

    Raises:
        UsageError: it is one of the library's, which stay as they are.
        ProfileNotFoundError: there is none.
    """
    path = find_profile(name)
    if path.resolve().parent != profile_folder().resolve():
        if path.stem in bundled_profiles() and Path(name).name == str(name):
            raise UsageError(
                f"profile {path.stem!r} came with fdi-keras and stays as it is; 'fdi profiles copy' makes one of yours."
            )
        raise UsageError(
            f"{path} is not in your profile folder {profile_folder()}; only profiles there are managed."
        )
    return path


def rename_profile(name: str | PathLike[str], new: str) -> Path:
    """Give an own profile another name; returns its new file.

    Raises:
        UsageError: an impossible name, one that is taken, or a profile of the library.
        ProfileNotFoundError: there is no such profile.
        StorageError: the file cannot be renamed.
    """
    path = own_profile(name)
    target = path.with_name(checked_name(new) + SUFFIX)
    if target == path:
        return path
    try:
        # A link cannot replace another file, as a renaming would between a check and the act.
        os.link(path, target)
        os.unlink(path)
    except FileExistsError:
        raise UsageError(f"there is a profile {target.stem!r} already; delete it first.") from None
    except OSError as error:
        raise StorageError(f"cannot rename {path}: {error.strerror}.") from error
    return target


def copy_profile(name: str | PathLike[str], to: str | PathLike[str]) -> Path:
    """Write a copy of any profile: under another name of the user's, or to a path; returns its file.

    Args:
        name: as for :func:`load_profile`.
        to: a name, or a path if it has a folder or an ending in it; a folder keeps the name.

    Raises:
        UsageError: an impossible name, or a file that is there already.
        ProfileNotFoundError: there is no such profile.
        StorageError: it cannot be read or written.
    """
    source = find_profile(name)
    target = new_profile_path(to, source.name)
    try:
        content = source.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {source}: {error.strerror}.") from error
    write_atomically(target, content)
    return target


def new_profile_path(to: str | PathLike[str], in_folder: str = "") -> Path:
    """Where a new profile goes: a name of the user's own, or a path if it has a folder or an ending in it.

    Args:
        to: the name or path.
        in_folder: name of the file where ``to`` is a folder.

    Raises:
        UsageError: an impossible name, a file that is there already, or a folder and no name.
    """
    target = Path(to).expanduser()
    if target.is_dir() and in_folder:
        target /= in_folder
    elif target.name == str(to) and target.suffix != SUFFIX:
        target = profile_folder() / (checked_name(str(to)) + SUFFIX)
    if target.exists():
        raise UsageError(f"{target} is there already; delete it first, or name another file.")
    return target


def delete_profile(name: str | PathLike[str]) -> Path:
    """Delete an own profile; returns what its file was.

    Raises:
        UsageError: it is one of the library's.
        ProfileNotFoundError: there is no such profile.
        StorageError: it cannot be deleted.
    """
    path = own_profile(name)
    try:
        path.unlink()
    except FileNotFoundError:
        raise ProfileNotFoundError(f"{path} is gone already.") from None
    except OSError as error:
        raise StorageError(f"cannot delete {path}: {error.strerror}.") from error
    return path
