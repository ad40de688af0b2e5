"""What simpleperf prints, on phones that count and on those that do not."""

import pytest
from recorded_outputs import recorded

from fdi_keras.devices.benchmark_model import counted, parse_counters, parse_output
from fdi_keras.errors import MeasurementError, OutputDamagedError

TABLE = """\
Performance counter statistics:

#         count  event_name         # count / runtime,  runtime / enabled_time
  774,728,087  cache-references   # 96.513 M/sec          (100%)
   31,985,983  cache-misses       # 4.128672% miss rate   (87%)

Total test time: 1.001893 seconds.
"""
NEWER = """\
Performance counter statistics:

#      count  event_name                # count / runtime
  1,234,567  cache-references          # 20.1 M/sec
     98,765  cache-misses              # 1.3 M/sec

Total test time: 0.038096 seconds.
"""
CSV = """\
Performance counter statistics,
1234567,cache-references,20.1,M/sec,
98765,cache-misses,1.3,M/sec,
Total test time,0.038096,seconds,
"""


@pytest.mark.parametrize(
    ("text", "references", "misses", "share"),
    [
        (TABLE, 774_728_087, 31_985_983, 0.87),
        (NEWER, 1_234_567, 98_765, 1.0),
        (CSV, 1_234_567, 98_765, 1.0),
        (NEWER.replace(",", "."), 1_234_567, 98_765, 1.0),
        (NEWER.replace("1,234,567", "1234567").encode(), 1_234_567, 98_765, 1.0),
    ],
)
def test_counts_are_read_in_every_format(text, references, misses, share):
    counters = parse_counters(text)
    assert (counters.references, counters.misses, counters.counted) == (references, misses, share)
    assert counters.miss_rate == pytest.approx(misses / references)


def test_counts_for_each_execution_include_the_warm_up():
    run = recorded()["cnn_noxnn"]
    report = parse_output(run.output, run.flags)
    assert parse_counters(NEWER).per_inference(report) == (1_234_567 / 60, 98_765 / 60)


@pytest.mark.parametrize(
    ("text", "said", "why"),
    [
        ("", "/system/bin/sh: simpleperf: not found\n", "has no simpleperf"),
        ("", "simpleperf: inaccessible or not found", "has no simpleperf"),
        ("", "E command.cpp] perf_event_open failed: Permission denied", "setprop security.perf_harden 0"),
        ("", "E event_type.cpp] Unknown event_type 'cache-misses'", "it said|does not count"),
        ("", "cache-references is not supported on the device", "does not count"),
        ("", "", "it said: 'nothing'"),
        (NEWER.replace("98,765", "<not supported>"), "", "does not count cache-misses"),
    ],
)
def test_a_phone_that_does_not_count_says_why(text, said, why):
    with pytest.raises(MeasurementError, match=why):
        parse_counters(text, said.encode())


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (NEWER.split("Total")[0], "cut off"),
        (NEWER.replace("cache-misses", "cache-others"), "cut off"),
        (NEWER.replace("98,765", "9,998,765"), "misses in"),
        (NEWER.replace("Total", "  1 cache-misses\nTotal"), "twice"),
    ],
)
def test_a_damaged_table_is_an_error(text, why):
    with pytest.raises(OutputDamagedError, match=why):
        parse_counters(text)


def test_the_command_runs_the_tool_under_simpleperf():
    assert counted(["tool", "--graph=x"], "/tmp/c") == [
        "simpleperf", "stat", "-e", "cache-references,cache-misses", "-o", "/tmp/c", "tool", "--graph=x",
    ]  # fmt: skip
