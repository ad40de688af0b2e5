"""The whole way on this computer: campaign, learning, file; and resuming it."""

import pytest

from fdi_keras.errors import CampaignError, DeviceNotFoundError, StorageError, UsageError
from fdi_keras.profile import campaign_journal, default_profile_path, load_profile, profile_device
from fdi_keras.profiling import read_records


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("FDI_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("FDI_DATA", str(tmp_path / "data"))


def test_profile_this_computer_interrupt_and_resume(tmp_path):
    def interrupt(state):
        if state.done == 8:
            raise KeyboardInterrupt

    out = tmp_path / "mine.json"
    with pytest.raises(KeyboardInterrupt):
        profile_device(measurements=16, kinds=["dense"], seed=5, out=out, progress=interrupt)
    assert not out.exists()
    with pytest.raises(CampaignError, match="threads: 1 there, 2 now"):
        profile_device(resume=True, threads=2)
    with pytest.raises(CampaignError, match="seed: 5 there, 6 now"):
        profile_device(resume=True, seed=6)
    stages = []
    profile = profile_device(resume=True, out=out, progress=lambda state: stages.append(state.stage))
    assert load_profile(out) == profile
    assert profile.name == "mine"
    assert (profile.plan.kinds, profile.plan.seed, profile.runtime.threads) == (["dense"], 5, 1)
    assert len(profile.measurements["dense"]) == 16
    assert 0 < profile.overhead_ms < 1
    assert [stage for stage in dict.fromkeys(stages) if stage != "waiting"] == [
        "preparing",
        "measuring",
        "finished",
        "learning",
    ]
    assert read_records(campaign_journal()).finished


def test_saved_where_it_is_found_by_name():
    profile = profile_device(measurements=6, kinds=["relu"])
    assert default_profile_path().is_file()
    assert load_profile("local") == profile


def test_what_cannot_work_is_refused_before_anything_is_measured(tmp_path):
    with pytest.raises(DeviceNotFoundError):
        profile_device("pixel", measurements=5)
    with pytest.raises(UsageError, match="unknown operator kind"):
        profile_device(kinds=["conv9d"], measurements=5)
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        profile_device(measurements=5, out=tmp_path / "file" / "mine.json")
    with pytest.raises(CampaignError, match="no campaign to resume"):
        profile_device(resume=True)
    assert not campaign_journal().exists()
