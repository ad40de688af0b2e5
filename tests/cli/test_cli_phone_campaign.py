"""``fdi profile`` and ``fdi measure`` on phones, as a user types them."""

import json

import pytest
from stand_in_phone.tools import battery

from fdi_keras.errors import MeasurementError
from fdi_keras.profile import load_profile
from fdi_keras.profiling import build_probe


@pytest.fixture
def on(fdi, adb_server, tool):
    """Runs a verb that sees the phones of the tests and has the tool."""
    options = ("--adb", adb_server.server.label, "--benchmark-model", tool)
    return lambda *words: fdi(*words, *options)


def test_a_phone_is_profiled_and_its_profile_tells_nothing_private(on, phone, tmp_path):
    out = tmp_path / "phone.json"
    answer = on(
        "profile", "--device", phone.serial, "--budget", "14", "--kinds", "dense", "--out", out, "--json"
    )
    assert answer.status == 0, answer.err
    document = json.loads(answer.out)
    assert document["measurements"] == 14
    profile = load_profile(out)
    assert profile.runtime.name == "benchmark_model"
    assert profile.device.name == "Loopback Phone"
    assert profile.device.details["soc"] == "LB8000"
    assert phone.serial not in out.read_text()
    assert (phone.state / "prop/ro.serialno").read_text().strip() not in out.read_text()
    again = on("profile", "--device", phone.serial, "--resume", "--budget", "16", "--out", out, "--json")
    assert json.loads(again.out)["measurements"] == 16


def test_two_phones_of_a_model_share_the_work_and_an_unknown_one_stops_none(on, make_phone):
    first, second = make_phone("a"), make_phone("b")
    words = [word for serial in (first.serial, second.serial, "nobody") for word in ("--device", serial)]
    answer = on("profile", *words, "--budget", "46", "--kinds", "relu", "--json")
    assert answer.status == 1
    document = json.loads(answer.out)
    assert "no device 'nobody'" in document["nobody"]["error"]
    one, two = document[first.serial], document[second.serial]
    if one == two:  # they agreed: one profile of all that both have timed
        assert one["measurements"] == 46
        assert "measured on several devices of one model" in one["warnings"][-1]
    else:  # on a busy computer they need not
        assert "the devices do not agree" in one["warnings"][-1]
        assert one["measurements"] + two["measurements"] == 46 + 40


def test_runtimes_have_profiles_of_their_own(on, phone):
    answer = on("profile", "--device", phone.serial, "--budget", "6", "--kinds", "relu", "--cores", "little",
                "--delegate", "none", "--threads", "2", "--json")  # fmt: skip
    assert answer.status == 0, answer.err
    name = json.loads(answer.out)["profile"]
    assert name.endswith("-none-little-2-threads.json")
    assert load_profile(name).runtime.cpu_mask == "f"


def test_a_network_is_measured_with_its_operators(on, make_phone, tmp_path):
    phone = make_phone("counting", simpleperf=True)
    model = tmp_path / "net.tflite"
    model.write_bytes(build_probe("dense", {"in_channels": 64, "out_channels": 64}))
    words = ("measure", model, "--device", phone.serial, "--seconds", "0.2", "--counters")
    answer = on(*words)
    assert answer.status == 0, answer.err
    for text in (
        "FULLY_CONNECTED",
        "100 %",
        "median of",
        "with benchmark_model",
        "cache references an inference",
    ):
        assert text in answer.out
    document = json.loads(on(*words, "--json").out)
    assert document["operators"][0]["kind"] == "FULLY_CONNECTED"
    assert document["cache_references"] > document["cache_misses"] > 0
    assert document["cache_source"] == "counted by simpleperf"
    assert document["median_ms"] > 0


