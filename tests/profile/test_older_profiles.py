"""Profiles from before a kind got a further dimension are read, and say what they do not know."""

import copy

import keras
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fdi_keras as fdi
from fdi_keras.errors import ProfileInvalidError
from fdi_keras.operators import KINDS
from fdi_keras.profile import load_profile, refit
from fdi_keras.profile.files import bundled_profiles
from fdi_keras.profile.older import LATER, OLD_FETCH, with_new_dimensions
from fdi_keras.profile.profile import RESULTS, MeasurementTable
from fdi_keras.profile.validation import decode_profile

L = keras.layers


def without_later(profile):
    """The same profile as it was written when kinds had only their first dimensions."""
    data = msgspec.json.decode(msgspec.json.encode(profile))
    for kind, later in LATER.items():
        table = data["measurements"].get(kind)
        if table is not None:
            keep = [i for i, name in enumerate(table["columns"]) if name not in later]
            table["columns"] = [table["columns"][i] for i in keep]
            table["rows"] = [[row[i] for i in keep] for row in table["rows"]]
        model = data["models"].get(kind)
        if model is not None:
            model["ranges"] = {name: ends for name, ends in model["ranges"].items() if name not in later}
    return data


@pytest.fixture(scope="module")
def bundled():
    """One with nothing that the first profiles did not know: later dimensions have their defaults."""
    profile = load_profile(bundled_profiles()[0])
    tables = {}
    for kind in ("conv2d", "dense", "max_pool2d", "mean", "add", "mul"):
        table, spec = profile.measurements[kind], KINDS[kind]
        first = [name for name in spec.dimensions if name not in LATER.get(kind, ())]
        usual = []
        for row in table.rows:
            dims = dict(zip(spec.dimensions, row, strict=False))
            if spec.complete({name: dims[name] for name in first}) == dims:
                usual.append(row)
        tables[kind] = MeasurementTable(table.columns, usual[:150])
    return refit(msgspec.structs.replace(profile, measurements=tables))


def test_what_is_left_out_is_filled_in_again(bundled):
    old = without_later(bundled)
    assert "kernel_width" not in old["measurements"]["conv2d"]["columns"]
    before = copy.deepcopy(old)
    again = decode_profile(old, "old.json")
    assert old == before  # what was given is left alone
    assert again.measurements["conv2d"].rows == bundled.measurements["conv2d"].rows
    assert again.models["conv2d"].ranges == bundled.models["conv2d"].ranges


def test_every_later_dimension_has_a_default():
    for kind, later in LATER.items():
        assert set(later) <= set(KINDS[kind].defaults)
        assert KINDS[kind].dimensions[-len(later) :] == later


def test_old_predictions_stay_what_they_were(bundled):
    again = decode_profile(without_later(bundled), "old.json")
    dims = {"height": 28, "width": 28, "in_channels": 32, "out_channels": 48, "kernel": 3}
    expected = bundled.models["conv2d"].predict_ms(dims)
    assert again.models["conv2d"].predict_ms(dims) == pytest.approx(expected)
    scaled = {"height": 28, "width": 28, "channels": 32, "constant": 1}
    assert again.models["mul"].out_of_range(KINDS["mul"].complete(scaled)) == []


def test_an_operator_that_was_not_measured_then_is_named(bundled):
    profile = decode_profile(without_later(bundled), "old.json")
    model = keras.Sequential(
        [keras.Input((14, 14, 8)), L.Conv2D(8, (1, 7), name="wide"), L.UpSampling2D(2, name="larger")]
    )
    warnings = fdi.predict_latency(model, profile).warnings
    assert any("wide" in w and "kernel_width 7 outside 0..0" in w for w in warnings)
    assert any("larger" in w and "no time model for tile" in w for w in warnings)


def test_a_cost_of_weights_of_the_old_form_is_left_out_and_named(bundled):
    old = without_later(bundled)
    old["weight_fetch"] = {"cached_bytes": 1e7, "uncached_bytes": 4e7, "ms_per_byte": 1e-8}
    profile = decode_profile(old, "old.json")
    assert profile.weight_fetch is None
    assert profile.warnings == [*bundled.warnings, OLD_FETCH]


def test_damage_is_still_found(bundled):
    old = without_later(bundled)
    old["measurements"]["conv2d"]["columns"][0] = "colour"
    with pytest.raises(ProfileInvalidError, match=r"measurements\.conv2d\.columns"):
        decode_profile(old, "old.json")
    old = without_later(bundled)
    del old["models"]["conv2d"]["ranges"]["kernel"]
    with pytest.raises(ProfileInvalidError, match=r"conv2d\.ranges"):
        decode_profile(old, "old.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@given(kind=st.sampled_from(sorted(LATER)), columns=JSON, rows=JSON, ranges=JSON, whole=JSON)
def test_nonsense_is_left_for_the_check(kind, columns, rows, ranges, whole):
    data = {"measurements": {kind: {"columns": columns, "rows": rows}}, "models": {kind: {"ranges": ranges}}}
    assert with_new_dimensions(data) == data
    assert with_new_dimensions({"measurements": {kind: whole}, "models": whole}) is not None
    known = [name for name in KINDS[kind].dimensions if name not in LATER[kind]]
    data = {"measurements": {kind: {"columns": [*known, *RESULTS], "rows": rows}}}
    assert set(with_new_dimensions(data)["measurements"][kind]) == {"columns", "rows"}
