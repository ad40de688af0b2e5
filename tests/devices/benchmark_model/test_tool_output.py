"""The tool's text: every recorded output, accelerators that were not applied, and damage of all kinds."""

import random

import pytest
from fuzzing import Tally, try_batch, try_text
from hypothesis import given
from hypothesis import strategies as st
from recorded_outputs import recorded
from searching import examples

from fdi_keras.devices.benchmark_model import ToolOutput, parse_output
from fdi_keras.devices.benchmark_model.statistics import parse_statistics, tool_number
from fdi_keras.errors import (
    DelegateNotAppliedError,
    MeasurementError,
    ModelRefusedError,
    OutputDamagedError,
    RuntimeRefusedError,
    ToolCrashedError,
)

RUNS = recorded()

#: Median in microseconds as printed, runs, and latency in ms.
LATENCIES = {
    "cnn_default": (120, 8026, 0.1205),
    "cnn_noxnn": (536, 50, 0.5365),
    "conv_default": (327, 2868, 0.3275),
    "conv_t1_r50_w10": (327, 2947, 0.3275),
    "dense_default": (5, 176130, 0.0055),
    "dense_t1_fast": (5, 50, 0.00546),
    "int8_default": (7, 50, 0.00722),
    "min_gt_max": (117, 8337, 0.1175),
    "peakmem": (117, 8328, 0.1175),
    "runs1": (139, 1, 0.139),
    "slow_maxsecs": (391115, 2, 391.115),
    "taskset": (117, 8307, 0.1175),
    "threads2": (120, 5744, 0.1205),
    "verbose": (117, 50, 0.1175),
}

PROFILED = {"cnn_prof_csvfile": 149, "mixed_prof_csvfile": 82}

ERRORS = {
    "bad_value": (RuntimeRefusedError, "refuses its flags.*num_runs"),
    "cnn_prof": (OutputDamagedError, "table of operators"),
    "cnn_prof_noxnn": (OutputDamagedError, "table of operators"),
    "corrupt_trunc": (ModelRefusedError, "not a valid Flatbuffer"),
    "dry_run": (MeasurementError, "timed no run"),
    "empty_model": (ModelRefusedError, "mmap of size 0"),
    "flex_default": (ModelRefusedError, r"Flex.*FlexMatrixInverse"),
    "help": (RuntimeRefusedError, "refuses its flags"),
    "int8_prof": (OutputDamagedError, "table of operators"),
    "list_sigs": (MeasurementError, "gave no reason"),
    "missing_model": (ModelRefusedError, "Could not open 'models/nope.tflite'"),
    "mixed_prof": (OutputDamagedError, "table of operators"),
    "multisig_default": (ModelRefusedError, "Signature not specified"),
    "noargs": (RuntimeRefusedError, "Please specify"),
    "prof_csv_unwritable": (OutputDamagedError, "table of operators"),
    "result_file_unwritable": (MeasurementError, "Failed to save"),
    "runs0": (MeasurementError, "timed no run"),
    "slow_killed": (MeasurementError, "exit code 124"),
    "space_sep": (RuntimeRefusedError, "does not understand --graph models/cnn.tflite"),
    "unknown_flag": (RuntimeRefusedError, "does not understand --bogus_flag=1"),
    "use_gpu": (RuntimeRefusedError, "--use_gpu=true.*not compiled.*the CPU would be timed"),
}


def test_every_recorded_output_has_its_expectation():
    assert sorted([*LATENCIES, *PROFILED, *ERRORS]) == sorted(RUNS)


@pytest.mark.parametrize("name", LATENCIES)
def test_a_good_run_gives_the_latency_of_its_second_line_of_numbers(name):
    report = parse_output(RUNS[name].output, RUNS[name].flags)
    median, runs, median_ms = LATENCIES[name]
    assert report.regular.median == RUNS[name].printed_median_us == median
    assert report.timing.runs == runs
    assert report.timing.median_ms == pytest.approx(median_ms)
    assert abs(1e3 * report.timing.median_ms - median) <= 0.5
    assert report.timing.min_ms * 1e3 <= report.regular.p5
    assert 0 <= report.timing.iqr_ms <= (report.regular.p95 - report.regular.p5) / 1e3


@pytest.mark.parametrize("name", PROFILED)
def test_a_run_with_the_profiler_gives_no_latency(name):
    report = parse_output(RUNS[name].output, RUNS[name].flags)
    assert report.regular.median == PROFILED[name]
    with pytest.raises(MeasurementError, match="operator profiling gives no latency"):
        report.timing  # noqa: B018


@pytest.mark.parametrize("name", ERRORS)
def test_a_run_that_measured_something_else_or_nothing_is_a_named_error(name):
    kind, message = ERRORS[name]
    with pytest.raises(kind, match=message) as caught:
        parse_output(RUNS[name].output, RUNS[name].flags)
    assert caught.type is kind


