"""A child process that answers requests, and whose death is an ordinary event."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, cast

from fdi_keras.devices.frames import read_frame, write_frame
from fdi_keras.errors import MeasurementError

STARTUP_S = 60.0


class Child:
    """A running ``python -m module *arguments`` that speaks in frames.

    Args:
        module: the module to run; it announces itself with a frame.
        arguments: its command line.
        task: what it does, for messages.
        environment: variables that it has besides those of this process.

    Raises:
        MeasurementError: it does not start.
    """

    def __init__(
        self,
        module: str,
        *arguments: str,
        task: str = "measuring",
        environment: Mapping[str, str] | None = None,
    ):
        self._task = task
        root = str(Path(__file__).resolve().parents[2])
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        # A session of its own keeps the terminal's Ctrl-C away from the child: the parent ends it.
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {}), "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,
        )
        self._said: deque[str] = deque(maxlen=20)
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self._timed_out = False
        self._guarded(lambda: read_frame(cast(Any, self._process.stdout)), STARTUP_S, "starting")

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(
        self,
        request: dict[str, Any],
        chunks: Sequence[bytes],
        timeout_s: float,
        meanwhile: Callable[[], None] | None = None,
    ) -> tuple[dict[str, Any], list[bytes]]:
        """Send a request and wait for the answer.

        Args:
            request, chunks: what the child is given.
            timeout_s: how long the answer may take.
            meanwhile: called while the child works on it; raises nothing.

        Raises:
            MeasurementError: the child died or did not answer in time. It is gone then.
        """

        def exchange() -> tuple[dict[str, Any], list[bytes]]:
            write_frame(cast(Any, self._process.stdin), {**request, "timeout_s": timeout_s}, chunks)
            if meanwhile is not None:
                meanwhile()
            return read_frame(cast(Any, self._process.stdout))

        return self._guarded(exchange, timeout_s, self._task)

    def close(self) -> None:
        """End the child: kindly by closing its input, after a second by force."""
        if self._process.stdin and not self._process.stdin.closed:
            _close(self._process.stdin)
        try:
            self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._kill()
        self._clean_up()

    def _guarded(self, exchange: Any, timeout_s: float, doing: str) -> Any:
        timer = threading.Timer(timeout_s, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            return exchange()
        except (EOFError, OSError, ValueError) as error:
            self._kill()
            self._clean_up()
            raise MeasurementError(self._obituary(doing, timeout_s)) from error
        except BaseException:
            # Interrupted in the middle of an answer: the stream can no longer be understood.
            self._kill()
            self._clean_up()
            raise
        finally:
            timer.cancel()

    def _give_up(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _kill(self) -> None:
        # A child that is ending by itself is left to tell by its status what happened.
        try:
            self._process.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _clean_up(self) -> None:
        self._listener.join(timeout=1)
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream:
                _close(stream)

    def _listen(self) -> None:
        stream = cast(IO[bytes], self._process.stderr)
        try:
            for line in stream:
                self._said.append(line.decode(errors="replace").rstrip())
        except ValueError:  # closed while reading
            return

    def _obituary(self, doing: str, timeout_s: float) -> str:
        code, process = self._process.returncode, f"the {self._task} process"
        if self._timed_out:
            text = f"{process} did not answer within {timeout_s:g} s while {doing} and was killed"
        elif code < 0:
            text = f"{process} was killed by {_signal_name(-code)} while {doing}"
        else:
            text = f"{process} ended with status {code} while {doing}"
        words = [line for line in self._said if not line.startswith(("INFO:", "WARNING:"))]
        last = " | ".join(words[-5:])
        return f"{text}. It said: {last}" if last else f"{text}."


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _close(stream: IO[bytes]) -> None:
    # Closing flushes, and a dead child takes no more input.
    try:
        stream.close()
    except OSError:
        return
