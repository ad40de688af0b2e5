"""Campaigns on devices that go away, come back, and get too hot."""

import threading

import msgspec
import pytest

from fdi_keras.devices import DeviceInfo, Runtime, Timing
from fdi_keras.devices.base import SteadyRunner
from fdi_keras.devices.benchmark_model import PowerSample
from fdi_keras.errors import (
    CampaignError,
    CommandFailedError,
    DeviceGoneError,
    EnergyUnavailableError,
    MeasurementError,
    OutputDamagedError,
    ToolHungError,
)
from fdi_keras.journal import read_journal
from fdi_keras.profiling import Patience, Plan, build_overhead_probe, build_probe, read_records, run_campaign
from fdi_keras.profiling.work import Work

PLAN = Plan(["relu", "dense"], measurements=40)


class Phone(SteadyRunner):
    """Times models by their size, in batches; goes away and gets hot when told to.

    Args:
        leaves: called with how many models were asked for so far; true: it goes away in the middle of this one.
        hot: called with the same, when asked whether it is steady.
        back_after: how often reconnecting fails first.
    """

    batch = 8

    def __init__(self, leaves=lambda n: False, hot=lambda n: None, back_after=2):
        self.runtime = Runtime("fake", "1")
        self.leaves, self.hot, self.back_after = leaves, hot, back_after
        self.asked = 0
        self.away = 0

    def time(self, model, **_):
        self.asked += 1
        if self.away:
            raise DeviceGoneError("the cable is out.")
        if self.leaves(self.asked):
            self.away = self.back_after
            raise DeviceGoneError("the cable was pulled.")
        return Timing(len(model) * 1e-3, 0.0, 1e-3, 10)

    def unsteady(self):
        return self.hot(self.asked)

    def reconnect(self):
        if self.away:
            self.away -= 1
        if self.away:
            raise DeviceGoneError("the cable is still out.")


def run(runner, path, plan=PLAN, name="phone", **options):
    fast = {"pause_s": 0.0, "slow_s": 30.0, "reference_every_s": 0.0, "gone_s": 30.0}
    patience = Patience(**{name: options.pop(name, usual) for name, usual in fast.items()})
    info = DeviceInfo(name, "a phone", "phone")
    return run_campaign(runner, plan, path, device=info, patience=patience, **options)


def events(path, name):
    return [event for event in read_journal(path) if event["event"] == name]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "campaign.jsonl"


@pytest.mark.parametrize("every", [3, 7, 20])
def test_a_device_that_keeps_leaving_loses_and_repeats_nothing(path, every):
    records = run(Phone(leaves=lambda n: n % every == 0), path)
    assert sorted(records.measurements) == list(range(40))
    timed = [event["index"] for event in events(path, "measurement")]
    assert len(timed) == len(set(timed)) == 40
    assert len(events(path, "gone")) == len(events(path, "back")) > 0
    assert records.finished


def test_a_probe_that_makes_the_device_leave_every_time_is_a_failure(path):
    phone = Phone()
    victim = 13
    took = []

    def time_many(models):
        for model in models:
            try:
                yield phone.time(model)
            except MeasurementError as error:
                yield error

    work = Work(PLAN)
    take = work.take
    work.take = lambda count: took.append(take(count)) or took[-1]

    def many(models):
        for (index, _), result in zip(took[-1], time_many(models), strict=True):
            if index == victim:
                phone.away = 1
                raise DeviceGoneError("the phone rebooted.")
            yield result

    phone.time_many = many
    records = run(phone, path, work=work)
    assert list(records.failures) == [victim]
    assert "3 times in the middle of it: the phone rebooted" in records.failures[victim].reason
    assert len(records.measurements) == 39


def test_a_device_that_stays_away_ends_the_campaign_and_it_can_be_resumed(path):
    phone = Phone(leaves=lambda n: n == 20, back_after=10**9)
    with pytest.raises(CampaignError, match="has been away for 0 minutes: the cable is still out"):
        run(phone, path, gone_s=0.05)
    before = len(read_records(path).measurements)
    assert 0 < before < 40
    records = run(Phone(), path, resume=True)
    assert sorted(records.measurements) == list(range(40))
    assert len(events(path, "measurement")) == 40


def test_what_was_timed_on_a_hot_device_is_repeated_not_kept(path):
    waits = iter(["thermal status 3 (severe)"] * 3)
    phone = Phone(hot=lambda n: next(waits, None) if n > 12 else None)
    records = run(phone, path, reference_every_s=1000.0)
    assert sorted(records.measurements) == list(range(40))
    (superseded,) = events(path, "superseded")
    assert "thermal status 3" in superseded["reason"]
    timed = [event["index"] for event in events(path, "measurement")]
    assert sorted(timed) == sorted([*range(40), *superseded["indices"]])
    assert [event["reason"] for event in events(path, "waiting")] == ["thermal status 3 (severe)"] * 3


def test_time_away_is_not_measuring_time(path):
    run(Phone(leaves=lambda n: n == 10, back_after=3), path, pause_s=0.15)
    (back,) = events(path, "back")
    assert back["away_s"] >= 0.3
    started, *_, finished = read_journal(path)
    assert read_records(path).seconds < finished["time"] - started["time"] - 0.25


