"""The dashboard measured in real terminals: ``python -m benchmarks.dashboard``.

Takes some five minutes on two cores; writes results as they come and resumes. Run it on an
otherwise idle computer. Needs tmux for part 5. Parts: 1 start and quit, 2 long journals, 3 keys,
4 deaths and hostile journals, 5 screens, 6 other hosts.
"""

from __future__ import annotations

import sys

from benchmarks.command import Benchmark
from benchmarks.dashboard.settings import PARTS, Settings

BENCHMARK = Benchmark("dashboard", __doc__, PARTS, lambda options: Settings(options.work))

if __name__ == "__main__":
    sys.exit(BENCHMARK.run())
