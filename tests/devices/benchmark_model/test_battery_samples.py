"""The sampling script in a real shell, and its file read back."""

import os
import signal
import subprocess
import time

import pytest

from fdi_keras.devices.benchmark_model import Batch, BatchReader, Job, parse_samples, sampled
from fdi_keras.errors import EnergyUnavailableError


@pytest.fixture
def battery(tmp_path):
    folder = tmp_path / "battery"
    folder.mkdir()
    for name, text in {"current_now": "-350000", "voltage_now": "4012000", "status": "Discharging"}.items():
        (folder / name).write_text(text + "\n")
    return folder


def command(battery, tmp_path, *words):
    return sampled(words, str(tmp_path / "power"), idle_s=0.06, pause_s=0.02, battery=str(battery))


def test_a_command_is_sampled_before_while_and_after_and_keeps_its_streams_and_exit_code(battery, tmp_path):
    job = Job(command(battery, tmp_path, "sh", "-c", "echo a; echo b >&2; sleep 0.2; exit 7"), {},
              {"power": str(tmp_path / "power")})  # fmt: skip
    batch = Batch([job], str(tmp_path))
    done = subprocess.run(["sh", "-c", batch.script], capture_output=True, check=True)
    (result,) = BatchReader(batch).feed(done.stdout)
    assert (result.output.stdout, result.output.stderr, result.output.exit_code) == (b"a\n", b"b\n", 7)
    samples = parse_samples(result.output.files["power"])
    phases = [sample.phase for sample in samples]
    assert phases.count("idle") == phases.count("after") == 3
    assert phases.count("busy") >= 4
    assert {(s.current, s.voltage, s.status) for s in samples} == {(-350000, 4012000, "Discharging")}
    assert not (tmp_path / "power").exists()


def test_a_phone_that_denies_its_current_is_named(battery, tmp_path):
    (battery / "current_now").unlink()
    subprocess.run(command(battery, tmp_path, "true"), check=True)
    with pytest.raises(EnergyUnavailableError, match="does not let its battery's current_now be read"):
        parse_samples((tmp_path / "power").read_bytes())


def test_ending_the_sampler_ends_its_command(battery, tmp_path):
    script = 'echo $$ >"$0"; exec sleep 60'
    process = subprocess.Popen(command(battery, tmp_path, "sh", "-c", script, str(tmp_path / "pid")))
    deadline = time.monotonic() + 10
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    while os.path.exists(f"/proc/{(tmp_path / 'pid').read_text().strip()}"):
        assert time.monotonic() < deadline
        time.sleep(0.01)


WHOLE = "idle 1.0 -5 4000 Discharging\nbusy 1.5 -9 4000 Discharging\nafter 2.0 -5 4000 Not charging\ndone\n"


def test_status_of_two_words_is_kept():
    assert parse_samples(WHOLE)[2].status == "Not charging"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        *[(WHOLE[:end], "cut off") for end in range(0, len(WHOLE), 9)],
        (WHOLE.replace("busy", "lazy"), "cannot be read"),
        (WHOLE.replace("1.5", "0.5"), "out of order"),
        (WHOLE.replace("after", "idle"), "out of order"),
        (WHOLE.replace("busy 1.5 -9", "busy 1.5 -"), "current_now"),
        (WHOLE.replace("busy 1.5 -9 4000", "busy 1.5 -9 -"), "voltage_now"),
    ],
)
def test_damaged_samples_are_refused(text, why):
    with pytest.raises(EnergyUnavailableError, match=why):
        parse_samples(text)
