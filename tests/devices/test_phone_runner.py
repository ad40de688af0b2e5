"""Timing models on a stand-in phone, through the real adb server and the stand-in for the tool."""

import threading
import time

import psutil
import pytest
from stand_in_phone import quiet_environment

from fdi_keras.devices import RuntimeChoice, Timing
from fdi_keras.devices.adb.left_over import running
from fdi_keras.devices.adb.phone import FOLDER
from fdi_keras.devices.phone import Phone, cpu_mask
from fdi_keras.errors import (
    DelegateNotAppliedError,
    DeviceBusyError,
    DeviceError,
    DeviceGoneError,
    MeasurementError,
    ModelRefusedError,
    RunnerNotFoundError,
    ToolCrashedError,
    UsageError,
)
from fdi_keras.profiling import build_probe
from fdi_keras.profiling.energy import energy_of
from fdi_keras.profiling.reference import REFERENCE

CONV = build_probe(*REFERENCE)
DENSE = build_probe("dense", {"in_channels": 64, "out_channels": 64})
FAST = {"budget_s": 0.02, "warmup_s": 0.0}


@pytest.fixture
def opened(phone, adb_server, tool):
    """``opened(**choices)``: a runner of the phone."""
    return lambda **choices: Phone(phone.serial, adb_server.server).open(
        RuntimeChoice(benchmark_model=tool, **choices)
    )


def stay_on(phone):
    return (phone.state / "settings/global/stay_on_while_plugged_in").read_text().strip()


def test_models_are_timed_and_the_phone_is_left_as_it_was(opened, phone, link):
    with opened(threads=2) as runner:
        assert stay_on(phone) == "7"
        one = runner.time(CONV, budget_s=0.05)
        assert isinstance(one, Timing)
        assert 0 < one.min_ms <= one.median_ms < 50
        assert one.runs >= 5
        many = list(runner.time_many([CONV, DENSE] * 10))
        assert len(many) == 20
        assert all(isinstance(timing, Timing) for timing in many)
        conv, dense = runner.time_interleaved([CONV, DENSE], rounds=3, budget_s=0.1)
        assert conv.median_ms > dense.median_ms
        assert runner.unsteady() is None
        assert runner.runtime.name == "benchmark_model"
        assert runner.runtime.threads == 2
        assert not list((phone.storage / "fdi/models").iterdir())
    assert runner.notes == []
    assert stay_on(phone) == "0"
    assert not link.exists(FOLDER)
    assert running(link) == []


def test_a_model_that_is_refused_does_not_stop_the_others(opened):
    with opened() as runner:
        results = list(runner.time_many([CONV, b"", DENSE]))
        assert [type(result) for result in results] == [Timing, ModelRefusedError, Timing]
        with pytest.raises(MeasurementError, match="gives no outputs"):
            runner.run(CONV, [])


def test_a_gpu_that_is_not_there_is_no_latency(opened):
    with (
        opened(delegate="gpu") as runner,
        pytest.raises((DelegateNotAppliedError, MeasurementError)) as caught,
    ):
        runner.time(CONV, **FAST)
    assert "gpu" in str(caught.value).lower()


def test_a_crash_and_a_hang_cost_one_model_each(opened, tool_control):
    with opened() as runner:
        tool_control(fault="crash")
        with pytest.raises(ToolCrashedError):
            runner.time(CONV, **FAST)
        runner._tool._patience_s = 0.7
        tool_control(fault="hang")
        with pytest.raises(MeasurementError, match="did not end within"):
            runner.time(CONV, **FAST)
        assert running(runner._link) == []
        tool_control()
        assert runner.time(CONV, **FAST).median_ms > 0


def test_a_cable_pulled_in_the_middle_gives_whole_results_or_none(opened, tool_control, phone):
    with opened() as runner:
        tool_control(sleep_ms=[20, 20])
        results = []
        threading.Timer(0.8, phone.pull_cable).start()
        with pytest.raises(DeviceGoneError):  # noqa: PT012 - what came before the cut is to be seen
            for result in runner.time_many([DENSE] * 16):
                results.append(result)
        assert len(results) < 16
        assert all(isinstance(result, Timing) for result in results)
        with pytest.raises(DeviceGoneError):
            runner.reconnect()
        phone.plug()
        deadline = time.monotonic() + 10
        while True:
            try:
                runner.reconnect()
                break
            except DeviceGoneError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert running(runner._link) == []
        tool_control()
        assert runner.time(DENSE, **FAST).median_ms > 0
    assert stay_on(phone) == "0"


def test_a_reboot_undoes_nothing_that_the_campaign_needs(opened, phone):
    with opened() as runner:
        phone.reboot(0.2)
        deadline = time.monotonic() + 10
        while True:
            try:
                runner.reconnect()
                break
            except DeviceGoneError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
        assert stay_on(phone) == "7"
        assert runner.time(CONV, **FAST).median_ms > 0


def test_a_phone_that_goes_while_it_is_prepared_is_prepared_when_it_is_back(opened, phone, link):
    runner = opened()
    phone.cut_after(300, "to_phone", "sync:")
    with runner:
        with pytest.raises(DeviceGoneError):
            runner.time(CONV, **FAST)
        phone.plug()
        runner.reconnect()
        assert runner.time(CONV, **FAST).median_ms > 0
    assert stay_on(phone) == "0"
    assert not link.exists(FOLDER)


