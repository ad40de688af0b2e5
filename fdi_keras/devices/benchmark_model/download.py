"""Fetches one file over HTTP, all of it or an error."""

from __future__ import annotations

import datetime
import http.client
import urllib.error
import urllib.request
from collections.abc import Callable

from fdi_keras.errors import RunnerNotFoundError

#: Seconds without a byte before giving up, and bytes a step.
PATIENCE_S = 30.0
STEP = 1 << 16

#: Nobody's benchmark_model is larger (our choice: ten times that of today).
MOST_BYTES = 1 << 28


def fetch(address: str, progress: Callable[[int, int | None], None] | None = None) -> bytes:
    """The content at an address, redirections followed.

    Args:
        address: ``http`` or ``https``.
        progress: called with the bytes received and their total, None while unknown.

    Raises:
        RunnerNotFoundError: no network, no such file, or a transfer that broke off.
    """
    try:
        with urllib.request.urlopen(address, timeout=PATIENCE_S) as answer:
            length = answer.headers.get("Content-Length")
            total = int(length) if length and length.isdigit() else None
            return _read(answer, address, total, progress)
    except urllib.error.HTTPError as error:
        with error:
            raise RunnerNotFoundError(f"{address} answered {error.code} {error.reason}.") from error
    except urllib.error.URLError as error:
        raise RunnerNotFoundError(f"{address} cannot be reached: {error.reason}.") from error
    except (OSError, http.client.HTTPException) as error:
        raise RunnerNotFoundError(f"the transfer from {address} broke off: {error!r}.") from error


def _read(
    answer: http.client.HTTPResponse,
    address: str,
    total: int | None,
    progress: Callable[[int, int | None], None] | None,
) -> bytes:
    content = bytearray()
    while piece := answer.read(STEP):
        content += piece
        if len(content) > MOST_BYTES:
            raise RunnerNotFoundError(
                f"{address} sends more than {MOST_BYTES} bytes: that is no benchmark_model."
            )
        if progress:
            progress(len(content), total)
    if total is not None and len(content) != total:
        raise RunnerNotFoundError(
            f"the transfer from {address} broke off: {len(content)} of {total} bytes came."
        )
    return bytes(content)


def now() -> str:
    """The time, ISO 8601 with time zone."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
