"""A stand-in phone as a process of its own, with the methods of one in a thread."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class PhoneProcess:
    """``python -m stand_in_phone ROOT``; its standard input takes calls, its output answers them.

    Args:
        root: folder of its storage, shared with this process: change its state there.
        options: as of :class:`StandInPhone`.

    Example::

        with PhoneProcess(folder) as phone:
            serial = phone.call("attach", adb_port)
            phone.call("reboot", 0.5)
    """

    def __init__(self, root: str | os.PathLike[str], **options: Any):
        self.root = Path(root).resolve()
        self._options = options

    def __enter__(self) -> PhoneProcess:
        paths = [str(HERE.parent), str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "stand_in_phone", str(self.root), json.dumps(self._options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            start_new_session=True,
        )
        self.port = int(self._answer())
        return self

    def call(self, method: str, *arguments: Any) -> Any:
        """Call a method of the phone, or read an attribute, in its process."""
        self._process.stdin.write(json.dumps([method, *arguments]) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the stand-in phone has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["value"]
