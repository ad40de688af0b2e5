"""What the dashboard remembers: theme, keys, how plots are drawn.

A damaged or foreign file never stops the dashboard, and is never overwritten by it: the
defaults hold, and the message names file and key.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
from fdi_tui.keys import KEYS

from fdi_keras.errors import StorageError, UsageError

FILE = "dashboard.json"


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """Settings, as their JSON file has them.

    Attributes:
        theme: name of a textual theme.
        light_theme, dark_theme: the two that a key changes between.
        ascii: plots of plain characters, for fonts without braille.
        keys: name of a key (``"app.quit"``) to its keys (``"q,f10"``).
        exports: folder of CSV files and pictures; the one ``fdi`` was started in when empty.
    """

    theme: str = "textual-dark"
    light_theme: str = "textual-light"
    dark_theme: str = "textual-dark"
    ascii: bool = False
    keys: dict[str, str] = {}
    exports: str = ""


def settings_path() -> Path:
    """``$FDI_CONFIG/dashboard.json``, else in the user's folder of settings."""
    import platformdirs

    told = os.environ.get("FDI_CONFIG")
    return (Path(told) if told else Path(platformdirs.user_config_dir("fdi-keras"))) / FILE


def load_settings(path: Path) -> Settings:
    """The settings of a file; the defaults when there is none.

    Raises:
        UsageError: the file cannot be read or says something else than settings; the
            message names file and key.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return Settings()
    except OSError as error:
        raise UsageError(f"settings {path} cannot be read: {error.strerror}.") from error
    try:
        settings = msgspec.json.decode(content, type=Settings)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"settings {path}: {error}. Mend that line, or delete the file.") from error
    known = {key.id for key in KEYS}
    for name, keys in settings.keys.items():
        if name not in known:
            raise UsageError(
                f"settings {path}: at $.keys there is no key named {name!r}; 'fdi dashboard --keys' lists them."
            )
        if not all(key.strip() for key in keys.split(",")):
            raise UsageError(f"settings {path}: $.keys[{name!r}] names no key: {keys!r}.")
    return settings


def save_settings(settings: Settings, path: Path) -> None:
    """Write the settings; the file is replaced as a whole.

    Raises:
        StorageError: it cannot be written.
    """
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new.write_bytes(msgspec.json.format(msgspec.json.encode(settings)) + b"\n")
        os.replace(new, path)
    except OSError as error:
        raise StorageError(f"cannot write settings {path}: {error.strerror}.") from error
