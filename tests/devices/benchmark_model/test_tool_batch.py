"""Batches: executed by a real shell, cut at every byte, never a result that was not sent."""

import os
import signal
import subprocess
import time

import pytest
from recorded_outputs import batch_of, recorded, sent

from fdi_keras.devices.benchmark_model import Batch, BatchReader, Job
from fdi_keras.devices.benchmark_model.batch import posix_cksum
from fdi_keras.errors import OutputDamagedError, RuntimeRefusedError, ToolCrashedError, UsageError

RUNS = recorded()
CHOSEN = [RUNS[name] for name in ("conv_default", "use_gpu", "mixed_prof_csvfile", "runs1")]


def execute(batch):
    done = subprocess.run(["sh", "-c", batch.script], capture_output=True, check=False)
    return done.stdout


def replay(tmp_path, run, number):
    """A job whose program writes what a recorded run wrote."""
    words = ["sh", "-c", 'cat "$0"; cat "$1" >&2; exit "$2"']
    csv = run.output.files.get("profile", b"")
    for name, content in (("out", run.output.stdout), ("err", run.output.stderr), ("csv", csv)):
        (tmp_path / f"{number} {name}").write_bytes(content)
    files = {"profile": str(tmp_path / f"{number} csv")} if run.output.files else {}
    command = [*words, *(str(tmp_path / f"{number} {n}") for n in ("out", "err")), str(run.output.exit_code)]
    return Job(command, run.flags, files, [str(tmp_path / f"{number} out")])


def test_a_shell_executes_a_batch_and_every_job_comes_back_as_it_was(tmp_path):
    runs = list(RUNS.values())
    batch = Batch([replay(tmp_path, run, number) for number, run in enumerate(runs)], str(tmp_path))
    reader = BatchReader(batch)
    results = reader.feed(execute(batch))
    assert reader.finished
    assert reader.broken is None
    assert [result.output for result in results] == [run.output for run in runs]
    by_name = dict(zip(RUNS, results, strict=True))
    assert by_name["conv_t1_r50_w10"].report.timing.runs == 2947
    assert isinstance(by_name["use_gpu"].error, RuntimeRefusedError)
    left = {path.name for path in tmp_path.iterdir()}
    assert not {name for name in left if name.endswith((" out", batch.nonce))}
    assert not {name for name in left if name.startswith(batch.nonce)}


def test_what_the_stand_in_of_the_tests_sends_is_what_the_script_sends(tmp_path):
    jobs = [replay(tmp_path, run, number) for number, run in enumerate(CHOSEN)]
    batch = Batch(jobs, str(tmp_path), nonce="5eed")
    assert execute(batch) == sent(batch, [run.output for run in CHOSEN])


def test_after_a_cut_at_any_byte_the_jobs_that_had_ended_are_good_and_no_others():
    batch = batch_of(CHOSEN[1:], "5eed")
    stream = sent(batch, [run.output for run in CHOSEN[1:]])
    ends = [stream.index(b"5eed end %d\n" % index) + len(b"5eed end 0\n") for index in range(3)]
    reader = BatchReader(batch)
    done = []
    for at in range(len(stream)):
        done += reader.feed(stream[at : at + 1])
        assert len(done) == sum(end <= at + 1 for end in ends) == reader.done
        assert reader.missing == list(range(len(done), 3))
        assert reader.finished == (at + 1 == len(stream))
    assert reader.broken is None
    assert [result.output for result in done] == [run.output for run in CHOSEN[1:]]