@pytest.mark.parametrize("name", LATENCIES)
def test_no_beginning_of_an_output_gives_a_latency(name):
    run = RUNS[name]
    for end in range(len(run.output.stdout)):
        with pytest.raises(MeasurementError):
            parse_output(ToolOutput(run.output.stdout[:end], run.output.stderr, 0), run.flags)


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (137, ToolCrashedError, "killed, most likely because the phone ran out of memory"),
        (139, ToolCrashedError, "crashed"),
        (134, ToolCrashedError, "aborted"),
        (153, ToolCrashedError, "grew beyond all measure"),
        (126, RuntimeRefusedError, "cannot be executed on this phone.*the phone's ABI"),
        (127, RuntimeRefusedError, "was not found on the phone"),
    ],
)
def test_an_exit_code_names_what_happened(code, kind, message):
    run = RUNS["cnn_default"]
    with pytest.raises(kind, match=message):
        parse_output(ToolOutput(run.output.stdout, b"sh: no\n", code), run.flags)


def on_accelerator(line, flags="use_gpu", label="Use gpu", stderr=b""):
    """A recorded output as a build with that accelerator writes it."""
    run = RUNS["conv_t1_r50_w10"]
    text = run.output.stdout.replace(
        b"INFO: Loaded model", b"INFO: %s: [1]\nINFO: Loaded model" % label.encode()
    ).replace(b"INFO: The input", line.encode() + b"INFO: The input")
    return ToolOutput(text, stderr, 0), {**run.flags, flags: "true"}


APPLIED = "INFO: Explicitly applied {} delegate, and the model graph will be {} executed by the delegate{}.\n"
WHOLE = APPLIED.format("GPU", "completely", "")
PART = APPLIED.format("GPU", "partially", " w/ 3 delegate kernels")


def test_the_gpu_is_believed_when_it_executes_the_whole_model():
    report = parse_output(*on_accelerator(WHOLE))
    assert (report.delegated, report.kernels, report.regular.median) == ("completely", None, 327)


def test_a_part_on_the_gpu_is_named_and_refused_for_probes():
    output, flags = on_accelerator(PART)
    report = parse_output(output, flags)
    assert (report.delegated, report.kernels) == ("partially", 3)
    with pytest.raises(DelegateNotAppliedError, match="only a part"):
        parse_output(output, {**flags, "require_full_delegation": "true"})


@pytest.mark.parametrize(
    "line",
    [
        "",
        "INFO: Though GPU delegate is explicitly applied, the model graph will not be executed by the delegate.\n",
        "INFO: GPU delegate created.\nINFO: Created 1 GPU delegate kernels.\n",
        APPLIED.format("XNNPACK", "completely", ""),
        "INFO: GPU acceleration is unsupported on this platform.\n",
    ],
)
def test_a_cpu_run_never_passes_for_a_gpu_run(line):
    with pytest.raises(DelegateNotAppliedError, match="GPU"):
        parse_output(*on_accelerator(line))


@pytest.mark.parametrize("line", [APPLIED.format("NNAPI", "completely", ""), WHOLE + WHOLE, WHOLE + PART])
def test_another_accelerator_than_the_one_asked_for_is_no_measurement(line):
    with pytest.raises(OutputDamagedError, match="not what was asked for"):
        parse_output(*on_accelerator(line))
    output, flags = on_accelerator(WHOLE)
    del flags["use_gpu"]
    with pytest.raises(OutputDamagedError, match="was not asked for"):
        parse_output(output, flags)


def test_nnapi_without_an_accelerator_is_refused():
    output, flags = on_accelerator(APPLIED.format("NNAPI", "completely", ""), "use_nnapi", "Use NNAPI")
    assert parse_output(output, flags).delegated == "completely"
    offered = b"INFO: NNAPI accelerators available: [nnapi-reference]\n"
    text = output.stdout.replace(b"INFO: Loaded", offered + b"INFO: Loaded")
    with pytest.raises(RuntimeRefusedError, match="no accelerator, only its reference code"):
        parse_output(ToolOutput(text, b"", 0), flags)


def test_an_accelerator_that_refuses_the_model_says_so():
    run = RUNS["conv_default"]
    output = ToolOutput(
        b"INFO: STARTING!\n", b"ERROR: Failed to apply GPU delegate.\nERROR: Benchmarking failed.\n", 1
    )
    with pytest.raises(DelegateNotAppliedError, match=r"does not execute this model.*Failed to apply GPU"):
        parse_output(output, {**run.flags, "use_gpu": "true"})


