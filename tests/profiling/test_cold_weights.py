"""Probes whose weights leave the caches, and the part of a campaign that times them."""

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from fdi_keras.devices import DeviceInfo, Runtime, Timing
from fdi_keras.devices.base import SteadyRunner
from fdi_keras.errors import DeviceGoneError, MeasurementError
from fdi_keras.journal import read_journal
from fdi_keras.operators import KINDS
from fdi_keras.profile import learn_profile, load_profile
from fdi_keras.profile.learn import refit
from fdi_keras.profiling import Patience, Plan, build_probe, read_records, run_campaign
from fdi_keras.profiling import campaign as module
from fdi_keras.profiling.cold_weights import SHARE, TOTAL_BYTES, cold_probes, seconds_for

INFO = DeviceInfo("fake", "a fake device", "computer")
LONG = Plan(["dense", "relu"], measurements=7000)  # long enough for cold weights, on a busy computer too


class CachingRunner(SteadyRunner):
    """A device whose times follow from the bytes of a model: beyond its cache each takes twice as long."""

    CACHE, RATE = 10e6, 1e-8

    def __init__(self):
        self.runtime = Runtime("fake", "1")
        self.large = 0
        self.answers = {}  # number of a large model -> what is raised for it

    def time(self, model, **_):
        if len(model) > 1.4e6:
            self.large += 1
            if self.large in self.answers:
                raise self.answers.pop(self.large)
        ms = self.RATE * len(model) * (2.0 if len(model) > self.CACHE else 1.0)
        return Timing(ms, 0.01 * ms, ms, 9)


@pytest.fixture(autouse=True)
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("FDI_STATE", str(tmp_path / "state"))


def run(path, runner=None, plan=LONG, **options):
    patience = Patience(pause_s=0.0, reference_every_s=1e9)
    return run_campaign(runner or CachingRunner(), plan, path, device=INFO, patience=patience, **options)


def quickly(monkeypatch, count=4):
    """Make a campaign end behind its cold weights and so many measurements."""
    monkeypatch.setattr(module._Campaign, "_measure_all", lambda self: self._measure(self._work.take(count)))


def test_each_layer_has_weights_of_its_own():
    dims = {"height": 3, "width": 3, "in_channels": 64, "out_channels": 32, "kernel": 1}
    one, many = (build_probe("conv2d", dims, layers=layers) for layers in (1, 5))
    assert len(many) > 4.5 * len(one)
    interpreter = Interpreter(model_content=many, num_threads=1)
    interpreter.allocate_tensors()
    assert len(interpreter.get_input_details()) == len(interpreter.get_output_details()) == 5
    for each in interpreter.get_input_details():
        interpreter.set_tensor(each["index"], np.ones(each["shape"], np.float32))
    interpreter.invoke()
    outputs = [interpreter.get_tensor(each["index"]) for each in interpreter.get_output_details()]
    assert all(np.array_equal(output, outputs[0]) for output in outputs)
    assert np.ptp(outputs[0]) > 0


def test_the_probes_reach_from_small_to_large_for_each_shape():
    for kinds, count in ((["conv2d", "dense", "relu"], 6), (["dense"], 2), (["relu"], 0)):
        shapes = cold_probes(kinds)
        assert len(shapes) == count
        for probes in shapes:
            assert len({(p.kind, *p.dims.values()) for p in probes}) == 1
            each = float(KINDS[probes[0].kind].weight_bytes(probes[0].dims)[0])
            totals = [p.layers * each for p in probes]
            assert totals == sorted(totals)
            assert totals == pytest.approx(TOTAL_BYTES, rel=0.4)


def test_they_get_a_share_of_the_time_and_short_campaigns_have_none():
    assert seconds_for(Plan(minutes=10)) == pytest.approx(SHARE * 600)
    assert seconds_for(Plan(minutes=0.2)) == seconds_for(Plan(measurements=100)) == 0
    assert 0 < seconds_for(Plan(minutes=10, measurements=2500)) < seconds_for(Plan(minutes=10))


def test_a_campaign_times_them_and_its_profile_knows_what_they_cost(tmp_path, monkeypatch):
    quickly(monkeypatch, 40)
    seen = []
    records = run(tmp_path / "c.jsonl", progress=seen.append)
    assert [(c.kind, c.layers) for c in records.cold_weights] == [
        (p.kind, p.layers) for shape in cold_probes(["dense"]) for p in shape
    ]
    assert any(state.stage == "weights" and state.kind == "dense" for state in seen)
    profile = learn_profile(records)
    fetch = profile.weight_fetch
    assert fetch.share([6e6, 12e6]).tolist() == [0, 1]  # sizes of probes on either side of the cache
    assert fetch.ms_per_byte["one row"] == pytest.approx(CachingRunner.RATE, rel=0.15)
    profile.save(tmp_path / "p.json")
    loaded = load_profile(tmp_path / "p.json")
    assert loaded.cold_weights == profile.cold_weights
    assert refit(loaded).weight_fetch == fetch
    assert profile.to_dict(measurements=False)["cold_weights"] == []


def test_a_resumed_campaign_times_only_those_that_are_missing(tmp_path, monkeypatch):
    quickly(monkeypatch)
    whole = run(tmp_path / "whole.jsonl").cold_weights
    lines = (tmp_path / "whole.jsonl").read_text().splitlines(keepends=True)
    at = [number for number, line in enumerate(lines) if '"cold_weights"' in line]
    (tmp_path / "cut.jsonl").write_text("".join(lines[: at[5] + 1]))
    runner = CachingRunner()
    again = run(tmp_path / "cut.jsonl", runner, resume=True).cold_weights
    assert again == whole
    assert runner.large <= len(whole) - 6


def test_one_that_fails_is_told_and_larger_ones_are_left_out(tmp_path, monkeypatch):
    quickly(monkeypatch)
    runner = CachingRunner()
    runner.answers = {3: MeasurementError("out of memory")}
    records = run(tmp_path / "c.jsonl", runner)
    first, second = cold_probes(["dense"])
    assert len(records.cold_weights) < len(first) + len(second)
    assert sum(c.dims == second[0].dims for c in records.cold_weights) == len(second)
    assert [w for w in records.warnings if "weights of their own were not timed: out of memory" in w]
    assert records.finished


def test_a_device_that_went_away_is_waited_for(tmp_path, monkeypatch):
    quickly(monkeypatch)
    runner = CachingRunner()
    runner.answers = {4: DeviceGoneError("unplugged")}
    runner.reconnect = lambda: None
    records = run(tmp_path / "c.jsonl", runner)
    assert len(records.cold_weights) == 2 * len(TOTAL_BYTES)
    assert [e for e in read_journal(tmp_path / "c.jsonl") if e["event"] == "back"]


def test_when_their_time_is_up_the_campaign_goes_on(tmp_path, monkeypatch):
    quickly(monkeypatch)
    monkeypatch.setattr(module, "seconds_for", lambda plan: 1e-9)
    records = run(tmp_path / "c.jsonl")
    assert records.cold_weights == []
    assert len(records.measurements) == 4


def test_a_journal_of_an_earlier_version_has_none(tmp_path):
    run(tmp_path / "c.jsonl", plan=Plan(["relu"], measurements=12))
    assert read_records(tmp_path / "c.jsonl").cold_weights == []
