"""A campaign to be killed: ``python kill_campaign.py JOURNAL COUNT [--resume]``, on the real runtime.

Shared by the tests (a few kills) and whoever wants to kill more of them.
"""

import sys
from pathlib import Path

from fdi_keras.devices import open_device
from fdi_keras.profiling import Patience, Plan, run_campaign


def main(journal: Path, count: int, resume: bool) -> None:
    device = open_device("local")
    plan = Plan(["conv2d", "dense", "relu"], measurements=count)
    with device.open() as runner:
        patience = Patience(reference_every_s=1.0)
        run_campaign(runner, plan, journal, device=device.info, resume=resume, patience=patience)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), "--resume" in sys.argv)