def test_a_phone_whose_services_are_not_up_yet_is_not_back(opened, phone):
    settings = phone.root / "bin/settings"
    with opened() as runner:
        whole = settings.read_text()
        settings.write_text('#!/bin/sh\necho "cmd: Can\'t find service: settings" >&2; exit 20\n')
        with pytest.raises(DeviceGoneError, match=r"not ready: .*Can't find service"):
            runner.reconnect()
        settings.write_text(whole)
        runner.reconnect()
        assert runner.time(CONV, **FAST).median_ms > 0
    assert stay_on(phone) == "0"


def test_the_default_adb_server_is_started_again(own_adb_server, make_phone, tool, monkeypatch):
    for name, value in quiet_environment(own_adb_server.folder).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("ANDROID_ADB_SERVER_PORT", str(own_adb_server.port))
    phone = make_phone("other", server=own_adb_server)
    with Phone(phone.serial, own_adb_server.server).open(RuntimeChoice(benchmark_model=tool)) as runner:
        own_adb_server.kill()
        with pytest.raises(DeviceGoneError):
            runner.time(CONV, **FAST)
        with pytest.raises(DeviceGoneError):  # the server is there again, the phone not yet
            runner.reconnect()
        assert own_adb_server.server.answers()
        phone.plug()
        runner.reconnect()
        assert runner.time(CONV, **FAST).median_ms > 0
    assert stay_on(phone) == "0"


def test_models_that_a_phone_has_no_space_for(opened, phone):
    large = build_probe("dense", {"in_channels": 1024, "out_channels": 1024})
    with opened() as runner:
        phone.write("free_kb", "2000\n")
        results = list(runner.time_many([CONV, large, DENSE]))
        assert [type(result) for result in results] == [Timing, MeasurementError, Timing]
        assert "did not take the model" in str(results[1])
        phone.write("free_kb", "10\n")
        with pytest.raises(DeviceGoneError, match=r"takes no models now: .*No space left"):
            runner.time(large)
        with pytest.raises(DeviceGoneError, match="No space left"):
            runner.reconnect()
        phone.write("free_kb", "100000\n")
        runner.reconnect()
        assert runner.time(large, **FAST).median_ms > 0


def test_a_warm_phone_says_so(opened, phone):
    from stand_in_phone.tools import thermal

    with opened() as runner:
        phone.write("thermal", thermal(3))
        assert "thermal status severe (3 of 6)" in runner.unsteady()
        phone.write("thermal", thermal(0))
        assert runner.unsteady() is None


def test_one_phone_is_measured_by_one_process(opened):
    with opened(), pytest.raises(DeviceBusyError, match="another process is measuring"), opened():
        pass


def test_what_a_phone_is_not_ready_for_is_said_before_anything_is_changed(
    make_phone, adb_server, tool, tmp_path
):
    strange = make_phone("strange", properties={"ro.product.cpu.abi": "mips"})
    with pytest.raises(RunnerNotFoundError, match="mips"):
        Phone(strange.serial, adb_server.server).open()
    shy = make_phone("shy", auth="ask")
    with pytest.raises(DeviceError, match=r"is not ready: (unauthorized|offline|being)"):
        Phone(shy.serial, adb_server.server).open(RuntimeChoice(benchmark_model=tool))


def test_cores_are_told_by_their_clocks(phone, opened, link):
    from fdi_keras.devices.adb.facts import read_facts

    facts = read_facts(link)
    assert int(cpu_mask(facts, "little"), 16) & int(cpu_mask(facts, "big"), 16) == 0
    assert cpu_mask(facts, "0F") == "f"
    for wrong in ("huge", "0", "fffff", "-1"):
        with pytest.raises(UsageError, match="received"):
            cpu_mask(facts, wrong)
    with opened(cores="little") as runner:
        assert runner.runtime.cores == "little"
        assert runner.time(DENSE, **FAST).median_ms > 0
    assert f"{cpu_mask(facts, 'little')} " in (phone.state / "log/taskset").read_text()


def test_old_phones_are_given_small_scripts(make_phone, adb_server, tool):
    old = make_phone("old", features=("cmd",))
    with Phone(old.serial, adb_server.server).open(RuntimeChoice(benchmark_model=tool)) as runner:
        assert len([t for t in runner.time_many([DENSE] * 9) if isinstance(t, Timing)]) == 9
    assert all(len(service) < 4096 for service in old.opened if service.startswith(("shell", "exec")))


def test_a_battery_that_is_sampled_gives_an_energy(opened, phone):
    """The phone's battery answers for what runs on it: 300 mA more while the tool does."""
    battery = phone.root / "sys/class/power_supply/battery"
    (battery / "status").write_text("Discharging\n")
    stop = threading.Event()

    def discharge():
        count = 0
        while not stop.wait(0.03):
            count += 1
            busy = any("benchmark_model" in " ".join(p) for p in phone_processes(phone))
            (battery / "current_now.new").write_text(f"{-(150_000 + 300_000 * busy) - count % 7}\n")
            (battery / "current_now.new").rename(battery / "current_now")

    thread = threading.Thread(target=discharge)
    thread.start()
    try:
        with opened() as runner:
            samples, mean_ms = runner.sample_power(DENSE, 2.0, 2.0)
    finally:
        stop.set()
        thread.join()
    energy = energy_of(samples, mean_ms)
    assert energy.busy_mw - energy.idle_mw == pytest.approx(0.3 * 4.123 * 1e3, rel=0.2)
    assert energy.energy_mj == pytest.approx((energy.busy_mw - energy.idle_mw) * mean_ms / 1e3, rel=1e-6)


def phone_processes(phone):
    """Command lines of what runs on a stand-in phone."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any(word.startswith(str(phone.storage)) for word in words[:3]) and "sh" not in words[0]:
            found.append(words)
    return found