def test_several_devices_share_the_work_and_one_that_leaves_for_good_stops_none(tmp_path):
    work = Work(PLAN)
    ended = {}

    def campaign(name, phone):
        try:
            run(phone, tmp_path / name, name=name, work=work, gone_s=0.05)
            ended[name] = None
        except CampaignError as error:
            ended[name] = error

    phones = {
        "first": Phone(),
        "second": Phone(),
        "lost": Phone(leaves=lambda n: n == 9, back_after=10**9),
    }
    threads = [threading.Thread(target=campaign, args=item) for item in phones.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert isinstance(ended.pop("lost"), CampaignError)
    assert set(ended.values()) == {None}
    timed = [index for name in phones for index in read_records(tmp_path / name).measurements]
    # The lost one may give its rest back when the others have already ended: never twice, though.
    assert len(timed) == len(set(timed))
    assert {index for index, _ in work.take(40)} | set(timed) == set(range(40))


class Doubtful(Phone):
    """Its first readings scatter, or are damaged; it cannot do two things at once."""

    def __init__(self, damaged):
        super().__init__()
        self.damaged, self.busy, self.seen = damaged, False, set()

    def time(self, model, **_):
        assert not self.busy, "the phone is still timing a batch"
        return Timing(1.0, 0.01, 1.0, 10)

    def time_many(self, models):
        self.busy = True
        for model in models:
            if model in self.seen:
                yield self.damaged if model[-1] % 3 == 0 else Timing(2.0, 0.01, 1.0, 10)
            elif self.seen.add(model) or len(model) % 2:
                yield self.damaged
            else:
                yield Timing(1.0, 0.5, 1.0, 10)
        self.busy = False


@pytest.mark.parametrize("damaged", [OutputDamagedError("cut off"), ToolHungError("did not end")])
def test_doubtful_readings_are_repeated_when_the_batch_is_over(path, damaged):
    phone = Doubtful(damaged)
    records = run(phone, path)
    assert sorted({*records.measurements, *records.failures}) == list(range(40))
    # What scattered at first is kept where there is no better reading, and what failed twice is a failure.
    probes_ms = {
        round(records.overhead_ms + m.copies * (m.median_ms - records.overhead_ms), 9)
        for m in records.measurements.values()
    }
    assert 2.0 in probes_ms <= {1.0, 2.0}
    for failure in records.failures.values():
        assert failure.reason == str(damaged)


def test_an_error_that_ends_a_campaign_is_its_last_word(path):
    phone = Phone()
    phone.unsteady = lambda: (_ for _ in ()).throw(CommandFailedError("the phone refuses everything."))
    with pytest.raises(CommandFailedError):
        run(phone, path)
    *_, last = read_journal(path)
    assert (last["event"], last["reason"]) == ("failed", "the phone refuses everything.")


def test_work_comes_back_in_order_and_once():
    work = Work(PLAN, done=[0, 5])
    first = [index for index, _ in work.take(4)]
    assert first == [1, 2, 3, 4]
    work.give_back([3, 1, 3, 0])
    assert [index for index, _ in work.take(5)] == [0, 1, 3, 6, 7]
    rest = [index for index, _ in work.take(100)]
    assert rest == list(range(8, 40))
    assert work.take(1) == []


class Discharging(Phone):
    """Also lets its battery be read: 1 mJ for each kilobyte of the model, or a refusal."""

    def __init__(self, refuses=lambda model: False):
        super().__init__()
        self.refuses = refuses
        self.sampled = 0

    def sample_power(self, model, busy_s, idle_s):
        self.sampled += 1
        if self.refuses(model):
            raise EnergyUnavailableError("it is charging")
        phases = [("idle", 100_000)] * 20 + [("busy", 600_000)] * 40 + [("after", 100_000)] * 20
        samples = [
            PowerSample(0.1 * i, -(current + i % 9), 4_000_000, "Discharging", phase)
            for i, (phase, current) in enumerate(phases)
        ]
        return samples, len(model) / 1e3 / 2.0  # 2 W above idle


def test_energies_follow_the_times_and_go_on_after_a_break(path):
    plan = msgspec.structs.replace(PLAN, energy_minutes=0.5)
    records = run(Discharging(), path, plan)
    assert all(m.energy_mj is not None for m in records.measurements.values())
    assert records.overhead_mj == pytest.approx(len(build_overhead_probe()) / 1e3, rel=0.01)
    for m in records.measurements.values():
        assert m.energy_mj == pytest.approx(len(build_probe(m.kind, m.dims)) / 1e3, rel=0.01)
    phone = Discharging()
    run(phone, path, plan, resume=True)
    assert phone.sampled == 0


def test_energy_that_is_refused_again_and_again_is_given_up(path):
    phone = Discharging(refuses=lambda model: True)
    records = run(phone, path, msgspec.structs.replace(PLAN, energy_minutes=0.5))
    assert phone.sampled == 4
    assert len(records.measurements) == 40
    assert "energy was given up: it is charging" in records.warnings
    assert len(events(path, "energy_failure")) == 3
