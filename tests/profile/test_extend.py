"""A profile that is extended: nothing twice, nothing lost, and nothing of another device."""

import json

import msgspec
import pytest

from fdi_keras.devices import DeviceInfo, Runtime
from fdi_keras.errors import CampaignError, UsageError
from fdi_keras.journal import read_journal
from fdi_keras.operators import KINDS
from fdi_keras.profile import campaign_journal, learn_profile, load_profile, profile_device, profile_devices
from fdi_keras.profile.extend import FOREIGN_GROUPS, TIMED_AGAIN, Extension
from fdi_keras.profiling import Measurement, Plan, Records, design

INFO, RUNTIME = DeviceInfo("fake", "a fake device", "computer"), Runtime("fake", "1")
PLAN = Plan(["dense", "relu"], measurements=80).checked()
OVERHEAD_MS = 0.0005


def measured(indices, factor=1.0, plan=PLAN, overhead_ms=OVERHEAD_MS):
    """Records of a device whose times are proportional to FLOPs and bytes."""
    made = Records(path="made.jsonl", device=INFO, runtime=RUNTIME, plan=plan)
    made.overhead_ms = overhead_ms
    configurations = design(plan.kinds, max(indices) + 1, plan.seed)
    for index in indices:
        kind, dims, group = configurations[index]
        ms = overhead_ms + factor * 1e-7 * (1000 + KINDS[kind].explain(dims)[0].sum())
        made.measurements[index] = Measurement(index, kind, dims, group, ms, 0.01 * ms, ms, 50)
    return made


@pytest.fixture(scope="module")
def profile():
    """Of 60 configurations, one of which failed."""
    return learn_profile(measured([i for i in range(61) if i != 17]), name="old")


def test_the_campaign_goes_on_where_the_profile_ends(profile):
    extension = Extension(profile, PLAN, INFO, RUNTIME)
    places = [i for i in range(61) if i != 17]
    assert list(extension.times) == places[TIMED_AGAIN:]
    assert extension.again == places[:TIMED_AGAIN]
    assert extension.limit(10) == 71


def test_all_is_learned_from_together(profile):
    extension = Extension(profile, PLAN, INFO, RUNTIME)
    new = measured([*range(17), *range(18, TIMED_AGAIN + 1), *range(61, 80)], overhead_ms=0.002)
    joined = extension.joined(new)
    expected = measured([i for i in range(80) if i != 17], overhead_ms=0.002)
    assert set(joined.measurements) == set(expected.measurements)
    for index, m in expected.measurements.items():
        got = joined.measurements[index]
        assert (got.kind, got.dims, got.group) == (m.kind, m.dims, m.group)
        assert got.median_ms == pytest.approx(m.median_ms, rel=1e-5)
    (told,) = (warning for warning in joined.warnings if warning.startswith("extended: "))
    assert "profile old" in told
    extended = learn_profile(joined, name="new")
    assert sum(map(len, extended.measurements.values())) == 79


def test_a_device_that_became_slower_is_not_mixed_with_what_it_was(profile):
    new = measured([*range(TIMED_AGAIN), *range(61, 80)], factor=1.3)
    with pytest.raises(CampaignError, match=r"was not extended.*1\.\d+ times its time.*made.jsonl"):
        Extension(profile, PLAN, INFO, RUNTIME).joined(new)


def test_measurements_of_another_design_are_kept_apart(profile):
    other = Plan(["dense", "relu"], seed=5, measurements=80).checked()
    extension = Extension(profile, other, INFO, RUNTIME)
    new = measured(range(40), plan=other)
    assert len(extension.times) < 30, "the designs should have little in common"
    # Too little in common to say whether the device is as fast as it was.
    with pytest.raises(CampaignError, match="common probes"):
        extension.joined(new)
    groups = {m.group for i, m in extension._measurements.items() if i < 0}
    assert min(groups) >= FOREIGN_GROUPS
    assert len(extension._measurements) == 60


@pytest.mark.parametrize(
    ("info", "runtime", "words"),
    [
        (msgspec.structs.replace(INFO, name="another"), RUNTIME, "device: a fake device there, another now"),
        (INFO, msgspec.structs.replace(RUNTIME, threads=2), "threads: 1 there, 2 now"),
    ],
)
def test_profiles_of_others_are_refused(profile, info, runtime, words):
    with pytest.raises(CampaignError, match=words):
        Extension(profile, PLAN, info, runtime)


def test_a_profile_without_measurements_is_refused(profile):
    with pytest.raises(CampaignError, match="without its measurements"):
        Extension(msgspec.structs.replace(profile, measurements={}), PLAN, INFO, RUNTIME)


def test_this_computer(tmp_path):
    path = tmp_path / "mine.json"
    before = profile_device(measurements=40, kinds=["dense"], out=path, active=False)
    seen = []
    after = profile_device(measurements=12, extend=path, progress=seen.append, active=False)
    events = [event for event in read_journal(campaign_journal()) if event["event"] == "measurement"]
    assert sorted(event["index"] for event in events) == [*range(TIMED_AGAIN), *range(40, 52)]
    assert [state.total for state in seen if state.stage == "measuring"][-1] == TIMED_AGAIN + 12
    assert len(after.measurements["dense"]) == 52
    assert list(after.models) == ["dense"]
    old, new = ({tuple(row[:5]) for row in p.measurements["dense"].rows} for p in (before, after))
    assert old < new
    assert load_profile(path).to_dict() == after.to_dict()
    assert json.loads(path.read_text())["name"] == "mine"


def test_what_came_with_the_library_stays_as_it_is():
    with pytest.raises(UsageError, match="stays as it is: name another file with --out"):
        profile_device(measurements=5, extend="x86-avx512-litert")
    with pytest.raises(UsageError, match="on one device"):
        profile_devices(["local", "other"], extend="x86-avx512-litert")