@pytest.mark.parametrize("counted", [True, False])
def test_caches_of_this_computer_are_counted_or_it_says_why_not(fdi, tmp_path, monkeypatch, counted):
    """perf and valgrind are not everywhere: both answers are tried with what stands in for them."""
    from fdi_keras.devices.caches import CacheCounts
    from fdi_keras.study import timing

    def simulated(model, flops, delegate, sizes):
        if not counted:
            raise MeasurementError("valgrind is not installed.")
        return CacheCounts(1000.0 * flops, 10.0 * flops, None, timing.source_of(sizes))

    def perf(model, flops, delegate):
        raise MeasurementError("perf is not installed.")

    monkeypatch.setattr(timing, "perf_counts", perf)
    monkeypatch.setattr(timing, "simulated_counts", simulated)
    model = tmp_path / "net.tflite"
    model.write_bytes(build_probe("dense", {"in_channels": 64, "out_channels": 64}))
    answer = fdi("measure", model, "--seconds", "0.05", "--counters")
    if counted:
        assert answer.status == 0, answer.err
        said = " ".join(answer.out.split())
        assert "cache references an inference" in said
        assert "missed (1.0 %), simulated by cachegrind (L1 32 KB, L2 1024 KB)." in said
    else:
        assert answer.status == 1
        said = " ".join(answer.err.split())
        assert "perf is not installed." in said
        assert "valgrind is not installed." in said


def test_a_sweep_counts_caches_where_simpleperf_is(
    fdi, make_phone, adb_server, tool, keras_model, monkeypatch
):
    monkeypatch.setenv("FDI_ADB", adb_server.server.label)
    monkeypatch.setenv("FDI_BENCHMARK_MODEL", str(tool))
    for name, simpleperf in (("with", True), ("without", False)):
        phone = make_phone(name, simpleperf=simpleperf)
        words = ("sweep", keras_model, "--widths", "1", "--device", phone.serial, "--seconds", "0.2")
        answer = fdi(*words, "--counters", "--json")
        assert answer.status == 0, answer.err
        document = json.loads(answer.out)
        (row,) = document["networks"]
        assert row["measured_ms"] > 0
        if simpleperf:
            assert row["cache_references"] > row["cache_misses"] > 0
            assert row["cache_source"] == "counted by simpleperf"
        else:
            assert row["cache_references"] is None
            assert any("cache accesses are not counted by simpleperf" in note for note in document["notes"])


def test_choices_for_phones_are_refused_on_this_computer(fdi, tmp_path):
    model = tmp_path / "net.tflite"
    model.write_bytes(build_probe("dense", {"in_channels": 64, "out_channels": 64}))
    for choice in (("--delegate", "gpu"), ("--cores", "big"), ("--precision", "float16")):
        answer = fdi("measure", model, *choice)
        assert answer.status == 2
        assert "a choice for phones" in answer.err


@pytest.fixture
def journals(tmp_path, monkeypatch):
    """Lists the journals of this test's campaigns alone."""
    monkeypatch.setenv("FDI_STATE", str(tmp_path / "state"))
    return lambda: list((tmp_path / "state" / "campaigns").glob("*.jsonl"))


def test_energy_that_a_phone_cannot_give_is_refused_before_anything_is_timed(on, phone, journals):
    words = ("profile", "--device", phone.serial, "--budget", "6", "--kinds", "relu", "--energy", "0.05")
    phone.write("battery", battery(charging=True))
    plugged = on(*words)
    phone.write("battery", battery())
    (phone.root / "sys/class/power_supply/battery/current_now").unlink()
    unreadable = on(*words)
    for answer, why in ((plugged, "Unplug it and measure over Wi-Fi"), (unreadable, "current_now be read")):
        assert (answer.status, answer.out) == (1, "")
        assert why in answer.err
        assert answer.err.count("\n") == 1
    assert journals() == []


def test_times_go_on_on_a_phone_that_was_plugged_in_since(on, phone, journals):
    words = ("profile", "--device", phone.serial, "--kinds", "relu", "--json")
    assert on(*words, "--budget", "6").status == 0
    (journal,) = journals()
    text = journal.read_text()
    assert text.count('"energy_minutes":null') == 1
    journal.write_text(text.replace('"energy_minutes":null', '"energy_minutes":0.05'))
    phone.write("battery", battery(charging=True))
    answer = on(*words, "--budget", "8", "--resume")
    assert answer.status == 0, answer.err
    document = json.loads(answer.out)
    assert document["measurements"] == 8
    (warning,) = (w for w in document["warnings"] if "energy of an invocation" in w)
    assert "Unplug it and measure over Wi-Fi" in warning
