"""Stopping campaigns, and going on with them, from outside.

A campaign that receives SIGINT writes ``interrupted`` and ends; nothing that was measured is
lost, and ``fdi profile --resume`` goes on. That is also how it is paused here: a process that
is merely frozen (SIGSTOP) would count the pause as time of the campaign, and the probe that it
interrupts would be measured wrong.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from fdi_tui.data.campaign import Campaign
from fdi_tui.data.writers import process_status


def interrupt(campaign: Campaign, now: float) -> str:
    """Tell a campaign to stop; returns why that cannot be done, or nothing."""
    standing = campaign.standing(now)
    pid = campaign.writer.pid
    if standing.state == "elsewhere":
        return f"it runs on {standing.host}: stop it there."
    if not standing.at_work:
        return (
            f"it does not run: it has {standing.state}." if standing.state != "died" else "it died already."
        )
    if pid is None or process_status(pid, campaign.writer.began) == "gone":
        return "its process is not known."
    if sys.platform == "win32":
        return "this system cannot tell another process to stop: press Ctrl-C in its window."
    try:
        os.kill(pid, signal.SIGTERM if _ignores_interrupts(pid) else signal.SIGINT)
    except ProcessLookupError:
        return "it has just ended."
    except PermissionError:
        return f"process {pid} belongs to another user."
    return ""


def _ignores_interrupts(pid: int) -> bool:
    """Whether SIGINT would do nothing, as in what a shell script put into the background.

    ``fdi profile`` takes SIGTERM for the same. Known on Linux only.
    """
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        ignored = next(line for line in lines if line.startswith("SigIgn:"))
        return bool(int(ignored.split()[1], 16) >> (signal.SIGINT - 1) & 1)
    except (OSError, StopIteration, ValueError, IndexError):
        return False


def resume_arguments(campaign: Campaign) -> list[str]:
    """Arguments of ``fdi`` that go on with a campaign."""
    words = ["profile", "--device", campaign.device or "local", "--resume"]
    words += ["--threads", str(campaign.threads)] if campaign.threads != 1 else []
    for name, usual in (("delegate", "xnnpack"), ("cores", ""), ("precision", "float32")):
        value = getattr(campaign, name)
        words += [f"--{name}", value] if value and value != usual else []
    return words
