"""A campaign on a phone, to be hurt: ``python hurt_campaign.py JOURNAL DEVICE TOOL COUNT SEED [--resume]``.

Shared by the tests (a kill) and the benchmark (two hundred faults). It is the campaign of the product, only less
patient: runs of 20 ms, a tool that is silent for a second is hung, and a phone that is away is
looked for ten times a second.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fdi_keras.devices import RuntimeChoice, open_device, open_runner, phone_runner
from fdi_keras.profiling import Patience, Plan, run_campaign

KINDS = ["conv2d", "depthwise_conv2d", "relu"]
SILENCE_S = 1.2
PROBE_S = 0.02


def plan(count: int, seed: int) -> Plan:
    return Plan(KINDS, seed=seed, measurements=count)


def main(journal: Path, device: str, tool: str, count: int, seed: int, resume: bool) -> None:
    phone_runner.PROBE_S = PROBE_S
    runner = open_runner(device, RuntimeChoice(benchmark_model=tool))
    runner._tool._patience_s = SILENCE_S
    info = open_device(device).info
    with runner:
        run_campaign(
            runner,
            plan(count, seed),
            journal,
            device=info,
            resume=resume,
            patience=Patience(slow_s=2.0, gone_s=60.0, pause_s=0.1, reference_every_s=3.0),
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:4], int(sys.argv[4]), int(sys.argv[5]), "--resume" in sys.argv)
