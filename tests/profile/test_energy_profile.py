"""Energy as the second quantity of a profile: learned from synthetic joules, kept, predicted, refused."""

import json

import msgspec
import numpy as np
import pytest

from fdi_keras import predict_latency
from fdi_keras.devices import DeviceInfo
from fdi_keras.devices.benchmark_model import phone_runtime
from fdi_keras.errors import EnergyUnknownError, ProfileInvalidError
from fdi_keras.journal import Journal
from fdi_keras.operators import KINDS
from fdi_keras.profile import DeviceProfile, learn_profile, load_profile, refit
from fdi_keras.profiling import Measurement, Plan, Records, design, read_records
from fdi_keras.profiling.probes import build_probe

OVERHEAD_MJ = 0.02
DENSE = {"in_channels": 300, "out_channels": 200}


def time_ms(kind, dims):
    flops, _, written, _, _ = KINDS[kind].explain(dims)[0]
    return float(1e-3 + 1e-8 * flops + 1e-7 * written)


def energy_mj(kind, dims):
    """Energy that is no multiple of time: memory costs far more of it."""
    flops, _, written, _, parameters = KINDS[kind].explain(dims)[0]
    return float(1e-3 + 3e-9 * flops + 4e-6 * written + 1e-6 * parameters)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    kinds = ["dense", "relu"]
    made = Records(
        tmp_path_factory.mktemp("journal") / "campaign.jsonl",
        DeviceInfo("phone", "some phone", "phone"),
        phone_runtime("9f" * 32, cores="big", cpu_mask="f0"),
        Plan(kinds, measurements=120).checked(),
    )
    made.overhead_ms, made.overhead_mj = 0.0005, OVERHEAD_MJ
    for index, (kind, dims, group) in enumerate(design(kinds, 120)):
        ms, mj = time_ms(kind, dims) + made.overhead_ms, energy_mj(kind, dims) + OVERHEAD_MJ
        energy = mj if kind == "relu" or index % 2 else None  # only some probes are run long enough for it
        made.measurements[index] = Measurement(
            index, kind, dims, group, ms, 0.01 * ms, 0.99 * ms, 50, energy_mj=energy
        )
    return made


@pytest.fixture(scope="module")
def profile(records):
    return learn_profile(records, name="phone")


def test_the_same_trees_learn_energy_from_the_rows_that_have_it(profile):
    assert set(profile.energy.models) == {"dense", "relu"}
    assert len(profile.energy.measurements["dense"]) < len(profile.measurements["dense"])
    assert profile.warnings == []
    relu = profile.energy.models["relu"]
    assert relu.error.mape < 0.02
    dims = {"height": 10, "width": 10, "channels": 30}
    assert relu.predict_ms(dims)[0] == pytest.approx(energy_mj("relu", dims), rel=0.05)


def test_it_is_kept_in_the_file_and_refitted_from_it(profile, tmp_path):
    profile.save(tmp_path / "phone.json")
    loaded = load_profile(tmp_path / "phone.json")
    assert loaded == profile
    assert refit(loaded).energy == profile.energy
    small = json.loads(json.dumps(profile.to_dict(measurements=False)))
    assert small["energy"]["measurements"] == {}
    assert DeviceProfile.from_dict(small).energy.models == profile.energy.models


def test_a_network_has_a_latency_and_an_energy(profile):
    report = predict_latency(build_probe("dense", DENSE), profile, energy=True)
    dims = KINDS["dense"].complete(DENSE)
    assert report.total_mj == pytest.approx(energy_mj("dense", dims) + OVERHEAD_MJ, rel=0.15)
    assert report.total_ms == pytest.approx(time_ms("dense", dims) + 0.0005, rel=0.15)
    assert report.total_mj == pytest.approx(sum(row.predicted_mj for row in report.operators) + OVERHEAD_MJ)
    assert report.coverage_energy == report.coverage == 1.0
    assert "mJ" in str(report)
    json.dumps(report.to_dict())


def test_without_asking_there_is_no_energy(profile):
    report = predict_latency(build_probe("dense", DENSE), profile)
    assert (report.total_mj, report.coverage_energy, report.operators[0].predicted_mj) == (None, None, None)
    assert "mJ" not in str(report)