def test_the_job_under_way_is_known_while_it_runs():
    batch = batch_of(CHOSEN, "5eed")
    reader = BatchReader(batch)
    assert reader.running is None
    reader.feed(b"5eed begin 0\n")
    assert reader.running == 0


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        (b"5eed begin 1\n", b"5eed begin 2\n", "out of order"),
        (b"5eed end 1\n", b"5eed end 0\n", "out of order"),
        (b"5eed end 1\n", b"", "out of order"),
        (b"median=118", b"median=117", "changed on the way"),
        (b"exit 0", b"exit 1", "changed on the way"),
        (b"5eed done 4", b"5eed done 3", "out of order"),
        (b"5eed done 4\n", b"5eed done 4\nmore", "after its end"),
        (b"5eed begin 0", b"error: device offline", "something else"),
    ],
)
def test_what_was_changed_on_the_way_is_found(before, after, why):
    batch = batch_of(CHOSEN, "5eed")
    stream = sent(batch, [run.output for run in CHOSEN])
    assert before in stream
    reader = BatchReader(batch)
    results = reader.feed(stream.replace(before, after, 1))
    assert isinstance(reader.broken, OutputDamagedError)
    assert why in str(reader.broken)
    assert [result.output for result in results] == [run.output for run in CHOSEN[: len(results)]]


def test_a_crash_runaway_output_and_a_missing_program_are_one_jobs_error_only(tmp_path):
    jobs = [
        Job(["sh", "-c", "kill -9 $$"], {}),
        Job(["yes"], {}),
        Job(["/nonexistent/tool"], {}, {"profile": str(tmp_path / "none")}),
        replay(tmp_path, CHOSEN[0], 3),
    ]
    batch = Batch(jobs, str(tmp_path))
    results = BatchReader(batch).feed(execute(batch))
    kinds = [type(result.error) for result in results]
    assert kinds == [ToolCrashedError, ToolCrashedError, RuntimeRefusedError, type(None)]
    assert "out of memory" in str(results[0].error)
    assert len(results[1].output.stdout) == 1 << 20
    assert results[2].output.files == {"profile": b""}


@pytest.mark.parametrize("late_s", [0, 0.5], ids=["waiting", "just_started"])
def test_hanging_up_ends_the_tool_and_leaves_no_file(tmp_path, late_s):
    batch = Batch(
        [Job(["sh", "-c", 'echo $$ >"$0"; exec sleep 60', str(tmp_path / "pid")], {})], str(tmp_path)
    )
    script = batch.script.replace("</dev/null &\n", f"</dev/null &\n  sleep {late_s}\n")
    assert script != batch.script
    shell = subprocess.Popen(["sh", "-c", script], stdout=subprocess.PIPE)
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    shell.send_signal(signal.SIGHUP)
    assert shell.wait(10) == 129
    shell.stdout.close()
    pid = int((tmp_path / "pid").read_text())
    while os.path.exists(f"/proc/{pid}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert [path.name for path in tmp_path.iterdir()] == ["pid"]


def test_text_of_a_command_is_never_part_of_the_script(tmp_path):
    evil = "$(touch pwned); `touch pwned` 'a' \"b\" \n; touch pwned"
    batch = Batch([Job(["printf", "%s", evil], {}, remove=[f"{tmp_path}/{evil}"])], str(tmp_path))
    done = subprocess.run(["sh", "-c", batch.script], capture_output=True, cwd=tmp_path, check=True)
    (result,) = BatchReader(batch).feed(done.stdout)
    assert result.output.stdout == evil.encode()
    assert list(tmp_path.iterdir()) == []


def test_a_phone_without_cksum_is_named(tmp_path):
    batch = Batch([Job(["true"], {})], str(tmp_path))
    script = batch.script.replace("$(cksum", "$(no_such_cksum")
    reader = BatchReader(batch)
    reader.feed(subprocess.run(["sh", "-c", script], capture_output=True, check=False).stdout)
    assert "no cksum" in str(reader.broken)


def test_an_empty_batch_and_an_odd_file_name_are_usage_errors():
    with pytest.raises(UsageError, match="at least one job"):
        Batch([], "/tmp")
    with pytest.raises(UsageError, match="received 'a b'"):
        Batch([Job(["true"], {}, {"a b": "/tmp/x"})], "/tmp")


@pytest.mark.parametrize("text", [b"", b"a", b"123456789", bytes(range(256)) * 9, b"\0" * 300])
def test_the_checksum_is_that_of_cksum(text):
    printed = subprocess.run(["cksum"], input=text, capture_output=True, check=True).stdout.split()
    assert [posix_cksum(text), len(text)] == [int(number) for number in printed[:2]]
