"""What real runs of ``benchmark_model`` printed, and ways to damage it.

``recorded.json`` holds command, exit code and both streams of 37 runs of the stock
tool on a computer. Shared by the tests and by ``benchmarks.phones.fuzz_parser``.
"""

from __future__ import annotations

import json
import random
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

from fdi_keras.devices.benchmark_model import Batch, Job, ToolOutput
from fdi_keras.devices.benchmark_model.batch import posix_cksum

PATH = Path(__file__).parents[2] / "data" / "benchmark_model" / "recorded.json"


@dataclass(frozen=True)
class Recorded:
    name: str
    flags: dict[str, str]
    output: ToolOutput

    @property
    def printed_median_us(self) -> int | None:
        """Median of the second line of numbers, whatever else the output says."""
        found = re.findall(rb"^INFO: count=.*median=(\d+)", self.output.stdout, re.MULTILINE)
        return int(found[1]) if len(found) == 2 else None


def recorded() -> dict[str, Recorded]:
    """All recorded runs by name."""
    return {name: _recorded(name, run) for name, run in json.loads(PATH.read_text()).items()}


def _recorded(name: str, run: dict) -> Recorded:
    words = [word[2:] for word in shlex.split(run["command"]) if word.startswith("--") and "=" in word]
    files = {"profile": run["csv"].encode()} if "csv" in run else {}
    output = ToolOutput(run["stdout"].encode(), run["stderr"].encode(), run["exit_code"], files)
    return Recorded(name, dict(word.split("=", 1) for word in words), output)


#: Ways to damage a text that leave every line that stays as it was.
BY_LINES = ("cut", "drop", "duplicate", "swap", "move", "reverse", "splice", "interleave")
#: Ways that change bytes within lines.
BY_BYTES = ("flip", "insert", "delete", "digit")


def damaged(text: bytes, way: str, rng: random.Random, other: bytes) -> bytes:
    """The text after one accident; ``other`` is what it may be mixed with."""
    if way == "cut":
        return text[: rng.randrange(len(text) + 1)]
    if way == "splice":
        return text[: rng.randrange(len(text) + 1)] + other[rng.randrange(len(other) + 1) :]
    if way in BY_BYTES:
        return _changed(text, way, rng)
    lines = text.splitlines(keepends=True) or [b""]
    first, second = sorted(rng.randrange(len(lines)) for _ in range(2))
    if way == "drop":
        del lines[first : second if rng.random() < 0.3 else first + 1]
    elif way == "duplicate":
        lines.insert(second, lines[first])
    elif way == "swap":
        lines[first], lines[second] = lines[second], lines[first]
    elif way == "move":
        lines.insert(first, lines.pop(second))
    elif way == "reverse":
        lines[first : second + 1] = lines[first : second + 1][::-1]
    elif way == "interleave":
        for line in rng.sample(other.splitlines(keepends=True), k=min(3, other.count(b"\n"))):
            lines.insert(rng.randrange(len(lines) + 1), line)
    return b"".join(lines)


def _changed(text: bytes, way: str, rng: random.Random) -> bytes:
    if not text:
        return b"?"
    at = rng.randrange(len(text))
    if way == "flip":
        return text[:at] + bytes([text[at] ^ (1 << rng.randrange(8))]) + text[at + 1 :]
    if way == "insert":
        return text[:at] + rng.randbytes(rng.randint(1, 4)) + text[at:]
    if way == "delete":
        return text[:at] + text[at + rng.randint(1, 8) :]
    digits = [i for i, byte in enumerate(text) if 48 <= byte <= 57]
    if not digits:
        return text
    at = rng.choice(digits)
    return text[:at] + bytes([rng.choice(b"0123456789.e")]) + text[at + 1 :]


def sent(batch: Batch, outputs: list[ToolOutput]) -> bytes:
    """The bytes that the batch's script sends when its jobs leave these outputs."""
    mark = batch.nonce.encode()
    stream = []
    for index, output in enumerate(outputs):
        stream.append(b"%s begin %d\n" % (mark, index))
        errors = output.stderr + b"\n%s exit %d\n" % (mark, output.exit_code)
        for name, content in {"out": output.stdout, "err": errors, **output.files}.items():
            head = b"%s part %d %s %d %d\n" % (mark, index, name.encode(), len(content), posix_cksum(content))
            stream.append(head + content + b"\n")
        stream.append(b"%s end %d\n" % (mark, index))
    stream.append(b"%s done %d\n" % (mark, len(outputs)))
    return b"".join(stream)


def batch_of(runs: list[Recorded], nonce: str) -> Batch:
    """A batch whose jobs are recorded runs."""
    jobs = [Job(["true"], run.flags, {name: f"/tmp/{name}" for name in run.output.files}) for run in runs]
    return Batch(jobs, "/tmp", nonce)
