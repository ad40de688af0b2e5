"""Several runs through one shell: the script that the phone executes, and its reader.

A shell command costs more than a small probe, so one command runs several probes in
turn and reports each as soon as it has ended. What it reports is framed::

    NONCE begin 0
    NONCE part 0 out 1190 2874913087
    ... 1190 bytes ...
    NONCE part 0 err 89 301422617
    ... 89 bytes, the last line being "NONCE exit 0" ...
    NONCE end 0
    ...
    NONCE done 8

The length and the checksum of each part are taken on the phone, by ``cksum``. A result
therefore arrives as the tool wrote it or not at all: whatever happened to the bytes on
the way, cut, lost, changed or mixed with others, is an error and never a number. What
a probe prints cannot pass for a frame, since its length is known before it comes, and
nobody can guess the nonce.

The reader takes bytes as they come. After a cut the jobs whose end had arrived are
good; the one under way and those behind it were not measured.
"""

from __future__ import annotations

import re
import secrets
import shlex
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from fdi_keras.devices.benchmark_model.output import Report, ToolOutput, parse_output
from fdi_keras.errors import MeasurementError, OutputDamagedError, UsageError

#: The tool may write so many blocks of 512 bytes to a file before the phone ends it (our choice: 1 MiB;
#: the longest output of a large network is a hundredth of that).
MOST_BLOCKS = 2048

#: Bytes of a frame line that the reader waits for; a longer one is no frame.
LONGEST_LINE = 512


#: Exit code of a script that was ended from outside, as by a cable that is pulled.
HUNG_UP = 129


class Job(msgspec.Struct, frozen=True):
    """One run within a batch.

    Attributes:
        command: the words of the command, see :func:`.command.arguments`.
        flags: what of them the tool was told, see :func:`.command.flags`.
        files: paths on the phone of files that the run writes, by name; sent back and removed.
        remove: paths on the phone that are removed after the run, its model for one.
    """

    command: list[str]
    flags: dict[str, str]
    files: dict[str, str] = {}
    remove: list[str] = []


@dataclass(frozen=True)
class JobResult:
    """How one job ended: exactly one of ``report`` and ``error`` is there.

    Attributes:
        index: of the job in its batch.
        report: what the tool measured.
        error: why it measured nothing.
        output: what it printed, None where that did not arrive undamaged.
    """

    index: int
    report: Report | None
    error: MeasurementError | None
    output: ToolOutput | None


class Batch:
    """Jobs that run one after another through one shell command.

    Args:
        jobs: at least one.
        folder: on the phone, where the script works: paths of jobs may be relative to it.
        nonce: for tests; else nobody can guess it.

    Raises:
        UsageError: no job, or a name of a file that is no word.
    """

    def __init__(self, jobs: Sequence[Job], folder: str, nonce: str | None = None):
        if not jobs:
            raise UsageError("a batch needs at least one job; received none.")
        for name in (name for job in jobs for name in job.files):
            if not re.fullmatch(r"[a-z_]{1,20}", name) or name in ("out", "err"):
                raise UsageError(f"a file of a job is named by a word of small letters; received {name!r}.")
        self.jobs = list(jobs)
        self.folder = folder.rstrip("/")
        self.nonce = nonce or secrets.token_hex(12)

    @property
    def script(self) -> str:
        """What ``sh`` on the phone executes: a POSIX script that needs only ``cat``, ``cksum``, ``rm`` and ``sleep``.

        Longer than the command line of an old phone may be: push it to a file and execute
        ``exec sh FILE``. Hanging up ends the shell, and the shell ends the tool.
        """
        folder = shlex.quote(self.folder)
        lines = [
            _PROLOGUE.format(nonce=self.nonce, folder=folder, blocks=MOST_BLOCKS, hung_up=HUNG_UP),
            *(self._lines_of(index, job) for index, job in enumerate(self.jobs)),
            f'echo "$N done {len(self.jobs)}"',
        ]
        return "\n".join(lines) + "\n"

    def _lines_of(self, index: int, job: Job) -> str:
        lines = [f"run {index} {shlex.join(job.command)}"]
        lines += [f"part {index} {name} {shlex.quote(path)}" for name, path in job.files.items()]
        gone = [*job.files.values(), *job.remove]
        if gone:
            lines.append(f"rm -f {shlex.join(gone)}")
        lines.append(f"end {index}")
        return "\n".join(lines)


#: T: the files of the job under way; C: the exit code of its tool; P: the process id of the last tool that
#: has ended. Another ``$!`` than that is a tool under way: the shell sets it as it starts one, so that there
#: is no moment at which hanging up would leave the tool behind.
_PROLOGUE = """\
N={nonce}
T={nonce}
P=
cd {folder} || exit 127
gone() {{
  [ "$!" != "$P" ] && kill "$!" 2>/dev/null && sleep 0.3 && kill -9 "$!" 2>/dev/null
  rm -f "$T.out" "$T.err"
  exit {hung_up}
}}
trap gone HUP INT TERM PIPE
say() {{ echo "$N $*" || gone; }}
part() {{
  if [ -f "$3" ]; then S=$(cksum <"$3") || S="- -"; else S="0 absent"; fi
  set -- "$1" "$2" "$3" $S
  say part "$1" "$2" "$5" "$4"
  case "$5" in absent|-) ;; *) cat "$3" || gone; echo || gone;; esac
}}
run() {{
  I=$1; shift
  say begin "$I"
  (ulimit -f {blocks} 2>/dev/null; exec "$@") >"$T.out" 2>"$T.err" </dev/null &
  wait "$!"; C=$?
  P=$!
  printf '\\n%s exit %s\\n' "$N" "$C" >>"$T.err"
  part "$I" out "$T.out"
  part "$I" err "$T.err"
}}
end() {{ rm -f "$T.out" "$T.err"; say end "$1"; }}\
"""