def test_an_operator_whose_energy_is_unknown_is_named(profile):
    partly = msgspec.structs.replace(
        profile,
        energy=msgspec.structs.replace(profile.energy, models={"dense": profile.energy.models["dense"]}),
    )
    from fdi_keras.networks.latency import _with_energy, price_operators
    from fdi_keras.operators import Operator

    operators = [
        Operator("dense", KINDS["dense"].complete(DENSE), "a"),
        Operator("relu", KINDS["relu"].complete({"height": 8, "width": 8, "channels": 32}), "b"),
    ]
    report = _with_energy(price_operators(operators, partly), price_operators(operators, partly.of_energy()))
    assert [row.predicted_mj is None for row in report.operators] == [False, True]
    assert report.coverage_energy < 1.0 == report.coverage
    assert any(text.startswith("energy: b (relu) is not in the total") for text in report.warnings)


def test_a_profile_without_energy_says_so(profile):
    without = msgspec.structs.replace(profile, energy=None)
    with pytest.raises(EnergyUnknownError, match="profile 'phone' has no energy"):
        predict_latency("nowhere.keras", without, energy=True)
    with pytest.raises(EnergyUnknownError, match="profile 'x86-avx512-litert' has no energy"):
        predict_latency("nowhere.keras", "x86-avx512-litert", energy=True)


def test_too_few_energies_of_a_kind_are_not_learned(records):
    few = msgspec.structs.replace
    kept, made = 0, Records(records.path, records.device, records.runtime, records.plan)
    made.overhead_ms = records.overhead_ms
    for index, m in records.measurements.items():
        if m.kind == "relu" and m.energy_mj is not None and kept >= 3:
            m = few(m, energy_mj=None)
        kept += m.kind == "relu" and m.energy_mj is not None
        made.measurements[index] = m
    profile = learn_profile(made)
    assert set(profile.energy.models) == {"dense"}
    assert any("energy of an invocation was not measured" in text for text in profile.warnings)
    for index, m in made.measurements.items():
        made.measurements[index] = few(m, energy_mj=None)
    assert learn_profile(made).energy is None


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        (lambda e: e.update(overhead_mj=-1.0), "$.energy.overhead_mj"),
        (lambda e: e.update(models={}), "$.energy.models"),
        (lambda e: e["models"].update(conv2d=e["models"]["dense"]), "$.energy.models.conv2d.kind"),
        (lambda e: e["measurements"]["relu"]["columns"].reverse(), "$.energy.measurements.relu.columns"),
        (
            lambda e: e["measurements"]["relu"]["rows"][3].__setitem__(-1, 0.0),
            "$.energy.measurements.relu.rows[3]",
        ),
        (lambda e: e["measurements"]["relu"]["rows"].pop(), "$.energy.models.relu.error.measurements"),
        (lambda e: e.update(more=1), "$.energy"),
    ],
)
def test_a_damaged_energy_is_named_with_its_place(profile, damage, place):
    data = json.loads(json.dumps(profile.to_dict()))
    damage(data["energy"])
    with pytest.raises(ProfileInvalidError) as caught:
        DeviceProfile.from_dict(data)
    assert place in str(caught.value)


def test_energies_in_a_journal_come_back_with_their_measurement(records, tmp_path):
    path = tmp_path / "campaign.jsonl"
    with Journal(path) as journal:
        journal.start(
            "campaign", name="phone", device=records.device, runtime=records.runtime, plan=records.plan
        )
        for index in (0, 1):
            plain = msgspec.structs.asdict(records.measurements[index])
            plain["energy_mj"] = None
            journal.write("measurement", **plain)
        journal.write("energy_overhead", overhead_mj=0.5)
        journal.write("energy", index=1, energy_mj=7.5, uncertainty_mj=0.2)
        journal.write("energy", index=9, energy_mj=1.0, uncertainty_mj=0.2)
    read = read_records(path)
    assert [read.measurements[index].energy_mj for index in (0, 1)] == [None, 7.5]
    assert read.overhead_mj == 0.5
    assert np.isfinite(read.measurements[1].median_ms)
