"""The frames that a parent and its child exchange over pipes.

A frame is one line of JSON, whose ``sizes`` say how many bytes of each raw chunk
follow it. Models and tensors travel as chunks, everything else in the line.
Only the standard library is used: the child should start fast.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Any, BinaryIO


def write_frame(stream: BinaryIO, header: dict[str, Any], chunks: Sequence[bytes] = ()) -> None:
    line = json.dumps({**header, "sizes": [len(chunk) for chunk in chunks]})
    stream.write(line.encode() + b"\n")
    for chunk in chunks:
        stream.write(chunk)
    stream.flush()


def read_frame(stream: BinaryIO) -> tuple[dict[str, Any], list[bytes]]:
    """The next frame; EOFError when the other side is gone."""
    line = stream.readline()
    if not line.endswith(b"\n"):
        raise EOFError
    header = json.loads(line)
    chunks = []
    for size in header.pop("sizes"):
        chunk = stream.read(size)
        if len(chunk) < size:
            raise EOFError
        chunks.append(chunk)
    return header, chunks


def take_standard_streams() -> tuple[BinaryIO, BinaryIO]:
    """For a child: keep the pipes to the parent; whatever else writes to standard output reaches standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return sys.stdin.buffer, answers


def die_when_stuck(seconds: float | None) -> None:
    """A parent kills a child that hangs; a child that hangs after its parent died kills itself."""
    if hasattr(signal, "alarm"):
        signal.alarm(int(seconds + 5) if seconds else 0)