@dataclass
class _Open:
    """The job whose parts are coming in."""

    index: int
    parts: dict[str, bytes] = field(default_factory=dict)


class BatchReader:
    """Reads what a batch sends back, byte by byte if need be.

    Feed it what arrives; it returns the jobs that were completed by that. When it is
    :attr:`broken`, what arrived is not what the script sent: the results so far are
    good, and nothing more will come of the rest.

    Attributes:
        running: index of the job under way, None between two jobs.
        finished: the last line of the batch arrived.
        broken: why the rest cannot be read, None while all is well.
        done: how many jobs have ended.
    """

    def __init__(self, batch: Batch):
        self._batch = batch
        self._begin = batch.nonce.encode() + b" "
        self._data = b""
        self._open: _Open | None = None
        self._part: tuple[str, int, int] | None = None  # whose bytes come next: name, length, checksum
        self.done = 0
        self.finished = False
        self.broken: OutputDamagedError | None = None

    @property
    def running(self) -> int | None:
        return self._open.index if self._open else None

    @property
    def missing(self) -> list[int]:
        """Jobs without a result: not measured when the connection is gone."""
        return list(range(self.done, len(self._batch.jobs)))

    def feed(self, data: bytes) -> list[JobResult]:
        """Take what arrived, of any length; returns the jobs that it completed."""
        results: list[JobResult] = []
        self._data += data
        try:
            while not self.broken and (result := self._step()) is not False:
                if isinstance(result, JobResult):
                    results.append(result)
        except OutputDamagedError as error:
            self.broken = error
            self._open = None
        return results

    def _step(self) -> JobResult | bool:
        """Take one line or part; False when more bytes are needed."""
        if self.finished:
            if self._data:
                raise OutputDamagedError(f"after its end the batch sent more: {self._data[:80]!r}.")
            return False
        return self._take_part() if self._part else self._take_line()

    def _take_part(self) -> bool:
        assert self._part is not None
        assert self._open is not None
        name, length, checksum = self._part
        if len(self._data) <= length:
            return False
        content, end, self._data = (
            self._data[:length],
            self._data[length : length + 1],
            self._data[length + 1 :],
        )
        if end != b"\n" or posix_cksum(content) != checksum:
            raise OutputDamagedError(
                f"what job {self._open.index} printed was changed on the way: the checksum does not match."
            )
        self._open.parts[name] = content
        self._part = None
        return True

    def _take_line(self) -> JobResult | bool:
        line, newline, rest = self._data.partition(b"\n")
        if not newline and len(line) <= LONGEST_LINE and self._begin.startswith(line[: len(self._begin)]):
            return False
        if not newline or not line.startswith(self._begin):
            raise OutputDamagedError(
                f"the phone sent something else than the batch's results: {line[:120]!r}."
            )
        self._data = rest
        words = line[len(self._begin) :].decode("utf-8", "backslashreplace").split(" ")
        match words:
            case ["begin", index] if self._open is None and index == str(self.done) and self.missing:
                self._open = _Open(self.done)
            case ["part", index, name, length, checksum] if self._expects(index, name):
                self._announce(name, length, checksum)
            case ["end", index] if self._expects(index, None):
                return self._close()
            case ["done", count] if self._open is None and not self.missing and count == str(self.done):
                self.finished = True
            case _:
                raise OutputDamagedError(
                    f"the batch's results are out of order at {' '.join(words)[:120]!r}."
                )
        return True

    def _expects(self, index: str, name: str | None) -> bool:
        """Whether this part is the next of the open job; None: whether all parts are there."""
        if self._open is None or index != str(self._open.index):
            return False
        names = ["out", "err", *self._batch.jobs[self._open.index].files]
        left = names[len(self._open.parts) :]
        return not left if name is None else left[:1] == [name]

    def _announce(self, name: str, length: str, checksum: str) -> None:
        assert self._open is not None
        if length == "absent" and name not in ("out", "err"):
            self._open.parts[name] = b""
        elif re.fullmatch(r"\d{1,8}", length) and re.fullmatch(r"\d{1,10}", checksum):
            self._part = (name, int(length), int(checksum))
        else:
            raise OutputDamagedError(
                f"the phone could not check what job {self._open.index} printed: it is out of space, or has no "
                "cksum (Android 6 and newer have it)."
            )

    def _close(self) -> JobResult:
        assert self._open is not None
        index, parts = self._open.index, self._open.parts
        match = re.fullmatch(rb"(.*)\n%sexit (\d{1,3})\n" % self._begin, parts["err"], re.DOTALL)
        if match is None:
            raise OutputDamagedError(f"job {index} left no exit code: the phone is probably out of space.")
        self._open = None
        self.done += 1
        files = {name: content for name, content in parts.items() if name not in ("out", "err")}
        output = ToolOutput(parts["out"], match[1], int(match[2]), files)
        return _result(index, output, self._batch.jobs[index].flags)


def _result(index: int, output: ToolOutput, flags: Mapping[str, str]) -> JobResult:
    try:
        return JobResult(index, parse_output(output, flags), None, output)
    except MeasurementError as error:
        return JobResult(index, None, error, output)


_MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def posix_cksum(data: bytes) -> int:
    """The number that POSIX ``cksum`` prints.

    It is zlib's CRC-32 with every byte mirrored, started from 0, over the data and then
    its length, least significant byte first.

    >>> posix_cksum(b"123456789")
    930766865
    """
    length = len(data).to_bytes(8, "little").rstrip(b"\0")
    mirrored = zlib.crc32((data + length).translate(_MIRRORED), 0xFFFFFFFF)
    return int(f"{mirrored:032b}"[::-1], 2)
