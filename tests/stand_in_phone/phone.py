"""A phone to be plugged in: its storage, its state, and everything that can befall it.

It answers an adb server on a port of this computer. Files live under ``root``; in commands
and file requests the phone's paths ``/data/local/tmp``, ``/sys`` and ``/proc/meminfo`` are
rewritten to ``root/data/local/tmp`` and so on, programs in ``root/bin`` come first on PATH, and
everything else is this computer's own: its ``/bin/sh``, its ``/proc`` of processes.

Limits of that: paths that a command *prints* are this computer's; a path that a script
puts together from parts is not rewritten; and as root nothing is denied except what
``state/deny`` names, and that in file requests only. Processes are told apart by a mark
in their environment, which needs Linux.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import psutil

from fdi_keras.devices.adb.client import ask
from fdi_keras.devices.adb.server import AdbServer
from fdi_keras.errors import DeviceError, DeviceSilentError

from . import services, tools
from .wire import Service, Transport

FEATURES = ("shell_v2", "cmd", "stat_v2", "fixed_push_mkdir")
MAPPED = ("/data/local/tmp", "/proc/meminfo", "/sys")
_PATHS = re.compile(rf"(?<![\w./-])({'|'.join(map(re.escape, MAPPED))})(?![\w.-])")

Direction = Literal["to_phone", "to_host"]


class StandInPhone:
    """A phone served from a thread of its own; use it in a ``with`` statement.

    Args:
        root: folder of its storage; a new one is furnished.
        properties: what ``getprop`` answers beside or in place of the usual.
        features: of its adb daemon; without ``shell_v2`` it is an Android 6.
        auth: ``"open"``: no question; ``"ask"``: unauthorized until :meth:`allow`.
        simpleperf: whether it has that program.
        banner_model: how it introduces itself to the adb server; ``ro.product.model`` if None.

    Example::

        with StandInPhone(folder) as phone:
            serial = phone.attach(adb_server_port)
            phone.pull_cable()
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        properties: dict[str, str] | None = None,
        features: tuple[str, ...] = FEATURES,
        auth: str = "open",
        simpleperf: bool = False,
        banner_model: str | None = None,
        environment: dict[str, str] | None = None,
    ):
        self.root = Path(root).resolve()
        self.features = features
        self.auth = auth
        self.port = 0
        self.opened: list[str] = []  # every service that was asked for
        self.started: list[asyncio.SubprocessTransport] = []  # shells that were let go
        self.thawed = asyncio.Event()
        self.thawed.set()
        self._environment = environment or {}
        self._banner_model = banner_model
        self._cuts: list[tuple[Direction, str, int]] = []
        self._transports: set[Transport] = set()
        self._attached: dict[tuple[int, bool], str] = {}
        self._listener: asyncio.Server | None = None
        self._ready = threading.Event()
        number = f"SI{zlib.crc32(bytes(self.root)):08X}"
        tools.furnish(self.root, {"ro.serialno": number, **(properties or {})}, simpleperf)

    # What the phone is

    @property
    def state(self) -> Path:
        return self.root / "state"

    @property
    def storage(self) -> Path:
        """``/data/local/tmp``."""
        return self.root / "data/local/tmp"

    def place(self, path: str) -> Path:
        """Where a path of the phone is on this computer; never outside ``root``."""
        return self.root / os.path.normpath("/" + path).lstrip("/")

    def here(self, script: str) -> str:
        """A script with the phone's paths rewritten to this computer's."""
        return _PATHS.sub(lambda found: f"{self.root}{found[1]}", script)

    def write(self, name: str, content: str | bytes) -> None:
        """Change a file of its state, such as ``prop/ro.product.model``."""
        place = self.state / name
        place.parent.mkdir(parents=True, exist_ok=True)
        new = place.with_name(f".{place.name}.new")  # a program that reads it sees one or the other
        new.write_bytes(content.encode() if isinstance(content, str) else content)
        new.replace(place)

    def read(self, name: str) -> str:
        return (self.state / name).read_text().rstrip("\n")

    def setting(self, name: str) -> str | None:
        place = self.state / "settings/global" / name
        return place.read_text().rstrip("\n") if place.exists() else None

    def calls(self, tool: str) -> list[str]:
        """How a program was called so far."""
        place = self.state / "log" / tool
        return place.read_text().splitlines() if place.exists() else []

    def denies(self, path: str) -> bool:
        return any(path.startswith(prefix) for prefix in self.read("deny").split())

    def free_bytes(self) -> int:
        return int(self.read("free_kb")) * 1024

    def lost_bytes(self) -> int:
        place = self.state / "lost_bytes"
        return int(place.read_text()) if place.exists() else 0

    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root}/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": "/",
            "TMPDIR": str(self.storage),
            "FDI_STAND_IN": str(self.root),
            **self._environment,
        }

    def banner(self) -> bytes:
        model = self._banner_model
        if model is None:
            model = self.read("prop/ro.product.model").replace(" ", "_")
        names = f"ro.product.name=loopback;ro.product.model={model};ro.product.device=loopback"
        return f"device::{names};features={','.join(self.features)}".encode()

    def service(self, name: str) -> Service | None:
        self.opened.append(name)
        return services.find(name, self.features)

    # What happens to it

    def attach(self, adb_port: int, cable: bool = True) -> str:
        """Plug it into an adb server; returns the serial.

        With a cable it vanishes from the list when it is pulled and comes back with :meth:`plug`;
        over Wi-Fi (``cable=False``) it stays listed as offline while adb tries to reconnect.
        """
        # The console's port is one less: as such adb finds it again by itself, too.
        serial = f"emulator-{self.port - 1}" if cable else f"127.0.0.1:{self.port}"
        self._attached[adb_port, cable] = serial
        if not self._announce(adb_port, cable):
            raise RuntimeError(f"the adb server at port {adb_port} does not take {serial}")
        return serial

    def _announce(self, adb_port: int, cable: bool, seconds: float = 10.0) -> bool:
        """Make an adb server connect; it needs a moment to let go of a connection that was cut."""
        server = AdbServer("127.0.0.1", adb_port)
        address = f"emu:{self.port - 1},{self.port}" if cable else f"127.0.0.1:{self.port}"
        serial = self._attached[adb_port, cable]
        end = time.monotonic() + seconds
        while time.monotonic() < end and self._listener is not None:
            try:
                ask("127.0.0.1", adb_port, f"host:connect:{address}", 5.0)
                states = {phone.serial: phone.state for phone in server.phones()}
            except DeviceSilentError:
                continue
            except DeviceError:  # the server was killed
                return False
            if states.get(serial, "offline") not in ("offline", "connecting", "authorizing"):
                return True
            time.sleep(0.02)
        return False

    def pull_cable(self) -> None:
        """Cut every connection now and answer no new one until :meth:`plug`."""
        self._in_loop(self._pull)

    def plug(self) -> None:
        """Put the cable back: at every adb server that it was attached to."""
        self._in_loop(self._listen)
        for adb_port, cable in list(self._attached):
            self._announce(adb_port, cable)

    def cut_after(self, count: int, direction: Direction = "to_host", service: str = "") -> None:
        """Pull the cable when so many more bytes have passed in services that begin with ``service``."""
        self._in_loop(lambda: self._cuts.append((direction, service, count)))

    def forget_cuts(self) -> None:
        """Undo :meth:`cut_after`, as far as it has not come to it."""
        self._in_loop(self._cuts.clear)

    @property
    def cuts_to_come(self) -> bool:
        return bool(self._cuts)

    @property
    def is_out(self) -> bool:
        """Whether the cable is out."""
        return self._listener is None

    def freeze(self) -> None:
        """Keep all connections and answer nothing."""
        self._in_loop(self.thawed.clear)

    def thaw(self) -> None:
        self._in_loop(self.thawed.set)

    def reboot(self, seconds: float = 0.5) -> None:
        """All processes die and the phone is away for a while; its storage and settings survive."""
        self.pull_cable()
        self.kill_processes()
        for name, value in (("fixed_performance", "false\n"), ("prop/security.perf_harden", "1\n")):
            if (self.state / name).exists():
                self.write(name, value)
        threading.Timer(seconds, self.plug).start()

    def allow(self) -> None:
        """The owner taps 'Allow USB debugging'."""
        self.auth = "accept"

    def revoke(self) -> None:
        """The owner revokes all authorisations: the phone must be asked again."""
        self.auth = "ask"
        self._in_loop(self._cut_all)

    def processes(self) -> list[psutil.Process]:
        """What runs on it, programs that outlived their shell included."""
        mark = str(self.root)
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, OSError):
                if process.environ().get("FDI_STAND_IN") == mark and process.status() != "zombie":
                    found.append(process)
        return found

    def kill_processes(self) -> None:
        end = time.monotonic() + 5
        while (found := self.processes()) and time.monotonic() < end:
            for process in found:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process.pid, signal.SIGKILL)
            time.sleep(0.005)

    # Serving

    def allowance(self, direction: Direction, service: str, count: int) -> int:
        """How many of these bytes pass before a cut that was asked for."""
        for index, (way, prefix, left) in enumerate(self._cuts):
            if way == direction and service.startswith(prefix):
                if count > left:
                    del self._cuts[index]
                    return left
                self._cuts[index] = (way, prefix, left - count)
        return count

    def __enter__(self) -> StandInPhone:
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        if not self._ready.wait(10):
            raise RuntimeError("the stand-in phone does not start")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        self.kill_processes()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        await self._open_listener()
        self._ready.set()
        await self._stop.wait()
        self.thawed.set()
        self._pull()
        for _ in range(200):
            await asyncio.sleep(0.01)
            self._cut_all()  # what was just being accepted shows up late
            if asyncio.all_tasks() == {asyncio.current_task()}:
                break
        for shell in self.started:
            shell.close()
        for _ in range(500):  # a busy computer takes its time to end what was killed
            if all(shell.get_returncode() is not None for shell in self.started):
                break
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.01)  # for what closing has put off

    async def _open_listener(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
            self.port = self._listener.sockets[0].getsockname()[1]

    def _listen(self) -> Any:
        return self._open_listener()

    def _pull(self) -> None:
        if self._listener is not None:
            for listening in self._listener.sockets:
                self._loop.remove_reader(listening)
            # A turn later: Python 3.11 leaks a connection whose listener closes while it is being accepted.
            self._loop.call_soon(self._listener.close)
            self._listener = None
        self._cut_all()

    def _cut_all(self) -> None:
        for transport in self._transports:
            transport.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        transport = Transport(self, reader, writer)
        self._transports.add(transport)
        if self.is_out:
            transport.cut()
        try:
            await transport.run()
        finally:
            self._transports.discard(transport)

    def _in_loop(self, act: Callable[[], Any]) -> None:
        """Do it in the thread that serves, and return when it is done."""
        if threading.current_thread() is self._thread:
            act()
            return
        done = threading.Event()

        async def body() -> None:
            try:
                waiting = act()
                if asyncio.iscoroutine(waiting):
                    await waiting
            finally:
                done.set()

        asyncio.run_coroutine_threadsafe(body(), self._loop)
        if not done.wait(10):
            raise RuntimeError("the stand-in phone does not answer")
        time.sleep(0)
