"""Heavy modules at first use, whichever thread that is in."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import Any

_LOCK = threading.RLock()


def load(module: str) -> Any:
    """Import a module; other threads that want one meanwhile wait.

    Python lets two threads import packages that need each other at once, and then gives one of them a
    package that is half there. Campaigns choose and learn in threads, each of which may be the first to
    need scikit-learn.
    """
    with _LOCK:
        return import_module(module)
