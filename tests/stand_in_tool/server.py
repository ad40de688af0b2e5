"""Starts the stand-in in milliseconds: a process that has LiteRT loaded and forks for each run.

The real tool starts in 3 ms; Python with LiteRT takes a hundred times as long. A
:class:`ToolServer` therefore writes a thin executable, the stand-in's "binary", which
hands its arguments, streams and processors to the server and waits for the exit code.
The run is a child of the server; it ends when the thin executable is killed.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

#: Isolated and without site-packages: it starts in 10 ms.
CLIENT = """\
#!{python} -IS
import _socket, array, os, sys
with open("/proc/self/comm", "w") as name:
    name.write("benchmark_model")
server = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
server.connect({address!r})
cores = ",".join(map(str, os.sched_getaffinity(0)))
words = "\\0".join([os.getcwd(), cores, {control!r}, *sys.argv[1:]]).encode()
streams = array.array("i", [1, 2])
server.sendmsg([len(words).to_bytes(4, "little")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, streams)])
server.sendall(words)
answer = server.recv(4)
code = int.from_bytes(answer, "little", signed=True) if len(answer) == 4 else 1
if code < 0:
    os.kill(os.getpid(), -code)
os._exit(code)
"""


class ToolServer:
    """A server and as many thin executables as there are phones. Use it in a ``with`` statement.

    Example::

        with ToolServer() as server:
            binary = server.install(tmp_path / "benchmark_model", control=tmp_path / "control.json")
    """

    def __enter__(self) -> ToolServer:
        self._folder = tempfile.TemporaryDirectory(prefix="fdi-tool-")
        self.address = f"{self._folder.name}/socket"
        # No threads of numpy's in the process that is forked.
        env = {
            **os.environ,
            "OPENBLAS_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path]),
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stand_in_tool.server", self.address], stdout=subprocess.PIPE, env=env
        )
        assert self._process.stdout is not None
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError("the stand-in's server did not start")
        return self

    def install(self, path: Path, control: Path | None = None) -> Path:
        """Write the thin executable; ``control``: its control file, see :mod:`.tool`."""
        python = os.path.realpath(sys.executable)
        path.write_text(CLIENT.format(python=python, address=self.address, control=str(control or "")))
        path.chmod(0o755)
        return path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()


def serve(address: str) -> None:
    """Fork a run for each connection until a signal comes."""
    from ai_edge_litert import interpreter  # noqa: F401 - what takes long is done once, before the forks

    from stand_in_tool import tool  # noqa: F401

    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(64)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(reader, selectors.EVENT_READ)
    runs: dict[int, socket.socket] = {}
    signal.signal(signal.SIGTERM, lambda *_: _end(runs))
    print("ready", flush=True)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                client, _ = listener.accept()
                try:
                    pid = _start(client, [listener, *runs.values()])
                except OSError:  # it was killed as it started
                    client.close()
                    continue
                runs[pid] = client
                selector.register(client, selectors.EVENT_READ, pid)
            elif key.fileobj == reader:
                os.read(reader, 4096)
                _reap(runs, selector)
            else:  # the thin executable is gone, and its run goes with it
                with contextlib.suppress(ProcessLookupError):
                    os.kill(key.data, signal.SIGKILL)
                selector.unregister(key.fileobj)


def _start(client: socket.socket, inherited: list[socket.socket]) -> int:
    started = _started(client)
    size, streams, _, _ = socket.recv_fds(client, 4, 2)
    words = _received(client, int.from_bytes(size, "little"))
    if not words or (pid := os.fork()):
        for stream in streams:
            os.close(stream)
        if not words:
            raise ConnectionError("the thin executable ended before it had said what to run")
        return pid
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for each in [client, *inherited]:
            each.close()
        os.dup2(streams[0], 1)
        os.dup2(streams[1], 2)
        code = _run(words.decode().split("\0"), started)
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)


def _received(client: socket.socket, size: int) -> bytes:
    """So many bytes; none where the connection ends before."""
    received = b""
    while len(received) < size:
        part = client.recv(size - len(received))
        if not part:
            return b""
        received += part
    return received


def _started(client: socket.socket) -> float:
    """When the thin executable was started; the clock of processes ticks every 10 ms, so +- 5 ms."""
    pid = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    with open(f"/proc/{pid}/stat", "rb") as stat:
        ticks = int(stat.read().rpartition(b")")[2].split()[19])
    age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - (ticks + 0.5) / os.sysconf("SC_CLK_TCK")
    return time.time() - age_s


def _run(words: list[str], started: float) -> int:
    from stand_in_tool import tool

    folder, cores, control, *flags = words
    os.chdir(folder)
    os.sched_setaffinity(0, {int(core) for core in cores.split(",")})
    Path("/proc/self/comm").write_text("benchmark_model")
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", closefd=False)
    return tool.main(flags, {"started": started, **(tool.read_control(control) if control else {})})


def _reap(runs: dict[int, socket.socket], selector: selectors.BaseSelector) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            client = runs.pop(ended[0])
            code = os.waitstatus_to_exitcode(ended[1])
            with contextlib.suppress(OSError):
                client.sendall(code.to_bytes(4, "little", signed=True))
            with contextlib.suppress(KeyError):
                selector.unregister(client)
            client.close()


def _end(runs: dict[int, socket.socket]) -> None:
    for pid in runs:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    serve(sys.argv[1])
