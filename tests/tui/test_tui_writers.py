"""Whether a writer is at work, silent, done, dead, or elsewhere."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest
from fdi_tui.data.writers import SILENT_S, Writer, process_status
from fdi_tui.words import standing_text

HERE = socket.gethostname()


@pytest.fixture
def process():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield child
    child.kill()
    child.wait()


def started(pid, host=HERE, at=None):
    writer = Writer()
    writer.take({"event": "started", "time": time.time() if at is None else at, "pid": pid, "host": host})
    return writer


def test_a_process_runs_is_stopped_goes_on_and_dies(process):
    writer = started(process.pid)
    assert writer.standing(time.time()).state == "running"
    assert writer.standing(time.time() + SILENT_S + 1).state == "silent"
    assert standing_text(writer.standing(time.time() + 300), time.time() + 300) == "silent for 5 min"
    process.send_signal(signal.SIGSTOP)
    end = time.monotonic() + 5
    while writer.standing(time.time()).state != "paused" and time.monotonic() < end:
        time.sleep(0.01)
    assert writer.standing(time.time()).state == "paused"
    process.send_signal(signal.SIGCONT)
    process.kill()
    end = time.monotonic() + 5
    while writer.standing(time.time()).state != "died" and time.monotonic() < end:
        time.sleep(0.01)  # a zombie is dead: its parent only has not looked
    assert writer.standing(time.time()).state == "died"
    assert not writer.standing(time.time()).at_work


def test_another_process_of_the_same_number_is_another(process):
    assert process_status(process.pid, time.time() - 3600) == "gone"
    assert started(process.pid, at=time.time() - 3600).standing(time.time()).state == "died"


@pytest.mark.parametrize("pid", [0, -5, 2**40, 99_999_999])
def test_impossible_numbers_are_gone(pid):
    assert process_status(pid, None) == "gone"


def test_a_writer_elsewhere_is_not_called_dead():
    standing = started(99_999_999, "rack-7").standing(time.time() + 9999)
    assert (standing.state, standing.host) == ("elsewhere", "rack-7")
    assert standing_text(standing, time.time()) == "on rack-7"


@pytest.mark.parametrize(
    ("event", "state"), [("finished", "finished"), ("failed", "failed"), ("interrupted", "interrupted")]
)
def test_endings_count_more_than_processes(event, state):
    writer = started(os.getpid())
    writer.take({"event": event, "time": time.time()})
    assert writer.standing(time.time()).state == state
    writer.take({"event": "resumed", "time": time.time(), "pid": os.getpid(), "host": HERE})
    assert writer.standing(time.time()).state == "running"


def test_who_resumed_counts_not_who_began():
    writer = started(99_999_999)
    writer.take({"event": "resumed", "time": time.time(), "pid": os.getpid(), "host": HERE})
    assert writer.standing(time.time()).state == "running"
    writer.take({"event": "resumed", "time": time.time()})  # of an earlier version: by whom is not told
    assert writer.standing(time.time()).state == "running"
