"""LiteRT's stock ``benchmark_model``: found, told what to do, and read back strictly.

Nothing here knows of adb. :mod:`.binary` finds or fetches the tool for a phone's ABI,
:mod:`.command` makes its command line, :mod:`.batch` makes one shell script of several
runs and reads what the script sends back, :mod:`.output` turns the text of one run into
numbers or into a named error. :mod:`.operator_profile`, :mod:`.counters` and :mod:`.power`
read the files that a run may leave beside it.
"""

from fdi_keras.devices.benchmark_model.batch import Batch, BatchReader, Job, JobResult
from fdi_keras.devices.benchmark_model.binary import Binary, find_binary
from fdi_keras.devices.benchmark_model.command import Request, command_line, phone_runtime
from fdi_keras.devices.benchmark_model.counters import CacheCounters, counted, parse_counters
from fdi_keras.devices.benchmark_model.operator_profile import OperatorProfile, OperatorRow, parse_profile
from fdi_keras.devices.benchmark_model.output import Report, Statistics, ToolOutput, parse_output
from fdi_keras.devices.benchmark_model.power import PowerSample, parse_samples, sampled

__all__ = [
    "Batch",
    "BatchReader",
    "Binary",
    "CacheCounters",
    "Job",
    "JobResult",
    "OperatorProfile",
    "OperatorRow",
    "PowerSample",
    "Report",
    "Request",
    "Statistics",
    "ToolOutput",
    "command_line",
    "counted",
    "find_binary",
    "parse_counters",
    "parse_output",
    "parse_profile",
    "parse_samples",
    "phone_runtime",
    "sampled",
]
