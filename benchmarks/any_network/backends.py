"""Measurements in processes of their own, each with the backend that it is about."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

BACKENDS = ("tensorflow", "jax", "torch")


def measured(module: str, backend: str, *words: object, kept: Path | None = None) -> dict[str, Any]:
    """What a module of this package prints as its last line, a JSON object, under a backend.

    Args:
        module: run as ``python -m benchmarks.any_network.MODULE WORDS``.
        backend: it runs under.
        words: of its command line.
        kept: file that keeps the object for the next run, if this run succeeds.

    Returns:
        The object; ``{"missing": text}`` where the backend is not installed, ``{"error": text}`` where the
        process failed.
    """
    if find_spec(backend) is None:
        return {"missing": f"{backend} is not installed"}
    if kept is not None and kept.exists():
        return json.loads(kept.read_text())
    command = [sys.executable, "-m", f"benchmarks.any_network.{module}", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "KERAS_BACKEND": backend}
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        return {"error": (done.stderr.strip().splitlines() or ["it printed nothing"])[-1][:300]}
    if kept is not None:
        kept.write_text(lines[-1])
    return json.loads(lines[-1])
