"""Command lines, and runtimes as parts of names and profiles."""

import shlex

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_outputs import recorded

from fdi_keras import load_profile
from fdi_keras.devices import Runtime
from fdi_keras.devices.benchmark_model import Request, command_line, phone_runtime
from fdi_keras.devices.benchmark_model.command import DELEGATES, arguments, flags
from fdi_keras.errors import UsageError
from fdi_keras.profiling.lock import campaign_name

SHA = "9f2c" * 16
MODEL = "/data/local/tmp/fdi/3.tflite"


def words(runtime, **request):
    told = flags(runtime, Request(model=MODEL, **request))
    return arguments("tool", runtime, told)


def test_exactly_so_many_runs_on_chosen_cores():
    runtime = phone_runtime(SHA, delegate="none", threads=2, cores="big", cpu_mask="f0")
    assert words(runtime, min_runs=30, budget_s=0, warmup_runs=3, warmup_s=0) == [
        "taskset", "f0", "tool", f"--graph={MODEL}", "--num_threads=2", "--num_runs=30", "--min_secs=0",
        "--max_secs=150", "--warmup_runs=3", "--warmup_min_secs=0", "--use_xnnpack=false",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("delegate", "precision", "more"),
    [
        ("xnnpack", "float32", []),
        ("none", "float32", ["--use_xnnpack=false"]),
        ("gpu", "float32", ["--use_gpu=true", "--gpu_precision_loss_allowed=false", "--require_full_delegation=true"]),
        ("gpu", "float16", ["--use_gpu=true", "--gpu_precision_loss_allowed=true", "--require_full_delegation=true"]),
        ("nnapi", "float32", ["--use_nnapi=true", "--disable_nnapi_cpu=true", "--nnapi_allow_fp16=false",
                              "--require_full_delegation=true"]),
    ],
)  # fmt: skip
def test_each_delegate_has_its_flags(delegate, precision, more):
    given_words = words(phone_runtime(SHA, delegate=delegate, precision=precision))
    assert [word for word in given_words if "use_" in word or "fp16" in word or "precision" in word or "nnapi" in word
            or "delegation" in word] == more  # fmt: skip


def test_a_network_may_stay_on_the_cpu_in_part_and_a_table_is_a_file():
    told = words(phone_runtime(SHA, delegate="gpu"), whole_model=False, profile="/tmp/o.csv")
    assert "--require_full_delegation=true" not in told
    assert told[-3:] == [
        "--enable_op_profiling=true",
        "--op_profiling_output_mode=csv",
        "--op_profiling_output_file=/tmp/o.csv",
    ]


@given(
    st.sampled_from(sorted(DELEGATES)),
    st.integers(1, 64),
    st.floats(0, 1e4),
    st.floats(0, 1e4),
    st.text(min_size=1),
)
def test_every_flag_is_one_word_with_a_value_and_the_shell_sees_it_as_it_is(
    delegate, threads, budget, warmup, model
):
    runtime = phone_runtime(SHA, delegate=delegate, threads=threads)
    request = Request(model=model, budget_s=budget, warmup_s=warmup)
    line = command_line("/a b/tool", runtime, request)
    assert line.startswith("exec ")
    split = shlex.split(line)[1:]
    assert split == arguments("/a b/tool", runtime, flags(runtime, request))
    assert all(word.startswith("--") and "=" in word for word in split[1:])


def test_the_tool_knows_these_flags():
    known = {line.split("=")[0].strip().removeprefix("--") for line in
             recorded()["help"].output.stderr.decode().splitlines() if line.startswith("\t--")}  # fmt: skip
    for delegate in ("xnnpack", "none"):
        told = flags(phone_runtime(SHA, delegate=delegate), Request(model=MODEL, profile="x"))
        assert set(told) <= known
    assert "require_full_delegation" in known


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"delegate": "hexagon"}, "delegate must be one of"),
        ({"threads": 0}, "threads must be"),
        ({"threads": True}, "threads must be"),
        ({"precision": "int8"}, "precision must be one of"),
        ({"precision": "float16"}, "for the gpu and nnapi delegates"),
        ({"cores": "big", "cpu_mask": "0xf0"}, "hexadecimal digits"),
        ({"cores": "big", "cpu_mask": "0"}, "hexadecimal digits"),
        ({"cores": "big"}, "go together"),
        ({"cpu_mask": "f"}, "go together"),
    ],
)
def test_impossible_runtimes_are_usage_errors(wrong, message):
    with pytest.raises(UsageError, match=message):
        phone_runtime(SHA, **wrong)


@pytest.mark.parametrize(
    "wrong",
    [{"min_runs": 0}, {"warmup_runs": -1}, {"budget_s": -1.0}, {"warmup_s": float("nan")}, {"max_s": 1e400}],
)
def test_impossible_requests_are_usage_errors(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        flags(phone_runtime(SHA), Request(model=MODEL, **wrong))


def test_every_runtime_of_a_phone_has_a_campaign_of_its_own_but_versions_share_one():
    runtimes = [
        phone_runtime(SHA),
        phone_runtime(SHA, delegate="none"),
        phone_runtime(SHA, delegate="gpu"),
        phone_runtime(SHA, delegate="gpu", precision="float16"),
        phone_runtime(SHA, cores="big", cpu_mask="f0"),
        phone_runtime(SHA, cores="little", cpu_mask="f"),
    ]
    assert len({campaign_name("phone", runtime) for runtime in runtimes}) == len(runtimes)
    assert campaign_name("phone", phone_runtime("00" * 32)) == campaign_name("phone", runtimes[0])


def test_the_runtime_of_a_computer_is_what_it_was():
    old = msgspec.convert({"name": "litert", "version": "2.1"}, Runtime)
    assert old == Runtime("litert", "2.1", "xnnpack", 1, "float32")
    assert campaign_name("local", old) == "local-litert-xnnpack"
    profile = load_profile("x86-avx512-litert")
    assert (profile.runtime.cores, profile.runtime.cpu_mask, profile.runtime.binary_sha256) == ("", "", "")
    assert type(profile).from_dict(profile.to_dict()).runtime == profile.runtime