def test_xnnpack_must_be_there_exactly_when_it_was_asked_for():
    run = RUNS["cnn_default"]
    with pytest.raises(DelegateNotAppliedError, match="nothing in the output says that XNNPACK was applied"):
        parse_output(ToolOutput(run.output.stdout, b"", 0), run.flags)
    run = RUNS["cnn_noxnn"]
    with pytest.raises(RuntimeRefusedError, match="switched off"):
        parse_output(ToolOutput(run.output.stdout, RUNS["cnn_default"].output.stderr, 0), run.flags)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("cnn_default", {"graph": "models/other.tflite"}),
        ("threads2", {"num_threads": "4"}),
        ("cnn_noxnn", {"num_runs": "51"}),
        ("cnn_noxnn", {"min_secs": "0.1"}),
        ("cnn_noxnn", {"use_xnnpack": "true"}),
        ("cnn_default", {"max_secs": "10"}),
    ],
)
def test_the_output_of_another_run_is_not_taken(name, told):
    with pytest.raises(MeasurementError, match=r"another (run|model)|contradicts itself or the request|not"):
        parse_output(RUNS[name].output, {**RUNS[name].flags, **told})


def test_an_old_version_without_percentiles_is_refused_by_name():
    line = "count=50 first=605745 curr=618849 min=568228 max=722188 avg=602943 std=27690"
    with pytest.raises(RuntimeRefusedError, match=r"prints no percentiles.*average is not a median"):
        parse_statistics(line)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("count=50 first=6 curr=5 min=5 max=6 avg=5.46 std=0 p5=5 median=6 p95=5", "out of order"),
        ("count=50 first=7 curr=5 min=5 max=6 avg=5.46 std=0 p5=5 median=5 p95=6", "outside min"),
        ("count=50 first=6 curr=5 min=5 max=6 avg=5.465 std=0 p5=5 median=5 p95=6", "no whole number"),
        ("count=50 first=6 curr=5 min=5 max=6 avg=5.9 std=0 p5=5 median=5 p95=6", "does not go with"),
        (
            "count=50 first=6 curr=5 min=5 max=96 avg=5.46 std=0 p5=5 median=5 p95=6",
            "does not go with|too small",
        ),
        ("count=50 first=6 curr=5 min=5 max=6 avg=5.46 std=9 p5=5 median=5 p95=6", "too large"),
        ("count=50 first=6 curr=5 min=5 max=6 avg=5.460 std=0 p5=5 median=5 p95=6", "would not write"),
        ("count=2 first=6 curr=5 min=5 max=6 avg=5.5 std=0 p5=5 median=5 p95=6", "two times"),
        ("count=7 curr=5 p5=5 median=5 p95=5", "all same"),
        ("count=7 curr=5(all same) p5=5 median=6 p95=6", "said to be the same"),
        ("count=50 first=06 curr=5 min=5 max=6 avg=5.46 std=0 p5=5 median=5 p95=6", "not as benchmark_model"),
    ],
)
def test_numbers_that_cannot_be_true_together_are_an_error(line, why):
    with pytest.raises(OutputDamagedError, match=why):
        parse_statistics(line)


def written(taken):
    """The line of the tool for a series, after its own rules."""
    from stand_in_tool.tool import statistics

    return statistics(taken)


@examples(400)
@given(
    st.one_of(
        st.lists(st.integers(1, 50), min_size=1, max_size=300),
        st.lists(st.integers(1, 10**9), min_size=1, max_size=40),
        st.builds(lambda base, noise: [base + n for n in noise], st.integers(1, 10**7),
                  st.lists(st.sampled_from([0, 0, 0, 1, 1, 2, 90, 4000]), min_size=1, max_size=200)),
    )
)  # fmt: skip
def test_whatever_the_tool_may_measure_is_accepted_and_read_exactly(taken):
    read = parse_statistics(written(taken))
    ranked = sorted(taken)
    assert (read.count, read.first, read.last) == (len(taken), taken[0], taken[-1])
    assert (read.min, read.max) == (ranked[0], ranked[-1])
    assert (read.p5, read.median, read.p95) == tuple(ranked[len(taken) * p // 100] for p in (5, 50, 95))
    assert read.avg == tool_number(sum(taken) / len(taken))
    assert abs(1e3 * read.median_ms - read.median) <= 0.5 + 1e-6


@examples(60)
@given(st.randoms(use_true_random=False), st.sampled_from([try_text, try_batch]))
def test_a_damaged_output_is_a_measurement_or_an_error_and_never_a_wrong_number(rng, trial):
    """``python -m benchmarks.phones --parts 6`` does the same a hundred thousand times."""
    tally = Tally()
    seeded = random.Random(rng.getrandbits(64))
    for _ in range(40):
        trial(RUNS, seeded, tally)
    assert not tally.violations
